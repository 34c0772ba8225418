"""The built-in losses. A loss is bound as bind(ctx, O) -> (forward, predict):

forward(y, t) -> values (..., B), backward    y (..., B, O) outputs of the network, t (..., B, O) target rows
backward() -> dy (..., B, O)                  gradient of the mean over the batch
predict(y) -> predictions                     outputs -> probabilities (or values), in place
"""

from collections.abc import Callable
from typing import Any

from harness.engine import Context
from harness.errors import UsageError
from harness.ops import Array
from harness.registry import loss

BindLoss = Callable[[Context, int], tuple[Callable[[Array, Array], tuple[Array, Callable[[], Array]]], Callable[[Array], Array]]]


def _softmax(xp: Any, y: Array, top: Array, out: Array, total: Array) -> None:
    """out <- exp(y - top), total <- its row sums; top <- row maxima, so that exp cannot overflow."""
    xp.maximum.reduce(y, axis=-1, out=top, keepdims=True)
    xp.subtract(y, top, out=out)
    xp.exp(out, out=out)
    xp.add.reduce(out, axis=-1, out=total, keepdims=True)


@loss()
def softmax_cross_entropy(weighted: bool = False) -> BindLoss:
    """L = mean over the batch of -sum_k t_k log p_k, p = softmax(y); dy = (p sum_k t_k - t) / B

    y, t (..., B, O); rows of t sum to 1, or to anything (their weight) where weighted. Computed through log-sum-exp.
    Reference: Bridle, NeurIPS 1989.
    """

    def bind(ctx: Context, O: int) -> tuple[Any, Any]:
        if O < 2:
            raise UsageError(f"softmax_cross_entropy needs at least 2 outputs, got {O}; give the last layer one unit per class")
        xp, scale = ctx.xp, ctx.dtype.type(1.0 / ctx.batch)
        e, dy, top, total, values = ctx.empty(O), ctx.empty(O), ctx.empty(1), ctx.empty(1), ctx.empty(1)[..., 0]
        log = ctx.empty(1)
        target: list[Array] = [None]

        def backward() -> Array:
            xp.divide(e, total, out=dy)
            if weighted:
                xp.multiply(dy, xp.add.reduce(target[0], axis=-1, out=log, keepdims=True), out=dy)
            xp.subtract(dy, target[0], out=dy)
            return xp.multiply(dy, scale, out=dy)

        def forward(y: Array, t: Array) -> tuple[Array, Callable[[], Array]]:
            _softmax(xp, y, top, e, total)
            target[0] = t
            xp.log(total, out=log)
            xp.add(log, top, out=log)
            xp.subtract(log, y, out=dy)  # -log p
            xp.multiply(dy, t, out=dy)
            return xp.add.reduce(dy, axis=-1, out=values), backward

        def predict(y: Array) -> Array:
            _softmax(xp, y, top, y, total)
            return xp.divide(y, total, out=y)

        return forward, predict

    return bind


@loss()
def squared_error() -> BindLoss:
    """L = mean over the batch of sum_k (y_k - t_k)^2 / 2; dy = (y - t) / B

    y, t (..., B, O). The half makes dy the plain difference.
    """

    def bind(ctx: Context, O: int) -> tuple[Any, Any]:
        xp, scale, diff, square = ctx.xp, ctx.dtype.type(1.0 / ctx.batch), ctx.empty(O), ctx.empty(O)
        values = ctx.empty(1)[..., 0]

        def backward() -> Array:
            return xp.multiply(diff, scale, out=diff)

        def forward(y: Array, t: Array) -> tuple[Array, Callable[[], Array]]:
            xp.subtract(y, t, out=diff)
            xp.multiply(diff, diff, out=square)
            xp.add.reduce(square, axis=-1, out=values)
            return xp.multiply(values, 0.5, out=values), backward

        return forward, lambda y: y

    return bind
