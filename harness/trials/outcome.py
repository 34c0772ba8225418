"""Outcome: what became of one trial in a segment."""

import math
import statistics
from dataclasses import dataclass, field

from harness import registry
from harness.config import Config
from harness.storage.ranking import Objective
from harness.storage.result import TrialState
from harness.training.state import Record
from harness.trials.job import Trial


@dataclass
class Outcome(Trial):
    """What became of one trial in a segment; where it has not ended, the next one begins there.

    Attributes
    ----------
    metrics : dict of float
        What recorders have measured of a trial that has ended.
    artifacts : dict of bytes by path
        What they have made of it.
    notes : dict of str
        Tags of its run.
    network : bytes
        The file of the trained network, the first one of several; empty where nobody asked for it.
    ended : bool
        Whether no further segment is due.
    error : str
        The traceback of what was raised; empty where nothing was.
    reason : str
        The error in one sentence.
    failure : TrialState or None
        What the error makes of the trial; None where nothing was raised.
    refused : str
        What was wrong with the input, in one sentence.
    digest : str
        The digest of the result: weights and records.
    parameters : int or None
        How many parameters are trained; None where nothing was.
    still : bytes
        A picture of the weights, a PNG, where somebody watches; else empty.
    start_ms, end_ms : int
        When the first segment began and this one ended, in milliseconds since 1970.
    took : float
        The seconds that this segment took to train, of all trials of its job together.
    place : str
        The worker that keeps how the trial stands; empty where that is here, or nobody needs it.
    left_out : list of int
        How many records of each network are left out here, since the driver has them.
    lost : bool
        Whether nobody keeps any more how the trial stood.
    deaths : int
        How many workers have died while they trained it.
    alone : bool
        Whether it is to be trained without others, because one of them may end workers.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    network: bytes = b""
    ended: bool = False
    error: str = ""
    reason: str = ""
    failure: TrialState | None = None
    refused: str = ""
    digest: str = ""
    parameters: int | None = None
    still: bytes = b""
    start_ms: int = 0
    end_ms: int = 0
    took: float = 0.0
    place: str = ""
    left_out: list[int] = field(default_factory=list)
    lost: bool = False
    deaths: int = 0
    alone: bool = False

    @property
    def bad_step(self) -> int | None:
        """The step at which loss or weights were not finite; None where they always were."""
        return next((r.bad_step for r in self.records if r.bad_step is not None), None)

    @property
    def value(self) -> float | None:
        """The primary metric: at the last epoch, or at the best where the config selects it.

        A network whose metric is not finite at the last epoch has none, whatever an earlier epoch
        says. Of several seeds it is the mean of their values.
        """
        values = self.values
        if not values or self.bad_step is not None or not all(map(math.isfinite, values)):
            return None
        return statistics.fmean(values)

    def value_by(self, objective: Objective) -> float | None:
        """The value by an objective that is known after each epoch; None if that is not finite."""
        if objective.name != "loss":
            return self.value
        if not self.records:
            return None
        loss = self.records[-1].metrics.get(objective.key, math.nan)
        return loss if math.isfinite(loss) else None

    @property
    def values(self) -> list[float]:
        """The primary metric of each network, which may not be finite; empty where one has none."""
        of_each = [member.records for member in self.members] or [self.records]
        values = [_value(self.config, records) for records in of_each]
        known = [value for value in values if value is not None]
        return known if len(known) == len(values) else []

    @property
    def no_value(self) -> str:
        """Why a network that was trained to its end has no value all the same; "" if it has one."""
        if not self.records or self.bad_step is not None or self.value is not None:
            return ""
        key = f"valid/{self.config.metric['name']}"
        last = self.records[-1]
        if key not in last.metrics:
            return ""
        return f"{key} is {last.metrics[key]} at its last epoch, {last.epoch}"


def _value(config: Config, records: list[Record]) -> float | None:
    """The primary metric of one network; None where it was never measured."""
    key = f"valid/{config.metric['name']}"
    values = [record.metrics[key] for record in records if key in record.metrics]
    if not values:
        return None
    if config.select == "last" or not math.isfinite(values[-1]):
        return values[-1]
    finite = [value for value in values if math.isfinite(value)]
    return max(finite) if direction(config) == "maximize" else min(finite)


@dataclass(frozen=True)
class Bar:
    """What the best trial so far has reached, by which a worker knows whether another one is good.

    Attributes
    ----------
    objective : Objective
        What trials are ranked by first of all; one that is known after each epoch.
    value : float
        The value of the best trial.
    """

    objective: Objective
    value: float

    def is_beaten_by(self, outcome: Outcome) -> bool:
        """Whether a trial that has ended has a better value."""
        own = outcome.value_by(self.objective)
        return own is not None and self.objective.is_better(own, self.value)

    def is_reached_by(self, outcome: Outcome) -> bool:
        """Whether a trial that has ended has a value that is as good at least."""
        own = outcome.value_by(self.objective)
        return own is not None and not self.objective.is_better(self.value, own)


def direction(config: Config) -> str:
    """Whether the config's metric is to "maximize" or to "minimize"."""
    return registry.find("metric", config.metric["name"]).options["direction"]
