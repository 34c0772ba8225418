"""What the layers share: checks of their arguments, and the bias that may be left out."""

from collections.abc import Callable
from typing import Any

from harness import checks
from harness.engine.context import Context
from harness.ops import Array


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


def bias_of(ctx: Context, features: int, init: Any) -> tuple[Array, Array]:
    """b (..., 1, features) and where its gradient goes; (None, None) where init is False."""
    if init is False:
        return None, None
    # A bias shifts outputs and does not make them larger, so that it does not decay.
    return ctx.param("b", (1, features), init, decay=False)
