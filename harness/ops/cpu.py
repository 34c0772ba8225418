"""Operations on the processor with NumPy and one BLAS thread.

Every result goes into a buffer that is already there.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from harness.ops import debug

xp = np
empty = np.empty
zeros = np.zeros
matmul = np.matmul


def asarray(a: Any, dtype: Any = None) -> np.ndarray:
    """An array in C order; the same one where it is so already."""
    return np.ascontiguousarray(a, dtype=dtype)


def to_host(a: Any) -> np.ndarray:
    """A NumPy array of the same numbers."""
    return np.asarray(a)


def gather(rows: np.ndarray, index: np.ndarray, out: np.ndarray) -> None:
    """Copies rows: out[..., k, :] <- rows[index[..., k]].

    Parameters
    ----------
    rows
        (N, I).
    index
        Whole numbers in [0, N), (..., B).
    out
        (..., B, I), of the type of `rows`.
    """
    # With the default mode NumPy gathers into a copy first. The method is half as long on its way.
    rows.take(index, 0, out, "clip")


def product(lead: tuple[int, ...]) -> Callable[..., np.ndarray]:
    """Return the quickest matmul(a, b, out=...) for layers of one network () or of many (P,)."""
    return matmul if lead or debug.on else dot


def dot(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Multiplies two matrices (M, K) and (K, N): out <- a @ b, with the bits of `matmul`.

    NumPy takes almost a microsecond less on this way to the same product of BLAS.
    """
    try:
        return a.dot(b, out)
    except ValueError:
        # This way is strict: no other type than that of out, and no axes before the last two.
        return np.matmul(a, b, out=out)


def generator(seeds: np.random.SeedSequence) -> np.random.Generator:
    """A generator of random numbers for these seeds."""
    return np.random.Generator(np.random.SFC64(seeds))


def uniform(generators: list[np.random.Generator], out: np.ndarray) -> None:
    """Fills an array with uniform random numbers in [0, 1).

    Parameters
    ----------
    generators
        One for the whole array, or one for each row along the first axis.
    out
        Any shape, float32 or float64.
    """
    if len(generators) == 1:
        generators[0].random(out=out, dtype=out.dtype)  # type: ignore[call-overload]
        return
    for row, row_generator in zip(out, generators, strict=True):
        row_generator.random(out=row, dtype=out.dtype)  # type: ignore[call-overload]


def quiet() -> Any:
    """A context in which NumPy does not warn of overflow and NaN.

    Losses are checked once an epoch, and a message there names the step.
    """
    return np.errstate(all="ignore")


def synchronize() -> None:
    """Returns at once, because NumPy has finished whatever it was asked for."""
