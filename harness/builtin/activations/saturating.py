"""Activations that level off on both sides: the sigmoids and their hard forms."""

import numpy as np

from harness.builtin.activations.common import VERY_FAR, ArrayAndSlope, between
from harness.ops import Array
from harness.registry.decorators import activation
from harness.registry.known import Scalar


# Saturating ---------------------------------------------------------------------------------------
@activation()
def sigmoid(z: Array) -> Array:
    """f(z) = 1 / (1 + exp(-z)), f' = a (1 - a)

    Reference: Rumelhart, Hinton and Williams, Nature 1986.
    """
    from scipy import special

    return special.expit(z)


@activation()
def tanh(z: Array) -> Array:
    """f(z) = tanh(z), f' = 1 - a^2

    Reference: LeCun, Bottou, Orr and Müller, Efficient BackProp, 1998.
    """
    return np.tanh(z)


@activation()
def lecun_tanh(z: Array) -> ArrayAndSlope:
    """f(z) = 1.7159 tanh(2 z / 3), f' = 2/3 (1.7159 - a^2 / 1.7159)

    f(1) = 1 and f(-1) = -1, so that outputs of variance 1 stay so.
    Reference: LeCun, Bottou, Orr and Müller, Efficient BackProp, 1998.
    """
    a = 1.7159 * np.tanh(z * (2.0 / 3.0))
    return a, 2.0 * 1.7159 / 3.0 - a**2 * (2.0 / (3.0 * 1.7159))


@activation()
def penalized_tanh(z: Array, slope: Scalar = 0.25) -> Array:
    """f(z) = tanh(z) where z > 0, else slope * tanh(z); f' = (1 - tanh(z)^2) * (1 or slope)

    The slope is `slope` at 0.
    Reference: Xu, Huang and Li, Revise saturated activation functions, 2016 (arXiv:1602.05980).
    """
    t = np.tanh(z)
    return np.where(z > 0.0, t, slope * t)


@activation()
def softsign(z: Array) -> ArrayAndSlope:
    """f(z) = z / (1 + |z|), f' = 1 / (1 + |z|)^2

    Reference: Bergstra, Desjardins, Lamblin and Bengio, technical report 1337, Université de
    Montréal, 2009.
    """
    inside = np.clip(z, -VERY_FAR, VERY_FAR)
    size = 1.0 + np.abs(inside)
    return inside / size, 1.0 / size / size


@activation()
def arctan(z: Array) -> Array:
    """f(z) = arctan(z), f' = 1 / (1 + z^2)

    Reference: Kamruzzaman and Aziz, IJCNN 2002.
    """
    return np.arctan(z)


@activation()
def erf(z: Array) -> Array:
    """f(z) = erf(z), f' = 2 / sqrt(pi) * exp(-z^2)

    Reference: Williams, Computing with infinite networks, NIPS 1996.
    """
    from scipy import special

    return special.erf(z)


@activation()
def isru(z: Array, alpha: Scalar = 1.0) -> ArrayAndSlope:
    """f(z) = z / sqrt(1 + alpha z^2), f' = (1 + alpha z^2)^(-3/2)

    Reference: Carlile, Delamarter, Kinney, Marti and Whitney, 2017 (arXiv:1710.09967).
    """
    inside = np.clip(z, -VERY_FAR, VERY_FAR)
    s = 1.0 + alpha * inside**2
    return inside / np.sqrt(s), 1.0 / s / np.sqrt(s)


@activation()
def hard_tanh(z: Array, min_val: Scalar = -1.0, max_val: Scalar = 1.0) -> ArrayAndSlope:
    """f(z) = min(max(z, min_val), max_val), f' = 1 between the bounds, else 0 (0 at the bounds)

    Reference: Collobert, Large Scale Machine Learning, thesis, 2004.
    """
    return between(z, min_val, max_val)


@activation()
def hard_sigmoid(z: Array) -> ArrayAndSlope:
    """f(z) = min(max(z + 3, 0), 6) / 6, f' = 1/6 between -3 and 3, else 0 (0 at -3 and 3)

    Reference: Howard et al., Searching for MobileNetV3, ICCV 2019.
    """
    return np.clip(z + 3.0, 0.0, 6.0) * (1.0 / 6.0), np.where(np.abs(z) < 3.0, 1.0 / 6.0, 0.0)


@activation()
def sparse_sigmoid(z: Array) -> ArrayAndSlope:
    """f(z) = min(max(z + 1, 0), 2) / 2, f' = 1/2 between -1 and 1, else 0 (0 at -1 and 1)

    What sparsemax is for two classes.
    Reference: Martins and Astudillo, From softmax to sparsemax, ICML 2016.
    """
    return np.clip(z + 1.0, 0.0, 2.0) * 0.5, np.where(np.abs(z) < 1.0, 0.5, 0.0)


# Others -------------------------------------------------------------------------------------------
@activation()
def tanhshrink(z: Array) -> ArrayAndSlope:
    """f(z) = z - tanh(z), f' = tanh(z)^2

    Where |z| < 1, z^3 / (3 + z^2 + z^2 / (5 + z^2 / (7 + ...))), by Lambert's continued fraction
    for tanh: no terms cancel, whereas z - tanh(z) has no correct digit at z = 0.0001 in float32.
    Reference: Collobert, Kavukcuoglu and Farabet, Torch7, NIPS workshop 2011; Lambert, 1768.
    """
    square = z**2
    fraction = square / 17.0
    for odd in (15.0, 13.0, 11.0, 9.0, 7.0, 5.0):
        fraction = square / (fraction + odd)
    near = z * square / (fraction + square + 3.0)
    t = np.tanh(z)
    return np.where(square < 1.0, near, z - t), t**2
