"""Operations on an NVIDIA GPU through CuPy, under the names of cpu.py.

This is the only module that imports cupy. Importing it raises UsageError where there is no CuPy or
no GPU.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np

from harness.errors import UsageError

try:
    import cupy as xp
except ImportError:
    raise UsageError(
        "device 'gpu' needs CuPy, which is not installed; pip install 'mlp-harness[cupy12]' or "
        "'mlp-harness[cupy13]', whichever CUDA you have"
    ) from None
try:
    if xp.cuda.runtime.getDeviceCount() < 1:
        raise UsageError("device 'gpu' needs an NVIDIA GPU and there is none; use device 'cpu'")
except xp.cuda.runtime.CUDARuntimeError as error:
    raise UsageError(
        f"device 'gpu' needs an NVIDIA GPU and its driver does not answer ({error}); use device "
        f"'cpu'"
    ) from None

empty = xp.empty
zeros = xp.zeros


def asarray(a: Any, dtype: Any = None) -> Any:
    """An array on the GPU in C order; the same one where it is so already."""
    return xp.ascontiguousarray(xp.asarray(a, dtype=dtype))


def to_host(a: Any) -> np.ndarray:
    """A NumPy array of the same numbers; the GPU is waited for."""
    return xp.asnumpy(a)


def matmul(a: Any, b: Any, out: Any) -> Any:
    """Multiplies matrices: out <- a @ b."""
    # Two dimensions go to cuBLAS as they are; above two, CuPy copies transposed operands.
    return xp.matmul(a, b, out=out)


def product(lead: tuple[int, ...]) -> Callable[..., Any]:
    """Return the matmul(a, b, out=...) for layers of one network () or of many (P,)."""
    return matmul


def gather(rows: Any, index: Any, out: Any) -> None:
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
    xp.take(rows, index, axis=0, out=out)


def generator(seeds: np.random.SeedSequence) -> Any:
    """A generator of random numbers for these seeds."""
    # CuPy takes one signed whole number of 64 bits as a seed.
    seed = int(seeds.generate_state(1, np.uint64)[0] >> 1)
    return xp.random.Generator(xp.random.Philox4x3210(seed))


def uniform(generators: list[Any], out: Any) -> None:
    """Fills an array with uniform random numbers in [0, 1).

    Parameters
    ----------
    generators
        One for the whole array, or one for each row along the first axis.
    out
        Any shape, float32 or float64.
    """
    rows = out
    if len(generators) == 1:
        rows = [out]
    for row, row_generator in zip(rows, generators, strict=True):
        # CuPy's generators cannot write into an array that is there.
        row[...] = row_generator.random(row.shape, dtype=row.dtype)


def quiet() -> Any:
    """A context that does nothing, because CuPy does not warn of overflow and NaN."""
    return nullcontext()


def synchronize() -> None:
    """Waits until the GPU has finished whatever it was asked for."""
    xp.cuda.get_current_stream().synchronize()
