"""What the losses share: their types, and checks of arguments and outputs."""

from collections.abc import Callable
from typing import Any

from harness import checks
from harness.engine.context import Context
from harness.errors import UsageError
from harness.ops import Array

Backward = Callable[[], Array]
Forward = Callable[[Array, Array], tuple[Array, Backward]]
Predict = Callable[[Array], Array]
BindLoss = Callable[[Context, int], tuple[Forward, Predict]]


def check_scalar(name: str, value: Any, holds: Callable[[float], bool], must: str) -> None:
    """UsageError unless the number, or each of the numbers of a population, `holds`."""
    checks.reals(name, value, holds, f"must be {must}")


def check_classes(name: str, O: int) -> None:
    """UsageError unless there is an output for each of at least two classes."""
    if O < 2:
        raise UsageError(
            f"{name} needs at least 2 outputs, got {O}; give the last layer one unit per class, or "
            f"use binary_cross_entropy for two classes"
        )
