"""What the layers check of their arguments."""

from collections.abc import Callable
from typing import Any

from harness import checks


def check_units(layer: str, value: Any, name: str = "units") -> None:
    """UsageError unless the value is a whole number above 0."""
    checks.whole(f"{layer}: {name}", value, 1)


def check_scalar(
    layer: str, name: str, value: Any, holds: Callable[[Any], bool], must: str
) -> None:
    """UsageError unless the number, or each of the numbers of a population, holds."""
    checks.reals(f"{layer}: {name}", value, holds, must)


def check_rate(layer: str, rate: Any) -> None:
    """UsageError unless the rate is a probability to drop."""
    check_scalar(
        layer,
        "rate",
        rate,
        lambda r: 0 <= r < 1,
        "is the probability to drop and must lie in [0, 1)",
    )
