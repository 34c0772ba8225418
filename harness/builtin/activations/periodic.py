"""Activations that are neither monotonic nor close to relu: waves, a bell, a parabola."""

import numpy as np

from harness.builtin.activations.common import FAR, ArrayAndSlope
from harness.ops import Array
from harness.registry.decorators import activation
from harness.registry.known import Scalar


@activation()
def sin(z: Array, omega: Scalar = 1.0) -> Array:
    """f(z) = sin(omega z), f' = omega cos(omega z)

    Reference: Sitzmann, Martel, Bergman, Lindell and Wetzstein, NeurIPS 2020 (there omega = 30).
    """
    return np.sin(omega * z)


@activation()
def snake(z: Array, alpha: Scalar = 1.0) -> Array:
    """f(z) = z + sin(alpha z)^2 / alpha, f' = 1 + sin(2 alpha z)

    Reference: Ziyin, Hartwig and Ueda, Neural networks fail to learn periodic functions, NeurIPS
    2020.
    """
    return z + np.sin(alpha * z) ** 2 / alpha


@activation()
def gcu(z: Array) -> Array:
    """f(z) = z cos(z), f' = cos(z) - z sin(z)

    Also known as growing cosine unit.
    Reference: Noel, Arunkumar, Trivedi and Dutta, Growing cosine unit, 2021 (arXiv:2108.12943).
    """
    return z * np.cos(z)


@activation()
def gaussian(z: Array) -> ArrayAndSlope:
    """f(z) = exp(-z^2), f' = -2 z a

    Reference: Broomhead and Lowe, Complex Systems 1988.
    """
    inside = np.clip(z, -FAR, FAR)
    a = np.exp(-(inside**2))
    return a, -2.0 * inside * a


@activation()
def square(z: Array) -> Array:
    """f(z) = z^2, f' = 2 z

    Reference: Livni, Shalev-Shwartz and Shamir, NIPS 2014.
    """
    return z * z
