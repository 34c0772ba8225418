"""Kernels that no expression says, since they sum or gather: one launch in place of some ten.

The threads of a block that sum together lie beside each other, for a row, or one below the other,
for a column of a batch. They add in an order that hangs on nothing but their number.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from harness.expressions.backend import check_shape
from harness.expressions.cuda_kernels import in_rows
from harness.ops import Array, ops_for

# What `width` threads of a block have together, each `stride` threads from the next; all of them
# get it. Both are powers of two, and all threads of the block must come here.
_TOGETHER = """__device__ {T} {name}({T}* part, {T} value, int width, int stride) {
    const int at = threadIdx.x;
    const int place = at / stride % width;
    part[at] = value;
    __syncthreads();
    for (int half = width / 2; half > 0; half /= 2) {
        if (place < half) {
            const {T} other = part[at + half * stride];
            part[at] = {both};
        }
        __syncthreads();
    }
    const {T} found = part[at - place * stride];
    __syncthreads();  // before the next one writes there
    return found;
}
"""
SUMMED = _TOGETHER.replace("{name}", "summed").replace("{both}", "part[at] + other")
_LARGEST = _TOGETHER.replace("{name}", "largest").replace(
    "{both}", "other > part[at] ? other : part[at]"
)

_SOFTMAX = (
    SUMMED
    + _LARGEST
    + """extern "C" __global__ void kernel({T}* y_, {T}* t_, {T}* dy_, {T}* values_, \
double scale, long long rows, long long K, long long width, long long targets) {
    __shared__ {T} part[{THREADS}];
    const long long r = ((long long)blockIdx.x * blockDim.x + threadIdx.x) / width;
    const long long first = threadIdx.x % width;
    const long long last = r < rows ? K : 0;
    const {T}* y = y_ + r * K;
    const {T}* t = t_ + r % targets * K;  // members may share their targets
    {T}* dy = dy_ + r * K;
    {T} top = last ? y[0] : 0;
    for (long long k = first; k < last; k += width) top = y[k] > top ? y[k] : top;
    top = largest(part, top, width, 1);
    {T} total = 0;
    for (long long k = first; k < last; k += width) {
        dy[k] = exp{s}(y[k] - top);
        total += dy[k];
    }
    total = summed(part, total, width, 1);
    // The maximum of y is not added to both: a large one has no digits for it.
    const {T} log_total = log{s}(total);
    {T} loss = 0;
    for (long long k = first; k < last; k += width) {
        loss += (log_total - (y[k] - top)) * t[k];
        dy[k] = (dy[k] / total - t[k]) * ({T})scale;
    }
    loss = summed(part, loss, width, 1);
    if (last && first == 0) values_[r] = loss;
}
"""
)

# In float64, as the compiled loop sums
_MEAN = (
    SUMMED.replace("{T}", "double")
    + """extern "C" __global__ void kernel({T}* values_, {T}* mean_, {T}* steps_, \
long long members, long long rows, long long width) {
    __shared__ double part[{THREADS}];
    const long long p = ((long long)blockIdx.x * blockDim.x + threadIdx.x) / width;
    const long long first = threadIdx.x % width;
    const long long last = p < members ? rows : 0;
    double total = 0;
    for (long long r = first; r < last; r += width) total += values_[p * rows + r];
    total = summed(part, total, width, 1);
    if (last && first == 0) {
        mean_[p] = ({T})(total / rows);
        steps_[p] += 1;
    }
}
"""
)

_GATHER = """extern "C" __global__ void kernel(const unsigned char* raw_, const long long* index_, \
{T}* out_, double divisor, long long size, long long columns) {
    const long long first = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    for (long long i = first; i < size; i += (long long)blockDim.x * gridDim.x) {
        const long long row = index_[i / columns];
        out_[i] = ({T})raw_[row * columns + i % columns] / ({T})divisor;
    }
}
"""


def softmax_rows(dy: Array, values: Array, scale: Any) -> Callable[[Array, Array], None]:
    """Return run(y, t): values <- -sum_k t log p, dy <- (p - t) scale, with p = softmax(y).

    Parameters
    ----------
    dy, values
        (..., B, K) and (..., B), which it writes.
    scale
        Of the gradient.
    """
    ops = ops_for("gpu")
    kernel = ops.kernel(in_type(_SOFTMAX, values.dtype, ops))
    shape = dy.shape
    width, blocks = rows_in_blocks(values.size, shape[-1], ops)
    sizes = tuple(map(np.int64, (values.size, shape[-1], width)))
    last = (dy, values, np.float64(scale), *sizes)

    def run(y: Array, t: Array) -> None:
        check_shape("y", y, shape)
        check_shape("t", t, shape, shape[-2:])
        rows = np.int64(t.size // shape[-1])
        arguments = (in_rows(ops, y, dy.dtype), in_rows(ops, t, dy.dtype), *last, rows)
        kernel(blocks, arguments)

    return run


def mean_and_count(mean: Array, steps: Array, rows: int) -> Callable[[Array], None]:
    """Return run(values): mean (...,) <- means of values (..., rows), steps <- steps + 1."""
    ops = ops_for("gpu")
    kernel = ops.kernel(in_type(_MEAN, mean.dtype, ops))
    shape = (*mean.shape, rows)
    width, blocks = rows_in_blocks(mean.size, rows, ops)
    last = (mean, steps, *map(np.int64, (mean.size, rows, width)))

    def run(values: Array) -> None:
        check_shape("the loss of each row", values, shape)
        kernel(blocks, (in_rows(ops, values, mean.dtype), *last))

    return run


def gather_bytes(raw: Array, out: Array, divisor: float) -> Callable[[Array], None]:
    """Return run(index): out[..., k, :] <- raw[index[..., k]] / divisor.

    Parameters
    ----------
    raw
        Bytes (N, I).
    out
        (..., B, I).
    divisor
        What one is in bytes.
    """
    ops = ops_for("gpu")
    kernel = ops.kernel(in_type(_GATHER, out.dtype, ops))
    blocks = min(-(-out.size // ops.THREADS), ops.BLOCKS)
    last = (out, np.float64(divisor), np.int64(out.size), np.int64(out.shape[-1]))

    def run(index: Array) -> None:
        check_shape("the index of a batch", index, out.shape[:-1])
        kernel(blocks, (raw, in_rows(ops, index, np.int64), *last))

    return run


def in_type(source: str, dtype: Any, ops: Any) -> str:
    """Return a source for arrays of this type.

    Parameters
    ----------
    source
        With {T} for the type, {s} for what ends the names of its functions, and {THREADS}.
    dtype
        float32 or float64.
    ops
        The operations of the GPU.
    """
    single = dtype == np.float32
    words = {"T": "float" if single else "double", "s": "f" if single else ""}
    for word, value in {**words, "THREADS": str(ops.THREADS)}.items():
        source = source.replace(f"{{{word}}}", value)
    return source


def rows_in_blocks(rows: int, columns: int, ops: Any) -> tuple[int, int]:
    """Return how many threads have a row together, and how many blocks all rows need.

    Parameters
    ----------
    rows, columns
        Of the array.
    ops
        The operations of the GPU.
    """
    width = 1
    while width < min(columns, ops.THREADS):
        width *= 2
    return width, -(-rows * width // ops.THREADS)
