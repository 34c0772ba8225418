"""A logged run trained again: identical to the last bit, or where it departs and what differs in
the environment.

Nothing that comes from MLflow is run. The recorded sources of plugins are text to compare with, and
to write into a folder for whoever wants to read them; code is loaded only where the user names it.
"""

import hashlib
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from harness import registry
from harness.config import Config
from harness.data import load_for
from harness.errors import UsageError
from harness.storage.files import write_plain
from harness.storage.paths import safe_path
from harness.storage.result import TrialState
from harness.tracking.reader import Recorded, recorded
from harness.training.state import digest
from harness.trials.fingerprint import differences, fingerprint
from harness.trials.job import Job, Trial
from harness.trials.outcome import Outcome
from harness.trials.work import work

_LIMIT = re.compile(r"timed out after ([\d.e+-]+) s")
# Where a plugin lies, and its lines, may have changed
_PLACE = re.compile(r" \([^()]*, line \d+\)$")


class Verdict(NamedTuple):
    """Whether a run has come to the same result again, and the sentences that say so."""

    identical: bool
    text: str


def verify(
    reference: str, root: Path | None = None, say: Callable[[str], None] = lambda sentence: None
) -> Verdict:
    """Trains a logged run again, as far as it was trained, and compares metrics, weights and how it
    ended.

    reference: a run id, the name of a single run, or "SWEEP#12". UsageError where it cannot be
    trained here.
    """
    run = recorded(reference, root)
    config, then = _config(run), json.loads(run.files.get("environment.json", b"{}"))
    sources = {name: hashlib.sha256(source).hexdigest() for name, source in _sources(run).items()}
    then = {"plugins": sources, **then} if then else {}
    now = fingerprint(config.names())
    differ = differences(then, now) if then else ["the run has no environment.json"]
    was = run.tags.get("harness.config", config.digest())
    state = TrialState(run.tags.get("harness.state", TrialState.COMPLETE))
    if was != config.digest():
        differ.append(f"config was {was}, is {config.digest()}")
    failed = not state.is_result
    departure = _data(run, config)
    if departure is None:
        epochs = max((epoch for points in run.metrics.values() for epoch in points), default=0)
        say(f"training {run.name!r} again: {_epochs(config.epochs if failed else epochs or 1)}")
        limit = _LIMIT.match(run.tags.get("harness.reason", ""))
        limit_epochs = epochs if state is TrialState.PRUNED else None
        job = Job([Trial(0, config)], epochs=limit_epochs, finish=failed)
        job.timeout = float(limit[1]) if limit else None
        job.seeds = int(run.tags.get("harness.seeds", 1))
        (outcome,) = work(job)
        if outcome.error:
            say(outcome.error.rstrip())
        departure = _failure(run, outcome) if failed else _course(run, outcome)
    said = "; ".join(differ) or "nothing"
    if departure:
        return Verdict(
            False, f"{run.name!r} departs {departure}\nwhat differs in the environment: {said}"
        )
    if failed:
        return Verdict(
            True, f"identical: {run.name!r} fails again: {run.tags.get('harness.reason')}"
        )
    what = (
        "weights and metrics"
        if "harness.digest" in run.tags
        else "metrics (no digest of the weights was recorded)"
    )
    end = f", not finite at step {outcome.bad_step}" if outcome.bad_step is not None else ""
    note = f"\nalthough the environment differs: {said}" if differ else ""
    return Verdict(
        True, f"identical: {run.name!r}, {what} of {_epochs(len(outcome.records))}{end}{note}"
    )


def _epochs(number: int) -> str:
    return f"{number} epoch{'' if number == 1 else 's'}"


def logged_config(reference: str, root: Path | None = None) -> Config:
    """The config that a run was trained with.

    Parameters
    ----------
    reference
        A run id, the name of a single run, or "SWEEP#12".
    root
        The folder that holds mlruns/; None to look for it from here.

    Raises
    ------
    UsageError
        If there is no such run, or a plugin that it needs is not loaded.
    """
    return _config(recorded(reference, root))


def save_sources(reference: str, folder: Path, root: Path | None = None) -> list[Path]:
    """Writes the sources of the plugins that a run was trained with into a folder, to be read; the
    files.
    """
    found = _sources(recorded(reference, root))
    files = {folder / safe_path(name): source for name, source in found.items()}
    for file, source in files.items():
        if file.exists() and file.read_bytes() != source:
            raise UsageError(f"{file} is there already and is another file; choose another folder")
    for file, source in files.items():
        write_plain(file, source)
    return list(files)


def _sources(run: Recorded) -> dict[str, bytes]:
    start = "plugins/"
    return {
        path.removeprefix(start): source
        for path, source in run.files.items()
        if path.startswith(start)
    }


def _config(run: Recorded) -> Config:
    if "config.json" not in run.files:
        raise UsageError(
            f"{run.name!r} has no config.json, so it cannot be trained again; choose another run"
        )
    try:
        return Config.from_json(run.files["config.json"].decode())
    except UsageError as error:
        needed = json.loads(run.files.get("environment.json", b"{}")).get("plugins", _sources(run))
        missing = [name for name in needed if name not in registry.sources()]
        if not missing:
            raise
        raise UsageError(
            f"{error}. {run.name!r} was trained with the plugins {', '.join(missing)}: give what "
            f"it needs with "
            "--plugin; their sources are kept with the run, and --sources FOLDER writes them there "
            "for you to read"
        ) from None


def _data(run: Recorded, config: Config) -> str | None:
    """In what way the data set is another one; a run that has failed may not have come so far as to
    know it.
    """
    was, now = run.tags.get("harness.data_digest"), load_for(config.data, config.missing).digest
    if was in (None, now):
        return None
    return (
        f"before its first step: the data set has changed, its digest was {was[:16]}, is {now[:16]}"
    )


def _failure(run: Recorded, outcome: Outcome) -> str | None:
    was, now = run.tags.get("harness.reason", "unknown"), _reason(outcome)
    if _PLACE.sub("", was) == _PLACE.sub("", now):
        return None
    return f"in how it ends: it failed ({was}), now it {f'fails ({now})' if now else 'does not'}"


def _reason(outcome: Outcome) -> str:
    return outcome.refused or outcome.reason


def _course(run: Recorded, outcome: Outcome) -> str | None:
    """The first place where a run's course departs from the recorded one."""
    if reason := _reason(outcome):
        return f"in how it ends: now it fails ({reason})"
    for record in outcome.records:
        for key, value in record.metrics.items():
            # MLflow has no place for inf and NaN
            was = run.metrics.get(key, {}).get(record.epoch, math.nan)
            if was != value and (math.isfinite(was) or math.isfinite(value)):
                return f"at epoch {record.epoch}: {key} was {_number(was)}, is {_number(value)}"
    last = outcome.records[-1].epoch if outcome.records else 0
    behind = [epoch for points in run.metrics.values() for epoch in points if epoch > last]
    if behind:
        return f"after epoch {last}: it went on to epoch {max(behind)}, now it stops"
    bad: Any = run.tags.get("harness.bad_step")
    if bad != (None if outcome.bad_step is None else str(outcome.bad_step)):
        return f"in its first step that is not finite: it was {bad or 'none'}, is {outcome.bad_step or 'none'}"
    was_digest = run.tags.get("harness.digest")
    assert outcome.state is not None  # it has not failed
    own = outcome.members[0].records if outcome.members else outcome.records
    now_digest = digest(outcome.state, own)
    if was_digest not in (None, now_digest):
        return f"in its last weights: all metrics are equal, the digest was {was_digest}, is {now_digest}"
    return None


def _number(value: float) -> str:
    return repr(value) if math.isfinite(value) else "not finite"
