"""What can be told of a factory that somebody registers: its name, its arguments, where it was
written.

A factory is whatever can be called: a function, a lambda, a bound method, functools.partial, an
object with __call__, a ufunc such as np.tanh. Some of these have no name, no source or no
signature, and inspect raises for each in its own way; here each question has one answer or one
sentence.
"""

import functools
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import UsageError, in_words

_HERE = (__file__, str(Path(__file__).with_name("decorators.py")))


def function_of(factory: Any) -> Any:
    """The function in which the factory's code is written; the factory itself where there is none
    to be seen.
    """
    found = factory
    while isinstance(found, functools.partial):
        found = found.func
    if inspect.isroutine(found) or inspect.isclass(found):
        return inspect.unwrap(found)
    if isinstance(found, np.ufunc):
        return found
    return getattr(type(found), "__call__", found)  # noqa: B004  the function is wanted, not whether there is one


def source_file(factory: Any) -> str | None:
    """The file, or what stands for one at a prompt, in which the factory is written; None for what
    is built in.
    """
    try:
        return inspect.getsourcefile(function_of(factory))
    except (TypeError, ValueError):
        return None


def caller() -> tuple[str, str]:
    """The file and the module of whoever registers something: the nearest frame outside the
    registry.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename in _HERE:
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_globals.get("__name__", "__main__")


def name_of(kind: str, factory: Any) -> str:
    """The name that a factory has by itself."""
    name = getattr(factory, "__name__", None)
    if not isinstance(name, str):
        raise UsageError(
            f"{kind}: {_shown(factory)} has no name of its own; give it one, such as "
            f"{kind}('mine')(...)"
        )
    return name


def parameters(kind: str, label: str, factory: Any) -> dict[str, inspect.Parameter]:
    """The arguments of a factory by name."""
    # f(z): what its signature says beside that is NumPy's
    if isinstance(factory, np.ufunc) and factory.nin == 1:
        return {"z": inspect.Parameter("z", inspect.Parameter.POSITIONAL_ONLY)}
    try:
        found = dict(inspect.signature(factory).parameters)
    except Exception as error:
        # A built-in without a signature, or an object that fails when it is looked at
        raise UsageError(
            f"the {kind} {label!r} must be a function whose arguments Python can see, got "
            f"{_shown(factory)} "
            f"({in_words(error)}); put a function of your own around it: def {label}(z): ..."
        ) from None

    first = next(iter(found), None) if kind == "activation" else None  # z comes without its name
    for name, parameter in found.items():
        if parameter.kind is parameter.POSITIONAL_ONLY and name != first:
            raise UsageError(
                f"the {kind} {label!r} must take its arguments by name, but {_shown(factory)} "
                f"takes {name!r} by "
                f"position only; put a function of your own around it: def {label}(...): ..."
            )
    return found


def documentation(factory: Any) -> str:
    """The docstring; that of the function within a functools.partial."""
    while isinstance(factory, functools.partial):
        factory = factory.func
    return inspect.getdoc(factory) or ""


def qualified(factory: Callable[..., Any]) -> tuple[str, str] | None:
    """The module and name of a plain function, by which two versions of one function are known;
    None for others.
    """
    if not inspect.isfunction(factory):
        return None
    return factory.__module__, factory.__qualname__


def _shown(factory: Any) -> str:
    try:
        text = repr(factory)
    except Exception:  # its repr is not ours
        text = f"a {type(factory).__name__}"
    return text if len(text) <= 80 else text[:77] + "..."
