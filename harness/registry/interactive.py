"""Code that lies in no file: a notebook's cells, a prompt, `python -c`, a script on stdin.

Its text is known where Python or IPython keeps it. It may use what other cells have defined, so
what decides its results is found from the objects themselves: the digest here goes from a function
to everything that it names.
"""

import dis
import hashlib
import inspect
import linecache
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

# Attributes of a class that Python makes, and that may differ between two processes or versions
_HIDDEN = (
    *("__dict__", "__weakref__", "__slotnames__"),
    *("__firstlineno__", "__static_attributes__"),
)


def text_of(file: str) -> bytes:
    """The source of a file, a notebook's cell or a `python -c`; empty where nobody has kept it."""
    path = Path(file)
    if path.is_file():
        return path.read_bytes()
    if lines := linecache.getlines(file):
        return "".join(lines).encode("utf-8", "backslashreplace")
    words = sys.orig_argv
    if file == "<string>" and "-c" in words[:-1]:
        return words[words.index("-c") + 1].encode("utf-8", "backslashreplace")
    return b""


def is_loose(file: str, module: str) -> bool:
    """Whether something was defined in the main module, but in no file."""
    return module == "__main__" and not os.path.isfile(file)


def digest(factory: Any) -> str:
    """SHA-256 of a factory's code and of all that it names.

    What was defined outside the main module counts by its name alone, because its file is kept.
    """
    sha = hashlib.sha256()

    def feed(text: str) -> None:
        sha.update(text.encode("utf-8", "backslashreplace") + b"\0")

    _Walk(feed).visit(factory)
    return sha.hexdigest()


def modules(factory: Any) -> set[str]:
    """The names of the modules that a factory, and what it names in the main module, uses."""

    def ignore(text: str) -> None:
        """Takes no notice of the code, since only the modules are asked for."""

    walk = _Walk(ignore)
    walk.visit(factory)
    return walk.modules


class _Word(str):
    """A text that stands for itself, and is no value."""


class _Walk:
    """A walk over everything that decides what a value does.

    Its order does not depend on the process: sets and dicts are sorted, and a value that comes
    again is known by when it came first.

    Parameters
    ----------
    feed
        What is called with each part as text.

    Attributes
    ----------
    modules
        The names of the modules outside the main one that something comes from.
    """

    def __init__(self, feed: Callable[[str], None]) -> None:
        self.modules: set[str] = set()
        self._feed = feed
        self._seen: dict[int, int] = {}  # a number for the id of each value
        # Values stay alive during the walk, so that no new one gets the id of an old one.
        self._alive: list[Any] = []

    def visit(self, value: Any) -> None:
        """Feeds a value and all its parts."""
        if value is None or isinstance(value, bool | int | float | complex | str | bytes):
            self._feed(f"{type(value).__name__} {value!r}")
            return
        if id(value) in self._seen:
            self._feed(f"again {self._seen[id(value)]}")
            return
        self._seen[id(value)] = len(self._seen)
        self._alive.append(value)
        if isinstance(value, ModuleType):
            self.modules.add(value.__name__)
            self._feed(f"module {value.__name__}")
            return
        for part in self._parts(value):
            if isinstance(part, _Word):
                self._feed(part)
            else:
                self.visit(part)

    def _parts(self, value: Any) -> Iterator[Any]:
        """What a value consists of."""
        yield _Word(type(value).__qualname__)
        if isinstance(value, np.ndarray) and value.dtype != object:
            digest = hashlib.sha256(value.tobytes()).hexdigest()
            yield _Word(f"{value.dtype} {value.shape} {digest}")
        elif isinstance(value, dict):
            for key in sorted(value, key=_order):
                yield key
                yield value[key]
        elif isinstance(value, set | frozenset):
            yield from sorted(value, key=_order)
        elif isinstance(value, list | tuple):
            yield from value
        elif isinstance(value, CodeType):
            yield _Word(
                f"{value.co_code.hex()} {value.co_names} {value.co_varnames} "
                f"{value.co_freevars} {value.co_flags}"
            )
            yield from value.co_consts
        elif isinstance(value, partial):
            yield from (value.func, value.args, value.keywords)
        elif isinstance(value, MethodType):
            yield from (value.__func__, value.__self__)
        else:
            yield from self._parts_of_object(value)

    def _parts_of_object(self, value: Any) -> Iterator[Any]:
        """The parts of a function, a class or an object, where it comes from the main module."""
        if isinstance(value, FunctionType):
            value = inspect.unwrap(value)  # what is registered is wrapped by the registry
        named = value if isinstance(value, FunctionType | type) else type(value)
        name = getattr(value, "__qualname__", named.__qualname__)
        has_name = hasattr(value, "__qualname__")
        module = getattr(value if has_name else named, "__module__", None) or ""
        yield _Word(f"{module} {name}")
        if module != "__main__":
            self.modules.add(module)
        elif isinstance(value, FunctionType):
            yield from _parts_of_function(value)
        elif isinstance(value, type):
            yield from value.__bases__
            yield {key: part for key, part in vars(value).items() if key not in _HIDDEN}
        elif isinstance(value, property | staticmethod | classmethod):
            yield from (getattr(value, "fget", None), getattr(value, "__func__", None))
        else:
            yield named
            yield getattr(value, "__dict__", None)


def _parts_of_function(function: FunctionType) -> Iterator[Any]:
    """A function's code and defaults, what it has closed over, and the globals that it names."""
    yield from (function.__code__, function.__defaults__, function.__kwdefaults__)
    for cell in function.__closure__ or ():
        if _is_filled(cell):
            yield cell.cell_contents
    for name in sorted(_global_names(function.__code__)):
        if name in function.__globals__:
            yield _Word(name)
            yield function.__globals__[name]


def _order(value: Any) -> str:
    """By what the elements of a set are sorted, whatever their types."""
    return f"{type(value).__name__} {value!r}"


def _is_filled(cell: CellType) -> bool:
    """Whether a variable that a function has closed over has a value yet."""
    try:
        cell.cell_contents  # noqa: B018  reading it is the test
    except ValueError:
        return False
    return True


def _global_names(code: CodeType) -> set[str]:
    """The global names in a function's code and in the functions within it."""
    names: set[str] = set()
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            names.add(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _global_names(constant)
    return names
