"""Parameters of a test of which a few are tried each time, and their siblings by `tox -e slow`."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

# Built-in activations and update rules that are much like others. A new one is tried each time.
LIKE_OTHERS = frozenset(
    {
        *("absolute", "arctan", "bent_identity", "celu", "elish", "erf", "gcu", "hard_elish"),
        *("hardshrink", "isrlu", "isru", "lecun_tanh", "lisht", "log_sigmoid", "logish"),
        *("penalized_tanh", "phish", "relu6", "serf", "sin", "smish", "snake", "softshrink"),
        *("sparse_sigmoid", "square", "squared_relu", "tanhshrink", "telu", "threshold"),
        *("acprop", "adamax", "adan", "ademamix", "adopt", "amsgrad", "asgd", "cocob", "l1"),
        *(
            "nadam",
            "novograd",
            "optimistic_adam",
            "optimistic_gradient_descent",
            "sm3",
            "yogi",
            "simplified_ademamix",
        ),
    }
)


def tried_each_time(spec: str) -> bool:
    """Whether the built-in of a spec, such as "elu(alpha=0.7)", is not much like others."""
    return spec.partition("(")[0] not in LIKE_OTHERS


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
        else pytest.param(*(value if type(value) is tuple else (value,)), marks=pytest.mark.slow)
        for value in values
    ]
