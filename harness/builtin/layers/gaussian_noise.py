"""Additive noise."""

import math

from harness.builtin.layers.common import check_scalar
from harness.engine.context import Context
from harness.engine.contracts import Backward, Bind, Forward
from harness.ops import Array
from harness.registry.decorators import layer
from harness.registry.known import Scalar


@layer()
def gaussian_noise(std: Scalar = 0.1) -> Bind:
    """y = x + std e, e ~ N(0, 1) in training; y = x in evaluation

    x, y, e (..., B, I).
    std >= 0.
    e comes by the transform of Box and Muller, 1958; in float32 it ends at +-5.8.
    Reference: Bishop, Neural Computation 7, 1995 (noise on the inputs is a Tikhonov penalty).
    """
    check_scalar(
        "gaussian_noise",
        "std",
        std,
        lambda s: 0 <= s < math.inf,
        "must be a finite number of at least 0",
    )

    def bind(ctx: Context, I: int) -> tuple[Forward, int]:
        xp = ctx.xp
        fill = ctx.random("noise")
        std_of_noise = ctx.scalar(std)
        # Two uniform numbers give two normal ones, so that an odd I draws one more.
        half = (I + 1) // 2
        u = ctx.empty(2 * half)
        e = ctx.empty(2 * half)
        y = ctx.empty(I)
        radius = u[..., :half]
        angle = u[..., half:]
        first = e[..., :half]
        second = e[..., half:]
        ctx.output_is_scratch = True  # backward does not read y

        def backward(dy: Array) -> Array:
            return dy  # the noise does not depend on x

        def forward(x: Array, train: bool) -> tuple[Array, Backward]:
            if train:
                fill(u)
                xp.subtract(1.0, radius, out=radius)  # in (0, 1]
                xp.log(radius, out=radius)
                xp.multiply(radius, -2.0, out=radius)
                xp.sqrt(radius, out=radius)
                xp.multiply(radius, std_of_noise, out=radius)
                xp.multiply(angle, 2 * math.pi, out=angle)
                xp.cos(angle, out=first)
                xp.sin(angle, out=second)
                xp.multiply(first, radius, out=first)
                xp.multiply(second, radius, out=second)
                x = xp.add(x, e[..., :I], out=y)
            return x, backward

        return forward, I

    return bind
