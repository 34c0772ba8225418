"""Smooth relatives of relu: softplus, silu, gelu, mish and others."""

from math import pi, sqrt

import numpy as np

from harness.builtin.activations.common import ArrayAndSlope
from harness.errors import UsageError
from harness.ops import Array
from harness.registry.decorators import activation
from harness.registry.known import Scalar


# Smooth relatives of relu -------------------------------------------------------------------------
@activation()
def softplus(z: Array, beta: Scalar = 1.0) -> ArrayAndSlope:
    """f(z) = log(1 + exp(beta z)) / beta, f' = 1 / (1 + exp(-beta z))

    Computed as max(z, 0) + log1p(exp(-|beta z|)) / beta, for all z; PyTorch returns z where beta z
    > 20.
    beta > 0.
    Reference: Dugas, Bengio, Bélisle, Nadeau and Garcia, NIPS 2000.
    """
    from scipy import special

    return np.logaddexp(0.0, beta * z) / beta, special.expit(beta * z)


@activation()
def log_sigmoid(z: Array) -> Array:
    """f(z) = -log(1 + exp(-z)), f' = 1 / (1 + exp(z))

    The log likelihood of logistic regression (Cox, Journal of the Royal Statistical Society B
    1958).
    """
    from scipy import special

    return special.log_expit(z)


@activation()
def squareplus(z: Array, b: Scalar = 4.0) -> ArrayAndSlope:
    """f(z) = (z + h) / 2 with h = sqrt(z^2 + b), f' = a / h

    Computed as max(z, 0) + b / (2 (h + |z|)), which does not cancel.
    b > 0.
    Reference: Barron, Squareplus, 2021 (arXiv:2112.11687).
    """
    h = np.sqrt(z**2 + b)
    a = np.maximum(z, 0.0) + b / (2.0 * (h + np.abs(z)))
    return a, a / h


# z times a gate -----------------------------------------------------------------------------------
@activation()
def silu(z: Array, beta: Scalar = 1.0) -> Array:
    """f(z) = z s with s = 1 / (1 + exp(-beta z)), f' = s + beta a (1 - s)

    Also known as swish; PyTorch has beta = 1 only.
    beta = 1.702 is the quick form of gelu.
    Reference: Elfwing, Uchibe and Doya, Neural Networks 2018; beta: Ramachandran, Zoph and Le, ICLR
    workshop 2018.
    """
    from scipy import special

    return z * special.expit(beta * z)


@activation()
def gelu(z: Array, approximate: str = "none") -> Array:
    """f(z) = z Phi(z), f' = Phi(z) + z phi(z), the normal distribution and its density

    approximate="tanh": z s with s = (1 + tanh(u)) / 2 = 1 / (1 + exp(-2 u)) and u = sqrt(2 / pi) (z
    + 0.044715 z^3).
    Reference: Hendrycks and Gimpel, 2016 (arXiv:1606.08415).
    """
    from scipy import special

    if approximate not in ("none", "tanh"):
        raise UsageError(
            f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}; choose one of them"
        )
    if approximate == "none":
        return z * special.ndtr(z)
    return z * special.expit(sqrt(8.0 / pi) * (z + 0.044715 * z**3))


@activation()
def mish(z: Array) -> ArrayAndSlope:
    """f(z) = z tanh(log(1 + exp(z))), f' = w ((w + 2) + 4 z (w + 1) / d) / d

    w = exp(z) and d = w (w + 2) + 2.
    w is taken at min(z, 20): beyond, f = z and f' = 1 to the last bit.
    Reference: Misra, Mish: a self regularized non-monotonic activation function, BMVC 2020.
    """
    bounded = np.minimum(z, 20.0)
    w = np.exp(bounded)
    n = w * (w + 2.0)
    d = n + 2.0
    return z * (n / d), ((w + 2.0) + 4.0 * bounded * (w + 1.0) / d) * w / d


@activation()
def hard_swish(z: Array) -> ArrayAndSlope:
    """f(z) = z min(max(z + 3, 0), 6) / 6, f' = (2 z + 3) / 6 between -3 and 3

    The slope is 0 up to -3, and 1 from 3 on.
    Reference: Howard et al., Searching for MobileNetV3, ICCV 2019.
    """
    inside = np.where(np.abs(z) < 3.0, z / 3.0 + 0.5, 0.0)
    return z * np.clip(z + 3.0, 0.0, 6.0) / 6.0, np.where(z >= 3.0, 1.0, inside)


@activation()
def telu(z: Array) -> Array:
    """f(z) = z tanh(exp(z)), f' = tanh(exp(z)) + z exp(z) (1 - tanh(exp(z))^2)

    Reference: Fernandez and Mali, TeLU activation function, 2024 (arXiv:2412.20269).
    """
    return z * np.tanh(np.exp(z))
