"""Arrays that put each call of NumPy they take part in on a tape, as a list of steps."""

from contextlib import nullcontext
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

import numpy as np

from harness.model.memory import arrays_in, bounds, is_within, plain
from harness.ops import cpu


class NotLowerable(Exception):
    """A network does something that is no call of NumPy on arrays."""


# The tape -----------------------------------------------------------------------------------------


@dataclass
class _Register:
    """A piece of memory that steps read or write.

    Attributes
    ----------
    array
        The array that owns it; it is kept, so that no other array gets the same memory.
    name
        What its content is called where it begins with one; "" for a buffer.
    is_result
        Whether a step makes it.
    depends
        Whether what is in it depends on the rows.
    index
        Its place in the program; None as long as no step has used it.
    content
        What it began with.
    """

    array: np.ndarray
    name: str = ""
    is_result: bool = False
    depends: bool = False
    index: int | None = None
    content: np.ndarray | None = None

    def holds(self, first: int, last: int) -> bool:
        """Whether these addresses lie within it."""
        begin, end = bounds(self.array)
        return begin <= first and last <= end


class Tape:
    """The calls of NumPy, as they are made.

    Attributes
    ----------
    steps
        For each call its function, arguments, keywords, and the register of its result.
    """

    def __init__(self) -> None:
        self.steps: list[list[Any]] = []
        self._memory: list[_Register] = []
        self._used: list[_Register] = []

    # Arrays that are recorded ---------------------------------------------------------------------

    def blank(self, array: np.ndarray) -> "Recorded":
        """A buffer whose content does not matter."""
        self._memory.append(_Register(array))
        return self.recorded(array)

    def named(self, arrays: dict[str, np.ndarray]) -> dict[str, "Recorded"]:
        """Arrays whose names the program keeps, such as the parameters."""
        recorded = {}
        for name, array in arrays.items():
            self._memory.append(_Register(array, name=name))
            recorded[name] = self.recorded(array)
        return recorded

    def recorded(self, array: np.ndarray) -> "Recorded":
        """The same memory as an array whose calls are recorded."""
        view = array.view(Recorded)
        view.tape = self
        return view

    def operations(self) -> Any:
        """The operations of a device whose arrays are recorded."""
        return SimpleNamespace(
            xp=_Numpy(self),
            empty=lambda *args, **kwargs: self.blank(np.empty(*args, **kwargs)),
            zeros=lambda *args, **kwargs: self.recorded(np.zeros(*args, **kwargs)),
            asarray=lambda a, dtype=None: self.recorded(cpu.asarray(a, dtype)),
            to_host=cpu.to_host,
            matmul=np.matmul,
            product=lambda lead: np.matmul,
            gather=_refuse_gather,
            uniform=_refuse_random,
            generator=_refuse_random,
            quiet=nullcontext,
            synchronize=cpu.synchronize,
        )

    # Recording ------------------------------------------------------------------------------------

    def mark_input(self, x: np.ndarray) -> None:
        """All that is computed from an array from now on depends on the rows."""
        self._register_of(x).depends = True

    def call(self, name: str, function: Any, args: Any, kwargs: Any, written: list[Any]) -> Any:
        """Makes a call and records it.

        Parameters
        ----------
        name
            The function, as `inference.function_of` finds it.
        function
            The function itself.
        args, kwargs
            Its arguments.
        written
            The arrays among them that it writes.

        Returns
        -------
        What it returns: where it writes into nothing, a new array that is recorded.
        """
        # Before the call, so that what a register begins with is what it was before.
        given = [self._argument(argument) for argument in args]
        keywords = {key: self._argument(value) for key, value in kwargs.items()}
        arrays = [*arrays_in(args), *arrays_in(list(kwargs.values()))]
        depends = any(self._register_of(array).depends for array in arrays)
        returned = function(*plain(args), **plain(kwargs))
        if written:
            for array in written:
                self._register_of(array).depends |= depends
            self.steps.append([name, given, keywords, None])
            return returned
        if not isinstance(returned, np.ndarray | np.generic):
            raise NotLowerable(f"{name} does not return an array")
        array = np.asarray(returned)
        register = _Register(array, is_result=True, depends=depends)
        self._memory.append(register)
        self._use(register)
        self.steps.append([name, given, keywords, register.index])
        return self.recorded(array)

    def depends(self, array: np.ndarray) -> bool:
        """Whether what is in an array depends on the rows."""
        return self._register_of(array).depends

    def reference(self, array: np.ndarray) -> dict[str, Any]:
        """An array as an argument of a step: a view of a register."""
        register = self._register_of(array)
        self._use(register)
        owner = register.array
        here, _ = bounds(array)
        begin, _ = bounds(owner)
        is_whole = (array.shape, array.strides, array.dtype) == (
            owner.shape,
            owner.strides,
            owner.dtype,
        )
        if is_whole and here == begin:
            return {"at": register.index}
        if not owner.flags.c_contiguous:
            raise NotLowerable("a part of an array is used that is not in C order")
        view = [list(array.shape), array.dtype.str, here - begin, list(array.strides)]
        return {"at": register.index, "view": view}

    def _argument(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return self.reference(value)
        if isinstance(value, np.generic):
            return {"scalar": [value.dtype.str, value.item()]}
        if isinstance(value, tuple | list):
            return {"list": [self._argument(item) for item in value]}
        if isinstance(value, type | np.dtype):
            return {"dtype": np.dtype(value).str}
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise NotLowerable(f"{type(value).__name__} is no argument that a program can hold")

    def _register_of(self, array: np.ndarray) -> _Register:
        first, last = bounds(array)
        # The newest first: results may be many, and most arguments are new.
        for register in reversed(self._memory):
            if register.holds(first, last):
                return register
        owner = array
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        register = _Register(owner.view(np.ndarray), name=f"constant{len(self._memory)}")
        self._memory.append(register)
        return register

    def _use(self, register: _Register) -> None:
        if register.index is not None:
            return
        register.index = len(self._used)
        self._used.append(register)
        if register.name:
            if not register.array.flags.c_contiguous:
                raise NotLowerable("an array is used that is not in C order")
            register.content = register.array.copy()

    # What comes of it -----------------------------------------------------------------------------

    def registers(self) -> list[dict[str, Any]]:
        """The registers of the program, as JSON."""
        described = []
        for register in self._used:
            about: dict[str, Any] = {}
            if register.name:
                about = {"array": f"served/{register.name}"}
            elif not register.is_result:
                about = {"shape": list(register.array.shape), "dtype": register.array.dtype.str}
            described.append(about)
        return described

    def contents(self) -> dict[str, np.ndarray]:
        """What the registers begin with that have a name."""
        return {
            f"served/{register.name}": register.content
            for register in self._used
            if register.content is not None
        }


# Arrays that record -------------------------------------------------------------------------------


class Recorded(np.ndarray):
    """An array whose calls of NumPy are put on a tape; so are those of all views of it."""

    tape: Tape | None = None

    def __array_finalize__(self, source: Any) -> None:
        self.tape = getattr(source, "tape", None)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        tape = _tape_of([inputs, kwargs])
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        name = _name_of(ufunc) if method == "__call__" else f"{_name_of(ufunc)}.{method}"
        written = [array for array in kwargs.get("out", ()) if array is not None]
        if len(written) == 1:
            kwargs["out"] = written[0]
        elif ufunc.nout > 1:
            raise NotLowerable(f"{name} returns several arrays")
        if method == "at":
            written = [inputs[0]]
        returned = tape.call(name, function, inputs, kwargs, written)
        return written[0] if written else returned

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        name = function.__name__
        if name in _OF_SHAPES:
            return function(*plain(args), **plain(kwargs))
        tape = _tape_of([args, kwargs])
        if name in _VIEWS:
            view = function(*plain(args), **plain(kwargs))
            return tape.recorded(view)
        if name in _ALIKE:
            return tape.blank(function(*plain(args), **plain(kwargs)))
        if getattr(np, name, None) is not function:
            raise NotLowerable(f"{function.__module__}.{name} is no function that is recorded")
        written = [kwargs["out"]] if kwargs.get("out") is not None else []
        if name in _INTO_FIRST:
            written = [args[0]]
        returned = tape.call(f"numpy:{name}", function, args, kwargs, written)
        return written[0] if written else returned

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        if not isinstance(part, Recorded) or not is_within(part, self):
            self._one("a choice of elements")
        return part

    def __setitem__(self, key: Any, value: Any) -> None:
        target = self[key]
        if not isinstance(target, Recorded) or not is_within(target, self):
            raise NotLowerable("an array is written at places that are no slice")
        np.copyto(target, value)

    def _one(self, what: str) -> None:
        if self.tape is not None and self.tape.depends(self):
            raise NotLowerable(f"{what} of a value that depends on the rows")

    def __bool__(self) -> bool:
        self._one("the truth")
        return bool(self.view(np.ndarray))

    def __float__(self) -> float:
        self._one("the number")
        return float(self.view(np.ndarray))

    def __int__(self) -> int:
        self._one("the number")
        return int(self.view(np.ndarray))

    def item(self, *args: Any) -> Any:
        """One element, which may decide nothing where it depends on the rows."""
        self._one("an element")
        return self.view(np.ndarray).item(*args)

    def tolist(self) -> Any:
        """The elements, which may decide nothing where they depend on the rows."""
        self._one("a list")
        return self.view(np.ndarray).tolist()

    def copy(self, order: Any = "C") -> Any:
        """A copy, made by a step of its own."""
        return self.astype(self.dtype)

    def astype(self, dtype: Any, *args: Any, **kwargs: Any) -> Any:
        """The elements as another type, by a step of its own."""
        if self.tape is None:
            raise NotLowerable("an array belongs to no tape")
        converted = self.tape.blank(np.empty(self.shape, dtype))
        np.copyto(converted, self, casting="unsafe")
        return converted


# Functions that look at shapes and types only.
_OF_SHAPES = ("shape", "ndim", "size", "result_type", "can_cast", "may_share_memory")
# Functions that return a view of an array, and those that return an array to be filled.
_VIEWS = ("broadcast_to", "expand_dims", "squeeze", "swapaxes", "transpose", "moveaxis", "reshape")
_ALIKE = ("empty_like",)
_INTO_FIRST = ("copyto", "putmask", "place", "put")


class _Numpy:
    """NumPy as a layer sees it: the arrays that it makes are recorded."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape

    def __getattr__(self, name: str) -> Any:
        member = getattr(np, name)
        if isinstance(member, np.ufunc | type | ModuleType) or not callable(member):
            return member

        def function(*args: Any, **kwargs: Any) -> Any:
            made = member(*args, **kwargs)
            if not isinstance(made, np.ndarray) or isinstance(made, Recorded):
                return made
            return self._tape.blank(made) if name == "empty" else self._tape.recorded(made)

        return function


def _name_of(ufunc: Any) -> str:
    name: str = ufunc.__name__
    if getattr(np, name, None) is ufunc:
        return f"numpy:{name}"
    import scipy.special

    if getattr(scipy.special, name, None) is ufunc:
        return f"scipy.special:{name}"
    raise NotLowerable(f"{name} is a function of neither NumPy nor scipy.special")


def _tape_of(values: Any) -> Tape:
    for array in arrays_in(values):
        if isinstance(array, Recorded) and array.tape is not None:
            return array.tape
    raise NotLowerable("an array belongs to no tape")


def _refuse_gather(*_: Any) -> NoReturn:
    raise NotLowerable("rows are gathered")


def _refuse_random(*_: Any) -> NoReturn:
    raise NotLowerable("random numbers are drawn in evaluation")
