"""The loss on probabilities that stand for themselves."""

import numpy as np

from harness.builtin.losses.common import Backward, BindLoss, Forward, Predict
from harness.engine.context import Context
from harness.expressions.backend import launches
from harness.expressions.terms import plan_terms
from harness.ops import Array
from harness.registry.decorators import loss


@loss()
def binary_cross_entropy(two_classes: bool = False) -> BindLoss:
    """L = mean over the batch of sum_k log(1 + exp(y_k)) - t_k y_k

    The same as -sum_k t_k log p_k + (1 - t_k) log(1 - p_k) with p = 1 / (1 + exp(-y)).
    y (..., B, O) logits, t (..., B, O) in [0, 1]; dy = (p - t) / B.
    With one output on a data set of two classes y is the logit of the second one, and predictions
    hold both probabilities.
    With K outputs on K classes each is a question of its own, and predictions need not sum to 1.
    PyTorch's binary_cross_entropy_with_logits, whose mean goes over the outputs as well: here they
    are summed.
    """

    def bind(ctx: Context, O: int) -> tuple[Forward, Predict]:
        xp = ctx.xp
        scale = ctx.dtype.type(1.0 / ctx.batch)
        pair = two_classes and O == 1
        e = ctx.empty(O)
        part = ctx.empty(O)
        dy = ctx.empty(O)
        values = ctx.empty(1)[..., 0]
        both = ctx.empty(2) if pair else None
        half = ctx.empty(2) if pair else part
        # What the last forward saw.
        y_seen: Array = None
        target: Array = None

        def decay(y: Array, out: Array) -> Array:
            """out <- exp(-|y|), which cannot overflow."""
            xp.absolute(y, out=out)
            xp.negative(out, out=out)
            return xp.exp(out, out=out)

        def backward() -> Array:
            xp.add(e, 1, out=part)
            xp.minimum(y_seen, 0, out=dy)
            xp.exp(dy, out=dy)
            xp.divide(dy, part, out=dy)  # p
            xp.subtract(dy, target, out=dy)
            return xp.multiply(dy, scale, out=dy)

        def forward(y: Array, t: Array) -> tuple[Array, Backward]:
            nonlocal y_seen, target
            y_seen = y
            target = t
            if pair:  # rows (1, 0) and (0, 1), of which the second class is asked for
                target = t[..., 1:]
            xp.maximum(y, 0, out=dy)
            xp.subtract(dy, xp.multiply(y, target, out=part), out=dy)
            xp.log1p(decay(y, e), out=part)
            xp.add(dy, part, out=dy)  # log(1 + exp(y)) = max(y, 0) + log(1 + exp(-|y|))
            return xp.add.reduce(dy, axis=-1, out=values), backward

        def predict(y: Array) -> Array:
            p = y
            # The other class comes from its own logit, -y: 1 - p would have lost its digits.
            if both is not None:
                xp.negative(y, out=both[..., :1])
                both[..., 1:] = y
                p = both
            xp.add(decay(p, half), 1, out=half)
            xp.minimum(p, 0, out=p)
            xp.exp(p, out=p)
            return xp.divide(p, half, out=p)

        if launches(xp, ctx.dtype):
            measure = plan_terms(_logistic, {}, part, dy, scale, "binary_cross_entropy", __file__)

            def in_one_launch(y: Array, t: Array) -> tuple[Array, Backward]:
                measure(y, t[..., 1:] if pair else t)
                return xp.add.reduce(part, axis=-1, out=values), lambda: dy

            return in_one_launch, predict

        return forward, predict

    return bind


def _logistic(y: Array, t: Array) -> tuple[Array, Array]:
    return np.logaddexp(0.0, y) - t * y, 1.0 / (1.0 + np.exp(-y)) - t
