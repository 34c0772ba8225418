"""Operations on the processor: NumPy, one BLAS thread, every result into a buffer that is already
there.
"""

from typing import Any

import numpy as np

xp = np
empty = np.empty
zeros = np.zeros
matmul = np.matmul


def asarray(a: Any, dtype: Any = None) -> np.ndarray:
    return np.ascontiguousarray(a, dtype=dtype)


def to_host(a: Any) -> np.ndarray:
    return np.asarray(a)


def gather(rows: np.ndarray, index: np.ndarray, out: np.ndarray) -> None:
    """out[..., k, :] <- rows[index[..., k]]; index (..., B), out (..., B, I)."""
    # mode="clip": with the default mode NumPy gathers into a copy first
    np.take(rows, index, axis=0, out=out, mode="clip")


def generator(seeds: np.random.SeedSequence) -> np.random.Generator:
    return np.random.Generator(np.random.SFC64(seeds))


def uniform(generators: list[np.random.Generator], out: np.ndarray) -> None:
    """out <- U[0, 1), row p from generator p; a single generator fills the whole array."""
    if len(generators) == 1:
        generators[0].random(out=out, dtype=out.dtype)  # type: ignore[call-overload]
        return
    for member, rng in zip(out, generators, strict=True):
        rng.random(out=member, dtype=out.dtype)  # type: ignore[call-overload]


def quiet() -> Any:
    """Overflow and NaN are looked at once an epoch, where they are told with their step; NumPy need
    not warn as well.
    """
    return np.errstate(all="ignore")


def synchronize() -> None:
    """Nothing to wait for."""
