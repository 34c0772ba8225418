"""A logged run trained again: identical to the last bit, or where it departs.

Where it departs the text says what differs in the environment. Nothing that comes from MLflow is
run: code is loaded only where the user names it.
"""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from harness.config import Config
from harness.data.loading import load_for
from harness.expressions.backend import using
from harness.maintenance.logged import config_of, environment_of
from harness.storage.result import TrialState
from harness.tracking.recorded_run import Recorded, recorded
from harness.training.state import digest
from harness.trials.fingerprint import differences, fingerprint
from harness.trials.job import Job, Trial
from harness.trials.outcome import Outcome
from harness.trials.work import work

_LIMIT = re.compile(r"timed out after (?P<seconds>[\d.e+-]+) s")
# The place in a plugin where an error was raised, as a reason ends with it.
_PLACE = re.compile(r" \([^()]*, line \d+\)$")


Say = Callable[[str], None]


class Verdict(NamedTuple):
    """What came of training a run again.

    Attributes
    ----------
    identical : bool
        Whether it has come to the same result.
    text : str
        The sentences that say so.
    """

    identical: bool
    text: str


def _silent(sentence: str) -> None:
    """Takes a sentence, and says nothing."""


def verify(reference: str, root: Path | None = None, say: Say = _silent) -> Verdict:
    """Trains a logged run again, as far as it was trained, and compares.

    Compared are the metrics of all epochs, the weights at the end, and how it ended.

    Parameters
    ----------
    reference : str
        A run id, the name of a single run, or "SWEEP#12".
    root : Path, optional
        The folder that holds mlruns/; looked for from here by default.
    say : callable
        Takes what is said before and while it is trained.

    Raises
    ------
    UsageError
        If it cannot be trained here.
    """
    run = recorded(reference, root)
    config = config_of(run)
    environment = "; ".join(_differing(run, config))
    if departure := _departure_of_data(run, config):
        return _departed(run, departure, environment)
    outcome = train_again(run, config, say)
    if outcome.error:
        say(outcome.error.rstrip())
    if not _state_of(run).is_result:
        if departure := _departure_of_failure(run, outcome):
            return _departed(run, departure, environment)
        reason = run.tags.get("harness.reason")
        return Verdict(True, f"identical: {run.name!r} fails again: {reason}")
    if departure := departure_of_course(run, outcome):
        return _departed(run, departure, environment)
    return _identical(run, outcome, environment)


def _state_of(run: Recorded) -> TrialState:
    return TrialState(run.tags.get("harness.state", TrialState.COMPLETE))


def _differing(run: Recorded, config: Config) -> list[str]:
    """Where the environment of a run differs from that of this process, one phrase each."""
    phrases = ["the run has no environment.json"]
    if then := environment_of(run):
        phrases = differences(then, fingerprint(config.names(), _kernels(run)))
    was = run.tags.get("harness.config", config.digest())
    if was != config.digest():
        phrases.append(f"config was {was}, is {config.digest()}")
    return phrases


def _departed(run: Recorded, departure: str, environment: str) -> Verdict:
    first = f"{run.name!r} departs {departure}"
    return Verdict(False, f"{first}\nwhat differs in the environment: {environment or 'nothing'}")


def _identical(run: Recorded, outcome: Outcome, environment: str) -> Verdict:
    compared = "weights and metrics"
    if "harness.digest" not in run.tags:
        compared = "metrics (no digest of the weights was recorded)"
    text = f"identical: {run.name!r}, {compared} of {_epochs(len(outcome.records))}"
    if outcome.bad_step is not None:
        text += f", not finite at step {outcome.bad_step}"
    if environment:
        text += f"\nalthough the environment differs: {environment}"
    return Verdict(True, text)


def _epochs(number: int) -> str:
    if number == 1:
        return "1 epoch"
    return f"{number} epochs"


# Training -----------------------------------------------------------------------------------------


def train_again(run: Recorded, config: Config, say: Say) -> Outcome:
    """Trains the config of a run, as far as the run was trained, or until it fails.

    Parameters
    ----------
    run : Recorded
        The run.
    config : Config
        Its config; its film may be another one.
    say : callable
        Takes a sentence before it is trained.
    """
    state = _state_of(run)
    epochs = _last_epoch(run)
    ahead = epochs or 1
    if not state.is_result:
        ahead = config.epochs
    say(f"training {run.name!r} again: {_epochs(ahead)}")
    job = Job([Trial(0, config)], finish=not state.is_result)
    if state.is_cut_short:
        job.epochs = epochs
    if limit := _LIMIT.match(run.tags.get("harness.reason", "")):
        job.timeout = float(limit["seconds"])
    job.seeds = int(run.tags.get("harness.seeds", 1))
    job.kernels = _kernels(run)
    with using(job.kernels):  # which refuses where it cannot train so
        (outcome,) = work(job)
    return outcome


def _kernels(run: Recorded) -> str:
    """The backend with which a run was trained; where it does not say, there was no other one."""
    return environment_of(run).get("kernels", "numpy").split()[0]


def _last_epoch(run: Recorded) -> int:
    return max((epoch for points in run.metrics.values() for epoch in points), default=0)


# Departures ---------------------------------------------------------------------------------------
# Each is a phrase behind "departs", or empty where there is none.


def _departure_of_data(run: Recorded, config: Config) -> str:
    """In what way the data set is another one."""
    was = run.tags.get("harness.data_digest")
    now = load_for(config.data, config.missing).digest
    # A run that has failed may not have come so far as to know it.
    if was is None or was == now:
        return ""
    digests = f"its digest was {was[:16]}, is {now[:16]}"
    return f"before its first step: the data set has changed, {digests}"


def _departure_of_failure(run: Recorded, outcome: Outcome) -> str:
    was = run.tags.get("harness.reason", "unknown")
    now = _reason(outcome)
    # The plugin may lie elsewhere now, and its lines may have moved.
    if _PLACE.sub("", was) == _PLACE.sub("", now):
        return ""
    end = f"fails ({now})" if now else "does not"
    return f"in how it ends: it failed ({was}), now it {end}"


def _reason(outcome: Outcome) -> str:
    return outcome.refused or outcome.reason


def departure_of_course(run: Recorded, outcome: Outcome) -> str:
    """The first place where a run's course departs from the recorded one; "" for none."""
    if reason := _reason(outcome):
        return f"in how it ends: now it fails ({reason})"
    return (
        _departure_of_metrics(run, outcome)
        or _departure_of_length(run, outcome)
        or _departure_of_bad_step(run, outcome)
        or _departure_of_weights(run, outcome)
    )


def _departure_of_metrics(run: Recorded, outcome: Outcome) -> str:
    for record in outcome.records:
        for key, value in record.metrics.items():
            # MLflow has no place for inf and NaN.
            was = run.metrics.get(key, {}).get(record.epoch, math.nan)
            if was != value and (math.isfinite(was) or math.isfinite(value)):
                return f"at epoch {record.epoch}: {key} was {_number(was)}, is {_number(value)}"
    return ""


def _departure_of_length(run: Recorded, outcome: Outcome) -> str:
    last = outcome.records[-1].epoch if outcome.records else 0
    if _last_epoch(run) <= last:
        return ""
    return f"after epoch {last}: it went on to epoch {_last_epoch(run)}, now it stops"


def _departure_of_bad_step(run: Recorded, outcome: Outcome) -> str:
    was = run.tags.get("harness.bad_step", "none")
    now = "none"
    if outcome.bad_step is not None:
        now = str(outcome.bad_step)
    if was == now:
        return ""
    return f"in its first step that is not finite: it was {was}, is {now}"


def _departure_of_weights(run: Recorded, outcome: Outcome) -> str:
    assert outcome.state is not None  # it has not failed
    records = outcome.records
    if outcome.members:
        # The digest is that of the first seed's network.
        records = outcome.members[0].records
    now = digest(outcome.state, records)
    was = run.tags.get("harness.digest", now)
    if was == now:
        return ""
    return f"in its last weights: all metrics are equal, the digest was {was}, is {now}"


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return "not finite"
