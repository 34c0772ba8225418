"""The work itself: a worker trains the trials of a job and says what became of them."""

import json
import traceback
from collections.abc import Callable

from harness import registry
from harness.boundary import foreign
from harness.errors import UsageError
from harness.expressions.backend import using
from harness.storage.clock import now_ms
from harness.storage.result import TrialState
from harness.storage.secrets import mask
from harness.trials.blas import one_blas_thread
from harness.trials.deadline import deadline
from harness.trials.failure import failure_of
from harness.trials.fingerprint import fingerprint
from harness.trials.job import Job
from harness.trials.outcome import Outcome
from harness.trials.train import train

LEAST_TIME = 0.001  # seconds that a trial gets that has used up its time before


def work(job: Job, last_words: Callable[[str], None] | None = None) -> list[Outcome]:
    """Trains the trials of a job, as a population if there are several.

    Nothing that a plugin or a config does is raised here: it is in the outcome. A trial that fails
    has no records, though a segment before may have had some, because how far it came depends on
    the clock.

    Parameters
    ----------
    job : Job
        What is trained.
    last_words : callable or None
        Given in a worker that may be ended for a trial that does not come back (`deadline`).

    Returns
    -------
    list of Outcome
        In the order of the trials.
    """
    begun = now_ms()
    outcomes = [Outcome(trial.number, trial.config, start_ms=begun) for trial in job.trials]
    try:
        one_blas_thread()
        for reference in job.plugins:
            registry.load_plugin(reference)
        with using(job.kernels), foreign("a plugin"), deadline(_time_left(job), last_words):
            train(job, outcomes)
    except Exception as error:
        if len(outcomes) == 1:
            _fail(outcomes[0], error, job.timeout)
        else:
            outcomes = []
    if not outcomes:
        # Each is trained alone, so that the one that fails does so alone. It is done here and not
        # above, where what it raises would be told with what all of them have raised.
        return [outcome for alone in job.alone() for outcome in work(alone, last_words)]
    for outcome in outcomes:
        _close(outcome, job)
    return outcomes


def _time_left(job: Job) -> float | None:
    """Seconds until the trials of a job have failed; None where they have all the time."""
    if job.timeout is None:
        return None
    spent = sum(trial.seconds for trial in job.trials)
    return max(LEAST_TIME, job.timeout * len(job.trials) - spent)


def _fail(outcome: Outcome, error: Exception, timeout: float | None) -> None:
    """Writes into an outcome what was raised, with all credentials masked."""
    outcome.ended = True
    if isinstance(error, UsageError):
        outcome.refused = mask(str(error))
        if isinstance(error.__cause__, MemoryError):
            outcome.failure = TrialState.OUT_OF_MEMORY
            outcome.reason = outcome.refused
        return
    # The traceback may quote a tracking URI.
    outcome.error = mask(traceback.format_exc())
    failure, reason = failure_of(error, timeout)
    outcome.failure = failure
    outcome.reason = mask(reason)


def _close(outcome: Outcome, job: Job) -> None:
    """Adds what this process knows of a trial, and leaves out what nobody asks for."""
    outcome.end_ms = now_ms()
    if job.seeds > 1:
        # A trial that fails has it too, because `verify` trains as many.
        outcome.notes["harness.seeds"] = str(job.seeds)
    if not outcome.ended:
        return
    if job.finish:
        environment = json.dumps(fingerprint(outcome.config.names(), job.kernels), indent=1)
        outcome.artifacts["environment.json"] = environment.encode()
    if not job.keep_state:
        outcome.state = None
        for member in outcome.members:
            member.state = None
