"""Operations on an NVIDIA GPU through CuPy, under the names of cpu.py.

This is the only module that imports cupy. Importing it raises UsageError where there is no CuPy or
no GPU.
"""

from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from typing import Any

import numpy as np

from harness.errors import UsageError
from harness.ops import philox

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

THREADS = 256  # of a block of a kernel
# Of a launch, at most about so many. With more of them, what is the same for all of a block is
# computed more often, and no card runs as many at a time.
BLOCKS = 4096


def asarray(a: Any, dtype: Any = None) -> Any:
    """An array on the GPU in C order; the same one where it is so already."""
    return xp.ascontiguousarray(xp.asarray(a, dtype=dtype))


def to_host(a: Any) -> np.ndarray:
    """A NumPy array of the same numbers; the GPU is waited for."""
    return xp.asnumpy(a)


def matmul(a: Any, b: Any, out: Any) -> Any:
    """Multiplies matrices: out <- a @ b.

    Parameters
    ----------
    a, b
        (..., M, K) and (..., K, N), transposed or not; for a population one of them may be one
        matrix for all members.
    out
        (..., M, N).
    """
    # Two dimensions go to cuBLAS as they are. Above two, CuPy copies what is transposed, what lies
    # in an arena, and takes launches to broadcast.
    if out.ndim == 3 and out.size:
        arguments = batched(a, b, out)
        if arguments is not None:
            gemm = getattr(xp.cuda.cublas, _GEMM[out.dtype.char])
            gemm(xp.cuda.get_cublas_handle(), *arguments)
            return out
    return xp.matmul(a, b, out=out)


_GEMM = {"f": "sgemmStridedBatched", "d": "dgemmStridedBatched"}
# By what cuBLAS multiplies the product, and what was in its place before
_FACTORS = {char: np.array([1.0, 0.0], char) for char in _GEMM}


def batched(a: Any, b: Any, out: Any) -> tuple[Any, ...] | None:
    """The arguments of cuBLAS for out <- a @ b, or None where it cannot do that without copies."""
    char = out.dtype.char
    if char not in _GEMM or a.dtype != out.dtype or b.dtype != out.dtype or out is a or out is b:
        return None
    left = _placed(a)
    right = _placed(b)
    to = _placed(out)
    members, rows, columns = out.shape
    inner = a.shape[-1]
    for x, shape in ((a, (rows, inner)), (b, (inner, columns))):
        if x.shape not in (shape, (members, *shape)):
            return None
    if left is None or right is None or to is None or to[0] or not inner:
        return None
    one = _FACTORS[char].ctypes.data
    zero = one + out.dtype.itemsize
    # cuBLAS counts down the columns, and so sees the transpose of each: out' <- b' @ a'.
    return (
        *(right[0], left[0], columns, rows, inner, one),
        *(b.data.ptr, *right[1:], a.data.ptr, *left[1:], zero),
        *(out.data.ptr, *to[1:], members),
    )


def _placed(x: Any) -> tuple[int, int, int] | None:
    """How the matrices of an array (..., R, C) lie; None if in no way that cuBLAS knows.

    Returns
    -------
    1 where it is their columns that lie in one piece each, and not their rows; the elements from
    one of these to the next; and the elements from one matrix to the next, 0 for one for all.
    """
    rows, columns = x.shape[-2:]
    *leading, down, along = (stride // x.dtype.itemsize for stride in x.strides)
    step = leading[0] if leading else 0
    # Where there is but one row, or one column, its stride says nothing.
    if along == 1 or columns == 1:
        distance = columns if rows == 1 else down
        return (0, distance, step) if distance >= columns else None
    if down == 1 or rows == 1:
        distance = rows if columns == 1 else along
        return (1, distance, step) if distance >= rows else None
    return None


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


@cache
def kernel(source: str) -> Callable[[int, tuple[Any, ...]], None]:
    """Return launch(blocks, arguments) for a kernel, whose blocks have THREADS threads.

    Parameters
    ----------
    source
        In CUDA, with a function `extern "C" __global__ void kernel(...)`. CuPy compiles it when it
        is launched first, and keeps what it compiles on disk.
    """
    # A product and a sum are rounded one after the other, as NumPy does.
    compiled = xp.RawKernel(source, "kernel", ("--fmad=false",))

    def launch(blocks: int, arguments: tuple[Any, ...]) -> None:
        # CuPy does not look at the arguments: they must be what the source says, arrays in C order.
        compiled((blocks,), (THREADS,), arguments)

    return launch


def generator(seeds: np.random.SeedSequence) -> philox.Stream:
    """A generator of random numbers for these seeds."""
    return philox.Stream(int(seeds.generate_state(1, np.uint64)[0]))


def uniform(generators: list[philox.Stream], out: Any) -> None:
    """Fills an array with uniform random numbers in [0, 1), in one launch.

    Parameters
    ----------
    generators
        One for the whole array, or one for each row along the first axis.
    out
        Any shape, float32 or float64, in C order.
    """
    first = generators[0]
    if first.keys is None:
        first.keys = xp.asarray(np.array([each.key for each in generators], np.uint64))
    members = len(generators)
    n = out.size // members
    counters = -(-n // philox.PER_COUNTER[out.dtype.name])
    chunks = max(1, min(-(-counters // THREADS), BLOCKS // members))
    launch = kernel(philox.source_of(out.dtype.name))
    launch(members * chunks, (out, first.keys, *map(np.int64, (n, chunks, first.used))))
    first.used += counters


def quiet() -> Any:
    """A context that does nothing, because CuPy does not warn of overflow and NaN."""
    return nullcontext()


def synchronize() -> None:
    """Waits until the GPU has finished whatever it was asked for."""
    xp.cuda.get_current_stream().synchronize()
