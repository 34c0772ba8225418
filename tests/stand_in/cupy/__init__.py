"""A stand-in for CuPy on NumPy's arithmetic: it takes what CuPy 14 takes, and refuses what CuPy
refuses.

Machines without a GPU run the tests of one on it (tests/ops/test_gpu.py): that nothing is asked of CuPy
that it does not have, no NumPy array gets among those of the device, and nothing waits for the
device while a network is trained. What it cannot tell is whether a GPU computes what NumPy does.
Names that are not here are not used by the package so far; whoever needs one looks up whether CuPy
has it, and how it is called there.
"""

import inspect
from types import SimpleNamespace
from typing import Any

import numpy as np

from cupy import _cublas as cublas
from cupy._cublas import HANDLE
from cupy._gcc import RawKernel  # noqa: F401

NUMBERS = (bool, int, float, np.generic)
# Ufuncs of NumPy that CuPy does not have
MISSING = {"isnat", "matvec", "spacing", "vecdot", "vecmat"}

# Functions of CuPy with their arguments there
FUNCTIONS = {
    **dict.fromkeys(
        ["zeros_like", "ones_like"], "a, dtype=None, order='K', subok=None, shape=None"
    ),
    "empty_like": "prototype, dtype=None, order='K', subok=None, shape=None",
    **dict.fromkeys(["zeros", "ones"], "shape, dtype=float, order='C'"),
    "full": "shape, fill_value, dtype=None, order='C'",
    "where": "condition, x=None, y=None",
    "take": "a, indices, axis=None, out=None",
    "clip": "a, a_min, a_max, out=None",
    "copyto": "dst, src, casting='same_kind', where=None",
    "shape": "a",
    "swapaxes": "a, axis1, axis2",
    "broadcast_to": "array, shape",
    "linalg.norm": "x, ord=None, axis=None, keepdims=False",
}
VIEWS = {"shape", "swapaxes", "broadcast_to"}
# Methods that reduce, with theirs
REDUCTIONS = {
    **dict.fromkeys(["sum", "prod", "mean"], "axis=None, dtype=None, out=None, keepdims=False"),
    **dict.fromkeys(["max", "min", "all", "any"], "axis=None, out=None, keepdims=False"),
}
OPERATORS = {
    **{
        "add": "add",
        "sub": "subtract",
        "mul": "multiply",
        "truediv": "divide",
        "pow": "power",
        "neg": "negative",
        "mod": "remainder",
    },
    **{
        "lt": "less",
        "le": "less_equal",
        "gt": "greater",
        "ge": "greater_equal",
        "eq": "equal",
        "ne": "not_equal",
    },
    **{
        "abs": "absolute",
        "matmul": "matmul",
        "and": "bitwise_and",
        "or": "bitwise_or",
        "invert": "invert",
    },
}

waits = 0  # how often Python has asked an array for a number
launches = 0  # how often the device was asked to compute or to copy something


def _launch() -> None:
    global launches
    launches += 1


def _signature(arguments: str) -> inspect.Signature:
    return inspect.signature(eval(f"lambda {arguments}: None"))


def _given(value: Any) -> Any:
    """An argument as NumPy takes it."""
    if isinstance(value, list | tuple):
        return type(value)(map(_given, value))
    if isinstance(value, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    return value._there if isinstance(value, ndarray) else value


def _array(value: Any) -> Any:
    return ndarray(np.asarray(value)) if isinstance(value, np.ndarray | np.generic) else value


def _elementwise(value: Any) -> Any:
    if not isinstance(value, (ndarray, *NUMBERS)):
        raise TypeError(f"Unsupported type {type(value)}")
    return _given(value)


class ufunc:
    def __init__(self, of: np.ufunc) -> None:
        self.of = of
        self.name = of.__name__

    def __call__(
        self, *args: Any, out: Any = None, dtype: Any = None, casting: str = "same_kind"
    ) -> Any:
        inputs = args[: self.of.nin]
        more = args[self.of.nin :]
        out = more[0] if more else out
        if not isinstance(out, ndarray | None):
            raise TypeError(f"the output must be a cupy.ndarray, got {type(out)}")
        options = {} if self.of.signature else {"dtype": dtype, "casting": casting}
        _launch()
        made = self.of(*map(_elementwise, inputs), out=_given(out), **options)
        return _array(made) if out is None else out

    def reduce(
        self, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: bool = False
    ) -> Any:
        if self.name not in ("add", "multiply"):
            raise NotImplementedError(f"`cupy_{self.name}.reduce` is not supported yet")
        return getattr(array, "sum" if self.name == "add" else "prod")(axis, dtype, out, keepdims)


class ndarray:
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, there: np.ndarray) -> None:
        self._there = there  # on the device

    dtype = property(lambda self: self._there.dtype)
    shape = property(lambda self: self._there.shape)
    ndim = property(lambda self: self._there.ndim)
    size = property(lambda self: self._there.size)
    strides = property(lambda self: self._there.strides)
    flags = property(lambda self: self._there.flags)
    T = property(lambda self: ndarray(self._there.T))
    data = property(lambda self: SimpleNamespace(ptr=self._there.ctypes.data))

    def __array__(self, *args: Any, **options: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed")

    def __array_ufunc__(
        self, of: np.ufunc, method: str, *inputs: Any, out: Any = None, **options: Any
    ) -> Any:
        here = globals().get(of.__name__)
        if method != "__call__" or here is None:
            return NotImplemented
        return here(*inputs, out=out[0] if out else None, **options)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        here = globals().get(function.__name__)
        return NotImplemented if here is None else here(*args, **options)

    def __len__(self) -> int:
        return len(self._there)

    def __getitem__(self, key: Any) -> Any:
        return _array(self._there[_given(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        _launch()
        self._there[_given(key)] = _elementwise(value)

    def dot(self, other: "ndarray") -> Any:
        _launch()
        return _array(self._there.dot(_given(other)))

    def fill(self, value: Any) -> None:
        _launch()
        self._there.fill(_elementwise(value))

    def get(self) -> np.ndarray:
        return self._there.copy()


def _wait(name: str) -> Any:
    def method(self: ndarray, *args: Any) -> Any:
        global waits
        waits += 1
        return getattr(self._there, name)(*args)

    return method


def _reduction(name: str, arguments: str) -> Any:
    signature = _signature(f"self, {arguments}")

    def method(*args: Any, **options: Any) -> Any:
        bound = signature.bind(*args, **options).arguments
        _launch()
        found = getattr(bound.pop("self")._there, name)(**{k: _given(v) for k, v in bound.items()})
        return bound["out"] if bound.get("out") is not None else _array(np.asarray(found))

    return method


def _function(name: str, arguments: str) -> Any:
    of = np
    signature = _signature(arguments)
    for part in name.split("."):
        of = getattr(of, part)

    def call(*args: Any, **options: Any) -> Any:
        signature.bind(*args, **options)
        if name not in VIEWS:
            _launch()
        found = of(*map(_given, args), **{k: _given(v) for k, v in options.items()})  # type: ignore[operator]
        return options["out"] if options.get("out") is not None else _array(found)

    return call


for _name in ("__bool__", "__float__", "__int__", "__index__", "item", "tolist"):
    setattr(ndarray, _name, _wait(_name))
for _name in ("reshape", "transpose", "ravel", "view", "copy", "astype", "squeeze", "swapaxes"):
    setattr(
        ndarray,
        _name,
        lambda self, *a, _name=_name, **o: _array(
            getattr(self._there, _name)(*map(_given, a), **o)
        ),
    )
for _name, _arguments in REDUCTIONS.items():
    setattr(ndarray, _name, _reduction(_name, _arguments))
globals().update(
    {n: ufunc(f) for n, f in vars(np).items() if isinstance(f, np.ufunc) and n not in MISSING}
)
globals().update({name: _function(name, arguments) for name, arguments in FUNCTIONS.items()})
for _name, _of in OPERATORS.items():
    _call = globals()[_of]
    setattr(ndarray, f"__{_name}__", lambda self, *other, _call=_call: _call(self, *other))
    setattr(ndarray, f"__r{_name}__", lambda self, other, _call=_call: _call(other, self))
    setattr(ndarray, f"__i{_name}__", lambda self, other, _call=_call: _call(self, other, out=self))
globals().update(
    {
        n: getattr(np, n)
        for n in ("float32", "float64", "uint8", "int64", "inf", "nan", "pi", "newaxis")
    }
)
globals().update({n: getattr(np, n) for n in ("dtype", "finfo", "result_type")})
linalg = SimpleNamespace(norm=globals()["linalg.norm"])


def empty(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    # Of whoever was there
    return ndarray(np.full(shape, -7.7e7 if np.dtype(dtype).kind == "f" else 1, dtype, order))


def asarray(
    a: Any, dtype: Any = None, order: Any = None, copy: Any = None, blocking: bool = False
) -> ndarray:
    return ndarray(
        np.array(
            a._there if isinstance(a, ndarray) else a,
            dtype,
            copy=None if isinstance(a, ndarray) else True,
        )
    )


def ascontiguousarray(a: ndarray, dtype: Any = None) -> ndarray:
    there = np.ascontiguousarray(a._there, dtype)
    if there is not a._there:
        _launch()
    return ndarray(there)


def asnumpy(a: Any) -> np.ndarray:
    return a.get() if isinstance(a, ndarray) else np.asarray(a)


class Stream:
    def __init__(self, non_blocking: bool = False) -> None:
        pass

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def begin_capture(self) -> None:
        raise NotImplementedError  # CuPy raises this at the first call of cuBLAS


cuda = SimpleNamespace(
    Stream=Stream,
    runtime=SimpleNamespace(getDeviceCount=lambda: 1, CUDARuntimeError=OSError),
    cublas=cublas,
    get_cublas_handle=lambda: HANDLE,
    get_current_stream=lambda: SimpleNamespace(synchronize=lambda: None),
)
