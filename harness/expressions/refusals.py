"""What an expression may not do is refused by name, with the place in the user's file."""

import os
import sys
from typing import NoReturn

import numpy as np

from harness.errors import UsageError

EACH = "an expression works on every element alone; use ufuncs, np.where, np.clip, np.select"
PAIR = "leave it out, or write the activation as a pair f, df"

# Methods of Python that would give a wrong graph without a word: what is said, and what to do
FORBIDDEN = {
    "bool": (
        "the truth of {} (if, while, and, or, not, max, min, a < z < b)",
        "use np.where, np.maximum and & | ~",
    ),
    "float int complex index": (
        "{} as one number (float, int, math)",
        "use the function of numpy or scipy.special",
    ),
    "len iter getitem setitem delitem contains": ("len, a loop or an index on {}", EACH),
    "array": ("a function that needs an array for {}", EACH),
    "round floor ceil trunc": ("{} rounded", PAIR),
}

_PACKAGES = os.path.dirname(os.path.dirname(np.__file__))

# A frame of these folders is not where the user has asked for something.
_INSIDE = (
    os.path.dirname(__file__),
    os.path.join(_PACKAGES, "numpy"),
    os.path.join(_PACKAGES, "scipy"),
)


def refuse(what: str, remedy: str) -> NoReturn:
    """Raise a UsageError that names the operation and the line of the user's file."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_INSIDE):
        frame = frame.f_back
    place = f"{frame.f_code.co_filename}, line {frame.f_lineno}, in {frame.f_code.co_name}"
    raise UsageError(
        f"an expression must consist of operations with a known slope, got {what} "
        f"({place}); {remedy}"
    )
