"""How the checks measure: random inputs, differing arrays, allocations, difference quotients."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

from harness.ops import debug

# The sizes of what is checked: members of a population, rows of a batch, features in and out.
P = 3
B = 4
I = 7
UNITS = 5

SEEDS = [11, 12, 13]  # of the members

STEP = 1e-6  # of a difference quotient in float64

GRADIENT = 1e-6  # the relative error that a gradient may have against a difference quotient

# What a call may allocate, in bytes: Python objects and NumPy's own buffers of 8192 elements, one
# for each of three arrays of float32, but no array of these checks' sizes.
ALLOWANCE = 3 * 8192 * 4 + 20_000


def different(a: Any, b: Any) -> float:
    """How many elements differ (NaN equals NaN); infinite where the shape or the type does."""
    a = np.asarray(a)
    b = np.asarray(b)
    if a.shape != b.shape or a.dtype != b.dtype:
        return np.inf
    both_nan = (a != a) & (b != b)
    return float(np.sum(~((a == b) | both_nan)))


def not_finite(*arrays: Any) -> float:
    """How many elements are not finite."""
    return float(sum(np.sum(~np.isfinite(a)) for a in arrays))


def random_numbers(
    shape: tuple[int, ...], seed: int = 1, extreme: bool = False, dtype: Any = np.float64
) -> np.ndarray:
    """Normal numbers; where extreme, 0, tiny and large ones of both signs are among them."""
    rng = np.random.default_rng([seed, *shape])
    x = rng.standard_normal(shape)
    if extreme:
        x = x * rng.choice([0.0, 1e-8, 1.0, 30.0, 1e3], shape)
    return x.astype(dtype)


def allocated(call: Callable[[], Any]) -> float:
    """The most bytes held during a call beyond those held before it.

    Two calls before the one that is measured may allocate what they like.
    """
    ours = not tracemalloc.is_tracing()
    with debug.paused():  # its checks make copies
        call()
        call()
        if ours:
            tracemalloc.start()
        try:
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            call()
            return tracemalloc.get_traced_memory()[1] - before
        finally:
            if ours:
                tracemalloc.stop()


def quotient_error(
    f: Callable[[], np.ndarray], array: np.ndarray, gradient: np.ndarray, direction: np.ndarray
) -> float:
    """The relative error of a gradient along a direction against a central difference.

    Parameters
    ----------
    f
        Reads `array`; the gradient is that of sum(f()).
    array
        What is moved along the direction, in place, and moved back.
    gradient, direction
        Of the shape of `array`.

    Returns
    -------
    float
        Infinite if it is not finite. What rounding may add to the difference is allowed for.
    """
    saved = array.copy()
    sums = []
    rounding = 0.0
    for sign in (1.0, -1.0):
        array[...] = saved + sign * STEP * direction
        values = f()
        sums.append(np.sum(values))
        rounding += 20 * np.finfo(np.float64).eps * np.sum(np.abs(values)) / STEP
    array[...] = saved
    numeric = (sums[0] - sums[1]) / (2 * STEP)
    terms = gradient * direction
    size = max(np.sum(np.abs(terms)), abs(numeric), 1e-12) + rounding / GRADIENT
    error = abs(np.sum(terms) - numeric) / size
    return error if np.isfinite(error) else np.inf
