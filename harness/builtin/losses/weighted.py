"""Weights of examples, for any loss."""

from harness.builtin.losses.common import Backward, BindLoss, Forward, Predict
from harness.engine.context import Context
from harness.ops import Array


def weighing(bind: BindLoss, columns: int) -> BindLoss:
    """L = mean over the batch of w_i L_i, L_i what `bind` gives for example i; dy_i <- w_i dy_i

    Rows of t have `columns` targets; where they have one column more, that is the weight of the
    example. Other rows weigh 1, at no cost but a look at their shape.
    """

    def bind_weighing(ctx: Context, O: int) -> tuple[Forward, Predict]:
        forward, predict = bind(ctx, O)
        xp = ctx.xp
        # Not in place: the backward of the loss may want the values that its forward gave.
        weighted = ctx.empty(1)[..., 0]
        # What the last forward left for backward.
        weight: Array = None
        inner_backward: Backward

        def backward() -> Array:
            dy = inner_backward()
            return xp.multiply(dy, weight, out=dy)

        def forward_weighing(y: Array, t: Array) -> tuple[Array, Backward]:
            nonlocal weight, inner_backward
            if t.shape[-1] == columns:
                return forward(y, t)
            values, inner_backward = forward(y, t[..., :columns])
            weight = t[..., columns:]
            return xp.multiply(values, weight[..., 0], out=weighted), backward

        return forward_weighing, predict

    return bind_weighing
