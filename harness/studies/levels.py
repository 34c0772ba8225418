"""When a trial is decided upon: after which epochs a driver asks its pruner.

A synchronous study with a pruner goes through a round of trials epoch by epoch: its `level`. At
each level all trials of the round stand at that epoch at least, and are judged one after the other
in the order of their numbers. After an interruption the levels are gone through again from the
first one: what was decided stands, and a trial whose last checkpoint lies behind is trained up to
where it was. So all that is decided is a function of the round alone.
"""

import math

from harness.studies.in_training import InTraining
from harness.studies.pruning import Judge

NOT_NOW = -1  # epochs due of a trial that waits for the others of its round


class Levels:
    """Asks the pruner of a study at the right epochs.

    Parameters
    ----------
    judge : Judge or None
        Who asks the pruner; None where there is no pruner.
    metric : str
        The metric that trials are judged by.
    in_rounds : bool
        Whether the trials of a round are judged together.
    """

    def __init__(self, judge: Judge | None, metric: str, in_rounds: bool) -> None:
        self._judge = judge
        self._key = f"valid/{metric}"
        self._in_rounds = in_rounds
        self._level = 1

    @property
    def has_pruner(self) -> bool:
        """Whether trials are judged at all, and so trained in short segments."""
        return self._judge is not None

    def begin(self, entry: InTraining) -> None:
        """Recalls what was decided of a trial before the driver was started."""
        if self._judge:
            entry.verdict = self._judge.last(entry.number, entry.identity)

    def epochs_due(self, entry: InTraining) -> int | None:
        """How many epochs to train a trial before it is decided upon.

        Returns
        -------
        int or None
            None for all that are left, 0 to end it as it stands, NOT_NOW for nothing now.
        """
        if entry.stopped_by and not entry.is_pruned:
            return 0
        if self._judge is None:
            return None
        level = self._level
        if not self._in_rounds:
            level = max(entry.judged, entry.epochs) + 1
        if entry.is_pruned and level > entry.judged:
            return max(0, entry.judged - entry.epochs)
        # What is known of a trial up to its last verdict needs no decision: it is trained up to
        # there at once.
        missing = max(level, entry.judged) - entry.epochs
        return missing if missing > 0 else NOT_NOW

    def is_ready(self, entry: InTraining) -> bool:
        """Whether a trial has been trained as far as it is to be decided upon."""
        return entry.outcome.ended or self.epochs_due(entry) == NOT_NOW

    def judge(self, entry: InTraining) -> None:
        """Asks the pruner about a trial that has not ended."""
        if self._judge is None:
            return
        epoch = entry.epochs
        if self._in_rounds:
            epoch = self._level
        if epoch <= entry.judged:
            return
        value = self._value_at(entry, epoch)
        if math.isfinite(value):
            entry.verdict = self._judge.verdict(entry.number, entry.identity, epoch, value)

    def end(self, entry: InTraining) -> None:
        """Tells the pruner the value of a trial that has come to its end by itself."""
        if self._judge and not entry.is_pruned and entry.outcome.value is not None:
            value = self._value_at(entry, entry.epochs)
            self._judge.report(entry.number, entry.epochs, value)

    def go_on(self, round_goes_on: bool) -> None:
        """Goes to the next level of the round, or to the first one of the next round."""
        if round_goes_on:
            self._level += 1
        else:
            self._level = 1

    def _value_at(self, entry: InTraining, epoch: int) -> float:
        return entry.outcome.records[epoch - 1].metrics.get(self._key, math.nan)
