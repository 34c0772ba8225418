"""A trial that is in training, as the driver knows it."""

from dataclasses import dataclass, field
from typing import Any

from harness.config import Config
from harness.studies.pruning import Verdict
from harness.training.state import Record
from harness.trials.checkpoints import Checkpoint
from harness.trials.job import Trial
from harness.trials.outcome import Outcome
from harness.trials.seeds import Member, mean_records, unpacked


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
    job : int
        Which job of the driver it was sent with last.
    has_begun : bool
        Whether it is being trained; if not, it waits for one of equal identity.
    took : float
        The seconds that workers have trained it in this start of the study.
    unsaved : float
        Those since its last checkpoint.
    verdict : Verdict or None
        The last one of the pruner.
    stopped_by : str
        Who has asked for its end; empty where nobody has.
    written : dict of Record
        The epochs that are durable as live points, by their numbers; seconds, ends and metrics are
        those of the first time.
    losses : int
        How often it was lost with its worker.
    deaths : int
        How many workers have died while they trained it, since its last checkpoint.
    is_alone : bool
        Whether it is trained without others.
    """

    candidate: Candidate
    outcome: Outcome = field(init=False)
    is_away: bool = False
    job: int = 0
    has_begun: bool = False
    took: float = 0.0
    unsaved: float = 0.0
    verdict: Verdict | None = None
    stopped_by: str = ""
    written: dict[int, Record] = field(default_factory=dict)
    losses: int = 0
    deaths: int = 0
    is_alone: bool = False

    def __post_init__(self) -> None:
        self.start_again()

    def start_again(self, start_ms: int = 0) -> None:
        """Forgets what has been trained."""
        self.outcome = Outcome(self.number, self.config, start_ms=start_ms)
        self.unsaved = 0.0

    def go_on_from(self, checkpoint: Checkpoint, seeds: int) -> None:
        """Stands as it was written down, in one state where it has several seeds."""
        outcome = self.outcome
        outcome.state = checkpoint.state
        outcome.records = checkpoint.records
        outcome.start_ms = checkpoint.start_ms
        if seeds > 1:
            outcome.members = unpacked(outcome.state, outcome.records)
            outcome.state = outcome.members[0].state
            outcome.records = mean_records(outcome.members)

    def take(self, outcome: Outcome) -> None:
        """Goes on to what a worker says, who leaves out the records that are known here."""
        before = self.outcome
        start_ms = outcome.start_ms
        outcome.start_ms = before.start_ms or start_ms
        if outcome.members:
            outcome.members = _rejoined(before.members, outcome)
            outcome.records = mean_records(outcome.members)
        elif outcome.left_out:
            outcome.records = [*before.records[: outcome.left_out[0]], *outcome.records]
        self.outcome = outcome
        self.is_away = False
        self.took += outcome.took
        self.unsaved += outcome.took
        if self._is_another():
            self.written.clear()
            outcome.start_ms = start_ms
        for record in outcome.records:
            if record.epoch in self.written:
                # It was trained before, and what was written first is true.
                record.seconds = self.written[record.epoch].seconds
                record.ended_ms = self.written[record.epoch].ended_ms

    def _is_another(self) -> bool:
        """Whether what was written is of another network, whose plugins or space have changed."""
        for record in self.outcome.records:
            known = self.written.get(record.epoch)
            # As text a NaN is equal to itself.
            if known is not None and repr(known.metrics) != repr(record.metrics):
                return True
        return False

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
        if outcome.place:
            return Trial(self.number, self.config, kept=self.epochs)
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


def _rejoined(before: list[Member], outcome: Outcome) -> list[Member]:
    """The networks of an outcome with all their records.

    Parameters
    ----------
    before : list of Member
        How the networks stood; empty where they had not begun.
    outcome : Outcome
        What has come of them.
    """
    if not before:
        return outcome.members
    return [
        Member(now.state, [*then.records[:count], *now.records])
        for then, now, count in zip(before, outcome.members, outcome.left_out, strict=True)
    ]
