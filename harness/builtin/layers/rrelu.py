"""A rectifier whose slope is random in training."""

import math

import numpy as np

from harness.builtin.layers.common import check_scalar
from harness.engine.context import Context
from harness.engine.contracts import Backward, Bind, Forward
from harness.errors import UsageError
from harness.ops import Array
from harness.registry.decorators import layer
from harness.registry.known import Scalar


@layer()
def rrelu(lower: Scalar = 1 / 8, upper: Scalar = 1 / 3) -> Bind:
    """y = x where x > 0, else slope * x; slope ~ U[lower, upper) in training

    x, y, slope (..., B, I); each value has a slope of its own, in each step. In evaluation it is
    (lower + upper) / 2.
    lower <= upper.
    Reference: Xu, Wang, Chen and Li, Empirical evaluation of rectified activations, 2015
    (arXiv:1505.00853).
    """
    for name, bound in (("lower", lower), ("upper", upper)):
        check_scalar("rrelu", name, bound, lambda s: abs(s) < math.inf, "must be a finite number")
    if np.any(np.asarray(lower) > np.asarray(upper)):
        raise UsageError(
            f"rrelu: lower must be at most upper, got lower={lower} and upper={upper}; exchange "
            "them"
        )

    def bind(ctx: Context, I: int) -> tuple[Forward, int]:
        xp = ctx.xp
        fill = ctx.random("slope")
        least = ctx.scalar(lower)
        width = ctx.scalar(upper) - least
        mean = least + width / 2
        is_positive = ctx.empty(I, bool)
        slope = ctx.empty(I)
        y = ctx.empty(I)
        ctx.output_is_scratch = True  # backward does not read y

        def backward(dy: Array) -> Array:
            return xp.multiply(dy, slope, out=dy)

        def forward(x: Array, train: bool) -> tuple[Array, Backward]:
            if train:
                fill(slope)
                xp.multiply(slope, width, out=slope)
                xp.add(slope, least, out=slope)
            else:
                xp.copyto(slope, mean)
            xp.greater(x, 0.0, out=is_positive)
            xp.copyto(slope, 1.0, where=is_positive)
            return xp.multiply(x, slope, out=y), backward

        return forward, I

    return bind
