"""Smooth relatives of relu: softplus, silu, gelu, mish and others."""

from importlib import import_module
from math import pi, sqrt

import numpy as np

from harness.builtin.activations.common import put, quiet, scratch_of
from harness.errors import UsageError
from harness.expressions.trace import Pair
from harness.ops import Array
from harness.registry.decorators import activation
from harness.registry.known import Scalar


# Smooth relatives of relu -------------------------------------------------------------------------
@activation(inplace=True)
def softplus(beta: Scalar = 1.0) -> Pair:
    """f(z) = log(1 + exp(beta z)) / beta, f' = 1 / (1 + exp(-beta z))

    Computed as max(z, 0) + log1p(exp(-|beta z|)) / beta, for all z; PyTorch returns z where beta z
    > 20.
    beta > 0.
    Reference: Dugas, Bengio, Bélisle, Nadeau and Garcia, NIPS 2000.
    """
    scratch = scratch_of(None)
    negative = -beta

    def value(xp, z, out):
        (s,) = scratch(xp, z)
        xp.abs(z, out=s)
        xp.multiply(s, negative, out=s)
        xp.exp(s, out=s)
        xp.log1p(s, out=s)
        xp.divide(s, beta, out=s)
        xp.maximum(z, 0.0, out=out)
        xp.add(out, s, out=out)

    @quiet
    def pullback(xp, z, a, da):
        xp.multiply(z, negative, out=z)
        xp.exp(z, out=z)
        xp.add(z, 1.0, out=z)
        xp.divide(da, z, out=da)

    return value, pullback


@activation(inplace=True)
def log_sigmoid() -> Pair:
    """f(z) = -log(1 + exp(-z)), f' = 1 / (1 + exp(z))

    The log likelihood of logistic regression (Cox, Journal of the Royal Statistical Society B
    1958).
    """
    scratch = scratch_of(None)

    def value(xp, z, out):
        (s,) = scratch(xp, z)
        xp.abs(z, out=s)
        xp.negative(s, out=s)
        xp.exp(s, out=s)
        xp.log1p(s, out=s)
        xp.minimum(z, 0.0, out=out)
        xp.subtract(out, s, out=out)

    @quiet
    def pullback(xp, z, a, da):
        xp.exp(z, out=z)
        xp.add(z, 1.0, out=z)
        xp.divide(da, z, out=da)

    return value, pullback


@activation(inplace=True)
def squareplus(b: Scalar = 4.0) -> Pair:
    """f(z) = (z + h) / 2 with h = sqrt(z^2 + b), f' = a / h

    Computed as max(z, 0) + b / (2 (h + |z|)), which does not cancel.
    b > 0.
    Reference: Barron, Squareplus, 2021 (arXiv:2112.11687).
    """
    scratch = scratch_of(None, None)
    half = 0.5 * b

    def value(xp, z, out):
        s, t = scratch(xp, z)
        xp.multiply(z, z, out=s)
        xp.add(s, b, out=s)
        xp.sqrt(s, out=s)
        xp.abs(z, out=t)
        xp.add(s, t, out=s)
        xp.divide(half, s, out=s)
        xp.maximum(z, 0.0, out=out)
        xp.add(out, s, out=out)

    def pullback(xp, z, a, da):
        xp.multiply(z, z, out=z)
        xp.add(z, b, out=z)
        xp.sqrt(z, out=z)
        xp.multiply(da, a, out=da)
        xp.divide(da, z, out=da)

    return value, pullback


# z times a gate -----------------------------------------------------------------------------------
@activation(inplace=True)
def silu(beta: Scalar = 1.0) -> Pair:
    """f(z) = z s with s = 1 / (1 + exp(-beta z)), f' = s + beta a (1 - s)

    Also known as swish; PyTorch has beta = 1 only.
    beta = 1.702 is the quick form of gelu.
    Reference: Elfwing, Uchibe and Doya, Neural Networks 2018; beta: Ramachandran, Zoph and Le, ICLR
    workshop 2018.
    """
    scratch = scratch_of(None)
    negative = -beta

    def denominator(xp, z, out):
        xp.multiply(z, negative, out=out)
        xp.exp(out, out=out)
        xp.add(out, 1.0, out=out)

    @quiet
    def value(xp, z, out):
        (s,) = scratch(xp, z)
        denominator(xp, z, s)
        xp.divide(z, s, out=out)

    @quiet
    def pullback(xp, z, a, da):
        (t,) = scratch(xp, z)
        denominator(xp, z, z)
        xp.divide(1.0, z, out=z)
        xp.subtract(1.0, z, out=t)
        xp.multiply(a, beta, out=a)
        xp.multiply(a, t, out=a)
        xp.add(a, z, out=a)
        xp.multiply(da, a, out=da)

    return value, pullback


@activation(inplace=True)
def gelu(approximate: str = "none") -> Pair:
    """f(z) = z Phi(z), f' = Phi(z) + z phi(z), the normal distribution and its density

    approximate="tanh": z s with s = (1 + tanh(u)) / 2 = 1 / (1 + exp(-2 u)) and u = sqrt(2 / pi) (z
    + 0.044715 z^3).
    Reference: Hendrycks and Gimpel, 2016 (arXiv:1606.08415).
    """
    if approximate not in ("none", "tanh"):
        raise UsageError(
            f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}; choose one of them"
        )
    if approximate == "none":
        return _gelu()
    return _gelu_tanh()


def _gelu() -> Pair:
    scratch = scratch_of(None, bool)

    def value(xp, z, out):
        (s, _) = scratch(xp, z)
        special = import_module("cupyx.scipy.special" if xp.__name__ == "cupy" else "scipy.special")
        special.ndtr(z, out=s)
        xp.multiply(z, s, out=out)

    @quiet
    def pullback(xp, z, a, da):
        # Phi = a / z takes a third of the time of ndtr. Where z is nearly 0 it is 1/2.
        s, tiny = scratch(xp, z)
        xp.multiply(z, z, out=s)
        xp.multiply(s, -0.5, out=s)
        xp.exp(s, out=s)
        xp.multiply(s, 1.0 / sqrt(2.0 * pi), out=s)
        xp.multiply(s, z, out=s)
        xp.divide(a, z, out=a)
        xp.abs(z, out=z)
        xp.less(z, 1e-20, out=tiny)
        put(xp, a, tiny, 0.5)
        xp.add(a, s, out=a)
        xp.multiply(da, a, out=da)

    return value, pullback


def _gelu_tanh() -> Pair:
    scratch = scratch_of(None)
    c = sqrt(2.0 / pi)
    k = 0.044715

    def denominator(xp, z, out):  # 1 + exp(-2 u)
        xp.multiply(z, z, out=out)
        xp.multiply(out, -2.0 * c * k, out=out)
        xp.subtract(out, 2.0 * c, out=out)
        xp.multiply(out, z, out=out)
        xp.exp(out, out=out)
        xp.add(out, 1.0, out=out)

    @quiet
    def value(xp, z, out):
        (s,) = scratch(xp, z)
        denominator(xp, z, s)
        xp.divide(z, s, out=out)

    @quiet
    def pullback(xp, z, a, da):  # f' = s + a (1 - s) 2 u'
        (s,) = scratch(xp, z)
        denominator(xp, z, s)
        xp.divide(1.0, s, out=s)
        xp.multiply(z, z, out=z)
        xp.multiply(z, 6.0 * c * k, out=z)
        xp.add(z, 2.0 * c, out=z)
        xp.multiply(a, z, out=a)
        xp.subtract(1.0, s, out=z)
        xp.multiply(a, z, out=a)
        xp.add(a, s, out=a)
        xp.multiply(da, a, out=da)

    return value, pullback


@activation(inplace=True)
def mish() -> Pair:
    """f(z) = z tanh(log(1 + exp(z))), f' = w ((w + 2) + 4 z (w + 1) / d) / d

    w = exp(z) and d = w (w + 2) + 2.
    w is taken at min(z, 20): beyond, f = z and f' = 1 to the last bit.
    Reference: Misra, Mish: a self regularized non-monotonic activation function, BMVC 2020.
    """
    scratch = scratch_of(None, None)

    def value(xp, z, out):
        s, t = scratch(xp, z)
        xp.minimum(z, 20.0, out=t)
        xp.exp(t, out=t)
        xp.add(t, 2.0, out=s)
        xp.multiply(t, s, out=s)
        xp.add(s, 2.0, out=t)
        xp.divide(s, t, out=s)  # n / (n + 2) with n = w (w + 2)
        xp.multiply(z, s, out=out)

    def pullback(xp, z, a, da):
        s, d = scratch(xp, z)
        xp.minimum(z, 20.0, out=z)
        xp.exp(z, out=a)
        xp.add(a, 1.0, out=s)
        xp.multiply(z, 4.0, out=z)
        xp.multiply(z, s, out=z)
        xp.add(a, 2.0, out=s)
        xp.multiply(a, s, out=d)
        xp.add(d, 2.0, out=d)
        xp.divide(z, d, out=z)
        xp.add(z, s, out=z)
        xp.multiply(z, a, out=z)
        xp.divide(z, d, out=z)
        xp.multiply(da, z, out=da)

    return value, pullback


@activation(inplace=True)
def hard_swish() -> Pair:
    """f(z) = z min(max(z + 3, 0), 6) / 6, f' = (2 z + 3) / 6 between -3 and 3

    The slope is 0 up to -3, and 1 from 3 on.
    Reference: Howard et al., Searching for MobileNetV3, ICCV 2019.
    """
    scratch = scratch_of(None)

    def value(xp, z, out):
        (s,) = scratch(xp, z)
        xp.add(z, 3.0, out=s)
        xp.clip(s, 0.0, 6.0, out=s)
        xp.divide(s, 6.0, out=s)
        xp.multiply(z, s, out=out)

    def pullback(xp, z, a, da):
        (s,) = scratch(xp, z)
        xp.greater_equal(z, 3.0, out=s)
        xp.abs(z, out=a)
        xp.less(a, 3.0, out=a)
        xp.divide(z, 3.0, out=z)
        xp.add(z, 0.5, out=z)
        xp.multiply(z, a, out=z)
        xp.add(z, s, out=z)
        xp.multiply(da, z, out=da)

    return value, pullback


@activation()
def telu(z: Array) -> Array:
    """f(z) = z tanh(exp(z)), f' = tanh(exp(z)) + z exp(z) (1 - tanh(exp(z))^2)

    Reference: Fernandez and Mali, TeLU activation function, 2024 (arXiv:2412.20269).
    """
    return z * np.tanh(np.exp(z))
