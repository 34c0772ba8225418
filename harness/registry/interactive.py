"""Code that lies in no file: a notebook's cells, what is typed at a prompt, `python -c`, a script
on stdin.

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
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

Feed = Callable[[str], None]


def text_of(file: str) -> bytes:
    """The source of a file, a notebook's cell or a `python -c`; empty where nobody has kept it."""
    path = Path(file)
    if path.is_file():
        return path.read_bytes()
    if lines := linecache.getlines(file):
        return "".join(lines).encode("utf-8", "backslashreplace")
    given = sys.orig_argv
    if file == "<string>" and "-c" in given[:-1]:
        return given[given.index("-c") + 1].encode("utf-8", "backslashreplace")
    return b""


def is_loose(file: str, module: str) -> bool:
    """Whether something was defined in the main module, but in no file."""
    return module == "__main__" and not os.path.isfile(file)


def digest(factory: Any) -> str:
    """SHA-256 of a factory's code and of all that it names, as far as that was defined in the main
    module.
    """
    sha = hashlib.sha256()
    _walk(
        factory,
        lambda text: sha.update(text.encode("utf-8", "backslashreplace") + b"\0"),
        {},
        set(),
    )
    return sha.hexdigest()


def modules(factory: Any) -> set[str]:
    """The names of the modules from which a factory, and what it names in the main module, takes
    something.
    """
    found: set[str] = set()
    _walk(factory, lambda text: None, {}, found)
    return found


def _walk(value: Any, feed: Feed, seen: dict[int, int], found: set[str]) -> None:
    """Feeds everything that decides what a value does, in an order that does not depend on the
    process.
    """
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        feed(f"{type(value).__name__} {value!r}")
        return
    if id(value) in seen:
        feed(f"again {seen[id(value)]}")
        return
    seen[id(value)] = len(seen)
    if isinstance(value, ModuleType):
        found.add(value.__name__)
        feed(f"module {value.__name__}")
        return
    for part in _parts(value, found):
        if isinstance(part, _Word):
            feed(part)
        else:
            _walk(part, feed, seen, found)


class _Word(str):
    """A text that stands for itself, and is no value."""


def _parts(value: Any, found: set[str]) -> Iterator[Any]:
    """What a value consists of."""
    yield _Word(type(value).__qualname__)
    if isinstance(value, np.ndarray) and value.dtype != object:
        yield _Word(f"{value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}")
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
        yield from _parts_of_object(value, found)


def _order(value: Any) -> str:
    return f"{type(value).__name__} {value!r}"


def _parts_of_object(value: Any, found: set[str]) -> Iterator[Any]:
    """The parts of a function, a class or an object: all of them where it was made in the main
    module.
    """
    if isinstance(value, FunctionType):
        value = inspect.unwrap(value)  # what is registered is wrapped by the registry
    kind = value if isinstance(value, FunctionType | type) else type(value)
    module = getattr(value if hasattr(value, "__qualname__") else kind, "__module__", None) or ""
    yield _Word(f"{module} {getattr(value, '__qualname__', kind.__qualname__)}")
    if module != "__main__":
        found.add(module)
    elif isinstance(value, FunctionType):
        yield from (value.__code__, value.__defaults__, value.__kwdefaults__)
        yield from (cell.cell_contents for cell in value.__closure__ or () if _filled(cell))
        for name in sorted(_names(value.__code__)):
            if name in value.__globals__:
                yield _Word(name)
                yield value.__globals__[name]
    elif isinstance(value, type):
        hidden = (
            "__dict__",
            "__weakref__",
            "__slotnames__",
            "__firstlineno__",
            "__static_attributes__",
        )
        yield from value.__bases__
        yield {name: part for name, part in vars(value).items() if name not in hidden}
    elif isinstance(value, property | staticmethod | classmethod):
        yield from (getattr(value, "fget", None), getattr(value, "__func__", None))
    else:
        yield kind
        yield getattr(value, "__dict__", None)


def _filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _names(code: CodeType) -> set[str]:
    """The global names in a function's code and in the functions within it."""
    own = {
        each.argval
        for each in dis.get_instructions(code)
        if each.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    inner = (each for each in code.co_consts if isinstance(each, CodeType))
    return own.union(*map(_names, inner))
