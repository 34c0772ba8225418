"""The ways to write an activation, each turned into the in-place pair that the engine calls."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from harness import registry
from harness.errors import UsageError
from harness.expressions.backend import runner
from harness.expressions.derive import left, slope_of
from harness.expressions.graph import Graph, Node, is_op, number, reachable
from harness.expressions.trace import Tracer, operand
from harness.expressions.words import lines

Pair = tuple[Callable[..., None], Callable[..., None]]


# The four spellings -------------------------------------------------------------------------------
def expression(entry: registry.Entry, kwargs: dict[str, Any]) -> Pair:
    """a = f(z, **kwargs), the slope from tracing

    Arrays in kwargs, (1, 1) or (P, 1, 1), are read at every call.
    """
    return traced(entry.factory, kwargs, f"the activation {entry.name!r}", entry.origin)


def traced(f: Callable[..., Any], kwargs: dict[str, Any], name: str, origin: str) -> Pair:
    """Trace f(z, **kwargs), and return its value and pullback.

    Parameters
    ----------
    f
        It returns an expression of z, or that and its slope.
    kwargs
        Its other arguments.
    name, origin
        What f is called in errors, and the file where it is written.
    """
    graph = Graph(Tracer)
    z = graph.intern("z")
    da = graph.intern("da")
    arguments = {
        key: operand(graph, value) if hasattr(value, "dtype") else value
        for key, value in kwargs.items()
    }
    root, slope = value_and_slope(f(z, **arguments), name, origin)
    pulled = da
    if not is_op(slope, 1.0):
        pulled = graph.intern("multiply", da, slope)
    forward = root
    # The values may go where z lies. A pass for `where` fills in the last operand first, so that
    # has to be z, or z would be lost.
    if root.op == "where" and root.args[1] is z:
        forward = graph.intern("where", ~root.args[0], root.args[2], z)
    run = runner(forward, {z.index: 0})
    pullback = runner(pulled, {root.index: 1, z.index: 0, da.index: 2})

    def value(xp: Any, z: Any, out: Any) -> None:
        run(xp, z, None, out)

    value.graph = forward, {z.index: 0}  # type: ignore[attr-defined]
    pullback.slope = slope  # type: ignore[attr-defined]
    value.words = partial(  # type: ignore[attr-defined]
        lines, {"f(z)": root, "f'(z)": slope}
    )
    return value, pullback


def value_and_slope(returned: Any, name: str, origin: str) -> tuple[Node, Any]:
    """What the factory returned, and its slope: derived, unless the factory returned that too."""
    if isinstance(returned, tuple) and len(returned) == 2:
        value, slope = returned
        if isinstance(slope, Node | int | float):
            return _expression_of_z(value, name, origin), number(slope)
    root = _expression_of_z(returned, name, origin)
    for node in reachable(root):  # operands first, so that the recursion stays shallow
        slope_of(left(node))
    return root, slope_of(left(root))


def _expression_of_z(returned: Any, name: str, origin: str) -> Any:
    """An expression of z, as a number; UsageError where it is none."""
    if isinstance(returned, Node) and returned.of_z:
        return number(returned)
    got = "an expression without it" if isinstance(returned, Node) else repr(returned)
    raise UsageError(
        f"{name} must return an expression of its first argument, got {got}; see {origin}"
    )


def deriv(entry: registry.Entry, kwargs: dict[str, Any]) -> Pair:
    """One function as in the article, value and slope by a flag.

    f(z, **kwargs) is the value, f(z, deriv=True, **kwargs) the slope.
    """
    f = entry.factory
    return _allocating(
        lambda z: f(z, deriv=False, **kwargs), lambda z, a: f(z, deriv=True, **kwargs)
    )


def factory(entry: registry.Entry, kwargs: dict[str, Any]) -> Pair:
    """A pair of functions that may allocate: f(z) is the value, df(z, a) or df(z) the slope."""
    f, df = _two(entry, kwargs, "f(z), df(z, a)")
    if _takes_a(df):
        return _allocating(f, df)
    return _allocating(f, lambda z, a: df(z))


def _takes_a(df: Callable[..., Any]) -> bool:
    """Whether a slope is df(z, a), and not df(z)."""
    if isinstance(df, np.ufunc):
        return df.nin > 1
    parameters = [
        p for p in inspect.signature(df).parameters.values() if p.kind is not p.KEYWORD_ONLY
    ]
    # A second parameter with a default is a bound constant, unless it is called a.
    needed = sum(p.default is p.empty or p.name == "a" for p in parameters)
    return needed > 1 or parameters[0].kind is parameters[0].VAR_POSITIONAL


def inplace(entry: registry.Entry, kwargs: dict[str, Any]) -> Pair:
    """The in-place pair value(xp, z, out), pullback(xp, z, a, da), as the factory returns it."""
    return _two(entry, kwargs, "value(xp, z, out), pullback(xp, z, a, da)")


def _two(entry: registry.Entry, kwargs: dict[str, Any], form: str) -> Any:
    pair = entry.factory(**kwargs)
    if not isinstance(pair, tuple | list) or len(pair) != 2 or not all(map(callable, pair)):
        raise UsageError(
            f"the activation {entry.name!r} must return two functions, {form}, got {pair!r}; see "
            f"{entry.origin}"
        )
    return tuple(pair)


def _allocating(f: Callable[..., Any], df: Callable[..., Any]) -> Pair:
    def value(xp: Any, z: Any, out: Any) -> None:
        out[...] = f(z)

    def pullback(xp: Any, z: Any, a: Any, da: Any) -> None:
        xp.multiply(da, df(z, a), out=da)

    return value, pullback


registry.spellings.update(expression=expression, deriv=deriv, factory=factory, inplace=inplace)
