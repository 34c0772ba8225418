"""What the loops of `normal` compute, in passes of an array module; and which of them run."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from harness.expressions.backend import compiles, launches
from harness.expressions.normal import Loops, column_loops, row_loops
from harness.ops import Array


class Normalizer(NamedTuple):
    """What makes the two directions of a normalization: of each column, and of each row."""

    columns: Callable[..., Loops]
    rows: Callable[..., Loops]


def normalizer(xp: Any, dtype: Any) -> Normalizer:
    """Return compiled loops, kernels on a GPU or passes, whichever runs for such arrays.

    Parameters
    ----------
    xp
        Their module.
    dtype
        Their type.
    """
    if compiles(xp, dtype):
        return Normalizer(column_loops, row_loops)
    if launches(xp, dtype):
        from harness.expressions.cuda_normal import column_kernels, row_kernels

        return Normalizer(column_kernels, row_kernels)
    return Normalizer(partial(column_passes, xp), partial(row_passes, xp))


def column_passes(
    xp: Any,
    columns: dict[str, Array],
    h: Array,
    y: Array,
    t: Array,
    scalars: list[Array],
    unbiased: float,
) -> Loops:
    """The same as `column_loops`, in passes of an array module; t is scratch, dx replaces dy."""
    total = xp.add.reduce
    share = 1 / h.shape[-2]
    small, rate = scalars
    g, b, dg, db, mean, var, s, running_mean, running_var = columns.values()
    r = xp.empty_like(dg)
    # What the running means follow; the last factor makes the variance the unbiased one.
    follow = ((running_mean, mean, 1.0), (running_var, var, unbiased))

    def average(a: Array, out: Array) -> Array:
        return xp.multiply(total(a, axis=-2, out=out, keepdims=True), share, out=out)

    def forward(x: Array) -> None:
        xp.copyto(h, x)
        xp.subtract(h, average(h, mean), out=h)
        average(xp.multiply(h, h, out=t), var)
        for old, new, factor in follow:
            xp.subtract(xp.multiply(new, factor, out=r), old, out=r)
            xp.add(old, xp.multiply(r, rate, out=r), out=old)
        xp.sqrt(xp.add(var, small, out=s), out=s)
        xp.multiply(h, xp.divide(1.0, s, out=s), out=h)
        xp.add(xp.multiply(h, g, out=y), b, out=y)

    def backward(dy: Array) -> Array:
        total(xp.multiply(dy, h, out=t), axis=-2, out=dg, keepdims=True)
        total(dy, axis=-2, out=db, keepdims=True)
        # dx = g / sqrt(var + eps) (dy - mean(dy) - h mean(dy h))
        xp.subtract(dy, xp.multiply(h, xp.multiply(dg, share, out=r), out=t), out=dy)
        xp.subtract(dy, xp.multiply(db, share, out=r), out=dy)
        return xp.multiply(dy, xp.multiply(g, s, out=r), out=dy)

    return forward, backward


def row_passes(
    xp: Any,
    columns: dict[str, Array],
    h: Array,
    y: Array,
    t: Array,
    s: Array,
    eps: Array,
    center: bool,
) -> Loops:
    """The same as `row_loops`, in passes of an array module; t is scratch, and dx replaces dy."""
    total = xp.add.reduce
    share = 1 / h.shape[-1]
    g, b, dg, db = columns.values()
    mean = xp.empty_like(s)

    def average(a: Array, out: Array) -> Array:
        return xp.multiply(total(a, axis=-1, out=out, keepdims=True), share, out=out)

    def forward(x: Array) -> None:
        xp.copyto(h, x)
        if center:
            xp.subtract(h, average(h, mean), out=h)
        xp.sqrt(xp.add(average(xp.multiply(h, h, out=t), s), eps, out=s), out=s)
        xp.multiply(h, xp.divide(1.0, s, out=s), out=h)
        xp.multiply(h, g, out=y)
        if center:
            xp.add(y, b, out=y)

    def backward(dy: Array) -> Array:
        if center:
            total(dy, axis=-2, out=db, keepdims=True)
        total(xp.multiply(dy, h, out=t), axis=-2, out=dg, keepdims=True)
        # dx = s (dh - mean(dh) - h mean(dh h)), dh = g dy
        xp.multiply(dy, g, out=dy)
        xp.multiply(h, average(xp.multiply(dy, h, out=t), mean), out=t)
        if center:
            xp.subtract(dy, average(dy, mean), out=dy)
        return xp.multiply(xp.subtract(dy, t, out=dy), s, out=dy)

    return forward, backward
