"""What the activations share."""

from typing import Any

import numpy as np

from harness.ops import Array

# An activation may return its slope beside its value, where the derived one is not what it shall
# be: at a kink, or where another form costs less.
ArrayAndSlope = tuple[Array, Array]

# So far out exponentials and what falls off like them are 0, in float64 too. A factor z is kept
# within this bound where such a number follows, since infinity times 0 is nan.
FAR = 750.0
# So far out 1 + z^2 is z^2, in float64 too, and z^2 does not overflow in float32.
VERY_FAR = 1e15


def between(z: Array, low: Any, high: Any) -> ArrayAndSlope:
    """min(max(z, low), high), whose slope is 1 between the bounds, else 0 (0 at the bounds)"""
    return np.clip(z, low, high), np.where((z > low) & (z < high), 1.0, 0.0)
