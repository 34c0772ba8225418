"""Kernels that no expression says, since they sum or gather: one launch in place of some ten.

A thread sums one row by itself. Passes sum with many threads, and do better with long rows.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from harness.expressions.backend import check_shape
from harness.expressions.cuda_kernels import in_rows
from harness.ops import Array, ops_for

# So many numbers a thread sums, at most.
LONGEST = 128

_SOFTMAX = """extern "C" __global__ void kernel({T}* y_, {T}* t_, {T}* dy_, {T}* values_, \
double scale, long long rows, long long K, long long targets) {
    const long long r = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (r >= rows) return;
    const {T}* y = y_ + r * K;
    const {T}* t = t_ + r % targets * K;  // members may share their targets
    {T}* dy = dy_ + r * K;
    {T} top = y[0];
    for (long long k = 1; k < K; k++) top = y[k] > top ? y[k] : top;
    {T} total = 0;
    for (long long k = 0; k < K; k++) {
        dy[k] = exp{s}(y[k] - top);
        total += dy[k];
    }
    // The maximum of y is not added to both: a large one has no digits for it.
    const {T} log_total = log{s}(total);
    {T} loss = 0;
    for (long long k = 0; k < K; k++) {
        loss += (log_total - (y[k] - top)) * t[k];
        dy[k] = (dy[k] / total - t[k]) * ({T})scale;
    }
    values_[r] = loss;
}
"""

_MEAN = """extern "C" __global__ void kernel({T}* values_, {T}* mean_, {T}* steps_, \
long long rows, long long members) {
    const long long p = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= members) return;
    double total = 0;  // in float64, as the compiled loop sums
    for (long long r = p * rows; r < p * rows + rows; r++) total += values_[r];
    mean_[p] = ({T})(total / rows);
    steps_[p] += 1;
}
"""

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
    ops, launch = _rows(_SOFTMAX, values)
    shape = dy.shape
    last = (np.float64(scale), np.int64(values.size), np.int64(shape[-1]))

    def run(y: Array, t: Array) -> None:
        check_shape("y", y, shape)
        check_shape("t", t, shape, shape[-2:])
        rows = np.int64(t.size // shape[-1])
        launch((in_rows(ops, y, dy.dtype), in_rows(ops, t, dy.dtype), dy, values, *last, rows))

    return run


def mean_and_count(mean: Array, steps: Array, rows: int) -> Callable[[Array], None]:
    """Return run(values): mean (...,) <- means of values (..., rows), steps <- steps + 1."""
    ops, launch = _rows(_MEAN, mean)
    shape = (*mean.shape, rows)
    last = (mean, steps, np.int64(rows), np.int64(mean.size))

    def run(values: Array) -> None:
        check_shape("the loss of each row", values, shape)
        launch((in_rows(ops, values, mean.dtype), *last))

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
    kernel = ops.kernel(_in_type(_GATHER, out.dtype))
    blocks = min(-(-out.size // ops.THREADS), ops.BLOCKS)
    last = (out, np.float64(divisor), np.int64(out.size), np.int64(out.shape[-1]))

    def run(index: Array) -> None:
        check_shape("the index of a batch", index, out.shape[:-1])
        kernel(blocks, (raw, in_rows(ops, index, np.int64), *last))

    return run


def _in_type(source: str, dtype: Any) -> str:
    """A source for arrays of this type."""
    single = dtype == np.float32
    return source.replace("{T}", "float" if single else "double").replace(
        "{s}", "f" if single else ""
    )


def _rows(source: str, one_each: Array) -> tuple[Any, Callable[..., None]]:
    """The operations of the GPU, and launch(arguments) with a thread for each of some numbers."""
    ops = ops_for("gpu")
    kernel = ops.kernel(_in_type(source, one_each.dtype))
    return ops, partial(kernel, -(-one_each.size // ops.THREADS))
