"""Kernels of the layers that normalize: what `normal` computes, on a GPU.

batch_norm is one launch forward and one back. layer_norm and rms_norm have one more back, since
the gradients of their parameters are sums over the rows and all else is a sum within one.
"""

from typing import Any

import numpy as np

from harness.expressions.backend import check_shape
from harness.expressions.cuda_kernels import in_rows, pointer
from harness.expressions.cuda_written import SUMMED, in_type, rows_in_blocks
from harness.expressions.normal import Loops
from harness.ops import Array, ops_for

# So many columns lie beside each other in a block, whose other threads have other rows of them.
_BESIDE = 32

_ROWS_HEAD = """
    __shared__ {T} part[{THREADS}];
    const long long r = ((long long)blockIdx.x * blockDim.x + threadIdx.x) / width;
    const long long first = threadIdx.x % width;
    const long long last = r < all ? O : 0;
    const long long p = r / rows;
"""

_NORMALIZE_ROWS = (
    SUMMED
    + """extern "C" __global__ void kernel({T}* x_, {T}* h_, {T}* y_, {T}* s_, {T}* g_, \
long long g_step, {T}* b_, long long b_step, const {T}* eps_, long long eps_step, long long all, \
long long rows, long long O, long long width, long long centers, long long inputs) {"""
    + _ROWS_HEAD
    + """    const {T}* x = x_ + r % inputs * O;  // members may share their inputs
    {T}* h = h_ + r * O;
    {T} mean = 0;
    if (centers) {
        for (long long j = first; j < last; j += width) mean += x[j];
        mean = summed(part, mean, width, 1) / O;
    }
    {T} square = 0;
    for (long long j = first; j < last; j += width) {
        const {T} d = x[j] - mean;
        h[j] = d;
        square += d * d;
    }
    square = summed(part, square, width, 1) / O;
    if (!last) return;  // there is no barrier below
    const {T} factor = 1 / sqrt{s}(square + eps_[p * eps_step]);
    if (first == 0) s_[r] = factor;
    for (long long j = first; j < last; j += width) {
        h[j] *= factor;
        y_[r * O + j] = h[j] * g_[p * g_step + j] + b_[p * b_step + j];
    }
}
"""
)

_ROWS_PULLBACK = (
    SUMMED
    + """extern "C" __global__ void kernel({T}* dy_, {T}* h_, {T}* dx_, {T}* s_, {T}* g_, \
long long g_step, long long all, long long rows, long long O, long long width, \
long long centers) {"""
    + _ROWS_HEAD
    + """    const {T}* g = g_ + p * g_step;
    const {T}* h = h_ + r * O;
    {T}* dx = dx_ + r * O;
    {T} mean = 0;
    {T} along = 0;
    for (long long j = first; j < last; j += width) {
        const {T} d = dy_[r * O + j] * g[j];
        dx[j] = d;
        mean += d;
        along += d * h[j];
    }
    mean = centers ? summed(part, mean, width, 1) / O : 0;
    along = summed(part, along, width, 1) / O;
    for (long long j = first; j < last; j += width) {
        dx[j] = (dx[j] - mean - h[j] * along) * s_[r];
    }
}
"""
)

# p is the member, j the column, and r goes from `first` in steps of `lanes` to `last`.
_COLUMN = """
    __shared__ {T} part[{THREADS}];
    const long long lanes = blockDim.x / beside;
    const long long p = blockIdx.x / tiles;
    const long long j = blockIdx.x % tiles * beside + threadIdx.x % beside;
    const long long first = threadIdx.x / beside;
    const long long last = j < O ? rows : 0;
"""

_COLUMN_SUMS = """    const {T}* dy = dy_ + p * rows * O + j;
    const {T}* h = h_ + p * rows * O + j;
    {T} by_gain = 0;
    {T} by_shift = 0;
    for (long long r = first; r < last; r += lanes) {
        by_gain += dy[r * O] * h[r * O];
        by_shift += dy[r * O];
    }
    by_gain = summed(part, by_gain, lanes, beside);
    by_shift = summed(part, by_shift, lanes, beside);
    if (last && first == 0) {
        dg_[p * dg_step + j] = by_gain;
        db_[p * db_step + j] = by_shift;
    }
"""

_GRADIENTS = (
    SUMMED
    + """extern "C" __global__ void kernel({T}* dy_, {T}* h_, {T}* dg_, long long dg_step, \
{T}* db_, long long db_step, long long rows, long long O, long long tiles, long long beside) {"""
    + _COLUMN
    + _COLUMN_SUMS
    + "}\n"
)

_COLUMNS_PULLBACK = (
    SUMMED
    + """extern "C" __global__ void kernel({T}* dy_, {T}* h_, {T}* dg_, long long dg_step, \
{T}* db_, long long db_step, long long rows, long long O, long long tiles, long long beside, \
{T}* dx_, {T}* s_, long long s_step, {T}* g_, long long g_step) {"""
    + _COLUMN
    + _COLUMN_SUMS
    + """    if (!last) return;
    const {T} factor = g_[p * g_step + j] * s_[p * s_step + j];
    {T}* dx = dx_ + p * rows * O + j;
    for (long long r = first; r < last; r += lanes) {
        dx[r * O] = (dy[r * O] - h[r * O] * (by_gain / rows) - by_shift / rows) * factor;
    }
}
"""
)

_NORMALIZE_COLUMNS = (
    SUMMED
    + """extern "C" __global__ void kernel({T}* x_, {T}* h_, {T}* y_, {T}* mean_, \
long long mean_step, {T}* var_, long long var_step, {T}* s_, long long s_step, {T}* g_, \
long long g_step, {T}* b_, long long b_step, {T}* running_mean_, long long running_mean_step, \
{T}* running_var_, long long running_var_step, const {T}* eps_, long long eps_step, \
const {T}* rate_, long long rate_step, double unbiased, long long rows, long long O, \
long long tiles, long long beside, long long inputs) {"""
    + _COLUMN
    + """    const {T}* x = x_ + p * rows % inputs * O + j;  // members may share their inputs
    {T}* h = h_ + p * rows * O + j;
    {T}* y = y_ + p * rows * O + j;
    {T} mean = 0;
    for (long long r = first; r < last; r += lanes) mean += x[r * O];
    mean = summed(part, mean, lanes, beside) / rows;
    {T} var = 0;
    for (long long r = first; r < last; r += lanes) {
        const {T} d = x[r * O] - mean;
        h[r * O] = d;
        var += d * d;
    }
    var = summed(part, var, lanes, beside) / rows;
    if (!last) return;  // there is no barrier below
    const {T} factor = 1 / sqrt{s}(var + eps_[p * eps_step]);
    if (first == 0) {
        const {T} rate = rate_[p * rate_step];
        {T}* running_mean = running_mean_ + p * running_mean_step + j;
        {T}* running_var = running_var_ + p * running_var_step + j;
        mean_[p * mean_step + j] = mean;
        var_[p * var_step + j] = var;
        s_[p * s_step + j] = factor;
        *running_mean += (mean - *running_mean) * rate;
        *running_var += (var * ({T})unbiased - *running_var) * rate;
    }
    for (long long r = first; r < last; r += lanes) {
        h[r * O] *= factor;
        y[r * O] = h[r * O] * g_[p * g_step + j] + b_[p * b_step + j];
    }
}
"""
)


def column_kernels(
    columns: dict[str, Array], h: Array, y: Array, dx: Array, scalars: list[Array], unbiased: float
) -> Loops:
    """Make what `normal.column_loops` makes, for arrays on a GPU.

    Parameters
    ----------
    columns, h, y, dx, scalars, unbiased
        As there.
    """
    ops = ops_for("gpu")
    members, rows, O = _shape(h)
    at = {name: _placed(ops, array) for name, array in columns.items()}
    tiles, sizes = _tiles(rows, O)
    normalize = ops.kernel(in_type(_NORMALIZE_COLUMNS, h.dtype, ops))
    pull = ops.kernel(in_type(_COLUMNS_PULLBACK, h.dtype, ops))
    numbers = [argument for scalar in scalars for argument in pointer(ops, scalar, members)]
    names = ("mean", "var", "s", "g", "b", "running_mean", "running_var")
    placed = [argument for name in names for argument in at[name]]
    down = (h, y, *placed, *numbers, np.float64(unbiased), *sizes)
    up = (h, *at["dg"], *at["db"], *sizes, dx, *at["s"], *at["g"])

    def forward(x: Array) -> None:
        check_shape("x", x, h.shape, h.shape[-2:])
        normalize(members * tiles, (in_rows(ops, x, h.dtype), *down, np.int64(x.size // O)))

    def backward(dy: Array) -> Array:
        check_shape("dy", dy, h.shape)
        pull(members * tiles, (in_rows(ops, dy, h.dtype), *up))
        return dx

    return forward, backward


def row_kernels(
    columns: dict[str, Array], h: Array, y: Array, dx: Array, s: Array, eps: Array, centers: bool
) -> Loops:
    """Make what `normal.row_loops` makes, for arrays on a GPU.

    Parameters
    ----------
    columns, h, y, dx, s, eps, centers
        As there.
    """
    ops = ops_for("gpu")
    members, rows, O = _shape(h)
    at = {name: _placed(ops, array) for name, array in columns.items()}
    tiles, sizes = _tiles(rows, O)
    width, blocks = rows_in_blocks(members * rows, O, ops)
    normalize, pull, sum_columns = (
        ops.kernel(in_type(source, h.dtype, ops))
        for source in (_NORMALIZE_ROWS, _ROWS_PULLBACK, _GRADIENTS)
    )
    by_rows = tuple(map(np.int64, (members * rows, rows, O, width, centers)))
    down = (h, y, s, *at["g"], *at["b"], *pointer(ops, eps, members), *by_rows)
    up = (h, dx, s, *at["g"], *by_rows)
    gradients = (h, *at["dg"], *at["db"], *sizes)

    def forward(x: Array) -> None:
        check_shape("x", x, h.shape, h.shape[-2:])
        normalize(blocks, (in_rows(ops, x, h.dtype), *down, np.int64(x.size // O)))

    def backward(dy: Array) -> Array:
        check_shape("dy", dy, h.shape)
        plain = in_rows(ops, dy, h.dtype)
        sum_columns(members * tiles, (plain, *gradients))
        pull(blocks, (plain, *up))
        return dx

    return forward, backward


def _shape(h: Array) -> tuple[int, int, int]:
    """The members, rows and columns of an array (..., B, O)."""
    members, rows, O = h.shape if h.ndim == 3 else (1, *h.shape)
    return members, rows, O


def _tiles(rows: int, O: int) -> tuple[int, tuple[Any, ...]]:
    """How many blocks the columns of a member need, and the arguments that tell a kernel."""
    tiles = -(-O // _BESIDE)
    return tiles, tuple(map(np.int64, (rows, O, tiles, _BESIDE)))


def _placed(ops: Any, row: Array) -> tuple[Array, Any]:
    """A row (..., 1, O) and how far it is from that of one member to the next, as arguments."""
    step = row.strides[0] // row.dtype.itemsize if row.ndim == 3 else 0
    return row, np.int64(step)
