"""How trials stand between two segments, kept by the process that has trained them.

A driver asks for segments of about LIVE seconds, so that it can tell how a trial goes on. Between
two of them the state of a network stays where it is: what comes back are the records of the new
epochs. A process that no longer has a state says so, and its trial goes on from its last
checkpoint.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from harness.training.state import State
from harness.trials.job import Job, Trial
from harness.trials.outcome import Outcome
from harness.trials.seeds import Member
from harness.trials.work import work

LIVE = 2.0  # seconds of training that a job carries, or one epoch
# Seconds of training from which a trial is shown while it trains. The state of a shorter segment
# comes back with it, so that the next one can go to whichever worker is free.
LONG = 1.0
MOST_KEPT = 1 << 29  # bytes of all states that a process keeps

# By the start of a study and the number of the trial; the one that was used last comes last.
_kept: OrderedDict[tuple[str, int], Trial] = OrderedDict()


def carry_on(job: Job, here: str, last_words: Callable[[str], None] | None = None) -> list[Outcome]:
    """Does the work of a job whose trials may be kept here, and keeps how they stand after it.

    Parameters
    ----------
    job : Job
        What is trained.
    here : str
        The name of this worker.
    last_words : callable or None
        Given in a worker that may be ended for a trial that does not come back (`work`).

    Returns
    -------
    list of Outcome
        One for each trial, without the records that the driver has. Those that are `lost` come
        last.
    """
    found = [_recall(job.study, trial) for trial in job.trials]
    trials = [trial for trial in found if trial is not None]
    outcomes = []
    if job.fetch:
        outcomes = [_as_it_stands(trial) for trial in trials]
    elif trials:
        outcomes = work(replace(job, trials=trials), last_words)
    for trial, outcome in zip(trials, outcomes, strict=True):
        _kept.pop((job.study, trial.number), None)
        if not outcome.ended and not _comes_along(job, outcome):
            _keep(job.study, outcome)
            outcome.place = here
        _leave_out_what_is_known(outcome, trial)
    lost = [trial for trial, recalled in zip(job.trials, found, strict=True) if recalled is None]
    return [*outcomes, *(Outcome(trial.number, trial.config, lost=True) for trial in lost)]


def forget(study: str) -> None:
    """Forgets the trials of a study."""
    for key in [key for key in _kept if key[0] == study]:
        del _kept[key]


def _recall(study: str, trial: Trial) -> Trial | None:
    """A trial with its state and records; None where they should be here and are not."""
    if trial.kept is None:
        return trial
    kept = _kept.get((study, trial.number))
    # The driver may have gone on from another point meanwhile.
    if kept is None or len(kept.records) != trial.kept:
        return None
    return kept


def _as_it_stands(trial: Trial) -> Outcome:
    return Outcome(trial.number, trial.config, trial.state, trial.records, trial.members)


def _comes_along(job: Job, outcome: Outcome) -> bool:
    """Whether the state of a trial that goes on is not kept here."""
    is_short = outcome.took < LONG
    # The next segment takes about as long, and the state would come back too late.
    is_due = 2 * outcome.took >= job.state_after
    return job.fetch or is_short or is_due


def _keep(study: str, outcome: Outcome) -> None:
    """Keeps how a trial stands, and takes its state out of its outcome."""
    trial = Trial(outcome.number, outcome.config, outcome.state, outcome.records, outcome.members)
    _kept[study, trial.number] = trial
    while len(_kept) > 1 and sum(map(_size, _kept.values())) > MOST_KEPT:
        _kept.popitem(last=False)
    outcome.state = None
    outcome.members = [Member(None, member.records) for member in outcome.members]


def _size(trial: Trial) -> int:
    """The bytes of the states of a trial."""
    if trial.members:
        return sum(_bytes_of(member.state) for member in trial.members)
    return _bytes_of(trial.state)


def _bytes_of(state: State | None) -> int:
    total = 0
    for value in (state or {}).values():
        arrays = value if isinstance(value, list) else [value]
        total += sum(array.nbytes for array in arrays if isinstance(array, np.ndarray))
    return total


def _leave_out_what_is_known(outcome: Outcome, trial: Trial) -> None:
    """Takes those records out of an outcome that its trial came with.

    Parameters
    ----------
    outcome : Outcome
        It may have no records at all, where the trial has failed.
    trial : Trial
        As it stood before.
    """
    known = [len(member.records) for member in trial.members]
    if not outcome.members:
        outcome.left_out = [min(len(trial.records), len(outcome.records))]
        outcome.records = outcome.records[outcome.left_out[0] :]
        return
    outcome.left_out = known or [0] * len(outcome.members)
    outcome.members = [
        Member(member.state, member.records[count:])
        for member, count in zip(outcome.members, outcome.left_out, strict=True)
    ]
    # The means of the epochs are taken again of the records of all members.
    outcome.records = []
