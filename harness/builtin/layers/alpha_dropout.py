"""Dropout for selu networks."""

from harness.builtin.layers.common import check_rate
from harness.engine.context import Context
from harness.engine.contracts import Backward, Bind, Forward
from harness.ops import Array
from harness.registry.decorators import layer
from harness.registry.known import Scalar

LOW = -1.7580993408473766  # what selu tends to for z -> -inf: -scale * alpha


@layer()
def alpha_dropout(rate: Scalar = 0.5) -> Bind:
    """y = a (x m + LOW (1 - m)) + c in training, y = x in evaluation

    m ~ Bernoulli(1 - rate), LOW = selu(-inf).
    x, y, m (..., B, I).
    rate in [0, 1) is the probability to drop.
    a = ((1 - rate) (1 + rate LOW^2))^(-1/2) and c = -a rate LOW keep mean 0 and variance 1.
    Reference: Klambauer, Unterthiner, Mayr and Hochreiter, NeurIPS 2017.
    """
    check_rate("alpha_dropout", rate)

    def bind(ctx: Context, I: int) -> tuple[Forward, int]:
        xp = ctx.xp
        fill = ctx.random("mask")
        drop = ctx.scalar(rate)
        y = ctx.empty(I)
        m = ctx.empty(I)
        low = ctx.empty(I)
        keep = ctx.empty(I, bool)
        a = 1 / xp.sqrt((1 - drop) * (1 + drop * LOW**2))
        floor = a * LOW
        shift = -a * drop * LOW
        ctx.output_is_scratch = True  # backward does not read y

        def backward(dy: Array) -> Array:
            return xp.multiply(dy, m, out=dy)

        def forward(x: Array, train: bool) -> tuple[Array, Backward]:
            if not train:
                return x, backward
            fill(m)
            xp.greater_equal(m, drop, out=keep)
            xp.multiply(keep, a, out=m)
            xp.multiply(m, LOW, out=low)
            # Exactly 0 where x is kept, so that a rate of 0 is the identity.
            xp.subtract(floor, low, out=low)
            xp.multiply(x, m, out=y)
            xp.add(y, low, out=y)
            return xp.add(y, shift, out=y), backward

        return forward, I

    return bind
