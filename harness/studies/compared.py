"""The networks of a comparison, and those that are compared in the order of their values."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from harness.config import Config
from harness.storage.ranking import Objective
from harness.storage.records import TrialRun
from harness.trials.identity import identity


@dataclass(frozen=True)
class Network:
    """One network of a comparison.

    Attributes
    ----------
    arm : str
        The arm that it belongs to.
    config : Config
        What is trained.
    suggested : dict
        What the space of its arm has suggested.
    point : int or None
        The number of the point that its arm is tuned at; None for a network that is compared.
    """

    arm: str
    config: Config
    suggested: dict[str, Any]
    point: int | None = None

    @property
    def place(self) -> tuple[str, int]:
        """What tells it from the other networks of its arm."""
        if self.point is not None:
            return "point", self.point
        return "seed", self.config.seed

    @property
    def label(self) -> str:
        """What people read."""
        kind, number = self.place
        return f"{self.arm} {kind}={number}"

    @cached_property
    def identity(self) -> str:
        """The digest of all that decides its result."""
        return identity(self.config)

    @property
    def key(self) -> str:
        """The arm and the identity: by these it is known that the network has been trained."""
        return f"{self.arm} {self.identity}"


def ranked(runs: Iterable[TrialRun], objective: Objective) -> list[TrialRun]:
    """The networks that have a value and were not trained to tune an arm, best first.

    Of equal values the smaller number comes first.

    Parameters
    ----------
    runs : iterable of TrialRun
        Those that have ended.
    objective : Objective
        The metric that is compared.
    """
    compared = [run for run in runs if run.result.is_ranked and "point" not in run.result.params]
    return sorted(compared, key=lambda run: (objective.loss(run.result.values[0]), run.number or 0))


def unreachable(objective: Objective) -> float:
    """A value that no network is as good as."""
    return math.inf if objective.is_maximized else -math.inf


def value_of(run: TrialRun | None) -> float | None:
    """The value of a network; None where it has none, or has not ended."""
    # What somebody has stopped cannot be compared with what was trained to its end.
    if run is None or run.result.state.is_cut_short:
        return None
    return run.result.value


def examples_of(runs: Iterable[TrialRun]) -> int | None:
    """How many examples the validation part has, from runs that have come so far as to know it."""
    for run in runs:
        if count := run.tags.get("harness.valid_examples"):
            return int(count)
    return None
