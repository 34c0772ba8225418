"""A trial that is in training, as the driver knows it."""

from dataclasses import dataclass, field
from typing import Any

from harness.config import Config
from harness.studies.pruning import Verdict
from harness.trials.job import Trial
from harness.trials.outcome import Outcome


@dataclass(frozen=True)
class Candidate:
    """What a plan wants to have trained.

    Attributes
    ----------
    number : int
        The number of the trial.
    config : Config
        What is trained.
    identity : str
        Trials of equal identity have equal results, so that one of them is trained.
    params : dict
        What the search space has suggested.
    keep_state : bool
        Whether the state of the network is wanted when it has ended.
    turn : int
        How many trials of equal identity come before it in its round; 0 where there are no rounds.
    batch : int
        Trials of one batch, and of no other one, may be trained as one batched computation.
    label : str
        What people call it beside its number.
    """

    number: int
    config: Config
    identity: str
    params: dict[str, Any]
    keep_state: bool = False
    turn: int = 0
    batch: int = 0
    label: str = ""


@dataclass
class InTraining:
    """A trial that has been asked for and has not ended.

    Attributes
    ----------
    candidate : Candidate
        What is trained.
    outcome : Outcome
        How it stands. What a worker has now begins there.
    is_away : bool
        Whether a worker has it.
    has_begun : bool
        Whether it is being trained; if not, it waits for one of equal identity.
    saved : float
        Its seconds of training at its last checkpoint.
    verdict : Verdict or None
        The last one of the pruner.
    stopped_by : str
        Who has asked for its end; empty where nobody has.
    """

    candidate: Candidate
    outcome: Outcome = field(init=False)
    is_away: bool = False
    has_begun: bool = False
    saved: float = 0.0
    verdict: Verdict | None = None
    stopped_by: str = ""

    def __post_init__(self) -> None:
        self.start_again()

    def start_again(self, start_ms: int = 0) -> None:
        """Forgets what has been trained."""
        self.outcome = Outcome(self.number, self.config, start_ms=start_ms)

    @property
    def number(self) -> int:
        """The number of the trial."""
        return self.candidate.number

    @property
    def config(self) -> Config:
        """What is trained."""
        return self.candidate.config

    @property
    def identity(self) -> str:
        """What its result depends on."""
        return self.candidate.identity

    @property
    def standing(self) -> Trial:
        """How it stands, as a worker needs it."""
        outcome = self.outcome
        return Trial(self.number, self.config, outcome.state, outcome.records, outcome.members)

    @property
    def judged(self) -> int:
        """The epoch after which the pruner was last asked; 0 where it was not."""
        return self.verdict.epoch if self.verdict else 0

    @property
    def is_pruned(self) -> bool:
        """Whether the last verdict of the pruner was to end the trial."""
        return self.verdict is not None and self.verdict.cut

    @property
    def epochs(self) -> int:
        """How many epochs it has been trained."""
        return len(self.outcome.records)

    @property
    def trained_seconds(self) -> float:
        """Its seconds of training."""
        return self.outcome.seconds
