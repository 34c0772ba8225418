"""Activations of straight or nearly straight pieces: relu and its relatives."""

import numpy as np

from harness.builtin.activations.common import VERY_FAR, ArrayAndSlope, between
from harness.ops import Array
from harness.registry.decorators import activation
from harness.registry.known import Scalar


# Piecewise linear ---------------------------------------------------------------------------------
@activation()
def identity(z: Array) -> Array:
    """f(z) = z, f' = 1"""
    return z


@activation()
def relu(z: Array) -> Array:
    """f(z) = max(z, 0), f' = 1 where z > 0, else 0 (0 at 0)

    Reference: Nair and Hinton, ICML 2010.
    """
    return np.maximum(z, 0.0)


@activation()
def leaky_relu(z: Array, slope: Scalar = 0.01) -> Array:
    """f(z) = z where z > 0, else slope * z; f' = 1 or slope (slope at 0)

    PyTorch calls slope negative_slope.
    Reference: Maas, Hannun and Ng, ICML workshop 2013.
    """
    return np.where(z > 0.0, z, slope * z)


@activation()
def absolute(z: Array) -> ArrayAndSlope:
    """f(z) = |z|, f' = sign(z) (0 at 0)

    Reference: Jarrett, Kavukcuoglu, Ranzato and LeCun, ICCV 2009.
    """
    return np.abs(z), np.sign(z)


@activation()
def threshold(z: Array, threshold: Scalar = 1.0, value: Scalar = 0.0) -> Array:
    """f(z) = z where z > threshold, else value; f' = 1 or 0 (0 at the threshold)

    PyTorch has no defaults; these are those of the paper.
    Reference: Konda, Memisevic and Krueger, Zero-bias autoencoders, ICLR 2015.
    """
    return np.where(z > threshold, z, value)


@activation()
def relu6(z: Array) -> ArrayAndSlope:
    """f(z) = min(max(z, 0), 6), f' = 1 between 0 and 6, else 0 (0 at 0 and 6)

    Reference: Krizhevsky, Convolutional deep belief networks on CIFAR-10, technical report, 2010.
    """
    return between(z, 0.0, 6.0)


@activation()
def softshrink(z: Array, lambd: Scalar = 0.5) -> ArrayAndSlope:
    """f(z) = z - min(max(z, -lambd), lambd), f' = 1 where |z| > lambd, else 0

    The slope is 0 at lambd and -lambd.
    Reference: Donoho, De-noising by soft-thresholding, IEEE Transactions on Information Theory
    1995.
    """
    return z - np.clip(z, -lambd, lambd), np.where(np.abs(z) > lambd, 1.0, 0.0)


@activation()
def hardshrink(z: Array, lambd: Scalar = 0.5) -> ArrayAndSlope:
    """f(z) = z where |z| > lambd, else 0; f' = 1 or 0 (0 at lambd and -lambd)

    Reference: Donoho and Johnstone, Ideal spatial adaptation by wavelet shrinkage, Biometrika 1994.
    """
    large = np.abs(z) > lambd
    return np.where(large, z, 0.0), np.where(large, 1.0, 0.0)


# Curved on the left ------------------------------------------------------------------------------
@activation()
def elu(z: Array, alpha: Scalar = 1.0) -> Array:
    """f(z) = z where z > 0, else alpha (exp(z) - 1); f' = 1 or alpha exp(z) (alpha at 0)

    Reference: Clevert, Unterthiner and Hochreiter, ICLR 2016.
    """
    return np.where(z > 0.0, z, alpha * np.expm1(z))


@activation()
def selu(z: Array) -> Array:
    """f(z) = scale * elu(z, alpha), f' = scale where z > 0, else scale * alpha * exp(z)

    The slope is scale * alpha at 0.
    scale = 1.0507 and alpha = 1.6733 make mean 0 and variance 1 a fixed point.
    For lecun weights and alpha dropout.
    Reference: Klambauer, Unterthiner, Mayr and Hochreiter, Self-normalizing neural networks, NIPS
    2017.
    """
    scale = 1.0507009873554804934
    alpha = 1.6732632423543772848
    return np.where(z > 0.0, scale * z, (scale * alpha) * np.expm1(z))


@activation()
def celu(z: Array, alpha: Scalar = 1.0) -> Array:
    """f(z) = z where z > 0, else alpha (exp(z / alpha) - 1); f' = 1 or exp(z / alpha) (1 at 0)

    Reference: Barron, Continuously differentiable exponential linear units, 2017
    (arXiv:1704.07483).
    """
    return np.where(z > 0.0, z, alpha * np.expm1(z / alpha))


@activation()
def isrlu(z: Array, alpha: Scalar = 1.0) -> ArrayAndSlope:
    """f(z) = z where z > 0, else z / sqrt(1 + alpha z^2); f' = 1 or (1 + alpha z^2)^(-3/2)

    The slope is 1 at 0. alpha > 0.
    Reference: Carlile, Delamarter, Kinney, Marti and Whitney, 2017 (arXiv:1710.09967).
    """
    left = np.maximum(z, -VERY_FAR)
    s = 1.0 + alpha * left**2
    return np.where(z > 0.0, z, left / np.sqrt(s)), np.where(z > 0.0, 1.0, 1.0 / s / np.sqrt(s))


@activation()
def smelu(z: Array, beta: Scalar = 1.0) -> Array:
    """f(z) = c^2 / (4 beta) + max(z - beta, 0), f' = c / (2 beta)

    c = min(max(z + beta, 0), 2 beta).
    0 up to -beta, then a parabola, z from beta on. JAX calls it sparse_plus where beta is 1.
    beta > 0.
    Reference: Shamir, Lin and Coviello, Smooth activations and reproducibility, 2020
    (arXiv:2010.09931).
    """
    return np.clip(z + beta, 0.0, 2.0 * beta) ** 2 / (4.0 * beta) + np.maximum(z - beta, 0.0)


@activation()
def squared_relu(z: Array) -> ArrayAndSlope:
    """f(z) = max(z, 0)^2, f' = 2 max(z, 0)

    Reference: So, Manke, Liu, Dai, Shazeer and Le, Primer, NeurIPS 2021.
    """
    positive = np.maximum(z, 0.0)
    return positive**2, 2.0 * positive
