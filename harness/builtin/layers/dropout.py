"""Inverted dropout."""

from harness.builtin.layers.common import check_rate
from harness.engine.context import Context
from harness.engine.contracts import Backward, Bind, Forward
from harness.expressions.written import dropping
from harness.ops import Array
from harness.registry.decorators import layer
from harness.registry.known import Scalar


@layer()
def dropout(rate: Scalar = 0.5) -> Bind:
    """y = x * m / (1 - rate), m ~ Bernoulli(1 - rate) in training; y = x in evaluation

    x, y, m (..., B, I).
    rate in [0, 1) is the probability to drop.
    Reference: Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, JMLR 15, 2014; scaling
    in training instead of evaluation ("inverted") is today's custom.
    """
    check_rate("dropout", rate)

    def bind(ctx: Context, I: int) -> tuple[Forward, int]:
        xp = ctx.xp
        fill = ctx.random("mask")
        y = ctx.empty(I)
        m = ctx.empty(I)
        # Scaled in training, so that evaluation is the identity.
        gain = 1 / (1 - ctx.scalar(rate))
        drop = dropping(xp, m, y, ctx.scalar(rate), gain)
        ctx.output_is_scratch = True  # backward does not read y

        def backward(dy: Array) -> Array:
            return xp.multiply(dy, m, out=dy)

        def forward(x: Array, train: bool) -> tuple[Array, Backward]:
            if not train:
                return x, backward
            # m is 1 / (1 - rate) where a uniform number is at least the rate, else 0.
            fill(m)
            drop(x)
            return y, backward

        return forward, I

    return bind
