"""The concatenated relu."""

from harness.engine.context import Context
from harness.engine.contracts import Backward, Bind, Forward
from harness.ops import Array
from harness.registry.decorators import layer


@layer()
def crelu() -> Bind:
    """y = [max(x, 0), max(-x, 0)]

    x (..., B, I), y (..., B, 2 I).
    The slope at 0 is 0.
    Reference: Shang, Sohn, Almeida and Lee, ICML 2016.
    """

    def bind(ctx: Context, I: int) -> tuple[Forward, int]:
        xp = ctx.xp
        y = ctx.empty(2 * I)
        m = ctx.empty(I)
        dx = ctx.empty(I)
        positive = y[..., :I]
        negative = y[..., I:]
        ctx.output_is_scratch = True  # backward does not read y
        x_seen: Array = None  # the x of the last forward

        # x is compared again in place of y, so that the layer above may write over y.
        def backward(dy: Array) -> Array:
            xp.multiply(dy[..., :I], xp.greater(x_seen, 0.0, out=m), out=dx)
            xp.multiply(dy[..., I:], xp.less(x_seen, 0.0, out=m), out=m)
            return xp.subtract(dx, m, out=dx)

        def forward(x: Array, train: bool) -> tuple[Array, Backward]:
            nonlocal x_seen
            x_seen = x
            xp.maximum(x, 0.0, out=positive)
            xp.maximum(xp.negative(x, out=negative), 0.0, out=negative)
            return y, backward

        return forward, 2 * I

    return bind
