"""Simplification: a table of rules, each of which writes an operation as a simpler one.

`node` makes all nodes that are operations. It tries the rules for the operation in the order of
the table, and what the first one that fits returns is the node. Since each node is made so, its
operands are simple already, and no rule looks further down than at one operand.
"""

import math
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from harness.expressions.graph import Node, is_op


class Rule(NamedTuple):
    """One way to write an operation more simply.

    Attributes
    ----------
    name
        The rule as a formula; where it covers an operation's counterpart too, one of both.
    ops
        The operations that it is tried on.
    reason
        Why the value stays the same, or why it may change.
    rewrite
        rewrite(op, *operands): the simpler node or number, or None where the rule does not fit.
    changes
        What the result may differ in. Where this is empty, each bit stays, for any operands:
        zeros of both signs, infinities and denormals; a NaN stays a NaN.
    """

    name: str
    ops: tuple[str, ...]
    reason: str
    rewrite: Callable[..., Any]
    changes: str = ""


def node(op: str, *args: Any) -> Any:
    """Return op(*args), simplified; a number where all operands are numbers.

    Parameters
    ----------
    op
        An operation.
    args
        Nodes, floats and bools, as the operation takes them: a condition for what `where` chooses
        by and for what is logical, else numbers.
    """
    graph = next((a.graph for a in args if isinstance(a, Node)), None)
    if graph is None:
        return _computed(op, args)
    for rule in rules_of.get(op, ()):
        simpler = rule.rewrite(op, *args)
        if simpler is not None:
            return simpler
    return graph.intern(op, *args)


def _computed(op: str, args: tuple[Any, ...]) -> Any:
    """An operation on numbers, in float64; there is no graph that it could be put in."""
    function = np.where if op == "where" else ufunc_of(np, op)
    with np.errstate(all="ignore"):
        return function(*args).item()


def ufunc_of(xp: Any, name: str) -> Any:
    """Return the ufunc of that name in xp, or in the scipy.special that belongs to xp."""
    if hasattr(xp, name):
        return getattr(xp, name)
    special = "cupyx.scipy.special" if xp.__name__ == "cupy" else "scipy.special"
    return getattr(import_module(special), name)


def by_operation(rules: Iterable[Rule]) -> dict[str, list[Rule]]:
    """Return the rules for each operation, in their order."""
    found: dict[str, list[Rule]] = {}
    for rule in rules:
        for op in rule.ops:
            found.setdefault(op, []).append(rule)
    return found


# The rules ----------------------------------------------------------------------------------------
def _equal_branches(op: str, condition: Any, x: Any, y: Any) -> Any:
    if x is y or (isinstance(x, float) and is_op(y, x) and _sign(x) == _sign(y)):
        return x
    return None


def _known_condition(op: str, condition: Any, x: Any, y: Any) -> Any:
    if isinstance(condition, bool):
        return x if condition else y
    return None


def _zero_on_the_right(op: str, x: Any, y: Any) -> Any:
    return x if is_op(y, 0.0) else None


def _zero_on_the_left(op: str, x: Any, y: Any) -> Any:
    if not is_op(x, 0.0):
        return None
    return y if op == "add" else node("negative", y)


def _negative_term(op: str, x: Any, y: Any) -> Any:
    if not is_op(y, "negative"):
        return None
    return node("subtract" if op == "add" else "add", x, y.args[0])


def _negative_of_negative(op: str, x: Any) -> Any:
    return x.args[0] if is_op(x, "negative") else None


def _negative_on_the_left(op: str, x: Any, y: Any) -> Any:
    if not is_op(x, "negative"):
        return None
    return node("negative", node(op, x.args[0], y))


def _negative_on_the_right(op: str, x: Any, y: Any) -> Any:
    if is_op(y, "negative"):
        return node("negative", node(op, x, y.args[0]))
    return node("negative", node(op, x, 1.0)) if is_op(y, -1.0) else None


def _one_on_the_right(op: str, x: Any, y: Any) -> Any:
    return x if is_op(y, 1.0) else None


def _one_on_the_left(op: str, x: Any, y: Any) -> Any:
    if is_op(x, 1.0):
        return y
    return node("negative", y) if is_op(x, -1.0) else None


def _times_itself(op: str, x: Any, y: Any) -> Any:
    return node("square", x) if x is y else None


def _power_of_half(op: str, x: Any, y: Any) -> Any:
    return node("sqrt", x) if is_op(y, 0.5) else None


def _small_whole_power(op: str, x: Any, y: Any) -> Any:
    if not isinstance(y, float) or not y.is_integer() or not 0 < abs(y) <= 6:
        return None
    if y < 0:
        return node("divide", 1.0, node("power", x, -y))
    if y % 2:
        return node("multiply", node("power", x, y - 1.0), x)
    return node("square", node("power", x, y / 2.0))


def _sign(x: float) -> float:
    return math.copysign(1.0, x)


RULES = (
    Rule(
        "where(c, x, x) -> x",
        ("where",),
        "Both branches are the same node, or the same number with the same sign.",
        _equal_branches,
    ),
    Rule(
        "where(True, x, y) -> x",
        ("where",),
        "The condition is a number, so the other branch is never taken.",
        _known_condition,
    ),
    Rule(
        "x + 0 -> x",
        ("add", "subtract"),
        "A zero adds nothing. Only -0 + 0 would be 0, and stays -0.",
        _zero_on_the_right,
        changes="the sign of a zero",
    ),
    Rule(
        "0 + x -> x",
        ("add", "subtract"),
        "A zero adds nothing. Only 0 - 0 would be 0, and becomes -0.",
        _zero_on_the_left,
        changes="the sign of a zero",
    ),
    Rule(
        "x + -y -> x - y",
        ("add", "subtract"),
        "IEEE 754 defines a difference as the sum with the negative.",
        _negative_term,
    ),
    Rule(
        "-(-x) -> x",
        ("negative",),
        "A negative has the other sign bit, and all else is the same.",
        _negative_of_negative,
    ),
    Rule(
        "-x * y -> -(x * y)",
        ("multiply", "divide"),
        "Sign and size of a product or a quotient are found apart, and rounding is symmetric.",
        _negative_on_the_left,
    ),
    Rule(
        "x * -y -> -(x * y)",
        ("multiply", "divide"),
        "Sign and size of a product or a quotient are found apart, and rounding is symmetric.",
        _negative_on_the_right,
    ),
    Rule(
        "x * 1 -> x",
        ("multiply", "divide", "power"),
        "Any number is its own product with 1, quotient by 1 and first power.",
        _one_on_the_right,
    ),
    Rule(
        "1 * x -> x",
        ("multiply",),
        "Any number is its own product with 1, and with -1 it has the other sign.",
        _one_on_the_left,
    ),
    Rule(
        "x * x -> x^2",
        ("multiply",),
        "A square is computed as this product, and reads its operand once.",
        _times_itself,
    ),
    Rule(
        "x^0.5 -> sqrt(x)",
        ("power",),
        "A root is several times faster, is rounded correctly, and is what ** of NumPy computes.",
        _power_of_half,
        changes="the last bit; -0 for -0, and NaN for -inf, where pow has 0 and inf",
    ),
    Rule(
        "x^3 -> x^2 * x",
        ("power",),
        "Up to the sixth power, products are several times faster than pow.",
        _small_whole_power,
        changes="the last bits, and more where a product on the way over- or underflows",
    ),
)

# What `node` looks up
rules_of = by_operation(RULES)
