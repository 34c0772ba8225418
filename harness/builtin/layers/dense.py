"""The fully connected layer."""

from harness.builtin.layers.common import bias_of, check_units
from harness.engine.context import Context
from harness.engine.contracts import Backward, Bind, Forward
from harness.expressions.fuse import affine
from harness.expressions.written import bias_addition, bias_gradient
from harness.ops import Array
from harness.registry.decorators import layer
from harness.registry.known import InitSpec


@layer()
def dense(units: int, init: InitSpec = "glorot", bias: InitSpec = "zeros") -> Bind:
    """y = x @ W + b

    x (..., B, I), W (..., I, O), b (..., 1, O), y (..., B, O) with O = units.
    init and bias name initializers; bias=False leaves b out.
    W decays, b does not.
    Reference: Rumelhart, Hinton and Williams, Nature 323, 1986.
    """
    check_units("dense", units)

    def bind(ctx: Context, I: int) -> tuple[Forward, int]:
        W, dW = ctx.param("W", (I, units), init)
        b, db = bias_of(ctx, units, bias)
        y = ctx.empty(units)
        xp = ctx.xp
        matmul = ctx.ops.product(ctx.lead)
        WT = W.swapaxes(-1, -2)
        dx = ctx.empty(I) if ctx.input_needs_grad else None
        ctx.output_is_scratch = True  # backward does not read y
        add_bias = None if b is None else bias_addition(xp, y, b)
        sum_bias = None if db is None else bias_gradient(xp, matmul, y, db)
        x_seen: Array = None  # the x of the last forward

        def gradients(dy: Array) -> Array:
            matmul(x_seen.swapaxes(-1, -2), dy, out=dW)
            if dx is None:  # nobody below wants it
                return dy
            return matmul(dy, WT, out=dx)

        def backward(dy: Array) -> Array:
            if sum_bias is not None:
                sum_bias(dy)
            return gradients(dy)

        def products(x: Array) -> None:
            nonlocal x_seen
            x_seen = x
            matmul(x, W, out=y)

        def forward(x: Array, train: bool) -> tuple[Array, Backward]:
            products(x)
            if add_bias is not None:
                add_bias()
            return y, backward

        forward.affine = affine(  # type: ignore[attr-defined]
            xp, products, gradients, y, b, db
        )
        return forward, units

    return bind
