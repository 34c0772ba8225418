"""Losses on differences from real targets."""

from harness.builtin.losses.common import Backward, BindLoss, Forward, Predict, check_scalar
from harness.engine.context import Context
from harness.ops import Array
from harness.registry.decorators import loss
from harness.registry.known import Scalar


@loss()
def squared_error() -> BindLoss:
    """L = mean over the batch of sum_k (y_k - t_k)^2 / 2; dy = (y - t) / B

    y, t (..., B, O).
    The half makes dy the plain difference.
    PyTorch's mse_loss has no half, and its mean goes over the outputs as well.
    """

    def bind(ctx: Context, O: int) -> tuple[Forward, Predict]:
        xp = ctx.xp
        scale = ctx.dtype.type(1.0 / ctx.batch)
        diff = ctx.empty(O)
        square = ctx.empty(O)
        values = ctx.empty(1)[..., 0]

        def backward() -> Array:
            return xp.multiply(diff, scale, out=diff)

        def forward(y: Array, t: Array) -> tuple[Array, Backward]:
            xp.subtract(y, t, out=diff)
            xp.multiply(diff, diff, out=square)
            xp.add.reduce(square, axis=-1, out=values)
            return xp.multiply(values, 0.5, out=values), backward

        return forward, lambda y: y

    return bind


@loss()
def huber(delta: Scalar = 1.0) -> BindLoss:
    """L = mean over the batch of sum_k h(y_k - t_k)

    h(d) = d^2 / 2 up to |d| = delta, and delta (|d| - delta / 2) beyond.
    y, t (..., B, O); dy = clip(y - t, -delta, delta) / B. PyTorch's huber_loss, whose mean goes
    over the outputs as well: here they are summed.
    Reference: Huber, Annals of Mathematical Statistics 35(1), 1964.
    """
    check_scalar("huber: delta", delta, lambda v: 0 < v < float("inf"), "a number above 0")

    def bind(ctx: Context, O: int) -> tuple[Forward, Predict]:
        xp = ctx.xp
        scale = ctx.dtype.type(1.0 / ctx.batch)
        high = ctx.scalar(delta)
        low = -high
        diff = ctx.empty(O)
        dy = ctx.empty(O)
        values = ctx.empty(1)[..., 0]

        def backward() -> Array:
            return xp.multiply(dy, scale, out=dy)

        def forward(y: Array, t: Array) -> tuple[Array, Backward]:
            xp.subtract(y, t, out=diff)
            xp.minimum(diff, high, out=dy)
            xp.maximum(dy, low, out=dy)  # h'(d); h(d) = h'(d) (d - h'(d) / 2)
            xp.multiply(diff, 2, out=diff)
            xp.subtract(diff, dy, out=diff)
            xp.multiply(diff, dy, out=diff)
            xp.add.reduce(diff, axis=-1, out=values)
            return xp.multiply(values, 0.5, out=values), backward

        return forward, lambda y: y

    return bind
