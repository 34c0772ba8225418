"""Parameters of a test of which a few are tried each time, and their siblings by `tox -e slow`."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def quick(values: Iterable[Any], is_quick: Callable[[Any], bool] | Iterable[Any]) -> list[Any]:
    """All values as parameters; those that are not quick are marked slow."""
    if callable(is_quick):
        chosen = is_quick
    else:
        kept = list(is_quick)
        chosen = kept.__contains__
    return [
        value
        if chosen(value)
        else pytest.param(
            *(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.slow
        )
        for value in values
    ]
