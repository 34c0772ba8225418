"""Operations on an NVIDIA GPU through CuPy, to the same seam as cpu.py. The only module that
imports cupy.
"""

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
    return xp.ascontiguousarray(xp.asarray(a, dtype=dtype))


def to_host(a: Any) -> np.ndarray:
    return xp.asnumpy(a)


def matmul(a: Any, b: Any, out: Any) -> Any:
    """out <- a @ b. Two dimensions go to cuBLAS as they are; above two CuPy copies transposed
    operands.
    """
    return xp.matmul(a, b, out=out)


def gather(rows: Any, index: Any, out: Any) -> None:
    """out[..., k, :] <- rows[index[..., k]]; index (..., B), out (..., B, I)."""
    xp.take(rows, index, axis=0, out=out)


def generator(seeds: np.random.SeedSequence) -> Any:
    return xp.random.Generator(
        xp.random.Philox4x3210(int(seeds.generate_state(1, np.uint64)[0] >> 1))
    )


def uniform(generators: list[Any], out: Any) -> None:
    """out <- U[0, 1), row p from generator p; a single generator fills the whole array."""
    members = [out] if len(generators) == 1 else out
    for member, rng in zip(members, generators, strict=True):
        member[...] = rng.random(member.shape, dtype=member.dtype)


def quiet() -> Any:
    return nullcontext()


def synchronize() -> None:
    xp.cuda.get_current_stream().synchronize()
