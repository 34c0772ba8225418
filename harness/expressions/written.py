"""Loops that no expression says, since they sum: compiled like the others.

Each function here is the source of a compiled loop. It is never called as it stands: `compiled`
puts the names that it uses in front of it: f, the type of the arrays, and functions of that type
such as `exp_f`.
"""

import inspect
from collections.abc import Callable
from functools import cache, partial
from math import log
from typing import Any

import numpy as np
from numpy import float32 as f

from harness.expressions.backend import check_shape, compiles, flat, flattener, launches, span_of
from harness.expressions.compiled import compile_loop
from harness.expressions.graph import Graph, Node
from harness.expressions.loops import Loop, head
from harness.ops import Array


def bytes_to_floats(raw: Any, out: Any, divisor: Any) -> None:
    """out <- raw / divisor, element by element"""
    d = divisor[0]
    for i in range(out.size):
        out[i] = f(raw[i]) / d


def softmax_rows(y: Any, target: Any, e: Any, dy: Any, values: Any, scale: Any) -> None:
    """values <- -sum_k target log p, dy <- (p - target) scale, with p = softmax(y), row by row"""
    rows = values.size
    K = y.size // rows
    s = scale[0]
    for r in range(rows):
        row = y[r * K : r * K + K]
        below = dy[r * K : r * K + K]
        top = row[0]
        for k in range(1, K):
            top = row[k] if row[k] > top else top
        for k in range(K):
            below[k] = row[k] - top
    # One loop over all elements, whatever the length of a row, so that exp is vectorized.
    for i in range(y.size):
        e[i] = exp_f(dy[i])  # type: ignore[name-defined]  # noqa: F821
    for r in range(rows):
        powers = e[r * K : r * K + K]
        below = dy[r * K : r * K + K]
        at = r * K % target.size  # members may share their targets
        t = target[at : at + K]
        total = powers[0]
        for k in range(1, K):
            total += powers[k]
        # The maximum of y is not added to both: a large one has no digits for it.
        log_total = f(log(total))
        loss = (log_total - below[0]) * t[0]
        for k in range(1, K):
            loss += (log_total - below[k]) * t[k]
        values[r] = loss
        for k in range(K):
            below[k] = (powers[k] / total - t[k]) * s


def less_the_maximum(y: Any, total: Any) -> None:
    """y <- y - max of its row, where `total` has a number for each row"""
    rows = total.size
    K = y.size // rows
    for r in range(rows):
        row = y[r * K : r * K + K]
        top = row[0]
        for k in range(1, K):
            top = row[k] if row[k] > top else top
        for k in range(K):
            row[k] -= top


def over_the_total(y: Any, total: Any) -> None:
    """y <- y / total of its row"""
    rows = total.size
    K = y.size // rows
    for r in range(rows):
        row = y[r * K : r * K + K]
        divisor = total[r]
        for k in range(K):
            row[k] /= divisor


def sum_rows(dy: Any, row: Any, step: Any, O: Any) -> None:
    """row (P, O) <- sum over the batch of dy (P, B, O), in the order in which a fused loop sums

    The rows are as `span_of` returns them.
    """
    members = (row.size - O) // step + 1
    rows = dy.size // (members * O)
    for p in range(members):
        total = row[p * step : p * step + O]
        total[:] = f(0.0)
        for r in range(rows):
            start = (p * rows + r) * O
            line = dy[start : start + O]
            for j in range(O):
                total[j] += line[j]


def add_rows(y: Any, row: Any, step: Any, O: Any) -> None:
    """y (P, B, O) <- y + row (P, O), which is as `span_of` returns it"""
    members = (row.size - O) // step + 1
    rows = y.size // (members * O)
    for p in range(members):
        added = row[p * step : p * step + O]
        for r in range(rows):
            start = (p * rows + r) * O
            line = y[start : start + O]
            for j in range(O):
                line[j] += added[j]


def drop_elements(x: Any, m: Any, y: Any, rate: Any, gain: Any) -> None:
    """m <- gain where m >= rate, else 0, y <- x m, with the rate and gain (P,) of each member"""
    n = m.size // rate.size
    for p in range(rate.size):
        first = p * n % x.size  # members may share their inputs
        row = x[first : first + n]
        mask = m[p * n : p * n + n]
        out = y[p * n : p * n + n]
        least = rate[p]
        kept = gain[p]
        for i in range(n):
            factor = kept if mask[i] >= least else f(0.0)
            mask[i] = factor
            out[i] = row[i] * factor


def dropping(xp: Any, m: Array, y: Array, rate: Array, gain: Array) -> Callable[[Array], None]:
    """Return run(x): m (..., B, I) <- gain where m >= rate, else 0; y <- x m."""
    if compiles(xp, y.dtype):
        rest = [flat(a) for a in (m, y, rate, gain)]
        kernel = compile_written(drop_elements, [], rest[0], *rest)
        flatten = flattener("x", m.dtype, m.shape, m.shape[-2:])  # members may share their inputs
        return lambda x: kernel(flatten(x), *rest)
    if launches(xp, y.dtype):
        from harness.expressions.cuda_kernels import plan_arrays

        graph = Graph(Node)
        given = {name: graph.intern("input", name) for name in ("x", "m")}
        least, kept = (graph.intern("array", scalar) for scalar in (rate, gain))
        is_kept = graph.intern("greater_equal", given["m"], least)
        mask = graph.intern("where", is_kept, kept, 0.0)
        dropped = graph.intern("multiply", given["x"], mask)
        inputs = {node: name for name, node in given.items()}
        launch = plan_arrays(inputs, {"m": mask, "y": dropped}, m)
        return lambda x: launch(x=x, m=m, y=y)
    keep = xp.empty(m.shape, bool)

    def run(x: Array) -> None:
        xp.greater_equal(m, rate, out=keep)
        xp.multiply(keep, gain, out=m)
        xp.multiply(x, m, out=y)

    return run


def mean_and_count(values: Any, mean: Any, steps: Any) -> None:
    """mean (P,) <- means of values (P, B), steps (P,) <- steps + 1"""
    rows = values.size // mean.size
    for p in range(mean.size):
        total = 0.0  # in float64, since a batch may be all there is
        for r in range(p * rows, p * rows + rows):
            total += values[r]
        mean[p] = f(total / rows)
        steps[p] += f(1.0)


def step_counter(xp: Any, rows: int, mean: Array, steps: Array) -> Callable[[Array], None]:
    """Return run(values): mean (...,) <- means of values (..., rows), steps <- steps + 1."""
    name = "the loss of each row"
    shape = (*mean.shape, rows)
    if compiles(xp, mean.dtype):
        means, counts = mean.reshape(-1), flat(steps)
        kernel = compile_written(mean_and_count, [], means, means, counts)
        flatten = flattener(name, mean.dtype, shape)
        return lambda values: kernel(flatten(values), means, counts)

    if launches(xp, mean.dtype):
        from harness.expressions.cuda_written import mean_and_count as on_gpu

        return on_gpu(mean, steps, rows)
    share = mean.dtype.type(1.0 / rows)
    one = steps.dtype.type(1.0)

    def run(values: Array) -> None:
        # A sum would fill all of `mean` with that of fewer rows.
        check_shape(name, values, shape)
        xp.add.reduce(values, axis=-1, out=mean)
        xp.multiply(mean, share, out=mean)
        xp.add(steps, one, out=steps)

    return run


def bias_addition(xp: Any, y: Array, b: Array) -> Callable[[], None]:
    """Return run(): y (..., B, O) <- y + b (..., 1, O)."""
    if compiles(xp, y.dtype):
        span = span_of(b)
        kernel = compile_written(add_rows, [], flat(y), *span)
        return partial(kernel, flat(y), *span)
    return partial(xp.add, y, b, out=y)


def bias_gradient(xp: Any, matmul: Callable[..., Any], y: Array, db: Array) -> Callable[..., None]:
    """Return run(dy): db (..., 1, O) <- sum over the batch of dy, an array like y (..., B, O)."""
    if compiles(xp, y.dtype):
        span = span_of(db)
        kernel = compile_written(sum_rows, [], flat(y), *span)
        flatten = flattener("dy", y.dtype, y.shape)
        return lambda dy: kernel(flatten(dy), *span)
    # Sums over the batch take half the time as products with this.
    ones = xp.ones((1, y.shape[-2]), y.dtype)

    def product(dy: Array) -> None:
        matmul(ones, dy, out=db)

    return product


def compile_written(
    function: Callable[..., Any], fast: list[str], *like: Any, calls: tuple[Any, ...] = ()
) -> Any:
    """Compile a function of this room for arguments of the types of these.

    Parameters
    ----------
    function
        Such as one of those above.
    fast
        The functions that it calls, which are ours in float32; exp is `exp_f` in it.
    *like
        An array or a number for each of its arguments; it is called with others of the same types.
        The first array of floats has the type in which it computes.
    calls
        The other functions of its module that it calls.
    """
    dtype = next(a.dtype.name for a in like if isinstance(a, np.ndarray) and a.dtype.kind == "f")
    return compile_loop(_loop_of(function, tuple(fast), calls, dtype), [], like)


@cache
def _loop_of(
    function: Callable[..., Any], fast: tuple[str, ...], calls: tuple[Any, ...], dtype: str
) -> Loop:
    # A trial needs some thirty of them, and Python reads a source anew each time it is asked.
    *names, compiled = head(dtype, set(fast))
    lines = ["from typing import Any", *names]
    for each in (*calls, function):
        lines += [compiled, inspect.getsource(each)]
    return Loop("\n".join(lines), (), (), (), name=function.__name__)
