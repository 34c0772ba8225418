"""The fully connected layer."""

from harness.builtin.layers.common import check_units
from harness.engine.context import Context
from harness.engine.contracts import Backward, Bind, Forward
from harness.ops import Array
from harness.registry.decorators import layer
from harness.registry.known import InitSpec


@layer()
def dense(units: int, init: InitSpec = "glorot", bias: InitSpec = "zeros") -> Bind:
    """y = x @ W + b

    x (..., B, I), W (..., I, O), b (..., 1, O), y (..., B, O) with O = units. init and bias name
    initializers; bias=False leaves b out. W decays, b does not. Reference: Rumelhart, Hinton and
    Williams, Nature 323, 1986.
    """
    check_units("dense", units)

    def bind(ctx: Context, I: int) -> tuple[Forward, int]:
        W, dW = ctx.param("W", (I, units), init)
        b, db = ctx.param("b", (1, units), bias, decay=False) if bias is not False else (None, None)
        y = ctx.empty(units)
        xp = ctx.xp
        matmul = ctx.ops.matmul
        WT = W.swapaxes(-1, -2)
        dx = ctx.empty(I) if ctx.input_needs_grad else None
        ctx.output_is_scratch = True
        # Sums over the batch as products take half the time of a reduction
        ones = xp.ones((1, ctx.batch), ctx.dtype)
        seen: list[Array] = [None]

        def backward(dy: Array) -> Array:
            matmul(seen[0].swapaxes(-1, -2), dy, out=dW)
            if db is not None:
                matmul(ones, dy, out=db)
            return dy if dx is None else matmul(dy, WT, out=dx)

        def forward(x: Array, train: bool) -> tuple[Array, Backward]:
            seen[0] = x
            matmul(x, W, out=y)
            if b is not None:
                xp.add(y, b, out=y)
            return y, backward

        return forward, units

    return bind
