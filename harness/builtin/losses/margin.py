"""The loss on distances between scores."""

from harness import checks
from harness.builtin.losses.common import (
    Backward,
    BindLoss,
    Forward,
    Predict,
    check_classes,
    check_scalar,
)
from harness.engine.context import Context
from harness.ops import Array
from harness.registry.decorators import loss
from harness.registry.known import Scalar


@loss()
def hinge(margin: Scalar = 1.0, p: int = 1) -> BindLoss:
    """L = mean over the batch of sum_{k != c} max(0, margin - y_c + y_k)^p / K

    c is the class of the example.
    y (..., B, K) scores, t (..., B, K) indicator rows.
    p is 1 or 2.
    Predictions are the scores themselves, no probabilities: metrics that need those,
    such as log_loss, do not fit.
    PyTorch's MultiMarginLoss.
    Reference: Crammer and Singer, JMLR 2, 2001 (they take the largest term, not the sum); Weston
    and Watkins, ESANN 1999 (the sum).
    """
    check_scalar("hinge: margin", margin, lambda v: 0 < v < float("inf"), "a number above 0")
    checks.one_of("hinge: p", p, (1, 2))

    def bind(ctx: Context, O: int) -> tuple[Forward, Predict]:
        check_classes("hinge", O)
        xp = ctx.xp
        scale = ctx.dtype.type(p / (ctx.batch * O))
        gap = ctx.scalar(margin)
        own = ctx.empty(O)
        over = ctx.empty(O)
        dy = ctx.empty(O)
        score = ctx.empty(1)
        values = ctx.empty(1)[..., 0]

        def backward() -> Array:
            if p == 1:  # the slope is 1 wherever a margin is missed
                xp.sign(over, out=over)
            xp.multiply(over, scale, out=dy)
            xp.add.reduce(dy, axis=-1, out=score, keepdims=True)
            return xp.subtract(dy, xp.multiply(own, score, out=own), out=dy)

        def forward(y: Array, t: Array) -> tuple[Array, Backward]:
            xp.sign(t, out=own)  # 1 for the class of the example, 0 for the others
            xp.add.reduce(xp.multiply(y, own, out=over), axis=-1, out=score, keepdims=True)
            xp.subtract(y, score, out=over)
            xp.add(over, gap, out=over)
            xp.maximum(over, 0, out=over)
            # The class of the example is no rival of itself.
            xp.multiply(over, xp.subtract(1, own, out=dy), out=over)
            terms = over
            if p == 2:
                terms = xp.multiply(over, over, out=dy)
            xp.add.reduce(terms, axis=-1, out=values)
            return xp.divide(values, O, out=values), backward

        return forward, lambda y: y

    return bind
