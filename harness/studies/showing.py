"""Trials are shown while they train: their points in MLflow, their values in Optuna's study."""

import contextlib

from harness.storage.files import DiskError
from harness.studies.books import Books
from harness.studies.in_training import InTraining
from harness.studies.levels import Levels
from harness.studies.plan import Plan
from harness.trials.keeping import LONG
from harness.trials.live import points_of_epochs, records_of
from harness.trials.outcome import Outcome


class Showing:
    """Shows the trials of a study that have been trained for LONG seconds.

    Parameters
    ----------
    plan : Plan
        Whose trials they are.
    books : Books
        Where their points are made durable.
    levels : Levels
        Who asks the pruner, which tells the study the values itself.
    """

    def __init__(self, plan: Plan, books: Books, levels: Levels) -> None:
        self._plan = plan
        self._books = books
        self._levels = levels

    def begin(self, entry: InTraining) -> None:
        """Recalls what was shown of a trial before the driver was started."""
        trial = self._plan.live_of(entry)
        entry.written = records_of(self._books.live_points(trial.number, trial.id))
        entry.outcome.start_ms = self._books.live.start_ms(trial.number, trial.id)

    def take(self, entry: InTraining, outcome: Outcome) -> None:
        """A trial goes on to what a worker says; what was shown of another network is forgotten."""
        was_shown = bool(entry.written)
        entry.take(outcome)
        if was_shown and not entry.written:
            self._books.live.drop(entry.number)

    def show(self, entry: InTraining) -> str:
        """Makes the points of the new epochs of a trial durable.

        Returns
        -------
        str
            Why the disk does not take them, which a study can do without; "" where it does.
        """
        records = entry.outcome.records
        new = [record for record in records if record.epoch not in entry.written]
        is_long = entry.took >= LONG or bool(entry.written)
        if not new or not is_long:
            return ""
        points, _ = points_of_epochs(entry.outcome)
        first = new[0].epoch
        try:
            trial = self._plan.live_of(entry)
            self._books.extend(trial, [point for point in points if point.step >= first])
            self._report(entry)
        except DiskError as error:
            return f"trials in training are not shown: {error}"
        entry.written.update((record.epoch, record) for record in new)
        return ""

    def end(self, entry: InTraining) -> None:
        """Shows the last value of a trial that was shown before."""
        if entry.written and entry.outcome.records:
            # Its record, which comes next, says whether the disk is full.
            with contextlib.suppress(DiskError):
                self._report(entry)

    def _report(self, entry: InTraining) -> None:
        if not self._levels.has_pruner:
            with self._books.interrupts.held_back():
                self._plan.report(entry)
