"""Normalization of each example by itself."""

from typing import Any

import numpy as np

from harness.engine import Backward, Bind, Context, Forward
from harness.layers.common import check_scalar
from harness.ops import Array
from harness.registry import Scalar, layer


@layer()
def layer_norm(eps: Scalar = 1e-5, elementwise_affine: bool = True, bias: bool = True) -> Bind:
    """y = g (x - mean) / sqrt(var + eps) + b, mean and (biased) var over the features of an example

    x, y (..., B, I), g, b (..., 1, I), learned; elementwise_affine=False leaves both out, bias=False b. Reference: Ba, Kiros and
    Hinton, arXiv 1607.06450, 2016.
    """
    check_scalar("layer_norm", "eps", eps, lambda e: e > 0, "must be a number above 0")
    return _normalize(eps, True, elementwise_affine, elementwise_affine and bias)


@layer()
def rms_norm(eps: Scalar = None, elementwise_affine: bool = True) -> Bind:
    """y = g x / sqrt(mean(x^2) + eps), the mean over the features of an example

    x, y (..., B, I), g (..., 1, I), learned unless elementwise_affine is False. eps=None is the machine epsilon of the dtype, as in
    PyTorch. Reference: Zhang and Sennrich, NeurIPS 2019.
    """
    each = eps if isinstance(eps, list) else [eps]
    check_scalar("rms_norm", "eps", [e for e in each if e is not None], lambda e: e > 0, "must be a number above 0 or None")
    return _normalize(each, False, elementwise_affine, False)


def _normalize(eps: Any, center: bool, gain: bool, bias: bool) -> Bind:
    def bind(ctx: Context, I: int) -> tuple[Forward, int]:
        xp, total, needs = ctx.xp, ctx.xp.add.reduce, ctx.input_needs_grad
        g, dg = ctx.param("g", (1, I), "constant(1)", decay=False) if gain else (None, None)
        b, db = ctx.param("b", (1, I), "zeros", decay=False) if bias else (None, None)
        tiny = float(np.finfo(ctx.dtype).eps)
        small = ctx.scalar([tiny if e is None else e for e in eps] if isinstance(eps, list) else eps)
        h, t, y, mean, s = ctx.empty(I), ctx.empty(I), ctx.empty(I), ctx.empty(1), ctx.empty(1)
        ctx.output_is_scratch = True

        def average(a: Array, out: Array) -> Array:
            return xp.multiply(total(a, axis=-1, out=out, keepdims=True), 1 / I, out=out)

        def backward(dy: Array) -> Array:
            if db is not None:
                total(dy, axis=-2, out=db, keepdims=True)
            if dg is not None:
                total(xp.multiply(dy, h, out=t), axis=-2, out=dg, keepdims=True)
                xp.multiply(dy, g, out=dy)
            if needs:  # dx = s (dh - mean(dh) - h mean(dh h)), dh = g dy
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
            xp.multiply(h, 1.0 if g is None else g, out=y)
            return (y if b is None else xp.add(y, b, out=y)), backward

        return forward, I

    return bind
