"""Points of search spaces, spread evenly and known before anything is trained: what a comparison
tunes each arm with.

A space cannot tell a Point from Optuna's trial, as long as it only suggests.
"""

import json
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NoReturn

from harness import checks
from harness.errors import UsageError

DIMENSIONS = 64  # suggestions in one space at most
MOST = 1 << 14  # points of one space


def points(count: int) -> list["Point"]:
    """The first `count` points of a scrambled Sobol sequence: more of them begin with the same
    ones.

    Every 2^m points fall into the 2^m equal parts of each axis, one into each. Sobol, USSR
    Computational Mathematics and Mathematical Physics 7, 1967; scrambled as in Matousek, Journal of
    Complexity 14, 1998.
    """
    from scipy.stats import qmc

    count = checks.whole("points", count, 1, MOST, otherwise=", best a power of 2")
    table = qmc.Sobol(DIMENSIONS, scramble=True, rng=0).random_base2((count - 1).bit_length())
    return [Point(number, row) for number, row in enumerate(table[:count].tolist())]


class Point:
    """A trial that answers each suggest call with the next coordinate of a point in [0, 1)^64.

    So two spaces that suggest the same things in the same order get the same values. A name that is
    asked for again gets its value again. `params` are the values so far, `number` says which point
    it is.
    """

    def __init__(self, number: int, coordinates: Sequence[float]) -> None:
        self.number = number
        self.params: dict[str, Any] = {}
        self._coordinates = coordinates

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A number in [low, high]: uniform, uniform in its logarithm, or one of low, low + step,
        ...
        """
        self._check(name, low, high, step, log)
        if name in self.params:
            return float(self.params[name])
        if step is not None:
            # As Optuna does: 0.3, not 0.30000000000000004
            start, by = Decimal(str(low)), Decimal(str(step))
            value = float(
                start + by * int(self._next() * int((Decimal(str(high)) - start) // by + 1))
            )
        elif log:
            value = low * (high / low) ** self._next()
        else:
            value = low + (high - low) * self._next()
        return self._keep(name, min(max(value, float(low)), float(high)))

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """A whole number in [low, high]: each equally often, or rounded from one that is uniform in
        its logarithm.
        """
        self._check(name, low, high, None if log and step == 1 else step, log)
        if any(int(each) != each for each in (low, high, step)):
            raise UsageError(
                f"{name}: low, high and step must be whole numbers, got {low!r}, "
                f"{high!r} and {step!r}"
            )
        low, high, step = int(low), int(high), int(step)  # 1e3 is one, and so is NumPy's 1000
        if name in self.params:
            return int(self.params[name])
        if log:
            value = round((low - 0.5) * ((high + 0.5) / (low - 0.5)) ** self._next())
        else:
            value = low + step * int(self._next() * ((high - low) // step + 1))
        return self._keep(name, min(max(value, low), high))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices, each equally often."""
        if not choices:
            raise UsageError(f"{name} must have at least one choice, got {choices!r}")
        if name in self.params:
            return self.params[name]
        value = choices[int(self._next() * len(choices))]
        try:
            json.dumps(value)
        except (TypeError, ValueError):
            raise UsageError(
                f"{name}: choices must be texts, numbers, True, False, None, or lists and dicts of "
                f"these, since they "
                f"are written down, got {value!r:.60}; suggest a name for it"
            ) from None
        return self._keep(name, value)

    def _check(self, name: str, low: float, high: float, step: float | None, log: bool) -> None:
        if not (low <= high and math.isfinite(high - low)):
            raise UsageError(
                f"{name} must lie between two numbers, the lower one first, got "
                f"{low!r} and {high!r}"
            )
        if log and (step is not None or low <= 0):
            raise UsageError(
                f"{name}: log=True needs a lower end above 0 and no step, got {low!r} "
                f"and step={step!r}"
            )
        if step is not None and step <= 0:
            raise UsageError(f"{name}: step must be above 0, got {step!r}")

    def _next(self) -> float:
        if len(self.params) == DIMENSIONS:
            raise UsageError(
                f"a space must suggest at most {DIMENSIONS} values where it is "
                f"compared; fix some of them"
            )
        return self._coordinates[len(self.params)]

    def _keep(self, name: str, value: Any) -> Any:
        self.params[name] = value
        return value

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise UsageError(
            f"a space that is compared gets a trial with suggest_float, suggest_int, "
            f"suggest_categorical, params and "
            f"number, but asks for {name!r}; do without, or use the space in a sweep"
        )
