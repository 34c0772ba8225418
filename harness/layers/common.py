"""What the layers check of their arguments."""

from collections.abc import Callable
from typing import Any

from harness.errors import UsageError


def check_units(layer: str, value: Any, name: str = "units") -> None:
    """UsageError unless the value is a whole number above 0."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UsageError(f"{layer}: {name} must be a whole number above 0, got {value!r}")


def check_scalar(layer: str, name: str, value: Any, holds: Callable[[Any], bool], must: str) -> None:
    """UsageError unless the number, or each of the numbers of a population, holds."""
    for v in value if isinstance(value, list) else [value]:
        if not isinstance(v, int | float) or isinstance(v, bool) or not holds(v):
            raise UsageError(f"{layer}: {name} {must}, got {v!r}")


def check_rate(layer: str, rate: Any) -> None:
    """UsageError unless the rate is a probability to drop."""
    check_scalar(layer, "rate", rate, lambda r: 0 <= r < 1, "is the probability to drop and must lie in [0, 1)")
