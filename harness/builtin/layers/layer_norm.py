"""Normalization of each example by itself."""

from typing import Any

import numpy as np

from harness.builtin.layers.common import check_scalar
from harness.engine.context import Context
from harness.engine.contracts import Backward, Bind, Forward
from harness.expressions.normal_passes import normalizer
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
        small = _small(ctx, eps)
        g, dg = ctx.param("g", (1, I), "constant(1)", decay=False, train=gain)
        # Without a shift there is nothing to add, and nobody reads its gradient.
        b, db = _shift(ctx, I, bias) if center else (xp.zeros_like(dg), xp.empty_like(dg))
        columns = {"g": g, "b": b, "dg": dg, "db": db}
        # h is the normalized x and s is 1 / sqrt(var + eps): backward reads both. t is scratch.
        h = ctx.empty(I)
        t = ctx.empty(I)
        y = ctx.empty(I)
        s = ctx.empty(1)
        ctx.output_is_scratch = True  # backward does not read y
        normalize, pull = normalizer(xp, ctx.dtype).rows(columns, h, y, t, s, small, center)

        def forward(x: Array, train: bool) -> tuple[Array, Backward]:
            normalize(x)
            return y, pull

        return forward, I

    return bind
