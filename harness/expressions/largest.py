"""The largest of several parts of a dense layer's output, in one loop each way."""

from functools import partial
from typing import Any

from numpy import float32 as f

from harness.engine.contracts import Backward, Forward
from harness.expressions.backend import compiles, flat, flattener, span_of
from harness.expressions.fuse import Affine
from harness.expressions.written import compile_written
from harness.ops import Array


def largest_with_row(z: Any, row: Any, step: Any, columns: Any, y: Any, won: Any) -> None:
    """y (P, B, O) <- the maximum of the parts of z (P, B, k O) + row; won <- which part it was

    `span_of` says what row, step and columns are.
    """
    members = (row.size - columns) // step + 1
    rows = z.size // (members * columns)
    O = y.size // (members * rows)
    for p in range(members):
        added = row[p * step : p * step + columns]
        for r in range(p * rows, p * rows + rows):
            line = z[r * columns : r * columns + columns]
            out = y[r * O : r * O + O]
            winner = won[r * O : r * O + O]
            for j in range(O):
                out[j] = line[j] + added[j]
                winner[j] = f(0.0)
            for k in range(1, columns // O):
                part = line[k * O : k * O + O]
                part_added = added[k * O : k * O + O]
                for j in range(O):
                    value = part[j] + part_added[j]
                    is_larger = value > out[j]
                    winner[j] = f(k) if is_larger else winner[j]
                    # The second comparison hands a NaN on.
                    out[j] = value if is_larger | (value != value) else out[j]


def to_the_largest(dy: Any, won: Any, z: Any, row: Any, step: Any, columns: Any) -> None:
    """z (P, B, k O) <- dy in the part that has won, else 0; row <- the sum of z over the batch

    `span_of` says what row, step and columns are.
    """
    members = (row.size - columns) // step + 1
    rows = z.size // (members * columns)
    O = dy.size // (members * rows)
    for p in range(members):
        total = row[p * step : p * step + columns]
        total[:] = f(0.0)
        for r in range(p * rows, p * rows + rows):
            line = z[r * columns : r * columns + columns]
            gradient = dy[r * O : r * O + O]
            winner = won[r * O : r * O + O]
            for k in range(columns // O):
                part = line[k * O : k * O + O]
                for j in range(O):
                    part[j] = gradient[j] if winner[j] == f(k) else f(0.0)
            for j in range(columns):
                total[j] += line[j]


def largest(xp: Any, linear: Forward, y: Array, won: Array) -> Forward | None:
    """Return the forward of y = max_k z_k, z the output of a dense layer; None without loops.

    Of equal parts the first gets the gradient.

    Parameters
    ----------
    xp
        The array module.
    linear
        The forward of the dense layer, whose output (..., B, k O) has k parts.
    y
        A buffer (..., B, O), for the maximum.
    won
        A buffer like y, for the number of the part that it comes from.
    """
    affine: Affine | None = getattr(linear, "affine", None)
    if affine is None or not compiles(xp, y.dtype):
        return None
    products = affine.products
    gradients = affine.gradients
    z = affine.y
    rows = (flat(z), *span_of(affine.b), flat(y), flat(won))
    take = partial(compile_written(largest_with_row, [], *rows), *rows)
    rest = (flat(won), flat(z), *span_of(affine.db))
    give = compile_written(to_the_largest, [], flat(y), *rest)
    flatten = flattener("dy", y.dtype, y.shape)

    def backward(dy: Array) -> Array:
        give(flatten(dy), *rest)
        return gradients(z)

    def forward(x: Array, train: bool) -> tuple[Array, Backward]:
        products(x)
        take()
        return y, backward

    return forward
