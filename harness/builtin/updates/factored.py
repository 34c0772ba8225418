"""Rules that know a matrix of squared gradients by its rows and columns alone."""

from collections.abc import Iterator
from math import prod, sqrt
from typing import Any

import numpy as np

from harness.builtin.updates.common import (
    State,
    add_decay,
    arrays,
    below_one,
    check,
    norm,
    not_negative,
    part,
    positive,
    scalars,
    wide,
)
from harness.builtin.updates.elementwise import elementwise
from harness.engine.arena import Arena
from harness.engine.contracts import Rule
from harness.ops import Array
from harness.registry.decorators import update_rule
from harness.registry.known import Scalar


def _is_matrix(shape: tuple[int, ...]) -> bool:
    """Whether a parameter has several rows and several columns, whether it decays or not."""
    return len(shape) > 1 and min(shape[-2:]) > 1


def _factored(arena: Arena) -> Iterator[tuple[slice, tuple[int, ...], slice, slice]]:
    """Where each matrix (..., I, O) lies, its shape, and where its rows and its columns lie.

    The last two are places in arrays that hold one number for each row, and for each column, of
    all matrices.
    """
    row = column = 0
    for at, shape in arena.slices.values():
        if _is_matrix(shape):
            row_end = row + prod(shape[:-1])
            column_end = column + prod(shape[:-2]) * shape[-1]
            yield at, shape, slice(row, row_end), slice(column, column_end)
            row = row_end
            column = column_end


def _vectors(arena: Arena) -> Iterator[tuple[slice, slice]]:
    """Where each other parameter lies, and where in an array that holds these alone."""
    start = 0
    for at, shape in arena.slices.values():
        if not _is_matrix(shape):
            end = start + at.stop - at.start
            yield at, slice(start, end)
            start = end


def _follow(xp: Any, mean: Array, new: Array, take: Array) -> None:
    """mean <- (1 - take) * mean + take * new; new is overwritten.

    mean + take * (new - mean) would be 0 where take is 1 and new far below mean.
    """
    xp.multiply(mean, 1 - take, out=mean)
    xp.multiply(new, take, out=new)
    xp.add(mean, new, out=mean)


@update_rule()
def adafactor(
    learning_rate: Scalar = 0.01,
    beta2_decay: Scalar = -0.8,
    eps1: Scalar = 1e-30,
    eps2: Scalar = 1e-3,
    clipping: Scalar = 1.0,
    weight_decay: Scalar = 0.0,
) -> Rule:
    """u = -a * d / max(1, RMS(d) / clipping) - learning_rate * weight_decay * W, d = g / sqrt(v)

    a = max(eps2, RMS(W)) * min(learning_rate, 1 / sqrt(step)), RMS the root of the mean square of
    one parameter.
    v = R C / mean(R) for a matrix (I, O), where R (I, 1) and C (1, O) are running means of the
    means of g^2 + eps1 over its rows and columns, and v itself is the running mean for a parameter
    of one row or column, such as biases; mean <- mean + step^beta2_decay * (new - mean).
    row (..., all rows), column (..., all columns), v (..., all that is in no matrix).
    Weights decay, biases do not.
    In the paper the learning rate is 0.01, there is no weight decay, and R and C are sums, which
    gives the same v.
    PyTorch's Adafactor, which calls clipping d, adds no eps1 to the squares: v and mean(R) have a
    lower bound instead.
    Reference: Shazeer and Stern, Adafactor: adaptive learning rates with sublinear memory cost,
    ICML 2018.
    """
    positive("adafactor", learning_rate=learning_rate, eps1=eps1, eps2=eps2, clipping=clipping)
    check("adafactor", "beta2_decay", beta2_decay, lambda v: v <= 0, "0 or below")
    not_negative("adafactor", weight_decay=weight_decay)

    def init(arena: Arena) -> State:
        rows = sum(prod(shape[:-1]) for _, shape, _, _ in _factored(arena))
        columns = sum(prod(shape[:-2]) * shape[-1] for _, shape, _, _ in _factored(arena))
        rest = sum(at.stop - at.start for at, _ in _vectors(arena))
        numbers = scalars(
            arena,
            learning_rate=learning_rate,
            eps1=eps1,
            eps2=eps2,
            clipping=clipping,
            weight_decay=weight_decay,
            take=0.0,
        )
        return {
            "row": _zeros(arena, rows),
            "column": _zeros(arena, columns),
            "v": _zeros(arena, rest),
            **arrays(arena, "scratch"),
            **numbers,
            **wide(arena, beta2_decay=beta2_decay),
        }

    def update(u: Array, arena: Arena, state: State) -> None:
        xp = arena.xp
        s = state["scratch"]
        # A power of float32 would lose digits: computed in float64, rounded once.
        state["take"][...] = state["step"].astype("float64") ** state["beta2_decay"]
        xp.multiply(u, u, out=s)
        xp.add(s, state["eps1"], out=s)
        _normalize_matrices(u, arena, state)
        for at, where in _vectors(arena):
            v = state["v"][..., where]
            _follow(xp, v, s[..., at], state["take"])
            xp.divide(u[..., at], xp.sqrt(v, out=s[..., at]), out=u[..., at])
        _clip_and_scale(u, arena, state)
        add_decay(u, arena, -state["learning_rate"] * state["weight_decay"], s)

    return Rule(init, update)


def _zeros(arena: Arena, size: int) -> Array:
    return arena.xp.zeros((*arena.value.shape[:-1], size), arena.value.dtype)


def _normalize_matrices(u: Array, arena: Arena, state: State) -> None:
    """u <- u / sqrt(v) for the matrices of adafactor, whose squares are in the scratch."""
    xp = arena.xp
    take = state["take"]
    for at, shape, rows, columns in _factored(arena):
        g = part(u, at, shape)
        squares = part(state["scratch"], at, shape)
        row = part(state["row"], rows, (*shape[:-1], 1))
        column = part(state["column"], columns, (*shape[:-2], 1, shape[-1]))
        share = take.reshape(*take.shape[:-1], *[1] * len(shape))
        row_mean = xp.add.reduce(squares, axis=-1, keepdims=True)
        column_mean = xp.add.reduce(squares, axis=-2, keepdims=True)
        _follow(xp, row, xp.divide(row_mean, shape[-1], out=row_mean), share)
        _follow(xp, column, xp.divide(column_mean, shape[-2], out=column_mean), share)
        mean = xp.add.reduce(row, axis=-2, keepdims=True)
        xp.divide(mean, shape[-2], out=mean)
        # Two roots, one after the other: where a row and a column have had gradients of 0 alone,
        # as a pixel that is always black has, the product of both would be 0 in float32.
        xp.divide(xp.sqrt(row, out=row_mean), xp.sqrt(mean), out=row_mean)
        xp.divide(g, row_mean, out=g)
        xp.divide(g, xp.sqrt(column, out=column_mean), out=g)


def _clip_and_scale(u: Array, arena: Arena, state: State) -> None:
    """The step of adafactor for directions u, in proportion to the size of each parameter."""
    xp = arena.xp
    s = state["scratch"]
    places = [at for at, _ in arena.slices.values()]
    rate = xp.minimum(state["learning_rate"], 1.0 / xp.sqrt(state["step"]))
    # One scratch holds the squares of the parameters first, and those of the directions then.
    xp.multiply(arena.value, arena.value, out=s)
    sizes = [_root_mean_square(xp, s, at) for at in places]
    xp.multiply(u, u, out=s)
    for at, size in zip(places, sizes, strict=True):
        length = xp.maximum(_root_mean_square(xp, s, at) / state["clipping"], 1.0)
        factor = -xp.maximum(size, state["eps2"]) * rate / length
        xp.multiply(u[..., at], factor, out=u[..., at])


def _root_mean_square(xp: Any, squares: Array, at: slice) -> Array:
    return norm(xp, squares[..., at]) / sqrt(at.stop - at.start)


@update_rule()
def sm3(learning_rate: Scalar = 0.1, beta1: Scalar = 0.9) -> Rule:
    """m <- beta1 m + (1 - beta1) g / sqrt(v), u = -learning_rate * m

    v_ij <- min(max_k v_ik, max_k v_kj) + g_ij^2 for a matrix, the maxima over its row and its
    column, and v <- v + g^2 as in adagrad for a parameter of one row or column, such as biases.
    0 / 0 counts as 0.
    m, v (..., n); the maxima are found in v at each step, where they could be all that is kept.
    This is SM3-II. optax calls beta1 momentum and adds 1e-8 below the root.
    Reference: Anil, Gupta, Koren and Singer, Memory-efficient adaptive optimization, NeurIPS 2019.
    """
    positive("sm3", learning_rate=learning_rate)
    below_one("sm3", beta1=beta1)

    def formula(g, m, v, *, learning_rate, beta1):
        v = v + g**2
        # v is 0 only where all gradients of the parameter have been 0, as this one is.
        m = beta1 * m + (1 - beta1) * g / np.sqrt(np.where(v > 0, v, 1.0))
        return -learning_rate * m, m, v

    inner = elementwise(formula, learning_rate=learning_rate, beta1=beta1)

    def update(u: Array, arena: Arena, state: State) -> None:
        for at, shape in arena.slices.values():
            if _is_matrix(shape):
                v = part(state["v"], at, shape)
                row = v.max(axis=-1, keepdims=True)
                column = v.max(axis=-2, keepdims=True)
                arena.xp.minimum(row, column, out=v)
        inner.update(u, arena, state)

    return Rule(inner.init, update)
