"""Derivation: the slope of an expression, as nodes of the same graph.

A slope is that from the left, as f' of relu at 0 is 0: where operands are equal, a comparison says
what it says just left of z. So `left` first writes the graph as it is there, and `slope_of` derives
that. Two tables have the slope of each operation. The formulas in them are written with operators,
for nodes (`trace.Tracer`) and for numbers.
"""

import math
import operator
from collections.abc import Callable
from typing import Any

from harness.expressions.graph import Node, is_op
from harness.expressions.simplify import Rule, node

# Just left of z -----------------------------------------------------------------------------------
# op -> without ties, with ties, and the sign of v' - u' at which u op v holds just left of a tie
_ORDER = {
    "greater": ("greater", "greater_equal", operator.gt),
    "greater_equal": ("greater", "greater_equal", operator.ge),
    "less": ("less", "less_equal", operator.lt),
    "less_equal": ("less", "less_equal", operator.le),
}


def left(n: Any) -> Any:
    """Return the graph of f(z-): comparisons and sign as they are just left of z."""
    if not isinstance(n, Node) or not n.of_z or n.op == "z":
        return n
    known = n.graph.left
    if n.index not in known:
        known[n.index] = _left_of(n.op, [left(a) for a in n.args])
    return known[n.index]


def _left_of(op: str, args: list[Any]) -> Any:
    if op in _ORDER:
        return _from_left(op, *args)
    if op == "sign":
        low = node("where", _from_left("less", args[0], 0.0), -1.0, 0.0)
        return node("where", _from_left("greater", args[0], 0.0), 1.0, low)
    return node(op, *args)


def _from_left(op: str, u: Any, v: Any) -> Any:
    """The comparison u op v as it is just left of z.

    A tie u = v has given way there to the sign of v' - u'. Where these are equal too, as for
    z * z > 0 at 0, the comparison stays as it is at z: it is right to first order.
    """
    strict, loose, holds = _ORDER[op]
    tie = holds(slope_of(v) - slope_of(u), 0.0)
    if isinstance(tie, bool):
        return node(loose if tie else strict, u, v)
    return node("logical_or", node(strict, u, v), node("logical_and", node(loose, u, v), tie))


# Slopes -------------------------------------------------------------------------------------------
def slope_of(n: Any) -> Any:
    """Return dn/dz, for a node that `left` has returned."""
    if not isinstance(n, Node) or not n.of_z or n.boolean:
        return 0.0
    known = n.graph.slopes
    if n.index not in known:
        known[n.index] = _slope(n, [slope_of(a) for a in n.args])
    return known[n.index]


def _slope(y: Node, slopes: list[Any]) -> Any:
    if y.op == "z":
        return 1.0
    if y.op in FACTORS:
        return product(FACTORS[y.op](y, *y.args), *slopes)
    return SLOPES[y.op](y, *y.args, *slopes)


def product(x: Any, y: Any) -> Any:
    """Return x * y as slopes are multiplied: by the rules of PRODUCTS."""
    for rule in PRODUCTS:
        simpler = rule.rewrite("multiply", x, y)
        if simpler is not None:
            return simpler
    return x * y


def _zero_factor(op: str, x: Any, y: Any) -> Any:
    return 0.0 if is_op(x, 0.0) or is_op(y, 0.0) else None


def _negative_factor(op: str, x: Any, y: Any) -> Any:
    for a, b in ((x, y), (y, x)):
        if is_op(a, "negative"):
            return -product(a.args[0], b)
    return None


def _masked_factor(op: str, x: Any, y: Any) -> Any:
    for a, b in ((x, y), (y, x)):
        if is_op(a, "where") and (is_op(a.args[1], 0.0) or is_op(a.args[2], 0.0)):
            condition, taken, otherwise = a.args
            return node("where", condition, product(taken, b), product(otherwise, b))
    return None


def _overflowing_factor(op: str, x: Any, y: Any) -> Any:
    zeros = [
        node("equal", a, 0.0)
        for a, b in ((x, y), (y, x))
        if isinstance(a, Node) and getattr(b, "grows", False)
    ]
    if not zeros:
        return None
    is_zero = zeros[0] if len(zeros) == 1 else node("logical_or", *zeros)
    return node("where", is_zero, 0.0, x * y)


# A slope is a limit. Where one factor is 0 and the other one has overflowed, x * y would be NaN,
# and the limit is 0 in what people write.
PRODUCTS = (
    Rule(
        "0 * y -> 0, in a slope",
        ("multiply",),
        "What does not depend on z has the slope 0, whatever it is multiplied by.",
        _zero_factor,
        changes="0 for NaN where y is no finite number; the sign of a zero",
    ),
    Rule(
        "-x * y -> -(x * y), in a slope",
        ("multiply",),
        "The sign of a product does not depend on its size, and the rules below see x itself.",
        _negative_factor,
    ),
    Rule(
        "where(c, x, 0) * y -> where(c, x * y, 0), in a slope",
        ("multiply",),
        "The branch that is not taken has no slope, and y may be anything there.",
        _masked_factor,
        changes="0 for NaN where y is no finite number; the sign of a zero",
    ),
    Rule(
        "x * exp(z) -> where(x == 0, 0, x * exp(z)), in a slope",
        ("multiply",),
        "Where x has become 0, it has vanished faster than the exponential grows.",
        _overflowing_factor,
        changes="0 for NaN where one factor is 0 and the other is none; the sign of a zero",
    ),
)


def _divided(u: Any, v: Any) -> Any:
    return node("divide", u, v)


def _exp(u: Any) -> Any:
    return node("exp", u)


def _log(u: Any) -> Any:
    return node("log", u)


def _power(y: Any, u: Any, v: Any, du: Any, dv: Any) -> Any:
    """The slope of u^v; a term is left out where its operand does not depend on z."""
    if is_op(dv, 0.0):
        return 0.0 if is_op(v, 0.0) else product(v * u ** (v - 1.0), du)
    of_base = 0.0 if is_op(du, 0.0) else product(v * _divided(y, u), du)
    return of_base + product(y * _log(u), dv)


def _absolute(y: Any, u: Any, du: Any) -> Any:
    """The slope of |u|."""
    if is_op(du, 0.0):
        return 0.0
    return node("where", _from_left("greater", u, 0.0), du, -du)


_ROOT_PI = math.sqrt(math.pi)

# dy/du of y = op(u), as a function of (y, u)
FACTORS: dict[str, Callable[[Any, Any], Any]] = {
    "negative": lambda y, u: -1.0,
    "square": lambda y, u: 2.0 * u,
    "sqrt": lambda y, u: 0.5 / y,
    "cbrt": lambda y, u: 1.0 / (3.0 * y**2),
    "exp": lambda y, u: y,
    "exp2": lambda y, u: math.log(2.0) * y,
    "expm1": lambda y, u: _exp(u),
    "sin": lambda y, u: node("cos", u),
    "cos": lambda y, u: -node("sin", u),
    "tan": lambda y, u: 1.0 + y**2,
    "sinh": lambda y, u: node("cosh", u),
    "cosh": lambda y, u: node("sinh", u),
    "tanh": lambda y, u: 1.0 - y**2,
    "arctan": lambda y, u: 1.0 / (1.0 + u**2),
    "arcsinh": lambda y, u: 1.0 / node("hypot", 1.0, u),
    "arccosh": lambda y, u: 1.0 / (node("sqrt", u - 1.0) * node("sqrt", u + 1.0)),
    "arctanh": lambda y, u: 1.0 / (1.0 - u**2),
    "sign": lambda y, u: 0.0,
    "expit": lambda y, u: y * (1.0 - y),
    "log_expit": lambda y, u: node("expit", -u),
    "erf": lambda y, u: (2.0 / _ROOT_PI) * _exp(-(u**2)),
    "erfc": lambda y, u: (-2.0 / _ROOT_PI) * _exp(-(u**2)),
    "erfcx": lambda y, u: 2.0 * u * y - 2.0 / _ROOT_PI,
    "ndtr": lambda y, u: (math.sqrt(0.5) / _ROOT_PI) * _exp(-0.5 * u**2),
    "log_ndtr": lambda y, u: (math.sqrt(2.0) / _ROOT_PI) / node("erfcx", -math.sqrt(0.5) * u),
    "entr": lambda y, u: -1.0 - _log(u),
}

# dy/dz of y = op(u, ...), as a function of (y, u, ..., du/dz, ...); a quotient comes last, so that
# factors stay small
SLOPES: dict[str, Callable[..., Any]] = {
    "add": lambda y, u, v, du, dv: du + dv,
    "subtract": lambda y, u, v, du, dv: du - dv,
    "multiply": lambda y, u, v, du, dv: product(du, v) + product(u, dv),
    "divide": lambda y, u, v, du, dv: _divided(du - product(y, dv), v),
    "power": _power,
    "log": lambda y, u, du: _divided(du, u),
    "log2": lambda y, u, du: _divided(du, math.log(2.0) * u),
    "log10": lambda y, u, du: _divided(du, math.log(10.0) * u),
    "log1p": lambda y, u, du: _divided(du, 1.0 + u),
    "logaddexp": lambda y, u, v, du, dv: product(_exp(u - y), du) + product(_exp(v - y), dv),
    "absolute": _absolute,
    "maximum": lambda y, u, v, du, dv: node("where", _from_left("greater", u, v), du, dv),
    "minimum": lambda y, u, v, du, dv: node("where", _from_left("less", u, v), du, dv),
    "where": lambda y, c, u, v, dc, du, dv: node("where", c, du, dv),
    "hypot": lambda y, u, v, du, dv: _divided(product(u, du) + product(v, dv), y),
    "xlogy": lambda y, u, v, du, dv: product(_log(v), du) + product(_divided(u, v), dv),
}
