"""The Optuna study of a sweep: its journal on disk, and its books beside those of the spool."""

import math
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.storage import journal
from harness.storage.files import touch, truncate
from harness.storage.formats import Damaged
from harness.storage.records import TrialRun
from harness.storage.result import TrialState

JOURNAL = "journal.log"

# User attributes of trials: of one that its space did not want, and of one whose values were shown
# while it trained, though no pruner asked for them.
SKIPPED = "skipped"
SHOWN = "shown"


def storage(file: Path, to_read: bool = False) -> Any:
    """Optuna's journal in a file, line by line as Optuna would write it.

    The lock of the books keeps other drivers out. So it needs no lock of its own, is read once, and
    is synced before a trial that it has is written down (`sync_file`) instead of at each of its
    lines. What a crash has torn at its end is cut off. UsageError where it is damaged.

    Parameters
    ----------
    file : Path
        The file.
    to_read : bool
        Whether it is only read, perhaps while its driver writes to it: the file stays as it is.
    """
    from optuna.storages import JournalStorage
    from optuna.storages.journal import BaseJournalBackend

    if not to_read:
        touch(file)
    lines = read_lines(file)
    if not to_read:
        truncate(file, lines.whole)

    class Journal(BaseJournalBackend):
        def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
            return lines.entries[log_number_from:]

        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            assert not to_read, "nothing is written to what is read"
            lines.append(file, logs)

    try:
        return JournalStorage(Journal())
    except Exception as error:
        # Optuna checks nothing of what it reads, so almost anything can come of it
        raise UsageError(
            f"{file} must hold what Optuna writes, but it cannot be read as a study "
            f"({type(error).__name__}: {error}); "
            "restore it from a copy, or start under another name"
        ) from error


def read_lines(file: Path) -> journal.Lines:
    """The lines of a journal; UsageError where they are damaged."""
    try:
        return journal.read(file)
    except Damaged as error:
        raise UsageError(
            f"{file} must be as it was written, but {error}; restore it from a copy, or start "
            f"under another name"
        ) from None


def reconcile(study: Any, trials: list[TrialRun]) -> list[Any]:
    """Brings the study into line with the spool, which holds the truth.

    What has ended in the spool is told to the study.

    Parameters
    ----------
    study : optuna.Study
        The study.
    trials : list of TrialRun
        Those that have ended.

    Returns
    -------
    list of optuna.trial.FrozenTrial
        The trials that were being trained when the driver was stopped, and those that have ended
        but whose records are lost. They are taken up again under their numbers and with their
        parameters, so that such a sweep comes to the same trials as one that nothing has happened
        to.

    Raises
    ------
    UsageError
        The study does not know a trial of the spool, so that the next trial would get its number.
    """
    from optuna.trial import TrialState

    ended = {t.number or 0: t for t in trials}
    if max(ended, default=-1) >= len(study.get_trials(deepcopy=False)):
        raise UsageError(
            f"{JOURNAL} of sweep {study.study_name!r} must know all its trials, but trial "
            f"#{max(ended)} is missing; "
            "start under another name"
        )
    # one that has failed without a record was a point of a grid that had been tried before
    known = study.get_trials(
        deepcopy=False, states=(TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED)
    )
    for trial in known:
        if trial.number in ended and trial.state == TrialState.RUNNING:
            tell(study, ended[trial.number])
    return [trial for trial in known if trial.number not in ended and not _skipped(trial)]


def skip(study: Any, number: int) -> None:
    """Ends a trial that the space does not want.

    Optuna counts it as pruned, and it has no record.
    """
    from optuna.trial import TrialState

    frozen = study.get_trials(deepcopy=False)[number]
    study._storage.set_trial_user_attr(frozen._trial_id, SKIPPED, True)
    study.tell(number, state=TrialState.PRUNED)


def _skipped(trial: Any) -> bool:
    return trial.state.is_finished() and trial.user_attrs.get(SKIPPED, False)


def asked(study: Any) -> int:
    """How many trials have been asked for; what is only enqueued has not."""
    from optuna.trial import TrialState

    return sum(trial.state != TrialState.WAITING for trial in study.get_trials(deepcopy=False))


def enqueued(study: Any, points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The points that no trial of a study has been given yet."""
    trials = study.get_trials(deepcopy=False)
    given = [trial.system_attrs.get("fixed_params") for trial in trials]
    return [point for point in points if point not in given]


def show(study: Any, number: int, epoch: int, value: float) -> None:
    """Notes the value of a trial in training for those who watch the study.

    How often that is done depends on the clock, so a pruner that comes later must pass it over.
    """
    frozen = study.get_trials(deepcopy=False)[number]
    if not math.isfinite(value) or frozen.state.is_finished():
        return
    if not frozen.user_attrs.get(SHOWN, False):
        study._storage.set_trial_user_attr(frozen._trial_id, SHOWN, True)
    if frozen.intermediate_values.get(epoch) != value:
        study._storage.set_trial_intermediate_value(frozen._trial_id, epoch, value)


def tell(study: Any, run: TrialRun) -> None:
    """Tells the study how a trial has ended, unless it knows.

    It knows where the record of the trial was lost, and it has been trained again.
    """
    import optuna

    if study.get_trials(deepcopy=False)[run.number].state.is_finished():
        return
    if run.result.is_ranked:
        study.tell(run.number, run.result.values)
    elif run.result.state is TrialState.PRUNED:
        study.tell(run.number, state=optuna.trial.TrialState.PRUNED)
    else:
        study.tell(run.number, state=optuna.trial.TrialState.FAIL)
