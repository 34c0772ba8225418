"""Activations of straight or nearly straight pieces: relu and its relatives."""

import numpy as np

from harness.builtin.activations.common import between, pass_nonzero, scratch_of
from harness.expressions.trace import Pair
from harness.ops import Array
from harness.registry.decorators import activation
from harness.registry.known import Scalar


# Piecewise linear ---------------------------------------------------------------------------------
@activation(inplace=True)
def identity() -> Pair:
    """f(z) = z, f' = 1"""

    def value(xp, z, out):
        xp.copyto(out, z)

    def pullback(xp, z, a, da):
        pass

    return value, pullback


@activation(inplace=True)
def relu() -> Pair:
    """f(z) = max(z, 0), f' = 1 where z > 0, else 0 (0 at 0)

    Reference: Nair and Hinton, ICML 2010.
    """

    def value(xp, z, out):
        xp.maximum(z, 0.0, out=out)

    def pullback(xp, z, a, da):
        xp.greater(a, 0.0, out=a)
        xp.multiply(da, a, out=da)

    return value, pullback


@activation(inplace=True)
def leaky_relu(slope: Scalar = 0.01) -> Pair:
    """f(z) = z where z > 0, else slope * z; f' = 1 or slope (slope at 0)

    PyTorch calls slope negative_slope.
    Reference: Maas, Hannun and Ng, ICML workshop 2013.
    """
    scratch = scratch_of(None, None)

    # Positive <- 1 or slope. Two masks: slope + (1 - slope) need not be 1
    def sides(xp, z, positive, other):
        xp.greater(z, 0.0, out=positive)
        xp.subtract(1.0, positive, out=other)
        xp.multiply(other, slope, out=other)
        xp.add(positive, other, out=positive)

    def value(xp, z, out):
        s, t = scratch(xp, z)
        sides(xp, z, s, t)
        xp.multiply(z, s, out=out)

    def pullback(xp, z, a, da):
        sides(xp, z, a, scratch(xp, z)[0])
        xp.multiply(da, a, out=da)

    return value, pullback


@activation(inplace=True)
def absolute() -> Pair:
    """f(z) = |z|, f' = sign(z) (0 at 0)

    Reference: Jarrett, Kavukcuoglu, Ranzato and LeCun, ICCV 2009.
    """

    def value(xp, z, out):
        xp.abs(z, out=out)

    def pullback(xp, z, a, da):
        xp.greater(z, 0.0, out=a)
        xp.less(z, 0.0, out=z)
        xp.subtract(a, z, out=a)  # xp.sign takes twice as long
        xp.multiply(da, a, out=da)

    return value, pullback


@activation()
def threshold(z: Array, threshold: Scalar = 1.0, value: Scalar = 0.0) -> Array:
    """f(z) = z where z > threshold, else value; f' = 1 or 0 (0 at the threshold)

    PyTorch has no defaults; these are those of the paper.
    Reference: Konda, Memisevic and Krueger, Zero-bias autoencoders, ICLR 2015.
    """
    return np.where(z > threshold, z, value)


@activation(inplace=True)
def relu6() -> Pair:
    """f(z) = min(max(z, 0), 6), f' = 1 between 0 and 6, else 0 (0 at 0 and 6)

    Reference: Krizhevsky, Convolutional deep belief networks on CIFAR-10, technical report, 2010.
    """
    return between(0.0, 6.0)


@activation(inplace=True)
def softshrink(lambd: Scalar = 0.5) -> Pair:
    """f(z) = z - min(max(z, -lambd), lambd), f' = 1 where |z| > lambd, else 0

    The slope is 0 at lambd and -lambd.
    Reference: Donoho, De-noising by soft-thresholding, IEEE Transactions on Information Theory
    1995.
    """
    scratch = scratch_of(None)
    low = -lambd

    def value(xp, z, out):
        (s,) = scratch(xp, z)
        xp.clip(z, low, lambd, out=s)
        xp.subtract(z, s, out=out)

    return value, pass_nonzero


@activation(inplace=True)
def hardshrink(lambd: Scalar = 0.5) -> Pair:
    """f(z) = z where |z| > lambd, else 0; f' = 1 or 0 (0 at lambd and -lambd)

    Reference: Donoho and Johnstone, Ideal spatial adaptation by wavelet shrinkage, Biometrika 1994.
    """
    scratch = scratch_of(None)

    def value(xp, z, out):
        (s,) = scratch(xp, z)
        xp.abs(z, out=s)
        xp.greater(s, lambd, out=s)
        xp.multiply(z, s, out=out)

    return value, pass_nonzero


# Exponential on the left --------------------------------------------------------------------------
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
def smelu(z: Array, beta: Scalar = 1.0) -> Array:
    """f(z) = c^2 / (4 beta) + max(z - beta, 0), f' = c / (2 beta)

    c = min(max(z + beta, 0), 2 beta).
    0 up to -beta, then a parabola, z from beta on.
    beta > 0.
    Reference: Shamir, Lin and Coviello, Smooth activations and reproducibility, 2020
    (arXiv:2010.09931).
    """
    return np.clip(z + beta, 0.0, 2.0 * beta) ** 2 / (4.0 * beta) + np.maximum(z - beta, 0.0)


@activation(inplace=True)
def squared_relu() -> Pair:
    """f(z) = max(z, 0)^2, f' = 2 max(z, 0)

    Reference: So, Manke, Liu, Dai, Shazeer and Le, Primer, NeurIPS 2021.
    """

    def value(xp, z, out):
        xp.maximum(z, 0.0, out=out)
        xp.multiply(out, out, out=out)

    def pullback(xp, z, a, da):
        xp.maximum(z, 0.0, out=z)
        xp.multiply(z, 2.0, out=z)
        xp.multiply(da, z, out=da)

    return value, pullback
