"""Job: the work that a driver gives to a worker."""

from dataclasses import dataclass, field, replace
from typing import Any

from harness.config import Config
from harness.training.state import Record, State
from harness.trials.seeds import Member


@dataclass
class Job:
    """Work for one worker: configs of one shape, where they stand, and how many epochs to go.

    epochs: None is all that are left, 0 trains nothing and only records (for a trial that is
    pruned). `records` are of the epochs before. A worker loads `plugins` first. keep_state=False:
    the state of a trial that has ended (its weights and the snapshots of its film) stays where it
    is, since nobody asks for it. seconds: come back at the end of the epoch after which so many
    have been trained, for a checkpoint. timeout: seconds that a trial may take in all. beat: only a
    trial with a better value has its film encoded. digest: that of the data, as the driver has it.
    seeds: networks of each trial, which go on from `members` instead of states and records.
    together: how many of these are trained as one batched computation at most.
    """

    numbers: list[int]
    configs: list[Config]
    states: list[State] | None = None
    epochs: int | None = None
    finish: bool = True
    plugins: list[str] = field(default_factory=list)
    records: list[list[Record]] | None = None
    keep_state: bool = True
    seconds: float | None = None
    timeout: float | None = None
    beat: float | None = None
    digest: str = ""
    seeds: int = 1
    together: int = 1
    members: list[list[Member]] | None = None


def member(job: Job, p: int) -> Job:
    """One trial of a job."""

    def of(values: list[Any] | None) -> list[Any] | None:
        return None if values is None else [values[p]]

    return replace(
        job,
        numbers=[job.numbers[p]],
        configs=[job.configs[p]],
        states=of(job.states),
        records=of(job.records),
        members=of(job.members),
    )
