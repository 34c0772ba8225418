"""Job: the work that a driver gives to a worker."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from harness.config import Config
from harness.expressions.backend import kernels
from harness.training.state import Record, State
from harness.trials.seeds import Member

if TYPE_CHECKING:
    from harness.trials.outcome import Bar


@dataclass
class Trial:
    """One trial and how it stands.

    Attributes
    ----------
    number : int
        Its number within the study.
    config : Config
        What is trained.
    state : State or None
        The state of its network after the last segment; None before the first one.
    records : list of Record
        What was measured after each epoch so far.
    members : list of Member
        The networks of a trial of several seeds; empty where it has one. With them `state` is that
        of the first network, and `records` are means over all.
    kept : int or None
        How many epochs it has been trained, where its worker keeps how it stands, so that neither
        state nor records are here; None where they are.
    """

    number: int
    config: Config
    state: State | None = None
    records: list[Record] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    kept: int | None = None

    @property
    def seconds(self) -> float:
        """The seconds that it has been trained so far, evaluation included."""
        return sum(sum(record.seconds.values()) for record in self.records)


@dataclass
class Job:
    """Work for one worker: trials of one shape, and how far to train them.

    Attributes
    ----------
    trials : list of Trial
        They share everything but numeric scalars and seeds, and stand at the same epoch.
    epochs : int or None
        How many epochs to go; None for all that are left, 0 to record only (a pruned trial).
    finish : bool
        Whether a trial that ends is recorded: film, advice, digest.
    plugins : list of str
        What a worker loads first.
    keep_state : bool
        Whether the state of a trial that has ended comes back. Its weights and the snapshots of
        its film travel only where somebody asks for them.
    seconds : float or None
        Come back after the epochs that take about so many seconds, and after one at least.
    timeout : float or None
        Seconds that a trial may take in all.
    beat : Bar or None
        Only a trial that beats it has its film encoded; None for every trial.
    networks : bool
        Whether the network of a trial that has come to its end comes back, as the file of a model.
    least : Bar or None
        Only that of a trial that reaches it comes back; None for every value.
    digest : str
        That of the data, as the driver has it; empty where it is not compared.
    seeds : int
        Networks of each trial.
    together : int
        How many of these are trained as one batched computation at most.
    study : str
        The start of a study that asks for it, by a name that no other one has.
    place : str
        The worker that keeps how the trials stand; empty where any worker will do.
    state_after : float
        How many seconds of training are left until the states are to be written down, and come
        back for that; before that the worker may keep them.
    fetch : bool
        Nothing is trained: the trials come back as they stand.
    deaths : int
        How many workers have died while they trained these.
    kernels : str
        The backend of the driver, with which the worker trains too.
    watched : bool
        Whether a picture of the weights is wanted of a trial that goes on.
    """

    trials: list[Trial]
    epochs: int | None = None
    finish: bool = True
    plugins: list[str] = field(default_factory=list)
    keep_state: bool = True
    seconds: float | None = None
    timeout: float | None = None
    beat: "Bar | None" = None
    networks: bool = False
    least: "Bar | None" = None
    digest: str = ""
    seeds: int = 1
    together: int = 1
    study: str = ""
    place: str = ""
    state_after: float = 0.0
    fetch: bool = False
    deaths: int = 0
    kernels: str = field(default_factory=kernels)
    watched: bool = False

    @property
    def config(self) -> Config:
        """The first config: data set and shape are those of all."""
        return self.trials[0].config

    def alone(self) -> list["Job"]:
        """The same work as one job for each trial."""
        return [replace(self, trials=[trial]) for trial in self.trials]
