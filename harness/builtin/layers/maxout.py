"""The largest of several linear functions."""

from harness.builtin.layers.common import check_units
from harness.builtin.layers.dense import dense
from harness.engine.context import Context
from harness.engine.contracts import Backward, Bind, Forward
from harness.ops import Array
from harness.registry.decorators import layer
from harness.registry.known import InitSpec


@layer()
def maxout(
    units: int, pieces: int = 2, init: InitSpec = "glorot", bias: InitSpec = "zeros"
) -> Bind:
    """y = max_k (x @ W_k + b_k), k = 1, ..., pieces

    x (..., B, I), y (..., B, O), O = units; W (..., I, pieces * O), b (..., 1, pieces * O), one
    piece beside the other.
    Of equal pieces the first gets the gradient.
    init and bias as in dense.
    Reference: Goodfellow, Warde-Farley, Mirza, Courville and Bengio, ICML 2013.
    """
    check_units("maxout", units)
    check_units("maxout", pieces, "pieces")
    linear = dense(units * pieces, init=init, bias=bias)

    def bind(ctx: Context, I: int) -> tuple[Forward, int]:
        linear_forward, wide = linear(ctx, I)
        xp = ctx.xp
        y = ctx.empty(units)
        dz = ctx.empty(wide)
        parts = [slice(k * units, (k + 1) * units) for k in range(pieces)]
        dparts = [dz[..., part] for part in parts]
        won = [ctx.empty(units) for _ in parts]
        linear_backward: Backward

        def backward(dy: Array) -> Array:
            # From the last piece to the first: one that beat those before it takes the gradient.
            for k in range(pieces - 1, 0, -1):
                xp.subtract(dy, xp.multiply(dy, won[k], out=dparts[k]), out=dy)
            # What is left belongs to the first piece.
            xp.copyto(dparts[0], dy)
            return linear_backward(dz)

        def forward(x: Array, train: bool) -> tuple[Array, Backward]:
            nonlocal linear_backward
            z, linear_backward = linear_forward(x, train)
            xp.copyto(y, z[..., parts[0]])
            for k in range(1, pieces):
                part = z[..., parts[k]]
                xp.greater(part, y, out=won[k])
                xp.maximum(y, part, out=y)
            return y, backward

        return forward, units

    return bind
