"""What a sweep tries next.

First come trials that were interrupted, then points that are known to be good, then what Optuna
says.
"""

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from harness.config import Config
from harness.errors import UsageError
from harness.storage.records import TrialRun
from harness.studies.space import SKIPPED_IN_A_ROW, Skip, propose
from harness.studies.study import enqueued, reconcile, skip
from harness.studies.yardstick import Yardstick, Yardsticks
from harness.trials.interrupts import Interrupts

if TYPE_CHECKING:
    from harness.studies.sweep import Sweep


class Asking:
    """Asks the study for trials and the space for their configs.

    Parameters
    ----------
    sweep : Sweep
        The sweep whose space it is.
    study : optuna.Study
        Its study.
    trials : list of TrialRun
        Those that have ended.
    interrupts : Interrupts
        Those of the driver.

    Attributes
    ----------
    interrupted : deque
        Trials that were in training when the driver was stopped; they come first.
    """

    def __init__(
        self, sweep: "Sweep", study: Any, trials: list[TrialRun], interrupts: Interrupts
    ) -> None:
        from optuna.samplers import BruteForceSampler, GridSampler

        self._sweep = sweep
        self._study = study
        self._trials = trials
        self._interrupts = interrupts
        self._yardsticks = Yardsticks(sweep.name, trials)
        self._skipped = 0  # points in a row that the space did not want
        base = study.sampler.base
        self._grid = base if isinstance(base, GridSampler) else None
        self._exhaustive = isinstance(base, GridSampler | BruteForceSampler)
        self._exhausted = False
        # Samplers that can try everything say so by study.stop(), which Optuna allows below
        # optimize() only
        study.stop = lambda: setattr(self, "_exhausted", True)
        self.interrupted = deque(reconcile(study, trials))
        self._wanted = deque(enqueued(study, sweep.enqueue))

    def trial(self) -> Any:
        """The next trial, or None where all there is has been tried."""
        # An interrupt within a write to the journal would tear it.
        with self._interrupts.held_back():
            return self._next()

    def config(self, trial: Any, running: Iterable[dict[str, Any]]) -> Config | None:
        """The config of a trial; None if the space skips it or the sampler repeats itself.

        Where the space raises, the next start takes this trial up again.

        Parameters
        ----------
        trial : optuna.Trial
            The trial.
        running : iterable of dict
            The params of the trials in training.
        """
        with self._interrupts.held_back():
            try:
                config = propose(self._sweep, trial)
            except Skip:
                self._count_skipped(trial)
                return None
            self._skipped = 0
            if self._exhaustive and self._has_been_tried(trial, running):
                return None
            self._yardsticks.check(Yardstick.of(config))
            return config

    def _next(self) -> Any:
        from optuna.trial import Trial

        if self.interrupted:
            frozen = self.interrupted.popleft()
            # The driver may have been stopped before Optuna came to that.
            self._study.sampler.before_trial(self._study, frozen)
            return Trial(self._study, frozen._trial_id)
        if self._wanted:
            self._study.enqueue_trial(self._wanted.popleft())
        elif self._exhausted or (self._grid and self._grid.is_exhausted(self._study)):
            return None
        return self._study.ask()

    def _count_skipped(self, trial: Any) -> None:
        """Ends a trial that its space does not want. UsageError where it wants none at all."""
        skip(self._study, trial.number)
        self._skipped += 1
        if self._skipped >= SKIPPED_IN_A_ROW:
            raise UsageError(
                "the search space must return a Config now and then, but has raised TrialPruned "
                f"for {self._skipped} points in a row; correct its condition"
            ) from None

    def _has_been_tried(self, trial: Any, running: Iterable[dict[str, Any]]) -> bool:
        """Whether a sampler that goes through all there is has begun to repeat itself."""
        from optuna.trial import TrialState

        tried = [*(run.result.params for run in self._trials), *running]
        if trial.params not in tried:
            return False
        self._study.tell(trial.number, state=TrialState.FAIL)
        # There may still be interrupted trials, so the sweep goes on.
        self._exhausted = True
        return True
