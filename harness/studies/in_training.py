"""A trial of a sweep while it is in training, as its driver knows it."""

from dataclasses import dataclass
from typing import Any

from harness.config import Config
from harness.studies.pruning import Verdict
from harness.trials.outcome import Outcome


@dataclass
class InTraining:
    """One trial that has been asked for and has not ended.

    Attributes
    ---------- trial: Optuna's. identity: of its config; trials of equal identity have equal
    results. outcome: how it stands; what a worker has now begins there. turn: how many trials of
    equal identity come before it in its round; 0 where nothing is in rounds. away: whether a worker
    has it. begun: whether it is being trained; if not, it waits for one of equal identity. saved:
    its seconds of training at its last checkpoint. verdict: the last one of the pruner.
    """

    trial: Any
    identity: str
    outcome: Outcome
    turn: int = 0
    away: bool = False
    begun: bool = False
    saved: float = 0.0
    verdict: Verdict | None = None

    @property
    def number(self) -> int:
        return self.trial.number

    @property
    def config(self) -> Config:
        return self.outcome.config

    @property
    def params(self) -> dict[str, Any]:
        return dict(self.trial.params)

    @property
    def judged(self) -> int:
        """The epoch after which the pruner was last asked; 0 where it was not."""
        return self.verdict.epoch if self.verdict else 0

    @property
    def pruned(self) -> bool:
        """Whether it ends with the epochs that it has been judged by."""
        return self.verdict is not None and self.verdict.cut

    @property
    def epochs(self) -> int:
        """How many it has been trained."""
        return len(self.outcome.records)

    @property
    def trained(self) -> float:
        """Its seconds of training."""
        return sum(sum(record.seconds.values()) for record in self.outcome.records)
