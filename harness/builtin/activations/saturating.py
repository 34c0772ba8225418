"""Activations that level off on both sides: the sigmoids and their hard forms."""

import numpy as np

from harness.builtin.activations.common import between, put, quiet, scratch_of
from harness.expressions.trace import Pair
from harness.ops import Array
from harness.registry.decorators import activation
from harness.registry.known import Scalar


# Saturating ---------------------------------------------------------------------------------------
@activation(inplace=True)
def sigmoid() -> Pair:
    """f(z) = 1 / (1 + exp(-z)), f' = a (1 - a)

    Reference: Rumelhart, Hinton and Williams, Nature 1986.
    """

    @quiet
    def value(xp, z, out):
        xp.negative(z, out=out)
        xp.exp(out, out=out)
        xp.add(out, 1.0, out=out)
        xp.divide(1.0, out, out=out)

    def pullback(xp, z, a, da):
        xp.multiply(da, a, out=da)
        xp.subtract(1.0, a, out=a)
        xp.multiply(da, a, out=da)

    return value, pullback


@activation(inplace=True)
def tanh() -> Pair:
    """f(z) = tanh(z), f' = 1 - a^2

    Reference: LeCun, Bottou, Orr and Müller, Efficient BackProp, 1998.
    """

    def value(xp, z, out):
        xp.tanh(z, out=out)

    def pullback(xp, z, a, da):
        xp.multiply(a, a, out=a)
        xp.subtract(1.0, a, out=a)
        xp.multiply(da, a, out=da)

    return value, pullback


@activation(inplace=True)
def lecun_tanh() -> Pair:
    """f(z) = 1.7159 tanh(2 z / 3), f' = 2/3 (1.7159 - a^2 / 1.7159)

    f(1) = 1 and f(-1) = -1, so that outputs of variance 1 stay so.
    Reference: LeCun, Bottou, Orr and Müller, Efficient BackProp, 1998.
    """

    def value(xp, z, out):
        xp.multiply(z, 2.0 / 3.0, out=out)
        xp.tanh(out, out=out)
        xp.multiply(out, 1.7159, out=out)

    def pullback(xp, z, a, da):
        xp.multiply(a, a, out=a)
        xp.multiply(a, -2.0 / (3.0 * 1.7159), out=a)
        xp.add(a, 2.0 * 1.7159 / 3.0, out=a)
        xp.multiply(da, a, out=da)

    return value, pullback


@activation()
def penalized_tanh(z: Array, slope: Scalar = 0.25) -> Array:
    """f(z) = tanh(z) where z > 0, else slope * tanh(z); f' = (1 - tanh(z)^2) * (1 or slope)

    The slope is `slope` at 0.
    Reference: Xu, Huang and Li, Revise saturated activation functions, 2016 (arXiv:1602.05980).
    """
    t = np.tanh(z)
    return np.where(z > 0.0, t, slope * t)


@activation(inplace=True)
def softsign() -> Pair:
    """f(z) = z / (1 + |z|), f' = 1 / (1 + |z|)^2

    Reference: Bergstra, Desjardins, Lamblin and Bengio, technical report 1337, Université de
    Montréal, 2009.
    """
    scratch = scratch_of(None)

    def value(xp, z, out):
        (s,) = scratch(xp, z)
        xp.abs(z, out=s)
        xp.add(s, 1.0, out=s)
        xp.divide(z, s, out=out)

    def pullback(xp, z, a, da):
        xp.abs(z, out=z)
        xp.add(z, 1.0, out=z)
        xp.divide(da, z, out=da)
        xp.divide(da, z, out=da)

    return value, pullback


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


@activation(inplace=True)
def isru(alpha: Scalar = 1.0) -> Pair:
    """f(z) = z / sqrt(1 + alpha z^2), f' = (1 + alpha z^2)^(-3/2)

    Reference: Carlile, Delamarter, Kinney, Marti and Whitney, 2017 (arXiv:1710.09967).
    """
    scratch = scratch_of(None)

    def value(xp, z, out):
        (s,) = scratch(xp, z)
        xp.multiply(z, z, out=s)
        xp.multiply(s, alpha, out=s)
        xp.add(s, 1.0, out=s)
        xp.sqrt(s, out=s)
        xp.divide(z, s, out=out)

    def pullback(xp, z, a, da):
        xp.multiply(z, z, out=z)
        xp.multiply(z, alpha, out=z)
        xp.add(z, 1.0, out=z)
        xp.sqrt(z, out=a)
        xp.divide(da, z, out=da)
        xp.divide(da, a, out=da)

    return value, pullback


@activation(inplace=True)
def hard_tanh(min_val: Scalar = -1.0, max_val: Scalar = 1.0) -> Pair:
    """f(z) = min(max(z, min_val), max_val), f' = 1 between the bounds, else 0 (0 at the bounds)

    Reference: Collobert, Large Scale Machine Learning, thesis, 2004.
    """
    return between(min_val, max_val)


@activation(inplace=True)
def hard_sigmoid() -> Pair:
    """f(z) = min(max(z + 3, 0), 6) / 6, f' = 1/6 between -3 and 3, else 0 (0 at -3 and 3)

    Reference: Howard et al., Searching for MobileNetV3, ICCV 2019.
    """

    def value(xp, z, out):
        xp.add(z, 3.0, out=out)
        xp.clip(out, 0.0, 6.0, out=out)
        xp.multiply(out, 1.0 / 6.0, out=out)

    def pullback(xp, z, a, da):
        xp.abs(z, out=z)
        xp.less(z, 3.0, out=a)
        xp.multiply(a, 1.0 / 6.0, out=a)
        xp.multiply(da, a, out=da)

    return value, pullback


# Others -------------------------------------------------------------------------------------------
@activation(inplace=True)
def tanhshrink() -> Pair:
    """f(z) = z - tanh(z), f' = tanh(z)^2

    Where |z| < 1, z^3 / (3 + z^2 + z^2 / (5 + z^2 / (7 + ...))), by Lambert's continued fraction
    for tanh: no terms cancel, whereas z - tanh(z) has no correct digit at z = 0.0001 in float32.
    Reference: Collobert, Kavukcuoglu and Farabet, Torch7, NIPS workshop 2011; Lambert, 1768.
    """
    scratch = scratch_of(None, None, bool)

    def value(xp, z, out):
        s, t, near = scratch(xp, z)
        xp.multiply(z, z, out=s)
        xp.less(s, 1.0, out=near)
        xp.divide(s, 17.0, out=t)
        for odd in (15.0, 13.0, 11.0, 9.0, 7.0, 5.0):
            xp.add(t, odd, out=t)
            xp.divide(s, t, out=t)
        xp.add(t, s, out=t)
        xp.add(t, 3.0, out=t)
        xp.multiply(s, z, out=s)
        xp.divide(s, t, out=s)
        xp.tanh(z, out=t)
        xp.subtract(z, t, out=out)
        put(xp, out, near, s)

    def pullback(xp, z, a, da):
        xp.tanh(z, out=z)
        xp.multiply(z, z, out=z)
        xp.multiply(da, z, out=da)

    return value, pullback
