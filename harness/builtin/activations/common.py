"""What the in-place activations share: scratch arrays, and values under a condition."""

from collections.abc import Callable
from typing import Any

import numpy as np

from harness.expressions.trace import Pair
from harness.ops import Array

# For so many shapes scratch is kept; more than a training and an evaluation batch are rare
_SHAPES = 8


# exp may overflow to inf, which is then divided by: the quotient is the right 0
quiet = np.errstate(all="ignore")


def scratch_of(*dtypes: Any) -> Callable[[Any, Array], list[Array]]:
    """Makes scratch(xp, z) -> buffers of the shape of z, made once for each shape.

    dtypes: one for each buffer; None stands for the dtype of z.
    """
    kept: dict[Any, list[Array]] = {}

    def scratch(xp: Any, z: Array) -> list[Array]:
        key = xp, z.shape, z.dtype
        if key not in kept:
            if len(kept) >= _SHAPES:
                kept.clear()
            kept[key] = [xp.empty(z.shape, dtype or z.dtype) for dtype in dtypes]
        return kept[key]

    return scratch


def put(xp: Any, out: Array, mask: Array, values: Any) -> None:
    """out <- values where mask

    NumPy's putmask is much quicker than its copyto; CuPy's would wait for the device.
    """
    if xp is np:
        np.putmask(out, mask, values)
    else:
        xp.copyto(out, values, where=mask)


def between(low: Any, high: Any) -> Pair:
    """f(z) = min(max(z, low), high), f' = 1 between the bounds, else 0"""

    def value(xp, z, out):
        xp.clip(z, low, high, out=out)

    def pullback(xp, z, a, da):
        xp.greater(a, low, out=z)
        xp.less(a, high, out=a)
        xp.multiply(da, z, out=da)
        xp.multiply(da, a, out=da)

    return value, pullback


def pass_nonzero(xp, z, a, da):
    """A pullback: f' = 1 where a is not 0."""
    xp.not_equal(a, 0.0, out=a)
    xp.multiply(da, a, out=da)
