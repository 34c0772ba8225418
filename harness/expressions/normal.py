"""Loops of the layers that normalize: over the columns of a batch, or over each row of it.

Like those of `written`, each is the source of a compiled loop, and the passes of NumPy in the
layer say the same. A sum over a column goes from row to row, as NumPy's does.
"""

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np
from numpy import float32 as f

from harness.expressions.backend import flat, flattener, rows_of
from harness.expressions.written import compile_written
from harness.ops import Array

# forward(x) and backward(dy) -> dx
Loops = tuple[Callable[[Array], None], Callable[[Array], Array]]


def row_sum(a: Any) -> Any:
    """Return the sum of a row: four sums at a time, since one waits for each addition to end."""
    fours = a.size - a.size % 4
    t0 = t1 = t2 = t3 = f(0.0)
    for j in range(0, fours, 4):
        t0 += a[j]
        t1 += a[j + 1]
        t2 += a[j + 2]
        t3 += a[j + 3]
    for j in range(fours, a.size):
        t0 += a[j]
    return (t0 + t1) + (t2 + t3)


def row_product(a: Any, b: Any) -> Any:
    """Return the sum of the products of two rows, in the same way."""
    fours = a.size - a.size % 4
    t0 = t1 = t2 = t3 = f(0.0)
    for j in range(0, fours, 4):
        t0 += a[j] * b[j]
        t1 += a[j + 1] * b[j + 1]
        t2 += a[j + 2] * b[j + 2]
        t3 += a[j + 3] * b[j + 3]
    for j in range(fours, a.size):
        t0 += a[j] * b[j]
    return (t0 + t1) + (t2 + t3)


def normalize_columns(
    x: Any,
    h: Any,
    y: Any,
    mean: Any,
    var: Any,
    s: Any,
    g: Any,
    b: Any,
    running_mean: Any,
    running_var: Any,
    eps: Any,
    rate: Any,
    unbiased: Any,
) -> None:
    """h <- (x - mean) s, y <- h g + b, with s = 1 / sqrt(var + eps) of each column (P, O)

    x, h, y (P, B, O), x perhaps (B, O); the running mean and variance follow.
    """
    O = g.shape[1]
    rows = h.size // g.size
    share = f(1.0 / rows)
    for p in range(g.shape[0]):
        first = p * rows * O
        m = mean[p]
        v = var[p]
        m[:] = f(0.0)
        v[:] = f(0.0)
        for r in range(rows):
            at = (first + r * O) % x.size  # members may share their inputs
            line = x[at : at + O]
            for j in range(O):
                m[j] += line[j]
        for j in range(O):
            m[j] *= share
        for r in range(rows):
            at = (first + r * O) % x.size
            line = x[at : at + O]
            centered = h[first + r * O : first + r * O + O]
            for j in range(O):
                d = line[j] - m[j]
                centered[j] = d
                v[j] += d * d
        k = unbiased[0]
        for j in range(O):
            v[j] *= share
            s[p, j] = f(1.0) / f(sqrt(v[j] + eps[p]))
            running_mean[p, j] += (m[j] - running_mean[p, j]) * rate[p]
            running_var[p, j] += (v[j] * k - running_var[p, j]) * rate[p]
        factor = s[p]
        gain = g[p]
        shift = b[p]
        for r in range(rows):
            line = h[first + r * O : first + r * O + O]
            out = y[first + r * O : first + r * O + O]
            for j in range(O):
                d = line[j] * factor[j]
                line[j] = d
                out[j] = d * gain[j] + shift[j]


def columns_pullback(dy: Any, h: Any, dx: Any, s: Any, g: Any, dg: Any, db: Any) -> None:
    """dg <- sum dy h, db <- sum dy, dx <- (dy - h dg / B - db / B) g s, for each column (P, O)"""
    O = g.shape[1]
    rows = h.size // g.size
    share = f(1.0 / rows)
    for p in range(g.shape[0]):
        first = p * rows * O
        by_gain = dg[p]
        by_shift = db[p]
        factor = s[p]
        gain = g[p]
        by_gain[:] = f(0.0)
        by_shift[:] = f(0.0)
        for r in range(rows):
            line = dy[first + r * O : first + r * O + O]
            normal = h[first + r * O : first + r * O + O]
            for j in range(O):
                by_gain[j] += line[j] * normal[j]
                by_shift[j] += line[j]
        for r in range(rows):
            line = dy[first + r * O : first + r * O + O]
            normal = h[first + r * O : first + r * O + O]
            out = dx[first + r * O : first + r * O + O]
            for j in range(O):
                d = line[j] - normal[j] * (by_gain[j] * share)
                out[j] = (d - by_shift[j] * share) * (gain[j] * factor[j])


def normalize_rows(x: Any, h: Any, y: Any, s: Any, g: Any, b: Any, eps: Any, centers: Any) -> None:
    """h <- (x - mean) s, y <- h g + b, with s = 1 / sqrt(mean of (x - mean)^2 + eps) of each row

    x, h, y (P, B, O), x perhaps (B, O), s (P, B), g, b (P, O); without `centers` the mean is 0.
    """
    O = g.shape[1]
    rows = h.size // g.size
    share = f(1.0 / O)
    for p in range(g.shape[0]):
        gain = g[p]
        shift = b[p]
        for r in range(p * rows, p * rows + rows):
            at = r * O % x.size  # members may share their inputs
            line = x[at : at + O]
            normal = h[r * O : r * O + O]
            out = y[r * O : r * O + O]
            mean = f(0.0)
            if centers:
                mean = row_sum(line) * share
            for j in range(O):
                normal[j] = line[j] - mean
            square = row_product(normal, normal) * share
            factor = f(1.0) / f(sqrt(square + eps[p]))
            s[r] = factor
            for j in range(O):
                d = normal[j] * factor
                normal[j] = d
                out[j] = d * gain[j] + shift[j]


def rows_pullback(dy: Any, h: Any, dx: Any, s: Any, g: Any, dg: Any, db: Any, centers: Any) -> None:
    """dg <- sum dy h, db <- sum dy, dx <- s (dh - mean(dh) - h mean(dh h)) row by row, dh = g dy"""
    O = g.shape[1]
    rows = h.size // g.size
    share = f(1.0 / O)
    for p in range(g.shape[0]):
        gain = g[p]
        by_gain = dg[p]
        by_shift = db[p]
        by_gain[:] = f(0.0)
        by_shift[:] = f(0.0)
        for r in range(p * rows, p * rows + rows):
            line = dy[r * O : r * O + O]
            normal = h[r * O : r * O + O]
            out = dx[r * O : r * O + O]
            for j in range(O):
                by_gain[j] += line[j] * normal[j]
                by_shift[j] += line[j]
                out[j] = line[j] * gain[j]
            mean = f(0.0)
            if centers:
                mean = row_sum(out) * share
            along = row_product(out, normal) * share
            factor = s[r]
            for j in range(O):
                out[j] = (out[j] - mean - normal[j] * along) * factor


def column_loops(
    columns: dict[str, Array], h: Array, y: Array, dx: Array, scalars: list[Array], unbiased: float
) -> Loops:
    """Make the loops of `normalize_columns` and `columns_pullback` over arrays that stay.

    Parameters
    ----------
    columns
        The arrays (..., 1, O) by their names there.
    h, y, dx
        (..., B, O).
    scalars
        eps and rate, (..., 1, 1).
    unbiased
        The factor that makes the variance the unbiased one.
    """
    rows = {name: rows_of(array) for name, array in columns.items()}
    names = ("mean", "var", "s", "g", "b", "running_mean", "running_var")
    numbers = [flat(scalar) for scalar in scalars] + [np.full(1, unbiased, h.dtype)]
    down = [flat(h), flat(y), *(rows[name] for name in names), *numbers]
    up = [flat(h), flat(dx), *(rows[name] for name in ("s", "g", "dg", "db"))]
    return _run(normalize_columns, down, columns_pullback, up, dx)


def row_loops(
    columns: dict[str, Array], h: Array, y: Array, dx: Array, s: Array, eps: Array, centers: bool
) -> Loops:
    """Make the loops of `normalize_rows` and `rows_pullback` over arrays that stay.

    Parameters
    ----------
    columns
        The arrays (..., 1, O) by their names there.
    h, y, dx
        (..., B, O).
    s
        (..., B, 1).
    eps
        (..., 1, 1).
    centers
        Whether the mean of a row is subtracted.
    """
    rows = {name: rows_of(array) for name, array in columns.items()}
    down = [flat(h), flat(y), flat(s), rows["g"], rows["b"], flat(eps), centers]
    up = [flat(h), flat(dx), flat(s), *(rows[name] for name in ("g", "dg", "db")), centers]
    return _run(normalize_rows, down, rows_pullback, up, dx)


def _run(down: Any, down_with: list[Any], up: Any, up_with: list[Any], dx: Array) -> Loops:
    # Their first argument is like h.
    calls = (row_sum, row_product)
    normalize = compile_written(down, [], down_with[0], *down_with, calls=calls)
    pull = compile_written(up, [], up_with[0], *up_with, calls=calls)
    flat_x = flattener("x", dx.dtype, dx.shape, dx.shape[-2:])  # members may share their inputs
    flat_dy = flattener("dy", dx.dtype, dx.shape)

    def forward(x: Array) -> None:
        normalize(flat_x(x), *down_with)

    def backward(dy: Array) -> Array:
        pull(flat_dy(dy), *up_with)
        return dx

    return forward, backward
