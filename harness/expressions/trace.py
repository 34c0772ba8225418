"""Tracing: a user's function is called once, with a node in place of z, and the graph grows.

What the function does to a `Tracer` becomes a node, or is refused by name. It is never answered
with something that is not meant: what Python would ask of a number, such as its truth, is refused
too.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from harness.expressions.derive import FACTORS, SLOPES
from harness.expressions.graph import COMPARISONS, LOGICAL, Graph, Node, number, reachable
from harness.expressions.refusals import EACH, FORBIDDEN, PAIR, refuse
from harness.expressions.simplify import node


class Tracer(Node, NDArrayOperatorsMixin):
    """A node as a user's function sees it: z, an array, or what has been computed of them."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        name = ufunc.__name__
        home = _home(ufunc)
        if method != "__call__" or ufunc.signature:
            refuse(f"{home}.{name}" if ufunc.signature else f"{home}.{name}.{method}", EACH)
        if kwargs:
            refuse(
                f"{home}.{name} in place or with {', '.join(kwargs)}=",
                "write y = y + 1, not y += 1",
            )
        if name in ("equal", "not_equal") and any(getattr(i, "of_z", False) for i in inputs):
            refuse(
                f"{home}.{name} (== or !=) on z",
                "single points have no slope of their own; use <, <=, >, >=",
            )
        if home == "the ufunc" or name not in _UFUNCS:
            refuse(f"{home}.{name}", PAIR)
        operands = _operands(*inputs)
        # NumPy refuses these too.
        if name in ("negative", "subtract", "positive") and _are_conditions(*operands):
            refuse(
                f"{home}.{name} of conditions",
                "use ~ and ^, or np.where(z > 0, 1.0, 0.0) for numbers",
            )
        return _UFUNCS[name](*operands)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if func.__name__ not in _FUNCTIONS:
            refuse(f"np.{func.__name__}", EACH)
        try:
            return _FUNCTIONS[func.__name__](*args, **kwargs)
        except TypeError as error:
            refuse(f"np.{func.__name__} with other arguments ({error})", "use its plain form")

    def astype(self, dtype: Any) -> Any:
        """z itself; 1 or 0 for a condition. The dtype is that of z throughout."""
        if np.dtype(dtype).kind != "f":
            refuse(f"astype({dtype!r})", "only float types have a slope")
        return number(self)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        refuse(f"z.{name}", f"{EACH}; Python numbers take the dtype of z")


def _forbidden(what: str, remedy: str) -> Callable[..., NoReturn]:
    """A method that refuses an operation which would give a wrong graph without a word."""

    def method(self: Tracer, *_: Any, **__: Any) -> NoReturn:
        if self.of_z:
            refuse(what.format("z"), remedy)
        if any(node.op == "input" for node in reachable(self)):
            refuse(what.format("an array of a formula"), remedy)
        refuse(
            what.format("a Scalar hyperparameter, which is an array"),
            f"{remedy}; or do not annotate it as Scalar",
        )

    return method


for _names, (_what, _remedy) in FORBIDDEN.items():
    for _name in _names.split():
        setattr(Tracer, f"__{_name}__", _forbidden(_what, _remedy))


def _home(ufunc: Any) -> str:
    """Where a ufunc comes from, as a message calls it."""
    name = ufunc.__name__
    if getattr(np, name, None) is ufunc:
        return "np"
    if getattr(sys.modules.get("scipy.special"), name, None) is ufunc:
        return "scipy.special"
    return "the ufunc"


# Operands -----------------------------------------------------------------------------------------
def operand(graph: Graph, a: Any) -> Any:
    """Return a node, a float or a bool; an array as a node.

    NumPy scalars become Python numbers, which keep float32.
    """
    if isinstance(a, Node):
        return a
    if getattr(a, "ndim", None) == 0:
        a = a.item()
    if isinstance(a, bool):
        return a
    if isinstance(a, int | float):
        return float(a)
    if getattr(getattr(a, "dtype", None), "kind", "O") not in "fiub":
        refuse(f"the operand {a!r}", "use real numbers and arrays of them")
    return graph.intern("array", a)


def _operands(*args: Any) -> list[Any]:
    """What a user's function has given, of which one at least is a node."""
    graph = next(a.graph for a in args if isinstance(a, Node))
    return [operand(graph, a) for a in args]


def _are_conditions(*operands: Any) -> bool:
    return all(a.boolean if isinstance(a, Node) else isinstance(a, bool) for a in operands)


# Operations ---------------------------------------------------------------------------------------
def _of_numbers(op: str, *operands: Any) -> Any:
    return node(op, *map(number, operands))


def _of_conditions(op: str, ufunc: str, *operands: Any) -> Any:
    if not _are_conditions(*operands):
        refuse(f"np.{ufunc} on numbers", "combine conditions, such as (z > 0) & (z < 1)")
    return node(op, *operands)


def _of_either(op: str, logical: str, *operands: Any) -> Any:
    """A sum or a product; NumPy adds conditions by or, and multiplies them by and."""
    if _are_conditions(*operands):
        return node(logical, *operands)
    return _of_numbers(op, *operands)


def _choice(condition: Any, x: Any, y: Any) -> Any:
    if not _are_conditions(condition):
        refuse(
            "np.where with a condition that is no comparison",
            "write one, such as np.where(z > 0, z, 0)",
        )
    return node("where", condition, number(x), number(y))


def _heaviside(u: Any, h: Any) -> Any:
    return _choice(u > 0.0, 1.0, _choice(u < 0.0, 0.0, h))


def _where(condition: Any, x: Any, y: Any) -> Any:
    return _choice(*_operands(condition, x, y))


def _clip(z: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    low = a_min if min is None else min
    high = a_max if max is None else max
    if low is not None:
        z = np.maximum(z, low)
    if high is not None:
        z = np.minimum(z, high)
    return z


def _select(condlist: Any, choicelist: Any, default: Any = 0.0) -> Any:
    operands = _operands(*condlist, *choicelist, default)
    conditions = operands[: len(condlist)]
    choices = operands[len(condlist) : -1]
    chosen = operands[-1]
    for condition, choice in reversed(list(zip(conditions, choices, strict=True))):
        chosen = _choice(condition, choice, chosen)
    return chosen


def _like(a: Any, value: Any, dtype: Any) -> Any:
    """np.full_like: a number or a node as the dtype, or a, would have it."""
    dtype = np.dtype(dtype or (bool if a.boolean else float))
    if dtype.kind == "f":
        return number(value) if isinstance(value, Node | bool) else value
    if not isinstance(value, bool | int | float):
        refuse(f"np.full_like with {dtype}", "only float types have a slope")
    return dtype.type(value).item()


# What a ufunc of NumPy or scipy.special does to nodes, by its name
_UFUNCS: dict[str, Callable[..., Any]] = {
    **{op: partial(_of_numbers, op) for op in (*FACTORS, *SLOPES, *COMPARISONS)},
    "add": partial(_of_either, "add", "logical_or"),
    "multiply": partial(_of_either, "multiply", "logical_and"),
    **{op: partial(_of_conditions, op, op) for op in LOGICAL},
    "bitwise_and": partial(_of_conditions, "logical_and", "bitwise_and"),
    "bitwise_or": partial(_of_conditions, "logical_or", "bitwise_or"),
    "bitwise_xor": partial(_of_conditions, "logical_xor", "bitwise_xor"),
    "invert": partial(_of_conditions, "logical_not", "invert"),
    "positive": lambda u: u,
    "reciprocal": lambda u: _of_numbers("divide", 1.0, u),
    "fabs": partial(_of_numbers, "absolute"),
    "float_power": partial(_of_numbers, "power"),
    "heaviside": _heaviside,
}

# The same for functions that are no ufuncs
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "where": _where,
    "clip": _clip,
    "select": _select,
    "zeros_like": lambda a, dtype=None: _like(a, 0.0, dtype),
    "ones_like": lambda a, dtype=None: _like(a, 1.0, dtype),
    "full_like": lambda a, fill_value, dtype=None: _like(a, fill_value, dtype),
    "astype": lambda x, dtype: x.astype(dtype),
}
