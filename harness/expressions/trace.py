"""Tracing: an expression in the words of NumPy becomes a graph, and the graph of its slope."""

import math
import operator
import os
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any, NoReturn

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from harness.errors import UsageError

Pair = tuple[Callable[..., None], Callable[..., None]]


# For so many shapes the buffers are kept; more than a training and an evaluation batch are rare
SHAPES = 8


_PACKAGES = os.path.dirname(os.path.dirname(np.__file__))


_INSIDE = (
    os.path.dirname(__file__),
    os.path.join(_PACKAGES, "numpy"),
    os.path.join(_PACKAGES, "scipy"),
)


def _refuse(what: str, remedy: str) -> NoReturn:
    """UsageError that names the operation and the line of the user's file that asked for it."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_INSIDE):
        frame = frame.f_back
    place = f"{frame.f_code.co_filename}, line {frame.f_lineno}, in {frame.f_code.co_name}"
    raise UsageError(
        f"an activation must consist of operations with a known slope, got {what} "
        f"({place}); {remedy}"
    )


_EACH = "an activation works on every element alone; use ufuncs, np.where, np.clip, np.select"


_PAIR = "leave it out, or write the activation as a pair f, df"


FORBIDDEN = {
    "bool": (
        "the truth of {} (if, while, and, or, not, max, min, a < z < b)",
        "use np.where, np.maximum and & | ~",
    ),
    "float int complex index": (
        "{} as one number (float, int, math)",
        "use the function of numpy or scipy.special",
    ),
    "len iter getitem setitem delitem contains": ("len, a loop or an index on {}", _EACH),
    "array": ("a function that needs an array for {}", _EACH),
    "round floor ceil trunc": ("{} rounded", _PAIR),
}


class Tracer(NDArrayOperatorsMixin):
    """A node of the graph: z, an array, or an operation on nodes and numbers.

    The user's function sees it as z.
    """

    __slots__ = ("args", "boolean", "grows", "index", "left", "of_z", "op", "slope", "table")
    __hash__ = object.__hash__

    def __init__(self, table: dict[Any, Any], op: str, args: tuple[Any, ...]) -> None:
        self.table, self.op, self.args, self.index = table, op, args, len(table)
        self.of_z: bool = op == "z" or any(a.of_z for a in args if isinstance(a, Tracer))
        self.boolean = op in _CONDITIONS or (op == "array" and args[0].dtype == bool)
        self.grows = self.of_z and _grows(op, args)
        self.left: Any = None  # filled by _left and _slope
        self.slope: Any = None

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        name = ufunc.__name__
        homes = {"np": np, "scipy.special": sys.modules.get("scipy.special")}
        home = next(
            (h for h, module in homes.items() if getattr(module, name, None) is ufunc), "the ufunc"
        )
        if method != "__call__" or ufunc.signature:
            _refuse(f"{home}.{name}" if ufunc.signature else f"{home}.{name}.{method}", _EACH)
        if kwargs:
            _refuse(
                f"{home}.{name} in place or with {', '.join(kwargs)}=",
                "write y = y + 1, not y += 1",
            )
        if name in ("equal", "not_equal") and any(getattr(i, "of_z", False) for i in inputs):
            _refuse(
                f"{home}.{name} (== or !=) on z",
                "single points have no slope of their own; use <, <=, >, >=",
            )
        if home == "the ufunc" or name not in _UFUNCS:
            _refuse(f"{home}.{name}", _PAIR)
        # So does NumPy
        if name in ("negative", "subtract", "positive") and all(map(_condition, inputs)):
            _refuse(
                f"{home}.{name} of conditions",
                "use ~ and ^, or np.where(z > 0, 1.0, 0.0) for numbers",
            )
        return _UFUNCS[name](*inputs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if func.__name__ not in _FUNCTIONS:
            _refuse(f"np.{func.__name__}", _EACH)
        try:
            return _FUNCTIONS[func.__name__](*args, **kwargs)
        except TypeError as error:
            _refuse(f"np.{func.__name__} with other arguments ({error})", "use its plain form")

    def astype(self, dtype: Any) -> Any:
        """z itself; 1 or 0 for a condition. The dtype is that of z throughout."""
        if np.dtype(dtype).kind != "f":
            _refuse(f"astype({dtype!r})", "only float types have a slope")
        return number(self)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        _refuse(f"z.{name}", f"{_EACH}; Python numbers take the dtype of z")


def forbid(what: str, remedy: str) -> Callable[..., NoReturn]:
    """A method that refuses an operation which would give a wrong graph without a word."""

    def method(self: Tracer, *_: Any, **__: Any) -> NoReturn:
        if self.of_z:
            _refuse(what.format("z"), remedy)
        _refuse(
            what.format("a Scalar hyperparameter, which is an array"),
            f"{remedy}; or do not annotate it as Scalar",
        )

    return method


# Building the graph -------------------------------------------------------------------------------
def intern(table: dict[Any, Any], op: str, *args: Any) -> Tracer:
    """The one node of the table that is op(*args)."""
    key = (
        op,
        *(
            (a.index,) if isinstance(a, Tracer) else id(a) if op == "array" else repr(a)
            for a in args
        ),
    )
    if key not in table:
        table[key] = Tracer(table, op, args)
    return table[key]


def operand(table: dict[Any, Any], a: Any) -> Any:
    """A Tracer, a float or a bool.

    An array becomes a Tracer. NumPy scalars become Python numbers, which keep float32.
    """
    if isinstance(a, Tracer):
        return a
    if getattr(a, "ndim", None) == 0:
        a = a.item()
    if isinstance(a, bool | int | float):
        return a if isinstance(a, bool) else float(a)
    if getattr(getattr(a, "dtype", None), "kind", "O") not in "fiub":
        _refuse(f"the operand {a!r}", "use real numbers and arrays of them")
    return intern(table, "array", a)


def _condition(a: Any) -> bool:
    return a.boolean if isinstance(a, Tracer) else np.result_type(a).kind == "b"


def _like(a: Any, value: Any, dtype: Any) -> Any:
    """np.full_like: a number or a node as the dtype, or a, would have it."""
    dtype = np.dtype(dtype or (bool if a.boolean else float))
    if dtype.kind == "f":
        return number(value) if isinstance(value, Tracer | bool) else value
    if not isinstance(value, bool | int | float):
        _refuse(f"np.full_like with {dtype}", "only float types have a slope")
    return dtype.type(value).item()


def number(a: Any) -> Any:
    """A condition as 1 or 0, anything else as it is."""
    if isinstance(a, Tracer):
        return intern(a.table, "where", a, 1.0, 0.0) if a.boolean else a
    return float(a)


def is_op(a: Any, what: float | str) -> bool:
    """Whether a is that number, or a node of that operation."""
    return a.op == what if isinstance(a, Tracer) else isinstance(a, float) and a == what


def _node(op: str, *args: Any) -> Any:  # noqa: C901, PLR0912  one rule of simplification a branch
    """op(*args), simplified where that is exact; a number if the operands are numbers."""
    table = next((a.table for a in args if isinstance(a, Tracer)), None)
    if table is None:
        with np.errstate(all="ignore"):
            return (np.where if op == "where" else ufunc_of(np, op))(*args).item()
    args = tuple(operand(table, a) for a in args)
    logical = [isinstance(a, bool) or getattr(a, "boolean", False) for a in args]
    if op in _LOGIC and all(logical):
        return intern(table, _LOGIC[op], *args)
    if op in _LOGIC and op not in ("add", "multiply"):
        _refuse(f"np.{op} on numbers", "combine conditions, such as (z > 0) & (z < 1)")
    if op == "where":
        if not logical[0]:
            _refuse(
                "np.where with a condition that is no comparison",
                "write one, such as np.where(z > 0, z, 0)",
            )
        c, x, y = args[0], number(args[1]), number(args[2])
        same = x is y or (isinstance(y, float) and is_op(x, y))
        return (
            (x if same or c is True else y)
            if same or isinstance(c, bool)
            else intern(table, op, c, x, y)
        )
    x, y = (*map(number, args), None)[:2]
    if op in ("add", "subtract") and is_op(y, 0.0):
        return x
    if op in ("add", "subtract") and is_op(x, 0.0):
        return y if op == "add" else -y
    if op in ("add", "subtract") and is_op(y, "negative"):
        return _node("subtract" if op == "add" else "add", x, y.args[0])
    if op in ("multiply", "divide", "negative") and is_op(x, "negative"):
        return x.args[0] if op == "negative" else -_node(op, x.args[0], y)
    if op in ("multiply", "divide") and (is_op(y, "negative") or is_op(y, -1.0)):
        return -_node(op, x, -y)
    if op in ("multiply", "divide", "power") and is_op(y, 1.0):
        return x
    if op == "multiply" and (is_op(x, 1.0) or is_op(x, -1.0)):
        return y if x > 0 else -y
    if op == "multiply" and x is y:
        return _node("square", x)
    if op == "power" and is_op(y, 0.5):
        return _node("sqrt", x)
    # Several times faster than pow
    if op == "power" and isinstance(y, float) and y.is_integer() and 0 < abs(y) <= 6:
        if y < 0:
            return _node("divide", 1.0, x**-y)
        return x ** (y - 1.0) * x if y % 2 else _node("square", x ** (y / 2.0))
    return intern(table, op, *((x,) if y is None else (x, y)))


def _clip(z: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    for op, bound in (
        ("maximum", a_min if min is None else min),
        ("minimum", a_max if max is None else max),
    ):
        z = z if bound is None else _node(op, z, bound)
    return z


def _select(condlist: Any, choicelist: Any, default: Any = 0.0) -> Any:
    for condition, choice in reversed(list(zip(condlist, choicelist, strict=True))):
        default = _node("where", condition, choice, default)
    return default


# Slopes -------------------------------------------------------------------------------------------
def _grows(op: str, args: tuple[Any, ...]) -> bool:
    """Whether op(*args) may overflow at a finite z of ordinary size.

    An exponential or a high power makes it so.
    """
    if op in ("exp", "exp2", "expm1", "sinh", "cosh", "erfcx", "power"):
        return op != "power" or not isinstance(args[1], float) or abs(args[1]) > 3.0
    if op == "divide":  # a denominator that overflows makes it small
        args = args[:1]
    return (
        op not in _BOUNDED
        and op not in _CONDITIONS
        and any(getattr(a, "grows", False) for a in args)
    )


def _times(x: Any, y: Any) -> Any:
    """x * y for slopes.

    It selects instead of multiplying by masks, and is 0 where a factor is 0 and the other has
    overflowed.
    """
    zero = []
    for a, b in ((x, y), (y, x)):
        if is_op(a, 0.0):
            return 0.0
        if is_op(a, "negative"):
            return -_times(a.args[0], b)
        if is_op(a, "where") and (is_op(a.args[1], 0.0) or is_op(a.args[2], 0.0)):
            return _node("where", a.args[0], _times(a.args[1], b), _times(a.args[2], b))
        if isinstance(a, Tracer) and getattr(b, "grows", False):
            zero.append(_node("equal", a, 0.0))
    return (
        _node("where", zero[0] | zero[-1] if zero[1:] else zero[0], 0.0, x * y) if zero else x * y
    )


def _from_left(op: str, u: Any, v: Any) -> Any:
    """The comparison u op v as it is just left of z.

    A tie u = v has given way there to the sign of v' - u'.

    To first order: where u' = v' too, as for z * z > 0 at 0, it stays as it is at z.
    """
    strict, loose, holds = _ORDER[op]
    tie = holds(slope_of(v) - slope_of(u), 0.0)
    if isinstance(tie, bool):
        return _node(loose if tie else strict, u, v)
    return _node(strict, u, v) | (_node(loose, u, v) & tie)


def left(n: Any) -> Any:
    """The graph of f(z-): comparisons and sign as they are just left of z, all else the same."""
    if not isinstance(n, Tracer) or not n.of_z or n.op == "z":
        return n
    if n.left is None:
        args = [left(a) for a in n.args]
        if n.op in _ORDER:
            n.left = _from_left(n.op, *args)
        elif n.op == "sign":
            low = _node("where", _from_left("less", args[0], 0.0), -1.0, 0.0)
            n.left = _node("where", _from_left("greater", args[0], 0.0), 1.0, low)
        else:
            n.left = _node(n.op, *args)
    return n.left


def slope_of(n: Any) -> Any:
    """dn/dz, for a node from _left."""
    if not isinstance(n, Tracer) or not n.of_z or n.boolean:
        return 0.0
    if n.slope is None:
        slopes = [slope_of(a) for a in n.args]
        if n.op in LOCAL:
            n.slope = _times(LOCAL[n.op](n, *n.args), *slopes)
        else:
            n.slope = 1.0 if n.op == "z" else RULES[n.op](n, *n.args, *slopes)
    return n.slope


def _power_slope(y: Any, u: Any, v: Any, du: Any, dv: Any) -> Any:
    if is_op(dv, 0.0):
        return 0.0 if is_op(v, 0.0) else _times(v * u ** (v - 1.0), du)
    return (0.0 if is_op(du, 0.0) else _times(v * _node("divide", y, u), du)) + _times(
        y * _node("log", u), dv
    )


_over, _exp = partial(_node, "divide"), partial(_node, "exp")


_ROOT_PI = math.sqrt(math.pi)


# dy/du of y = op(u), as a function of (y, u)
LOCAL: dict[str, Callable[[Any, Any], Any]] = {
    "negative": lambda y, u: -1.0,
    "square": lambda y, u: 2.0 * u,
    "sqrt": lambda y, u: 0.5 / y,
    "cbrt": lambda y, u: 1.0 / (3.0 * y**2),
    "exp": lambda y, u: y,
    "exp2": lambda y, u: math.log(2.0) * y,
    "expm1": lambda y, u: _exp(u),
    "sin": lambda y, u: _node("cos", u),
    "cos": lambda y, u: -_node("sin", u),
    "tan": lambda y, u: 1.0 + y**2,
    "sinh": lambda y, u: _node("cosh", u),
    "cosh": lambda y, u: _node("sinh", u),
    "tanh": lambda y, u: 1.0 - y**2,
    "arctan": lambda y, u: 1.0 / (1.0 + u**2),
    "arcsinh": lambda y, u: 1.0 / _node("hypot", 1.0, u),
    "sign": lambda y, u: 0.0,
    "expit": lambda y, u: y * (1.0 - y),
    "log_expit": lambda y, u: _node("expit", -u),
    "erf": lambda y, u: (2.0 / _ROOT_PI) * _exp(-(u**2)),
    "erfc": lambda y, u: (-2.0 / _ROOT_PI) * _exp(-(u**2)),
    "erfcx": lambda y, u: 2.0 * u * y - 2.0 / _ROOT_PI,
    "ndtr": lambda y, u: (math.sqrt(0.5) / _ROOT_PI) * _exp(-0.5 * u**2),
    "log_ndtr": lambda y, u: (math.sqrt(2.0) / _ROOT_PI) / _node("erfcx", -math.sqrt(0.5) * u),
    "entr": lambda y, u: -1.0 - _node("log", u),
}


# dy/dz of y = op(u, ...), as a function of (y, u, ..., du/dz, ...); a quotient comes last, so that
# factors stay small
RULES: dict[str, Callable[..., Any]] = {
    "add": lambda y, u, v, du, dv: du + dv,
    "subtract": lambda y, u, v, du, dv: du - dv,
    "multiply": lambda y, u, v, du, dv: _times(du, v) + _times(u, dv),
    "divide": lambda y, u, v, du, dv: _over(du - _times(y, dv), v),
    "power": _power_slope,
    "log": lambda y, u, du: _over(du, u),
    "log2": lambda y, u, du: _over(du, math.log(2.0) * u),
    "log10": lambda y, u, du: _over(du, math.log(10.0) * u),
    "log1p": lambda y, u, du: _over(du, 1.0 + u),
    "logaddexp": lambda y, u, v, du, dv: _times(_exp(u - y), du) + _times(_exp(v - y), dv),
    "absolute": lambda y, u, du: _node("where", _from_left("greater", u, 0.0), du, -du),
    "maximum": lambda y, u, v, du, dv: _node("where", _from_left("greater", u, v), du, dv),
    "minimum": lambda y, u, v, du, dv: _node("where", _from_left("less", u, v), du, dv),
    "where": lambda y, c, u, v, dc, du, dv: _node("where", c, du, dv),
    "hypot": lambda y, u, v, du, dv: _over(_times(u, du) + _times(v, dv), y),
    "xlogy": lambda y, u, v, du, dv: _times(_node("log", v), du) + _times(_over(u, v), dv),
}


_BOUNDED = ("tanh", "sin", "cos", "arctan", "sign", "expit", "erf", "erfc", "ndtr")


# op -> without ties, with ties, and the sign of v' - u' at which u op v holds just left of a tie
_ORDER = {
    "greater": ("greater", "greater_equal", operator.gt),
    "greater_equal": ("greater", "greater_equal", operator.ge),
    "less": ("less", "less_equal", operator.lt),
    "less_equal": ("less", "less_equal", operator.le),
}


_LOGIC = {f"logical_{op}": f"logical_{op}" for op in ("and", "or", "xor", "not")}


_LOGIC |= {"bitwise_and": "logical_and", "bitwise_or": "logical_or", "bitwise_xor": "logical_xor"}


# NumPy adds and multiplies so too
_LOGIC |= {"invert": "logical_not", "add": "logical_or", "multiply": "logical_and"}


_CONDITIONS = {*_ORDER, "equal", "not_equal", *_LOGIC.values()}


_UFUNCS: dict[str, Callable[..., Any]] = {
    **{op: partial(_node, op) for op in (*LOCAL, *RULES, *_CONDITIONS, *_LOGIC)},
    "positive": lambda u: u,
    "reciprocal": lambda u: _over(1.0, u),
    "fabs": partial(_node, "absolute"),
    "float_power": partial(_node, "power"),
    "heaviside": lambda u, h: _node("where", u > 0.0, 1.0, _node("where", u < 0.0, 0.0, h)),
}


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "where": lambda condition, x, y: _node("where", condition, x, y),
    "clip": _clip,
    "select": _select,
    "zeros_like": lambda a, dtype=None: _like(a, 0.0, dtype),
    "ones_like": lambda a, dtype=None: _like(a, 1.0, dtype),
    "full_like": lambda a, fill_value, dtype=None: _like(a, fill_value, dtype),
    "astype": lambda x, dtype: x.astype(dtype),
}


# Running the graph --------------------------------------------------------------------------------
def reachable(root: Any, stop: Any = ()) -> list[Tracer]:
    """The nodes that root needs, operands first."""
    found, todo = {}, [root]
    while todo:
        n = todo.pop()
        if isinstance(n, Tracer) and n.index not in found and n.index not in stop:
            found[n.index] = n
            todo += n.args
    return [found[i] for i in sorted(found)]


def ufunc_of(xp: Any, name: str) -> Any:
    """The ufunc of that name in xp, or in the scipy.special that belongs to xp."""
    special = "cupyx.scipy.special" if xp.__name__ == "cupy" else "scipy.special"
    return getattr(xp if hasattr(xp, name) else import_module(special), name)
