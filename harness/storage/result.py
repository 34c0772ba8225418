"""The typed result of a trial: the state in which it has ended, and what came of it."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class TrialState(StrEnum):
    """How a trial has ended. The values are what records, tags and pages show."""

    COMPLETE = "COMPLETE"
    """Trained to its end. It has a value, unless its metric was not finite."""
    PRUNED = "PRUNED"
    """Ended early by the pruner of its sweep."""
    STOPPED = "STOPPED"
    """Ended early by somebody, with `harness stop` or in the UI. Its sweep goes on without it."""
    DIVERGED = "DIVERGED"
    """Its loss was not finite at some step."""
    FAILED = "FAILED"
    """It raised an error, or was refused as bad input."""
    TIMED_OUT = "TIMED_OUT"
    """It took longer than a trial may take."""
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    """The memory of the machine or of the device did not suffice."""
    DISK_FULL = "DISK_FULL"
    """A disk took no more while it was trained."""
    KILLED = "KILLED"
    """Its worker processes died while they trained it."""

    @property
    def is_result(self) -> bool:
        """Whether the end says something about the network, and nothing about accidents."""
        return self in _RESULTS

    @property
    def is_cut_short(self) -> bool:
        """Whether it was ended before its time: its records are a prefix of all it would have."""
        return self in (TrialState.PRUNED, TrialState.STOPPED)

    @property
    def is_known_by_identity(self) -> bool:
        """Whether a trial of equal identity would end in the same way, so that it can be copied.

        A pruned trial ends where it does because of the trials around it, a stopped one because
        of somebody.
        """
        return self in (TrialState.COMPLETE, TrialState.DIVERGED)

    @property
    def is_bad_luck(self) -> bool:
        """Whether the end is the machine's doing: the network may be trained again."""
        return self in _BAD_LUCK


_RESULTS = (
    TrialState.COMPLETE,
    TrialState.PRUNED,
    TrialState.STOPPED,
    TrialState.DIVERGED,
)
_BAD_LUCK = (TrialState.OUT_OF_MEMORY, TrialState.DISK_FULL, TrialState.KILLED)


@dataclass
class TrialResult:
    """What came of a trial that has ended. It is JSON in the record of the trial.

    Attributes
    ----------
    state : TrialState
        How it ended.
    reason : str
        Why, in one sentence; empty where it came to its end.
    value : float or None
        The primary metric; None where there is none, or where it is not finite.
    values : list of float
        The value of each objective; empty where the trial cannot be ranked.
    epochs : int
        How many epochs it was trained.
    params : dict
        What the search space has suggested, by name.
    computed : list of str
        The suggested numbers that the space computes with, so that they are no settings.
    config : str
        The digest of the config.
    identity : str
        The digest of all that decides the result: config, data and plugins by their content.
    digest : str
        The digest of the result: weights and records.
    train_seconds : float or None
        Seconds of training, without evaluation and recording.
    arm : str
        The arm of a comparison that the trial belongs to; empty in a sweep.
    yardstick : dict or None
        What its value is measured by (`studies.yardstick`).
    """

    state: TrialState = TrialState.COMPLETE
    reason: str = ""
    value: float | None = None
    values: list[float] = field(default_factory=list)
    epochs: int = 0
    params: dict[str, Any] = field(default_factory=dict)
    computed: list[str] = field(default_factory=list)
    config: str = ""
    identity: str = ""
    digest: str = ""
    train_seconds: float | None = None
    arm: str = ""
    yardstick: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self.state = TrialState(self.state)

    @property
    def is_ranked(self) -> bool:
        """Whether it has come to its end with values to be ranked by."""
        return self.state is TrialState.COMPLETE and bool(self.values)
