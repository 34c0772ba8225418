"""The built-in activations, each as the in-place pair

value(xp, z, out)       out <- f(z), z (..., B, O) is not written unless out is z
pullback(xp, z, a, da)  da <- da * f'(z), in place; z and a are dead afterwards and serve as scratch
"""

from harness.registry import Scalar, activation


@activation(inplace=True)
def identity():
    """f(z) = z"""

    def value(xp, z, out):
        xp.copyto(out, z)

    def pullback(xp, z, a, da):
        pass

    return value, pullback


@activation(inplace=True)
def sigmoid():
    """f(z) = 1 / (1 + exp(-z)) = (1 + tanh(z / 2)) / 2, f' = a (1 - a)

    The form with tanh cannot overflow.
    """

    def value(xp, z, out):
        xp.multiply(z, 0.5, out=out)
        xp.tanh(out, out=out)
        xp.multiply(out, 0.5, out=out)
        xp.add(out, 0.5, out=out)

    def pullback(xp, z, a, da):
        xp.multiply(da, a, out=da)
        xp.subtract(1.0, a, out=a)
        xp.multiply(da, a, out=da)

    return value, pullback


@activation(inplace=True)
def tanh():
    """f(z) = tanh(z), f' = 1 - a^2"""

    def value(xp, z, out):
        xp.tanh(z, out=out)

    def pullback(xp, z, a, da):
        xp.multiply(a, a, out=a)
        xp.subtract(1.0, a, out=a)
        xp.multiply(da, a, out=da)

    return value, pullback


@activation(inplace=True)
def relu():
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
def leaky_relu(slope: Scalar = 0.01):
    """f(z) = z where z > 0, else slope * z; f' = 1 or slope (slope at 0)

    Reference: Maas, Hannun and Ng, ICML workshop 2013.
    """

    def value(xp, z, out):
        # max(z, 0) + slope * min(z, 0) would need a second buffer; this is the same for every slope
        xp.greater(z, 0.0, out=out)
        xp.multiply(out, 1.0 - slope, out=out)
        xp.add(out, slope, out=out)
        xp.multiply(out, z, out=out)

    def pullback(xp, z, a, da):
        xp.greater(z, 0.0, out=a)
        xp.multiply(a, 1.0 - slope, out=a)
        xp.add(a, slope, out=a)
        xp.multiply(da, a, out=da)

    return value, pullback
