"""Normalization of each example by itself."""

from typing import Any

import numpy as np

from harness.builtin.layers.common import check_scalar
from harness.engine.context import Context
from harness.engine.contracts import Backward, Bind, Forward
from harness.ops import Array
from harness.registry.decorators import layer
from harness.registry.known import Scalar


@layer()
def layer_norm(eps: Scalar = 1e-5, elementwise_affine: bool = True, bias: bool = True) -> Bind:
    """y = g (x - mean) / sqrt(var + eps) + b, mean and var of an example's features

    x, y (..., B, I), g, b (..., 1, I), both not trained where elementwise_affine is False, b not
    where bias is.
    var is the biased one.
    Reference: Ba, Kiros and Hinton, arXiv 1607.06450, 2016.
    """
    check_scalar("layer_norm", "eps", eps, lambda e: e > 0, "must be a number above 0")
    return _normalize(eps, elementwise_affine, elementwise_affine and bias, center=True)


@layer()
def rms_norm(eps: Scalar = None, elementwise_affine: bool = True) -> Bind:
    """y = g x / sqrt(mean(x^2) + eps), the mean over an example's features

    x, y (..., B, I), g (..., 1, I), not trained where elementwise_affine is False.
    eps=None is the machine epsilon of the dtype, as in PyTorch.
    Reference: Zhang and Sennrich, NeurIPS 2019.
    """
    numbers = [e for e in _one_per_member(eps) if e is not None]
    check_scalar("rms_norm", "eps", numbers, lambda e: e > 0, "must be None or a number above 0")
    return _normalize(eps, elementwise_affine, False, center=False)


def _one_per_member(eps: Any) -> list[Any]:
    return eps if isinstance(eps, list) else [eps]


def _small(ctx: Context, eps: Any) -> Array:
    """What stands for each eps; None is the machine epsilon of the dtype."""
    tiny = float(np.finfo(ctx.dtype).eps)
    return ctx.scalar([tiny if e is None else e for e in _one_per_member(eps)])


def _shift(ctx: Context, I: int, train: bool) -> tuple[Array, Array]:
    """b (..., 1, I) and where its gradient goes."""
    return ctx.param("b", (1, I), "zeros", decay=False, train=train)


def _normalize(eps: Any, gain: bool, bias: bool, center: bool) -> Bind:
    """Both normalizations: with center by mean and variance, without it by the mean square."""

    def bind(ctx: Context, I: int) -> tuple[Forward, int]:
        xp = ctx.xp
        total = ctx.xp.add.reduce
        small = _small(ctx, eps)
        g, dg = ctx.param("g", (1, I), "constant(1)", decay=False, train=gain)
        b, db = _shift(ctx, I, bias) if center else (None, None)
        # h is the normalized x and s is 1 / sqrt(var + eps): backward reads both. t is scratch.
        h = ctx.empty(I)
        t = ctx.empty(I)
        y = ctx.empty(I)
        mean = ctx.empty(1)
        s = ctx.empty(1)
        ctx.output_is_scratch = True  # backward does not read y

        def average(a: Array, out: Array) -> Array:
            return xp.multiply(total(a, axis=-1, out=out, keepdims=True), 1 / I, out=out)

        def backward(dy: Array) -> Array:
            if center:
                total(dy, axis=-2, out=db, keepdims=True)
            total(xp.multiply(dy, h, out=t), axis=-2, out=dg, keepdims=True)
            # dx = s (dh - mean(dh) - h mean(dh h)), dh = g dy
            if ctx.input_needs_grad:
                xp.multiply(dy, g, out=dy)
                xp.multiply(h, average(xp.multiply(dy, h, out=t), mean), out=t)
                if center:
                    xp.subtract(dy, average(dy, mean), out=dy)
                xp.multiply(xp.subtract(dy, t, out=dy), s, out=dy)
            return dy

        def forward(x: Array, train: bool) -> tuple[Array, Backward]:
            xp.copyto(h, x)
            if center:
                xp.subtract(h, average(h, mean), out=h)
            xp.sqrt(xp.add(average(xp.multiply(h, h, out=t), s), small, out=s), out=s)
            xp.multiply(h, xp.divide(1.0, s, out=s), out=h)
            xp.multiply(h, g, out=y)
            if center:
                xp.add(y, b, out=y)
            return y, backward

        return forward, I

    return bind
