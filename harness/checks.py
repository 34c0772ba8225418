"""What arguments must be, in one place: a check returns the plain Python value, or refuses it.

In every check `name` is the argument as the user writes it, and begins the message; `value` is what
to check, and `remedy` what to do where the message alone does not say it.

NumPy's scalars and 0-d arrays are numbers like any other. They come back as Python's own, so that a
config, its JSON and its digest do not depend on which of the two a user happened to have. A truth
value is never taken for a number.
"""

import math
import os
from collections.abc import Callable, Collection
from numbers import Integral, Real
from typing import Any, TypeVar

from harness.errors import UsageError

Choice = TypeVar("Choice")

LONGEST_LINE = 200  # characters of a name; MLflow keeps 250 of a run's name
_SHOWN = 60  # characters of a value in a message


def plain(value: Any) -> Any:
    """A value as plain Python: what JSON and a digest can hold, whichever library it came from.

    NumPy's scalars become Python's, arrays, tuples and ranges become lists, paths become text. What
    is none of these is returned as it is.
    """
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | range):
        return [plain(inner) for inner in value]
    # A bool is an Integral as well, so it must be asked for first.
    if isinstance(value, bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    # Of a class, such as np.float64 itself, it could not be called.
    if hasattr(value, "tolist") and not isinstance(value, type):
        # An array, a truth value of NumPy or a column of a table. Where such a list is the value
        # itself, asking once more would not end.
        listed = value.tolist()
        if listed is not value:
            return plain(listed)
    return value


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number; True and 3.0 are not."""
    value = _unwrapped(value)
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_real(value: Any) -> bool:
    """Whether a value is a number, NaN and infinity included; True is not."""
    value = _unwrapped(value)
    return isinstance(value, Real) and not isinstance(value, bool)


def is_finite(value: Any) -> bool:
    """Whether a value is a number other than NaN and infinity."""
    return is_real(value) and math.isfinite(float(_unwrapped(value)))


def whole(
    name: str,
    value: Any,
    at_least: int | None = None,
    at_most: int | None = None,
    *,
    otherwise: str = "",
    remedy: str = "",
) -> int:
    """The value as an int.

    Parameters
    ----------
    name
        The argument as the user writes it; it begins the message.
    value
        The value to check.
    at_least, at_most
        The bounds, both included; None for no bound.
    otherwise
        What is allowed beside a number, such as " or 'full'".
    remedy
        What to do, where the message alone does not say it.

    Raises
    ------
    UsageError
        If the value is no whole number, or out of bounds.
    """
    holds = is_whole(value)
    if holds:
        number = int(_unwrapped(value))
        holds = (at_least is None or number >= at_least) and (at_most is None or number <= at_most)
    if not holds:
        bounds = _bounds(at_least, at_most)
        raise UsageError(
            f"{name} must be a whole number{bounds}{otherwise}, got {shown(value)}{_then(remedy)}"
        )
    return number


def real(
    name: str,
    value: Any,
    holds: Callable[[float], bool] | None = None,
    must: str = "must be a finite number",
    *,
    finite: bool = True,
    remedy: str = "",
) -> float:
    """The value as a float.

    Parameters
    ----------
    name
        The argument as the user writes it; it begins the message.
    value
        The value to check.
    holds
        What must hold of the number; None for nothing.
    must
        The same in words, after the name: "must lie in [0, 1)".
    finite
        Whether NaN and infinity are refused, whatever `holds` says.
    remedy
        What to do, where the message alone does not say it.

    Raises
    ------
    UsageError
        If the value is no number, or `holds` is false for it.
    """
    fits = is_real(value)
    if fits:
        number = float(_unwrapped(value))
        fits = math.isfinite(number) or not finite
    if not fits or (holds is not None and not holds(number)):
        raise UsageError(f"{name} {must}, got {shown(value)}{_then(remedy)}")
    return number


def reals(
    name: str, value: Any, holds: Callable[[float], bool], must: str, *, finite: bool = True
) -> None:
    """Refuses a hyperparameter that is no such number.

    A list or tuple has one number for each member of a population. The arguments are those of
    `real`.
    """
    members = value if isinstance(value, list | tuple) else [value]
    for member in members:
        real(name, member, holds, must, finite=finite)


def one_or_each(value: Any, count: int, lead: tuple[int, ...]) -> None:
    """Refuses a hyperparameter that is neither one number nor has one for each member.

    Parameters
    ----------
    value
        The hyperparameter.
    count
        How many numbers it has.
    lead
        () for one network, (P,) for a population.
    """
    if count not in (1, math.prod(lead)):
        raise UsageError(
            f"a hyperparameter must be one number, got {shown(value)}; give each of them a "
            "network of its own"
        )


def share(name: str, value: Any, must: str = "must be a share in [0, 1)") -> float:
    """A part of something, in [0, 1), as a float."""
    return real(name, value, lambda part: 0 <= part < 1, must)


def one_of(name: str, value: Any, allowed: Collection[Choice]) -> Choice:
    """The value, which must be one of those allowed, in their own type."""
    value = plain(value)
    for choice in allowed:
        # True == 1 == 1.0, which are three different choices.
        if type(choice) is type(value) and choice == value:
            return choice
    raise UsageError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {shown(value)}")


def truth(name: str, value: Any) -> bool:
    """A truth value as a bool; 0 and 1 are no truth values."""
    value = plain(value)
    if not isinstance(value, bool):
        raise UsageError(f"{name} must be True or False, got {shown(value)}")
    return value


def text(name: str, value: Any, example: str = "") -> str:
    """A text that is not blank, as a str; a path is a text too."""
    value = plain(value)
    if isinstance(value, str) and value.strip():
        return value
    must = "must be a text"
    if example:
        must += f" such as {example!r}"
    raise UsageError(f"{name} {must}, got {shown(value)}")


def line(name: str, value: Any, remedy: str = "") -> str:
    """A name on one line, as a str, which a table can show and find again."""
    value = plain(value)
    fits = (
        isinstance(value, str)
        and bool(value.strip())
        and value.isprintable()
        and len(value) <= LONGEST_LINE
    )
    if not fits:
        raise UsageError(
            f"{name} must be a line of 1 to {LONGEST_LINE} characters, got "
            f"{shown(value)}{_then(remedy)}"
        )
    return value


def shown(value: Any) -> str:
    """A value as a message shows it: plain, on one line, and not too long."""
    # A message is one line, whatever the value holds.
    written = " ".join(repr(plain(value)).split())
    if len(written) <= _SHOWN:
        return written
    return f"{written[: _SHOWN - 3]}..."


def _unwrapped(value: Any) -> Any:
    """What a 0-d array holds; anything else as it is."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return value.item()
    return value


def _bounds(at_least: int | None, at_most: int | None) -> str:
    if at_least is not None and at_most is not None:
        return f" in [{at_least}, {at_most}]"
    if at_least is not None:
        return f" of at least {at_least}"
    if at_most is not None:
        return f" of at most {at_most}"
    return ""


def _then(remedy: str) -> str:
    if not remedy:
        return ""
    return f"; {remedy}"
