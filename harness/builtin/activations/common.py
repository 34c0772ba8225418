"""What the activations share."""

from typing import Any

import numpy as np

from harness.ops import Array

# An activation may return its slope beside its value, where the derived one is not what it shall
# be: at a kink, or where another form costs less.
ArrayAndSlope = tuple[Array, Array]


def between(z: Array, low: Any, high: Any) -> ArrayAndSlope:
    """min(max(z, low), high), whose slope is 1 between the bounds, else 0 (0 at the bounds)"""
    return np.clip(z, low, high), np.where((z > low) & (z < high), 1.0, 0.0)
