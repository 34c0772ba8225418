"""The largest of several linear functions."""

from harness.builtin.layers.common import check_units
from harness.builtin.layers.dense import dense
from harness.engine.context import Context
from harness.engine.contracts import Backward, Bind, Forward
from harness.expressions.largest import largest
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
        won = ctx.empty(units)  # the number of the piece that y comes from
        ctx.output_is_scratch = True  # backward does not read y
        fused = largest(xp, linear_forward, y, won)
        if fused is not None:
            return fused, units
        dz = ctx.empty(wide)
        is_k = xp.empty(y.shape, bool)  # whether a piece is the largest so far, or has won
        parts = [slice(k * units, (k + 1) * units) for k in range(pieces)]
        dparts = [dz[..., part] for part in parts]
        linear_backward: Backward

        def backward(dy: Array) -> Array:
            for k, dpart in enumerate(dparts):
                xp.copyto(dpart, 0.0)
                xp.copyto(dpart, dy, where=xp.equal(won, float(k), out=is_k))
            return linear_backward(dz)

        def forward(x: Array, train: bool) -> tuple[Array, Backward]:
            nonlocal linear_backward
            z, linear_backward = linear_forward(x, train)
            xp.copyto(y, z[..., parts[0]])
            xp.copyto(won, 0.0)
            for k in range(1, pieces):
                part = z[..., parts[k]]
                xp.copyto(won, float(k), where=xp.greater(part, y, out=is_k))
                xp.maximum(y, part, out=y)
            return y, backward

        return forward, units

    return bind
