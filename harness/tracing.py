"""Activations as they are written -> the pair value(xp, z, out), pullback(xp, z, a, da): expression, deriv, factory, inplace.

An expression f(z, ...) is called once, on a `Tracer`: NumPy's two protocols record a graph of elementwise operations. The slope is
a graph too (forward mode, one rule per operation, sharing what value and slope have in common). Both run as flat lists of
ufunc(..., out=buffer) over buffers made at first use, one set per shape, dtype and xp. Conventions:

* **Kinks.** The slope is the one from the left, f'(z-), for every operation alike: np.maximum(z, 0) has slope 0 at 0, np.abs(z) has
  -1, np.clip(z, l, h) has 0 at l and 1 at h; z >= 0 is taken as z > 0. One side throughout keeps the slope right where kinks cancel:
  log1p(exp(-|z|)) + max(z, 0) has 1/2 at 0, which no separate choice of slopes for abs and max gives together with 0 for relu.
* **np.where** selects slopes, it never multiplies by masks, so the branch not taken may be inf or nan.
* **Far out.** A product in which one factor may overflow through an exponential is 0 where the other factor is 0: the slope of
  1 / (1 + exp(-z)) tends to 0 at z = -1000, not to 0 * inf. Poles get no such help and stay inf or nan.
* What has no slope here (floor, sums, ==, ...) is refused by name. Hyperparameters that are arrays are read at every call.

The buffers make a pair unfit for two threads at once. Forward mode on expressions: Griewank and Walther, Evaluating Derivatives, 2008.
"""

import inspect
import math
import operator
import os
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any, NoReturn

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from harness import registry
from harness.errors import UsageError

Pair = tuple[Callable[..., None], Callable[..., None]]

_PLANS = 8  # shapes whose buffers are kept; more than a training and an evaluation batch are rare


def _refuse(what: str, remedy: str) -> NoReturn:
    """UsageError that names the operation and the line of the user's file that asked for it."""
    frame, inside = sys._getframe(1), (__file__, os.path.dirname(np.__file__))
    while frame.f_back is not None and frame.f_code.co_filename.startswith(inside):
        frame = frame.f_back
    code = frame.f_code
    place = f"{code.co_name} ({code.co_filename}, line {frame.f_lineno})"
    raise UsageError(f"an activation must consist of operations with a known slope, got {what} in {place}; {remedy}")


_PAIR = "or write the activation as a pair f, df"
_EACH = "an activation works on every element alone"
_BRANCH = "use np.where, np.maximum, np.minimum and & | ~ instead of if, and, or, not, max, min"
_NUMBER = "use the function of numpy or scipy.special"
_DUNDERS = {
    **dict.fromkeys(["bool"], ("the truth of an array (if, while, and, or, not, max, min, a < b < c)", _BRANCH)),
    **dict.fromkeys(["float", "int", "complex", "index"], ("a conversion to one number (float, int, math)", _NUMBER)),
    **dict.fromkeys(["round", "floor", "ceil", "trunc"], ("rounding", f"its slope is 0; leave it out {_PAIR}")),
    **dict.fromkeys(["len", "iter", "getitem", "setitem", "delitem", "contains"], ("len, a loop or an index", _EACH)),
    "array": ("a function that needs an ndarray", f"{_NUMBER} that is a ufunc, {_PAIR}"),
}


class Tracer(NDArrayOperatorsMixin):
    """A node of the graph: z, an array of hyperparameters, or an operation on nodes and numbers. Users' code sees it as z."""

    __slots__ = ("args", "boolean", "grows", "index", "left", "lowered", "of_z", "op", "slope", "table")
    __hash__ = object.__hash__

    def __init__(self, table: dict, op: str, args: tuple) -> None:
        nodes = [a for a in args if isinstance(a, Tracer)]
        self.table, self.op, self.args, self.index = table, op, args, len(table)
        self.left = self.slope = self.lowered = None  # filled by _left, _slope and _lower
        self.of_z = op == "z" or any(n.of_z for n in nodes)
        self.boolean = op in _CONDITIONS or (op == "array" and args[0].dtype == bool)
        self.grows = self.of_z and _grows(op, args)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        plain = getattr(np, ufunc.__name__, None) is ufunc
        known = plain or getattr(sys.modules.get("scipy.special"), ufunc.__name__, None) is ufunc
        shown = f"{'np' if plain else 'scipy.special' if known else 'the ufunc'}.{ufunc.__name__}"
        name = _ALIASES.get(ufunc.__name__, ufunc.__name__)
        if method != "__call__" or ufunc.signature:
            _refuse(shown if ufunc.signature else f"{shown}.{method}", _EACH)
        if kwargs:
            _refuse(
                f"{shown} with {', '.join(kwargs)}= or in place", "write y = y + 1, not y += 1, and leave these out"
            )
        if name in ("equal", "not_equal") and any(getattr(i, "of_z", False) for i in inputs):
            _refuse(f"{shown} on z", "single points have no slope of their own; compare with <, <=, >, >=")
        if not known or name not in _OPERATIONS:
            _refuse(shown, f"leave it out {_PAIR}")
        return _OPERATIONS[name](*inputs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if func.__name__ not in _FUNCTIONS:
            _refuse(f"np.{func.__name__}", f"{_EACH}; use np.where, np.clip, np.select and ufuncs {_PAIR}")
        try:
            return _FUNCTIONS[func.__name__](*args, **kwargs)
        except TypeError as error:
            _refuse(f"np.{func.__name__} with arguments that do not fit ({error})", "use its plain form")

    def astype(self, dtype: Any, **_: Any) -> Any:
        """z itself, and 1 or 0 for a condition: the dtype is that of z throughout."""
        if not (dtype is float or np.dtype(dtype).kind == "f"):
            _refuse(f"astype({dtype!r})", "only float types keep a slope")
        return _number(self)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        _refuse(f"the attribute .{name} of z", f"{_EACH}, and Python numbers take its dtype; use functions of numpy")


for _name, _why in _DUNDERS.items():
    setattr(Tracer, f"__{_name}__", partial(lambda why, *_, **__: _refuse(*why), _why))


# Building the graph -----------------------------------------------------------------------------------------------------


def _intern(table: dict, op: str, *args: Any) -> Tracer:
    key = (op, *((a.index,) if isinstance(a, Tracer) else id(a) if op == "array" else repr(a) for a in args))
    if key not in table:
        table[key] = Tracer(table, op, args)
    return table[key]


def _operand(table: dict, a: Any) -> Any:
    """A Tracer, a float, a bool, or an array as a leaf. NumPy scalars become Python numbers, which keep float32."""
    if isinstance(a, Tracer | float | bool) and not isinstance(a, np.generic):
        return a
    if getattr(a, "ndim", None) == 0:
        a = a.item()
    elif isinstance(a, list | tuple):
        a = np.asarray(a)
    if getattr(getattr(a, "dtype", None), "kind", "O") in "fiub":
        return _intern(table, "array", a)
    if not isinstance(a, int | float):
        _refuse(f"the operand {a!r}", "use real numbers and arrays of them")
    return a if isinstance(a, bool) else float(a)


def _number(a: Any) -> Any:
    """A condition as 1 or 0, anything else as it is."""
    if isinstance(a, Tracer):
        return _intern(a.table, "where", a, 1.0, 0.0) if a.boolean else a
    return float(a)


def _node(op: str, *args: Any) -> Any:
    """The node op(*args), simplified where that is exact (x + 0, 1 * x, signs), shared with an equal one. A number for numbers."""
    table = next((a.table for a in args if isinstance(a, Tracer)), None)
    if table is None:
        with np.errstate(all="ignore"):
            return (np.where if op == "where" else _function(np, op))(*args).item()
    args = tuple(_operand(table, a) for a in args)
    bools = [isinstance(a, bool) or getattr(a, "boolean", False) for a in args]
    if op in _LOGIC and all(bools):
        op = _LOGIC[op]
    elif op in _LOGIC and op not in ("add", "multiply"):
        _refuse(f"np.{op} of numbers", "combine conditions, such as (z > 0) & (z < 1)")
    elif op != "where":
        args = tuple(map(_number, args))
    x, y = args[0], args[1] if len(args) > 1 else None
    negative, other = _is_op(x, "negative"), _is_op(y, "negative")
    if op == "add":
        if _is(x, 0.0) or _is(y, 0.0):
            return y if _is(x, 0.0) else x
        if negative or other:
            return _node("subtract", x, y.args[0]) if other else _node("subtract", y, x.args[0])
    elif op == "subtract":
        if _is(x, 0.0) or _is(y, 0.0):
            return x if _is(y, 0.0) else -y
        if other:
            return _node("add", x, y.args[0])
    elif op in ("multiply", "divide"):
        if negative or other:
            return -_node(op, x.args[0], y) if negative else -_node(op, x, y.args[0])
        for a, b in ((x, y), (y, x)) if op == "multiply" else ((y, x),):
            if _is(a, 1.0) or _is(a, -1.0):
                return b if a > 0 else -b
        if op == "multiply" and x is y:
            return _node("power", x, 2.0)
    elif op == "negative" and negative:
        return x.args[0]
    elif op == "power" and (_is(y, 1.0) or _is(y, 0.5)):
        return x if _is(y, 1.0) else _node("sqrt", x)
    elif op == "where":
        if not bools[0]:
            _refuse("np.where with a condition that is no comparison", "write one, such as np.where(z > 0, ...)")
        x, y, z = args[0], _number(args[1]), _number(args[2])
        args = (x, y, z)
        if isinstance(x, bool) or y is z or (isinstance(y, float) and _is(z, y)):
            return z if x is False else y
    return _intern(table, op, *args)


def _is(a: Any, number: float) -> bool:
    return isinstance(a, float) and a == number


def _is_op(a: Any, op: str) -> bool:
    return isinstance(a, Tracer) and a.op == op


def _clip(z: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    low, high = a_min if min is None else min, a_max if max is None else max
    z = z if low is None else _node("maximum", z, low)
    return z if high is None else _node("minimum", z, high)


def _select(conditions: Any, choices: Any, default: Any = 0.0) -> Any:
    for condition, choice in list(zip(conditions, choices, strict=True))[::-1]:
        default = _node("where", condition, choice, default)
    return default


def _function(xp: Any, name: str) -> Any:
    """The ufunc of that name in xp, or in the scipy.special that belongs to xp."""
    special = "cupyx.scipy.special" if xp.__name__ == "cupy" else "scipy.special"
    return getattr(xp if hasattr(xp, name) else import_module(special), name)


# Slopes -----------------------------------------------------------------------------------------------------------------


def _times(x: Any, y: Any) -> Any:
    """x * y for slopes: selects instead of multiplying by masks; 0 where a factor is 0 and the other has overflowed."""
    for a, b in ((x, y), (y, x)):
        if _is(a, 0.0):
            return 0.0
        if _is_op(a, "negative"):
            return -_times(a.args[0], b)
        if _is_op(a, "where") and (_is(a.args[1], 0.0) or _is(a.args[2], 0.0)):
            return _node("where", a.args[0], _times(a.args[1], b), _times(a.args[2], b))
    zero: Any = False
    for a, b in ((x, y), (y, x)):
        if isinstance(a, Tracer) and getattr(b, "grows", False):
            test = _node("equal", a, 0.0)
            zero = test if zero is False else zero | test
    return x * y if zero is False else _node("where", zero, 0.0, x * y)


def _from_left(op: str, u: Any, v: Any) -> Any:
    """The comparison u op v as it is just left of z: at a tie u - v has there the sign of -(u' - v')."""
    strict, loose, holds = _ORDER[op]
    tie = holds(_slope(u) - _slope(v), 0.0)
    if isinstance(tie, bool):
        return _node(loose if tie else strict, u, v)
    return _node(strict, u, v) | (_node(loose, u, v) & tie)


def _left(n: Any) -> Any:
    """The graph of f(z-): comparisons and sign as they are just left of z, all else the same."""
    if not isinstance(n, Tracer) or not n.of_z or n.op == "z":
        return n
    if n.left is None:
        args = [_left(a) for a in n.args]
        if n.op in _ORDER:
            n.left = _from_left(n.op, *args)
        elif n.op == "sign":
            low = _node("where", _from_left("less", *args, 0.0), -1.0, 0.0)
            n.left = _node("where", _from_left("greater", *args, 0.0), 1.0, low)
        else:
            n.left = _node(n.op, *args)
    return n.left


def _slope(n: Any) -> Any:
    """d n / d z, n from _left."""
    if not isinstance(n, Tracer) or not n.of_z or n.boolean:
        return 0.0
    if n.slope is None:
        slopes = [_slope(a) for a in n.args]
        if n.op in _LOCAL:
            n.slope = _times(_LOCAL[n.op](n, *n.args), *slopes)
        else:
            n.slope = 1.0 if n.op == "z" else _RULES[n.op](n, *n.args, *slopes)
    return n.slope


def _power_slope(y: Any, u: Any, v: Any, du: Any, dv: Any) -> Any:
    inner = 0.0 if _is(v, 0.0) else _times(v * u ** (v - 1.0) if isinstance(u, Tracer) else 0.0, du)
    return inner + (0.0 if _is(dv, 0.0) else _times(y * _node("log", u), dv))


_SQRT_PI, _SQRT_2 = math.sqrt(math.pi), math.sqrt(2.0)
_exp = partial(_node, "exp")

# dy/du of y = op(u), as a function of (y, u)
_LOCAL: dict[str, Callable[[Any, Any], Any]] = {
    "negative": lambda y, u: -1.0,
    "exp": lambda y, u: y,
    "exp2": lambda y, u: math.log(2.0) * y,
    "expm1": lambda y, u: _exp(u),
    "sqrt": lambda y, u: 0.5 / y,
    "cbrt": lambda y, u: 1.0 / (3.0 * y**2),
    "sin": lambda y, u: _node("cos", u),
    "cos": lambda y, u: -_node("sin", u),
    "tan": lambda y, u: 1.0 + y**2,
    "sinh": lambda y, u: _node("cosh", u),
    "cosh": lambda y, u: _node("sinh", u),
    "tanh": lambda y, u: 1.0 - y**2,
    "arcsin": lambda y, u: 1.0 / _node("sqrt", 1.0 - u**2),
    "arccos": lambda y, u: -1.0 / _node("sqrt", 1.0 - u**2),
    "arctan": lambda y, u: 1.0 / (1.0 + u**2),
    "arcsinh": lambda y, u: 1.0 / _node("hypot", 1.0, u),
    "arccosh": lambda y, u: 1.0 / _node("sqrt", u**2 - 1.0),
    "arctanh": lambda y, u: 1.0 / (1.0 - u**2),
    "sign": lambda y, u: 0.0,
    "expit": lambda y, u: y * (1.0 - y),
    "log_expit": lambda y, u: _node("expit", -u),
    "logit": lambda y, u: 1.0 / (u * (1.0 - u)),
    "erf": lambda y, u: (2.0 / _SQRT_PI) * _exp(-(u**2)),
    "erfc": lambda y, u: (-2.0 / _SQRT_PI) * _exp(-(u**2)),
    "erfcx": lambda y, u: 2.0 * u * y - 2.0 / _SQRT_PI,
    "ndtr": lambda y, u: (1.0 / (_SQRT_PI * _SQRT_2)) * _exp(-0.5 * u**2),
    "log_ndtr": lambda y, u: (_SQRT_2 / _SQRT_PI) / _node("erfcx", u * (-1.0 / _SQRT_2)),
    "entr": lambda y, u: -1.0 - _node("log", u),
    "gammaln": lambda y, u: _node("digamma", u),
}

# d op(u, v), as a function of (y, u, v, du, dv); the order of factors keeps intermediate results small
_RULES: dict[str, Callable[..., Any]] = {
    "add": lambda y, u, v, du, dv: du + dv,
    "subtract": lambda y, u, v, du, dv: du - dv,
    "multiply": lambda y, u, v, du, dv: _times(du, v) + _times(u, dv),
    "divide": lambda y, u, v, du, dv: _node("divide", du - _times(y, dv), v),
    "power": _power_slope,
    "log": lambda y, u, du: _node("divide", du, u),
    "log2": lambda y, u, du: _node("divide", du, math.log(2.0) * u),
    "log10": lambda y, u, du: _node("divide", du, math.log(10.0) * u),
    "log1p": lambda y, u, du: _node("divide", du, 1.0 + u),
    "absolute": lambda y, u, du: _node("where", _from_left("greater", u, 0.0), du, -du),
    "maximum": lambda y, u, v, du, dv: _node("where", _from_left("greater", u, v), du, dv),
    "minimum": lambda y, u, v, du, dv: _node("where", _from_left("less", u, v), du, dv),
    "where": lambda y, c, u, v, dc, du, dv: _node("where", c, du, dv),
    "logaddexp": lambda y, u, v, du, dv: _times(_exp(u - y), du) + _times(_exp(v - y), dv),
    "hypot": lambda y, u, v, du, dv: _node("divide", _times(u, du) + _times(v, dv), y),
    "xlogy": lambda y, u, v, du, dv: _times(_node("log", v), du) + _times(_node("divide", u, v), dv),
}

_ORDER = {
    "greater": ("greater", "greater_equal", operator.lt),
    "greater_equal": ("greater", "greater_equal", operator.le),
    "less": ("less", "less_equal", operator.gt),
    "less_equal": ("less", "less_equal", operator.ge),
}
_LOGIC = {
    "bitwise_and": "logical_and",
    "bitwise_or": "logical_or",
    "bitwise_xor": "logical_xor",
    "invert": "logical_not",
}
_LOGIC |= {v: v for v in _LOGIC.values()} | {"add": "logical_or", "multiply": "logical_and"}  # as NumPy does with bools
_CONDITIONS = {*_ORDER, "equal", "not_equal", *_LOGIC.values()}
_ALIASES = {"fabs": "absolute", "float_power": "power", "fmax": "maximum", "fmin": "minimum"}
_OPERATIONS: dict[str, Callable[..., Any]] = {
    **{op: partial(_node, op) for op in (*_LOCAL, *_RULES, *_CONDITIONS, *_LOGIC) if op != "where"},
    "positive": lambda u: u,
    "square": lambda u: _node("power", u, 2.0),
    "reciprocal": lambda u: _node("divide", 1.0, u),
    "heaviside": lambda u, h: _node("where", u > 0.0, 1.0, _node("where", u < 0.0, 0.0, h)),
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "where": lambda condition, x, y: _node("where", condition, x, y),
    "clip": _clip,
    "select": _select,
    "zeros_like": lambda z, dtype=None: 0.0,
    "ones_like": lambda z, dtype=None: 1.0,
    "full_like": lambda z, fill_value, dtype=None: fill_value,
    "astype": lambda z, dtype: z.astype(dtype),
}
_BOUNDED = {"tanh", "sin", "cos", "arctan", "sign", "expit", "erf", "erfc", "ndtr"}


def _grows(op: str, args: tuple) -> bool:
    """Whether op(*args) may overflow at a finite z of ordinary size, through an exponential or a high power."""
    if op in ("exp", "exp2", "expm1", "sinh", "cosh", "erfcx"):
        return True
    if op == "power" and not (isinstance(args[1], float) and abs(args[1]) <= 3.0):
        return True
    if op == "divide" and _is_op(args[1], "add"):  # 1 + exp(...) does not come near 0
        args = args[:1]
    return op not in _BOUNDED and op not in _CONDITIONS and any(getattr(a, "grows", False) for a in args)


# Running the graph ------------------------------------------------------------------------------------------------------


def _reachable(root: Any, stop: Any = ()) -> list[Tracer]:
    """The nodes that root needs, operands first."""
    found, todo = {}, [root]
    while todo:
        n = todo.pop()
        if isinstance(n, Tracer) and n.index not in found and n.index not in stop:
            found[n.index] = n
            todo += n.args
    return [found[i] for i in sorted(found)]


def _lower(n: Any) -> Any:
    """The same graph in operations that run fast: small whole powers by multiplication, masks as 1 and 0 by a cast."""
    if not isinstance(n, Tracer) or n.op in ("z", "array"):
        return n
    if n.lowered is None:
        args = [_lower(a) for a in n.args]
        if n.op == "power" and isinstance(args[1], float) and args[1].is_integer() and 1 <= abs(args[1]) <= 16:
            n.lowered = _whole_power(args[0], int(abs(args[1])))
            if args[1] < 0:
                n.lowered = _intern(n.table, "divide", 1.0, n.lowered)
        elif n.op == "where" and _is(args[1], 1.0) and _is(args[2], 0.0):
            n.lowered = _intern(n.table, "cast", args[0])
        else:
            n.lowered = _intern(n.table, n.op, *args)
    return n.lowered


def _whole_power(u: Tracer, k: int) -> Tracer:
    if k == 1:
        return u
    if k % 2:
        return _intern(u.table, "multiply", _whole_power(u, k - 1), u)
    return _intern(u.table, "square", _whole_power(u, k // 2))


def _plan(
    xp: Any, root: Tracer, given: dict[int, int], scratch: tuple[int, ...], z: Any, pool: dict
) -> Callable[..., None]:
    """run(z, a, out) that leaves root in out. given: node -> register of z, a, da; scratch: registers it may overwrite."""
    regs: list[Any] = [None, None, None]  # z, a, out; then numbers, arrays and buffers
    steps: list[Callable[[], Any]] = []
    nodes, place, used = _reachable(root, given), dict(given), Counter[Any]()
    last = {a.index: i for i, n in enumerate(nodes) for a in n.args if isinstance(a, Tracer)}
    whole = (z.shape, z.dtype)
    kinds = dict.fromkeys(given.values(), whole) | dict.fromkeys(scratch, whole)
    busy = {given[k] for k in given if k in last}
    free: dict[Any, list[int]] = {whole: [r for r in scratch if r not in busy]}
    temporary = set(scratch)

    def register(kind: Any, content: Any) -> int:
        kinds[len(regs)] = kind
        regs.append(content)
        return len(regs) - 1

    def take(kind: Any) -> int:
        if free.get(kind):
            return free[kind].pop()
        ready = pool.setdefault((xp, *kind), [])
        used[kind] += 1
        if len(ready) < used[kind]:
            ready.append(xp.empty(*kind))
        temporary.add(register(kind, ready[used[kind] - 1]))
        return len(regs) - 1

    for i, n in enumerate(nodes):
        if n.op == "array":
            array = xp.asarray(n.args[0])
            place[n.index] = register((array.shape, array.dtype), array)
            if array.dtype not in (z.dtype, bool):
                here, there = place[n.index], register((array.shape, z.dtype), xp.empty(array.shape, z.dtype))
                place[n.index] = there
                steps.append(partial(lambda o, x: xp.copyto(regs[o], regs[x], casting="unsafe"), there, here))
            continue
        ins = [place[a.index] if isinstance(a, Tracer) else register(((), z.dtype), a) for a in n.args]
        kind = (np.broadcast_shapes(*(kinds[r][0] for r in ins)), np.dtype(bool) if n.boolean else z.dtype)
        dying = {place[a.index] for a in n.args if isinstance(a, Tracer) and last[a.index] == i} & temporary
        # np.where fills out in two strokes, so out must be no operand but the one that comes first
        if n is root:
            o = 2
        elif n.op == "where" and ins[2] in dying and kinds[ins[2]] == kind:
            o = ins[2]
            dying.discard(o)
        elif n.op == "where":
            o = take(kind)
        else:
            for r in dying:
                free.setdefault(kinds[r], []).append(r)
            dying.clear()
            o = take(kind)
        for r in dying:
            free.setdefault(kinds[r], []).append(r)
        place[n.index], kinds[o] = o, kind
        steps += _steps(xp, n.op, regs, ins, o, all(kinds[r][0] in (kind[0], ()) for r in ins))
    if root.index in given and given[root.index] != 2:
        steps.append(lambda: xp.copyto(regs[2], regs[given[root.index]]))
    if root.index not in given and kinds[2] != whole:
        raise UsageError(
            f"an activation must keep the shape {z.shape} of z, got {kinds[2][0]}; check its array arguments"
        )

    def run(z: Any, a: Any, out: Any) -> None:
        regs[:3] = z, a, out
        with np.errstate(all="ignore"):  # a branch that np.where does not take may overflow
            for step in steps:
                step()
        regs[:3] = None, None, None

    return run


def _steps(xp: Any, op: str, regs: list, ins: list[int], o: int, even: bool) -> list[Callable[[], Any]]:
    """The calls for one operation. even: all operands are numbers or have the shape of the result."""
    if op == "cast":
        return [lambda: xp.copyto(regs[o], regs[ins[0]])]
    if op == "where":
        c, x, y = ins
        masked: Callable[[], Any] = lambda: xp.copyto(regs[o], regs[x], where=regs[c])  # noqa: E731
        if even and xp is np:  # twice as fast, but does not broadcast
            masked = lambda: np.putmask(regs[o], regs[c], regs[x])  # noqa: E731
        return [masked] if y == o else [lambda: xp.copyto(regs[o], regs[y]), masked]
    f = _function(xp, op)
    if len(ins) == 1:
        i = ins[0]
        return [lambda: f(regs[i], out=regs[o])]
    i, j = ins
    return [lambda: f(regs[i], regs[j], out=regs[o])]


# The four spellings -----------------------------------------------------------------------------------------------------


def expression(entry: registry.Entry, kwargs: dict[str, Any]) -> Pair:
    """a = f(z, **kwargs) -> the pair, the slope from tracing. Arrays in kwargs ((1, 1) or (P, 1, 1)) are read at every call."""
    table: dict = {}
    z = _intern(table, "z")
    root = entry.factory(z, **{k: _operand(table, v) if hasattr(v, "dtype") else v for k, v in kwargs.items()})
    if not isinstance(root, Tracer) or not root.of_z:
        shown = type(root).__name__ if not isinstance(root, Tracer) else "an expression without z"
        raise UsageError(
            f"the activation {entry.name!r} must return an expression of z, got {shown}; see {entry.origin}"
        )
    root = _number(root)
    for n in _reachable(root):  # in this order no rule recurses deeply
        _slope(_left(n))
    slope, da = _slope(_left(root)), _intern(table, "da")
    for n in [*_reachable(root), *_reachable(slope)]:
        _lower(n)
    root, slope = _lower(root), _lower(slope)
    pulled = da if _is(slope, 1.0) else _intern(table, "multiply", da, slope)
    if root.op == "where" and root.args[1] is z:  # out may be z: z must come first
        c, x, y = root.args
        forward = _intern(table, "where", _intern(table, "logical_not", c), y, x)
    else:
        forward = root
    plans: dict[Any, Callable[..., None]] = {}
    pool: dict[Any, list[Any]] = {}

    def plan(
        key: Any, z_array: Any, target: Tracer, given: dict[int, int], scratch: tuple[int, ...]
    ) -> Callable[..., None]:
        if z_array.dtype.kind != "f":
            raise UsageError(f"an activation must be given floats, got {z_array.dtype}; convert z first")
        if len(plans) >= 2 * _PLANS:
            plans.clear()
            pool.clear()
        plans[key] = _plan(key[1], target, given, scratch, z_array, pool)
        return plans[key]

    def value(xp: Any, z_array: Any, out: Any) -> None:
        key = ("value", xp, z_array.shape, z_array.dtype)
        (plans.get(key) or plan(key, z_array, forward, {z.index: 0}, ()))(z_array, None, out)

    def pullback(xp: Any, z_array: Any, a: Any, da_array: Any) -> None:
        key = ("pullback", xp, z_array.shape, z_array.dtype)
        given = {z.index: 0, root.index: 1, da.index: 2} if root is not z else {z.index: 0, da.index: 2}
        (plans.get(key) or plan(key, z_array, pulled, given, (0, 1)))(z_array, a, da_array)

    return value, pullback


def deriv(entry: registry.Entry, kwargs: dict[str, Any]) -> Pair:
    """One function as in the article: f(z, **kwargs) is the value, f(z, deriv=True, **kwargs) the slope."""
    f = entry.factory

    def value(xp: Any, z: Any, out: Any) -> None:
        out[...] = f(z, deriv=False, **kwargs)

    def pullback(xp: Any, z: Any, a: Any, da: Any) -> None:
        xp.multiply(da, f(z, deriv=True, **kwargs), out=da)

    return value, pullback


def factory(entry: registry.Entry, kwargs: dict[str, Any]) -> Pair:
    """A pair (f, df) of functions that may allocate: f(z) is the value, df(z, a) or df(z) the slope."""
    f, df = _two(entry, kwargs, "f(z), df(z, a)")
    both = _wants_a(df)

    def value(xp: Any, z: Any, out: Any) -> None:
        out[...] = f(z)

    def pullback(xp: Any, z: Any, a: Any, da: Any) -> None:
        xp.multiply(da, df(z, a) if both else df(z), out=da)

    return value, pullback


def inplace(entry: registry.Entry, kwargs: dict[str, Any]) -> Pair:
    """The in-place pair value(xp, z, out), pullback(xp, z, a, da), as the factory returns it."""
    return _two(entry, kwargs, "value(xp, z, out), pullback(xp, z, a, da)")


def _two(entry: registry.Entry, kwargs: dict[str, Any], form: str) -> Any:
    pair = entry.factory(**kwargs)
    if not isinstance(pair, tuple | list) or len(pair) != 2 or not all(map(callable, pair)):
        raise UsageError(
            f"the activation {entry.name!r} must return the two functions {form}, got {pair!r}; see {entry.origin}"
        )
    return tuple(pair)


def _wants_a(df: Callable[..., Any]) -> bool:
    """Whether df takes z and a. A second parameter with a default is a bound constant, unless it is called a."""
    if isinstance(df, np.ufunc):
        return df.nin == 2
    named = [p for p in inspect.signature(df).parameters.values() if p.kind is not p.KEYWORD_ONLY]
    needed = [p for p in named if p.default is p.empty or p.kind is p.VAR_POSITIONAL]
    return (
        any(p.kind is p.VAR_POSITIONAL for p in named) or len(needed) > 1 or (len(named) > 1 and named[1].name == "a")
    )


registry.spellings.update(expression=expression, deriv=deriv, factory=factory, inplace=inplace)
