"""What a search space has suggested: its names, and its values as one writes them."""

import json
from collections.abc import Iterator
from typing import Any

from harness import registry
from harness.config import Config
from harness.errors import UsageError
from harness.escapes import encodable

# What the params of a config begin with in MLflow. What a space suggests keeps its own name.
OURS = "config."


def name_of(number: int, params: dict[str, Any]) -> str:
    """The name of a trial: "#12 relu lr=0.05", words as they are, numbers with their name.

    A name is for reading, so its numbers have four digits at most; the params have all of them.
    """
    parts = []
    for key, value in params.items():
        if isinstance(value, str):
            parts.append(value)
        elif isinstance(value, float):
            parts.append(f"{key}={value:.4g}")
        else:
            parts.append(f"{key}={shown(value)}")
    return " ".join([f"#{number}", *parts])


def shown(value: Any) -> str:
    """A suggested value as one writes it.

    Such as 0.0512, 784, 10 for a list of sizes, adam(learning_rate=0.001) for a spec. Typed back
    it is the same value: a number has all the digits that it needs.
    """
    if isinstance(value, float):
        return repr(float(value))
    if isinstance(value, dict | list | tuple):
        return registry.text(value)
    return str(value)


def words(params: dict[str, Any]) -> str:
    """What was suggested in a line: names and values, which can be typed back."""
    return " ".join(f"{key}={shown(value)}" for key, value in params.items())


def words_in_short(params: dict[str, Any]) -> str:
    """What was suggested in a line that is for reading: its numbers have four digits at most."""
    parts = []
    for key, value in params.items():
        text = f"{value:.4g}" if isinstance(value, float) else shown(value)
        parts.append(f"{key}={text}")
    return " ".join(parts)


def check_param(name: str, taken: tuple[str, ...] = ()) -> None:
    """UsageError for a name that would not stay apart from what the harness keeps.

    Parameters
    ----------
    name : str
        The name of a suggested value.
    taken : tuple of str
        Further names that are in use.
    """
    if encodable(name) != name:
        raise UsageError(
            f"the search space must suggest values under names that are text, got {name!r}; "
            "correct it"
        )
    kept = ""
    if name.startswith(OURS):
        kept = f"the names that begin with {OURS!r}"
    elif name in taken:
        kept = repr(name)
    if kept:
        raise UsageError(
            f"the search space must leave {kept} to the harness, which keeps its own there, but "
            f"suggests {name!r}; call it something else"
        )


def computed_from(params: dict[str, Any], config: Config) -> list[str]:
    """The suggested numbers that are not in the config: the space computes with them."""
    settings = set(_numbers(json.loads(config.to_json())))
    computed = []
    for name, value in params.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and float(value) not in settings:
            computed.append(name)
    return computed


def _numbers(value: Any) -> Iterator[float]:
    """All numbers in a piece of JSON."""
    if isinstance(value, int | float):
        yield float(value)
    elif isinstance(value, dict):
        yield from _numbers(list(value.values()))
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers(inner)
