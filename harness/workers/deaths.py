"""What comes back of a job whose workers have died."""

from harness.storage.clock import now_ms
from harness.storage.result import TrialState
from harness.trials.job import Job
from harness.trials.outcome import Outcome

# So many workers must have died while they ran a job until the job is to blame, since workers die
# of other things too.
DEATHS = 4


def restarted(job: Job, deaths: int) -> list[Outcome]:
    """The outcomes of a job whose trials nobody keeps any more.

    Parameters
    ----------
    job : Job
        The job.
    deaths : int
        How many workers have died while they trained its trials. From DEATHS on each of them is
        trained alone, since one is to blame.
    """
    alone = deaths >= DEATHS
    if alone:
        deaths = 0
    return [
        Outcome(trial.number, trial.config, lost=True, deaths=deaths, alone=alone)
        for trial in job.trials
    ]


def lost(job: Job, failure: TrialState, error: str, reason: str) -> list[Outcome]:
    """The outcomes of a job that came to nothing."""
    return [
        Outcome(
            trial.number,
            trial.config,
            failure=failure,
            error=error,
            reason=reason,
            ended=True,
            start_ms=now_ms(),
            end_ms=now_ms(),
        )
        for trial in job.trials
    ]
