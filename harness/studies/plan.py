"""What a driver needs to know of a sweep or a comparison: its plan and its settings."""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from harness.config import Config
from harness.storage.live import LiveTrial
from harness.storage.records import TrialRun
from harness.studies.books import Books
from harness.studies.in_training import Candidate, InTraining
from harness.studies.networks import Networks
from harness.studies.progress import Progress
from harness.trials.clock import monotonic
from harness.trials.outcome import Bar, Outcome
from harness.workers.errands import Ask, Errand


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the trials of a study are trained; none of it changes what they come to.

    Attributes
    ----------
    workers : int
        Processes that train.
    scheduler : str or None
        The address of a Dask cluster, or its scheduler file; its workers train instead.
    script : Path or None
        The script that defines the study, which the workers load for its plugins.
    seeds : int
        Networks of each trial.
    together : int
        How many networks of a trial are trained as one batched computation at most.
    checkpoint : float
        Seconds of training after which the state of a trial is written down.
    trial_timeout : float or None
        Seconds of training after which a trial has failed.
    timeout : float or None
        Seconds after which the study stops for now.
    in_rounds : bool
        Whether trials are asked for and decided upon in whole rounds.
    """

    workers: int = 1
    scheduler: str | None = None
    script: Path | None = None
    seeds: int = 1
    together: int = 1
    checkpoint: float = 30.0
    trial_timeout: float | None = None
    timeout: float | None = None
    in_rounds: bool = False


@dataclass
class Overhead:
    """The seconds that the driver has spent beside training, by what it did."""

    seconds: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("ask", "write", "log"), 0.0)
    )

    @contextlib.contextmanager
    def of(self, purpose: str) -> Iterator[None]:
        """Counts the seconds of a block."""
        begun = monotonic()
        yield
        self.seconds[purpose] += monotonic() - begun


@dataclass
class Sitting:
    """One start of a study: what its plan may use while the driver is at work.

    Attributes
    ----------
    books : Books
        The books.
    progress : Progress
        Who is told how the study goes on.
    running : dict of InTraining by number
        The trials in training.
    deadline : float
        When the time of the study is up, by the clock of durations.
    overhead : Overhead
        The clock of the driver.
    shipped : dict
        What has travelled to and from the workers: "segments", "bytes" and "seconds"; and "idle",
        the seconds that workers had no work because the driver was busy.
    errand : Ask
        Asks a worker for something beside training; this process does it where there is none.
    """

    books: Books
    progress: Progress
    running: Mapping[int, InTraining]
    deadline: float = math.inf
    overhead: Overhead = field(default_factory=Overhead)
    shipped: Mapping[str, float] = field(
        default_factory=lambda: dict.fromkeys(("segments", "bytes", "seconds", "idle"), 0.0)
    )
    errand: Ask = Errand

    @property
    def time_is_up(self) -> bool:
        """Whether no more training is to begin."""
        return monotonic() >= self.deadline


@dataclass
class Ending:
    """How a start of a study has ended.

    Attributes
    ----------
    finished : bool
        Whether all that the plan wants has been trained.
    note : str
        What stopped it, in one sentence.
    seconds : float
        How long it took.
    """

    finished: bool = False
    note: str = ""
    seconds: float = 0.0


class Plan(Protocol):
    """What is trained, in which order, and what becomes of the results."""

    def candidates(self, sitting: Sitting, workers: Callable[[], int]) -> Iterator[Candidate]:
        """What is to be trained next, as far as there is room for it now.

        `workers` says how many workers there are, and starts them.
        """

    def wants_more(self) -> bool:
        """Whether there is something left to train."""

    def group_size(self, group: list[InTraining], workers: int) -> int:
        """How many trials of one shape are trained as one batched computation."""

    def beat(self) -> Bar | None:
        """What a trial must beat for its film to be encoded; None where each one is."""

    @property
    def kept(self) -> Networks:
        """The networks that the study keeps."""

    def least(self, config: Config) -> Bar | None:
        """What a trial must reach for its network to be kept; None where each one is."""

    def copy_of(self, candidate: Candidate) -> TrialRun | None:
        """The record of a trial whose result is known from another one; None if it is not."""

    def record_of(self, entry: InTraining) -> TrialRun:
        """The record of a trial that has ended. UsageError where the study cannot go on."""

    def live_of(self, entry: InTraining) -> LiveTrial:
        """What is said of a trial while it is in training, as its record will say it."""

    def report(self, entry: InTraining) -> None:
        """Tells those who watch a study, and nobody who decides, how a trial in training stands."""

    def make_durable(self) -> None:
        """Makes durable what the plan itself keeps of the trials that are being trained."""

    def tell(self, run: TrialRun) -> None:
        """Tells those who decide about the next trials of one whose record is durable."""

    def after(self, run: TrialRun, outcome: Outcome, progress: Progress) -> None:
        """Says how a trial has failed. UsageError where the study cannot go on."""

    def headline(self) -> str:
        """A few words on how it stands."""

    def is_best(self, run: TrialRun) -> bool:
        """Whether a trial that has just ended is the best so far."""

    def note_overhead(self, sitting: Sitting) -> None:
        """Notes now and then what the driver has spent beside training."""

    def ended(self) -> int:
        """How many trials have ended in all."""

    def has_ended_before(self, books: Books) -> bool:
        """Whether the same request was finished before, so that nothing needs to be logged."""

    def close(self, ending: Ending, sitting: Sitting) -> None:
        """Closes the books with what has come of it."""
