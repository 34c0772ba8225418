"""The terms of a loss that is an expression of outputs and targets, and their slopes."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from harness.expressions.activation import traced, value_and_slope
from harness.expressions.backend import launches
from harness.expressions.graph import Graph
from harness.expressions.simplify import node
from harness.expressions.trace import Tracer, operand
from harness.ops import Array

Measure = Callable[[Array, Array], None]
Pull = Callable[[], None]


def plan_difference(
    xp: Any,
    h: Callable[..., Any],
    scalars: dict[str, Array],
    arrays: tuple[Array, Array, Array],
    scale: Any,
    name: str,
    origin: str,
) -> tuple[Measure, Pull]:
    """Make measure(y, t): d <- y - t, terms <- h(d); and pull(): dy <- scale h'(d).

    Parameters
    ----------
    xp
        The array module.
    h
        h(d, **scalars) is an expression of the difference, or that and its slope.
    scalars
        The hyperparameters (..., 1, 1), read anew in each call.
    arrays
        d, terms and dy, all (..., B, O).
    scale
        By which the slope is multiplied, of the type of the arrays.
    name, origin
        What h is called in errors, and the file where it is written.
    """
    from harness.expressions.loops import Unlowered

    d, terms, dy = arrays
    if launches(xp, d.dtype):

        def of_difference(y: Any, t: Any, **given: Any) -> Any:
            return h(y - t, **given)

        with suppress(Unlowered):
            return plan_terms(of_difference, scalars, terms, dy, scale, name, origin), _nothing
    value, pullback = traced(h, scalars, name, origin)

    def measure(y: Array, t: Array) -> None:
        xp.subtract(y, t, out=d)
        value(xp, d, terms)

    def pull() -> None:
        dy[...] = scale
        pullback(xp, d, terms, dy)

    return measure, pull


def _nothing() -> None:
    """The slope has been computed with the value."""


def plan_terms(
    f: Callable[..., Any],
    scalars: dict[str, Array],
    terms: Array,
    dy: Array,
    scale: Any,
    name: str,
    origin: str,
) -> Measure:
    """Make measure(y, t): terms <- f(y, t) and dy <- scale df/dy, in one launch on a GPU.

    Parameters
    ----------
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

    Raises
    ------
    Unlowered
        If no kernel computes it.
    """
    from harness.expressions.cuda_kernels import plan_arrays

    graph = Graph(Tracer)
    y = graph.intern("z")  # by which slopes are derived
    t = graph.intern("input", "t")
    arguments = {key: operand(graph, value) for key, value in scalars.items()}
    root, slope = value_and_slope(f(y, t, **arguments), name, origin)
    pulled = node("multiply", float(scale), slope)
    run = plan_arrays({y: "y", t: "t"}, {"terms": root, "dy": pulled}, terms)

    def measure(y: Array, t: Array) -> None:
        run(y=y, t=t, terms=terms, dy=dy)

    return measure
