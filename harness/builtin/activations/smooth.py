"""Smooth relatives of relu: softplus, silu, gelu, mish and others."""

from math import pi, sqrt

import numpy as np

from harness.builtin.activations.common import FAR, VERY_FAR, ArrayAndSlope
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
    inside = np.clip(z, -VERY_FAR, VERY_FAR)
    h = np.sqrt(inside**2 + b)
    rest = b / (2.0 * (h + np.abs(inside)))
    return np.maximum(z, 0.0) + rest, (np.maximum(inside, 0.0) + rest) / h


@activation()
def bent_identity(z: Array) -> ArrayAndSlope:
    """f(z) = z + (h - 1) / 2 with h = sqrt(z^2 + 1), f' = 1 + z / (2 h)

    Computed as z (1 + z / (2 (h + 1))), which does not cancel.
    Reference: Kunc and Kléma, Three decades of activations, 2024 (arXiv:2402.09092).
    """
    inside = np.clip(z, -VERY_FAR, VERY_FAR)
    h = np.sqrt(inside**2 + 1.0)
    return z * (1.0 + inside / (2.0 * h + 2.0)), 1.0 + inside / (2.0 * h)


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
    bounded = np.clip(z, -FAR, 20.0)
    w = np.exp(bounded)
    n = w * (w + 2.0)
    d = n + 2.0
    return np.maximum(z, -FAR) * (n / d), ((w + 2.0) + 4.0 * bounded * (w + 1.0) / d) * w / d


@activation()
def hard_swish(z: Array) -> ArrayAndSlope:
    """f(z) = z min(max(z + 3, 0), 6) / 6, f' = (2 z + 3) / 6 between -3 and 3

    The slope is 0 up to -3, and 1 from 3 on.
    Reference: Howard et al., Searching for MobileNetV3, ICCV 2019.
    """
    inside = np.where(np.abs(z) < 3.0, z / 3.0 + 0.5, 0.0)
    gate = np.clip(z + 3.0, 0.0, 6.0) / 6.0
    return np.maximum(z, -3.0) * gate, np.where(z >= 3.0, 1.0, inside)


@activation()
def telu(z: Array) -> Array:
    """f(z) = z tanh(exp(z)), f' = tanh(exp(z)) + z exp(z) (1 - tanh(exp(z))^2)

    Reference: Fernandez and Mali, TeLU activation function, 2024 (arXiv:2412.20269).
    """
    return z * np.tanh(np.exp(z))


@activation()
def lisht(z: Array) -> ArrayAndSlope:
    """f(z) = z tanh(z), f' = tanh(z) + z (1 - tanh(z)^2)

    Reference: Roy, Manna, Dubey and Chaudhuri, LiSHT, 2019 (arXiv:1901.05894).
    """
    t = np.tanh(z)
    return z * t, t + np.clip(z, -FAR, FAR) * (1.0 - t**2)


@activation()
def logish(z: Array) -> ArrayAndSlope:
    """f(z) = z log(1 + s) with s = 1 / (1 + exp(-z)), f' = log(1 + s) + z s (1 - s) / (1 + s)

    Reference: Zhu, Zhao, Li, Tang and Wang, Logish, Neurocomputing 2021.
    """
    from scipy import special

    s = special.expit(z)
    gate = np.log1p(s)
    slope = gate + np.clip(z, -FAR, FAR) * (s * (1.0 - s) / (1.0 + s))
    return np.maximum(z, -FAR) * gate, slope


@activation()
def smish(z: Array) -> ArrayAndSlope:
    """f(z) = z tanh(log(1 + s)) = z n / d, f' = n / d + 4 z (1 + s) s (1 - s) / d^2

    s = 1 / (1 + exp(-z)), n = s (s + 2) and d = n + 2.
    Reference: Wang, Ren and Wang, Smish, Electronics 2022.
    """
    from scipy import special

    s = special.expit(z)
    n = s * (s + 2.0)
    d = n + 2.0
    slope = n / d + np.clip(z, -FAR, FAR) * (4.0 * (1.0 + s) * s * (1.0 - s) / d**2)
    return np.maximum(z, -FAR) * (n / d), slope


@activation()
def serf(z: Array) -> ArrayAndSlope:
    """f(z) = z erf(p) with p = log(1 + exp(z)), f' = erf(p) + z erf'(p) / (1 + exp(-z))

    erf'(p) = 2 / sqrt(pi) * exp(-p^2).
    Reference: Nag, Bhattacharyya, Mukherjee and Kundu, Serf, WACV 2023.
    """
    from scipy import special

    p = np.logaddexp(0.0, z)
    gate = special.erf(p)
    slope = 2.0 / sqrt(pi) * np.exp(-(p**2)) * special.expit(z)
    return np.maximum(z, -FAR) * gate, gate + np.clip(z, -FAR, FAR) * slope


@activation()
def phish(z: Array) -> ArrayAndSlope:
    """f(z) = z tanh(g) with g = z Phi(z), f' = tanh(g) + z (1 - tanh(g)^2) (Phi(z) + z phi(z))

    g is gelu, Phi the normal distribution and phi its density.
    Reference: Naveen, Phish, TechRxiv 2022.
    """
    from scipy import special

    inside = np.clip(z, -FAR, FAR)
    share = special.ndtr(z)
    t = np.tanh(inside * share)
    slope = share + inside * (sqrt(0.5 / pi) * np.exp(-0.5 * inside**2))
    return np.maximum(z, -FAR) * t, t + inside * (1.0 - t**2) * slope


@activation()
def elish(z: Array) -> ArrayAndSlope:
    """f(z) = s z where z > 0, else s (exp(z) - 1); f' = s + s (1 - s) z or s exp(z) + s (1 - s) e

    s = 1 / (1 + exp(-z)) and e = exp(z) - 1; the slope is 1/2 at 0.
    Reference: Basirat and Roth, The quest for the golden activation function, 2018
    (arXiv:1808.00783).
    """
    from scipy import special

    s = special.expit(z)
    e = np.expm1(z)
    right = 1.0 + (1.0 - s) * np.minimum(z, FAR)
    left = (e + 1.0) + (1.0 - s) * e
    return s * np.where(z > 0.0, z, e), s * np.where(z > 0.0, right, left)


@activation()
def hard_elish(z: Array) -> ArrayAndSlope:
    """f(z) = h z where z > 0, else h (exp(z) - 1); f' = h + h' z or h exp(z) + h' (exp(z) - 1)

    h = min(max(z + 1, 0), 2) / 2, h' = 1/2 between -1 and 1; the slope is 0 at -1, and 1 at 1.
    Reference: Basirat and Roth, The quest for the golden activation function, 2018
    (arXiv:1808.00783).
    """
    h = np.clip(z + 1.0, 0.0, 2.0) * 0.5
    e = np.expm1(z)
    right = np.where(z < 1.0, z + 0.5, 1.0)
    left = np.where(z > -1.0, h * (e + 1.0) + 0.5 * e, 0.0)
    return h * np.where(z > 0.0, z, e), np.where(z > 0.0, right, left)
