"""Outcome: what became of one trial in a segment."""

import math
import statistics
from dataclasses import dataclass, field

from harness import registry
from harness.config import Config
from harness.storage.result import TrialState
from harness.training.state import Record, State
from harness.trials.seeds import Member


@dataclass
class Outcome:
    """What became of one trial in a segment. `ended`: no further segment is due. `error`: the
    traceback of what was raised, and `failure` what that makes of the trial. `digest`: of its
    result. `members`: the networks of a trial of several seeds; then `state` is the first one's,
    and `records` are their means."""

    number: int
    config: Config
    records: list[Record] = field(default_factory=list)
    state: State | None = None
    members: list[Member] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    ended: bool = False
    error: str = ""
    reason: str = ""  # the error in one sentence
    # None where nothing was raised
    failure: TrialState | None = None
    refused: str = ""  # bad input: one sentence
    digest: str = ""
    start_ms: int = 0
    end_ms: int = 0

    @property
    def bad_step(self) -> int | None:
        return next((r.bad_step for r in self.records if r.bad_step is not None), None)

    @property
    def value(self) -> float | None:
        """The primary metric: at the last epoch, or at the best where the config selects it. None
        if it has none.

        A network whose metric is not finite at the last epoch has none, whatever an earlier epoch
        says. Of several seeds it is the mean of their values.
        """
        values = self.values
        if not values or self.bad_step is not None or not all(map(math.isfinite, values)):
            return None
        return statistics.fmean(values)

    @property
    def values(self) -> list[float]:
        """The primary metric of each network, which may not be finite; empty where one has none."""
        of_each = [member.records for member in self.members] or [self.records]
        values = [_value(self.config, records) for records in of_each]
        return [value for value in values if value is not None] if None not in values else []

    @property
    def no_value(self) -> str:
        """Why a network that was trained to its end has no value all the same; "" where that is not
        so.
        """
        if not self.records or self.bad_step is not None or self.value is not None:
            return ""
        key = f"valid/{self.config.metric['name']}"
        last = self.records[-1]
        return (
            f"{key} is {last.metrics[key]} at its last epoch, {last.epoch}"
            if key in last.metrics
            else ""
        )


def _value(config: Config, records: list[Record]) -> float | None:
    key = f"valid/{config.metric['name']}"
    values = [r.metrics[key] for r in records if key in r.metrics]
    if not values or config.select == "last" or not math.isfinite(values[-1]):
        return values[-1] if values else None
    finite = [value for value in values if math.isfinite(value)]
    return max(finite) if direction(config) == "maximize" else min(finite)


def direction(config: Config) -> str:
    """Whether the config's metric is to "maximize" or to "minimize"."""
    return registry.find("metric", config.metric["name"]).options["direction"]
