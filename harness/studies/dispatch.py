"""Which trials go to which workers, and which of them go together.

A job is about LIVE seconds of training. Where it took long, its worker keeps how its trials stand,
and they go on there. A worker has one such job at a time: the trials that were asked for first come
first, so that results come early and few trials stand half trained.
"""

import itertools
import uuid
from dataclasses import dataclass

from harness.storage.watch import Watch
from harness.studies.in_training import InTraining
from harness.studies.levels import Levels
from harness.studies.plan import Plan, Settings
from harness.trials.identity import data_digest
from harness.trials.job import Job
from harness.trials.keeping import LIVE, LONG
from harness.trials.outcome import Outcome
from harness.workers.pool import Dask, Inline

LOSSES = 2  # of a trial with its worker, from which on no worker keeps its state


@dataclass(frozen=True)
class Group:
    """Trials that are trained as one batched computation.

    Attributes
    ----------
    entries : list of InTraining
        The trials, by their numbers.
    epochs : int or None
        How many epochs to train them; None for all that are left.
    place : str
        The worker that keeps them; empty where any worker will do.
    """

    entries: list[InTraining]
    epochs: int | None
    place: str


class Dispatch:
    """Sends the trials of a study to its workers.

    Parameters
    ----------
    plan : Plan
        What is trained.
    settings : Settings
        How it is trained.
    levels : Levels
        When trials are judged.
    watch : Watch
        Whether somebody watches them.

    Attributes
    ----------
    plugins : list of str
        What workers load first.
    """

    def __init__(self, plan: Plan, settings: Settings, levels: Levels, watch: Watch) -> None:
        self.plugins: list[str] = []
        self._plan = plan
        self._settings = settings
        self._levels = levels
        self._watch = watch
        self._study = uuid.uuid4().hex  # workers keep trials of other starts, too
        self._numbers = itertools.count(1)
        self._are_long = False

    def watch(self, entry: InTraining, outcome: Outcome) -> None:
        """Learns from a trial that came back whether trials take more than one segment."""
        # The state of a long segment comes along where a checkpoint is due.
        if not outcome.ended and outcome.took >= LONG:
            self._are_long = True
        elif outcome.ended and entry.took < LONG:
            self._are_long = False

    def send(self, pool: Inline | Dask, begun: list[InTraining], seconds_left: float) -> None:
        """Sends what is to be trained now.

        A new trial waits at a worker where trials are short, so that no worker waits for it. Where
        they are long it waits here, so that it does not come between their segments.

        Parameters
        ----------
        pool : Inline or Dask
            The workers.
        begun : list of InTraining
            The trials in training, by their numbers.
        seconds_left : float
            Until the time of the study is up.
        """
        taken = {entry.outcome.place for entry in begun if entry.is_away}
        for group in self._groups(begun, pool.workers):
            if group.place in taken and group.place:
                continue
            if not group.place and self._are_long and _idle(pool, begun) <= 0:
                continue
            taken.add(group.place)
            self._submit(pool, group, seconds_left)

    def even_out(self, pool: Inline | Dask, begun: list[InTraining]) -> None:
        """Takes trials that wait for their worker away from it, where another one has no work."""
        for group in self._groups(begun, pool.workers):
            if group.place and _idle(pool, begun) > 0:
                self.fetch(pool, group.entries)

    def fetch(self, pool: Inline | Dask, entries: list[InTraining]) -> None:
        """Asks the worker that keeps these trials for how they stand."""
        job = Job(
            trials=[entry.standing for entry in entries],
            plugins=self.plugins,
            study=self._study,
            place=entries[0].outcome.place,
            fetch=True,
            deaths=max(entry.deaths for entry in entries),
        )
        self._hand_over(pool, job, entries)

    def _groups(self, begun: list[InTraining], workers: int) -> list[Group]:
        """What is to be trained and not away, by what may be trained together."""
        groups: dict[object, Group] = {}
        for entry in begun:
            if entry.is_away or self._levels.is_ready(entry):
                continue
            epochs = self._levels.epochs_due(entry)
            place = entry.outcome.place
            apart = entry.number if entry.is_alone else None
            shape = entry.config.shape_key()
            key = entry.candidate.batch, shape, entry.epochs, epochs, place, apart
            groups.setdefault(key, Group([], epochs, place)).entries.append(entry)
        parts = []
        for group in groups.values():
            size = self._plan.group_size(group.entries, workers)
            for at in range(0, len(group.entries), size):
                part = group.entries[at : at + size]
                parts.append(Group(part, group.epochs, group.place))
        return parts

    def _submit(self, pool: Inline | Dask, group: Group, seconds_left: float) -> None:
        entries = group.entries
        settings = self._settings
        until_due = settings.checkpoint - max(entry.unsaved for entry in entries)
        if any(entry.losses >= LOSSES for entry in entries):
            until_due = 0.0
        config = entries[0].config
        job = Job(
            # Artifacts and notes stay in the driver.
            trials=[entry.standing for entry in entries],
            plugins=self.plugins,
            epochs=group.epochs,
            keep_state=any(entry.candidate.keep_state for entry in entries),
            seconds=max(0.0, min(LIVE, settings.checkpoint, seconds_left)),
            timeout=settings.trial_timeout,
            beat=self._plan.beat(),
            networks=self._plan.kept.are_wanted,
            least=self._plan.least(config),
            digest=data_digest(config),
            seeds=settings.seeds,
            together=settings.together,
            study=self._study,
            place=group.place,
            state_after=until_due,
            watched=self._watch.is_on(),
            deaths=max(entry.deaths for entry in entries),
        )
        self._hand_over(pool, job, entries)

    def _hand_over(self, pool: Inline | Dask, job: Job, entries: list[InTraining]) -> None:
        number = next(self._numbers)
        for entry in entries:
            entry.is_away = True
            entry.job = number
        pool.submit(job)


def _idle(pool: Inline | Dask, begun: list[InTraining]) -> int:
    """How many workers have no job of this study."""
    return pool.workers - len({entry.job for entry in begun if entry.is_away})
