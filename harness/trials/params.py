"""What a search space has suggested: its names, and its values as one writes them."""

import json
from collections.abc import Iterator
from typing import Any

from harness import registry
from harness.config import Config
from harness.errors import UsageError
from harness.escapes import encodable

# What the params of a config begin with in MLflow; what a space suggests keeps its own name
OURS = "config."


def name_of(number: int, params: dict[str, Any]) -> str:
    """'relu lr=0.05 #12': words as they are, numbers with their name."""
    parts = [
        value if isinstance(value, str) else f"{key}={shown(value)}"
        for key, value in params.items()
    ]
    return " ".join([*parts, f"#{number}"])


def shown(value: Any) -> str:
    """A suggested value as one writes it: 0.0512, 784, 10 for a list of sizes,
    adam(learning_rate=0.001) for a spec.

    Typed back it is the same value: a number has all the digits that it needs.
    """
    if isinstance(value, float):
        return repr(float(value))
    return registry.text(value) if isinstance(value, dict | list | tuple) else str(value)


def check_param(name: str, taken: tuple[str, ...] = ()) -> None:
    """UsageError for the name of a suggested value that would not stay apart from what the harness
    keeps.
    """
    if encodable(name) != name:
        raise UsageError(
            f"the search space must suggest values under names that are text, got "
            f"{name!r}; correct it"
        )
    if name.startswith(OURS) or name in taken:
        kept = f"the names that begin with {OURS!r}" if name.startswith(OURS) else repr(name)
        raise UsageError(
            f"the search space must leave {kept} to the harness, which keeps its own there, but "
            f"suggests {name!r}; "
            "call it something else"
        )


def computed_from(params: dict[str, Any], config: Config) -> list[str]:
    """The suggested numbers that are not in the config as they are: the space computes with
    them.
    """
    held = set(_numbers(json.loads(config.to_json())))
    return [
        name
        for name, value in params.items()
        if isinstance(value, int | float)
        and not isinstance(value, bool)
        and float(value) not in held
    ]


def _numbers(value: Any) -> Iterator[float]:
    """All numbers in a piece of JSON."""
    if isinstance(value, int | float):
        yield float(value)
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _numbers(each)
