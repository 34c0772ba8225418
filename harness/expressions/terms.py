"""The terms of a loss that is an expression of outputs and targets, and their slopes."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from harness.expressions import passes
from harness.expressions.activation import value_and_slope
from harness.expressions.backend import compiles, launches
from harness.expressions.graph import Graph
from harness.expressions.loops import Unlowered
from harness.expressions.simplify import node
from harness.expressions.trace import Tracer, operand
from harness.ops import Array

Measure = Callable[[Array, Array], None]


def plan_terms(
    xp: Any,
    f: Callable[..., Any],
    scalars: dict[str, Array],
    terms: Array,
    dy: Array,
    scale: Any,
    name: str,
    origin: str,
) -> Measure:
    """Make measure(y, t): terms <- f(y, t) and dy <- scale df/dy, in one loop or launch.

    Parameters
    ----------
    xp
        The array module.
    f
        f(y, t, **scalars) is an expression of outputs and targets, or that and its slope by y.
    scalars
        The hyperparameters (..., 1, 1), read anew in each call.
    terms, dy
        (..., B, O), which it writes.
    scale
        By which the slope is multiplied.
    name, origin
        What f is called in errors, and the file where it is written.
    """
    graph = Graph(Tracer)
    y = graph.intern("z")  # by which slopes are derived
    t = graph.intern("input", "t")
    arguments = {key: operand(graph, value) for key, value in scalars.items()}
    root, slope = value_and_slope(f(y, t, **arguments), name, origin)
    pulled = node("multiply", float(scale), slope)
    inputs = {y: "y", t: "t"}
    outputs = {"terms": root, "dy": pulled}
    # What neither of them computes runs in passes.
    with suppress(Unlowered):
        if launches(xp, terms.dtype):
            from harness.expressions.cuda_kernels import plan_arrays

            launch = plan_arrays(inputs, outputs, terms)
            return lambda y, t: launch(y=y, t=t, terms=terms, dy=dy)
        if compiles(xp, terms.dtype):
            from harness.expressions.numba_loops import plan_into

            loop = plan_into(inputs, outputs, {"terms": terms, "dy": dy}, ("y", "t"))
            spread = xp.empty_like(terms)

            def measure(y: Array, t: Array) -> None:
                # Members may share their targets, and one column of them may be asked for.
                if t.shape != spread.shape or not t.flags.c_contiguous:
                    xp.copyto(spread, t)
                    t = spread
                loop(y, t)

            return measure
    run = passes.plan_many(xp, {y.index: 0, t.index: 1}, {2: root, 3: pulled}, terms, 4)
    return lambda y, t: run(y, t, terms, dy)
