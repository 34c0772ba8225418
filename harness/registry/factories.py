"""What can be told of a factory that somebody registers: its name, arguments and origin.

A factory is whatever can be called: a function, a lambda, a bound method, functools.partial, an
object with __call__, a ufunc such as np.tanh. Some of these have no name, no source or no
signature, and inspect raises for each in its own way. Here each question has one answer or one
sentence.
"""

import functools
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from harness.errors import UsageError, in_words

_LONGEST = 80  # characters of a factory in a message
_HERE = (__file__, str(Path(__file__).with_name("decorators.py")))


class Place(NamedTuple):
    """Where something is registered."""

    file: str
    module: str


class Qualified(NamedTuple):
    """By what two versions of one function are known to be that."""

    module: str
    name: str


def function_of(factory: Any) -> Any:
    """The function in which a factory's code is written, or the factory where none can be seen."""
    inner = factory
    while isinstance(inner, functools.partial):
        inner = inner.func
    if inspect.isroutine(inner) or inspect.isclass(inner):
        return inspect.unwrap(inner)
    if isinstance(inner, np.ufunc):
        return inner
    # The function itself is wanted here, not whether there is one.
    return getattr(type(inner), "__call__", inner)  # noqa: B004


def source_file(factory: Any) -> str | None:
    """The file in which a factory is written, or what stands for one at a prompt.

    None where it is not written in Python.
    """
    try:
        return inspect.getsourcefile(function_of(factory))
    except (TypeError, ValueError):
        return None


def caller() -> Place:
    """Whoever registers something: the nearest frame outside the registry."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename in _HERE:
        frame = frame.f_back
    return Place(frame.f_code.co_filename, frame.f_globals.get("__name__", "__main__"))


def name_of(kind: str, factory: Any) -> str:
    """The name that a factory has by itself; UsageError where it has none."""
    name = getattr(factory, "__name__", None)
    if not isinstance(name, str):
        raise UsageError(
            f"{kind}: {_shown(factory)} has no name of its own; give it one, such as "
            f"{kind}('mine')(...)"
        )
    return name


def parameters(kind: str, label: str, factory: Any) -> dict[str, inspect.Parameter]:
    """The arguments of a factory.

    Parameters
    ----------
    kind, label
        The kind and the name under which it is registered, for messages.
    factory
        What is registered.

    Returns
    -------
    The arguments by name, in their order.

    Raises
    ------
    UsageError
        If Python cannot tell them, or one cannot be given by name. The first of an activation need
        not be, because that is z.
    """
    # What the signature of a ufunc says beside f(z) is NumPy's: out, where, dtype, ...
    if isinstance(factory, np.ufunc) and factory.nin == 1:
        return {"z": inspect.Parameter("z", inspect.Parameter.POSITIONAL_ONLY)}
    try:
        arguments = dict(inspect.signature(factory).parameters)
    except Exception as error:
        # A built-in has no signature, and an object may fail when it is looked at.
        raise UsageError(
            f"the {kind} {label!r} must be a function whose arguments Python can see, got "
            f"{_shown(factory)} "
            f"({in_words(error)}); put a function of your own around it: def {label}(z): ..."
        ) from None

    by_name = list(arguments.values())
    if kind == "activation":
        by_name = by_name[1:]
    for parameter in by_name:
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise UsageError(
                f"the {kind} {label!r} must take its arguments by name, but {_shown(factory)} "
                f"takes {parameter.name!r} by "
                f"position only; put a function of your own around it: def {label}(...): ..."
            )
    return arguments


def documentation(factory: Any) -> str:
    """The docstring; of a functools.partial that of the function within."""
    while isinstance(factory, functools.partial):
        factory = factory.func
    return inspect.getdoc(factory) or ""


def qualified(factory: Callable[..., Any]) -> Qualified | None:
    """The module and name of a plain function; None for anything else."""
    if not inspect.isfunction(factory):
        return None
    return Qualified(factory.__module__, factory.__qualname__)


def _shown(factory: Any) -> str:
    """A factory as a message shows it."""
    try:
        text = repr(factory)
    except Exception:  # its repr may be the plugin's
        text = f"a {type(factory).__name__}"
    if len(text) <= _LONGEST:
        return text
    return text[: _LONGEST - 3] + "..."
