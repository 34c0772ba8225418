"""The loss on probabilities that stand for themselves."""

import numpy as np

from harness.builtin.losses.common import Backward, BindLoss, Forward, Predict, sum_of_terms
from harness.engine.context import Context
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

    def f(y: Array, t: Array) -> tuple[Array, Array]:
        e = np.exp(-np.abs(y))  # which cannot overflow
        p = np.where(y > 0.0, 1.0, e) / (1.0 + e)
        # log(1 + exp(y)) keeps its digits, where y and t y cancel, as max(y, 0) + log(1 + e)
        return np.maximum(y, 0.0) - t * y + np.log1p(e), p - t

    def bind(ctx: Context, O: int) -> tuple[Forward, Predict]:
        xp = ctx.xp
        pair = two_classes and O == 1
        forward = sum_of_terms(ctx, O, f, "binary_cross_entropy", __file__)
        both = ctx.empty(2) if pair else None
        half = ctx.empty(2 if pair else O)

        def of_second_class(y: Array, t: Array) -> tuple[Array, Backward]:
            return forward(y, t[..., 1:])  # of rows (1, 0) and (0, 1)

        def predict(y: Array) -> Array:
            p = y
            # The other class comes from its own logit, -y: 1 - p would have lost its digits.
            if both is not None:
                xp.negative(y, out=both[..., :1])
                both[..., 1:] = y
                p = both
            xp.absolute(p, out=half)
            xp.negative(half, out=half)
            xp.exp(half, out=half)
            xp.add(half, 1, out=half)
            xp.minimum(p, 0, out=p)
            xp.exp(p, out=p)
            return xp.divide(p, half, out=p)

        return of_second_class if pair else forward, predict

    return bind
