"""Recorders: functions of what a training run left behind. record(trained) -> Report(metrics,
artifacts).
"""

import time
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from harness import registry
from harness.boundary import foreign
from harness.config import Config
from harness.errors import PluginError, UsageError
from harness.escapes import printable
from harness.storage.paths import safe_path
from harness.training.prepared import Data
from harness.training.state import Record, State

# Files that each run has beside its recorders'
OURS = ("config.json", "environment.json", "traceback.txt")
LONGEST = 255  # bytes of a file's name
LONGEST_PATH = 1000  # bytes of an artifact's path, which comes to lie below a path of ours


@dataclass(frozen=True)
class Trained:
    """A finished training run, in full: what every recorder reads."""

    config: Config
    data: Data
    state: State
    records: list[Record]


class Report(NamedTuple):
    """What a recorder adds to a run: numbers, and files by name."""

    metrics: dict[str, float]
    artifacts: dict[str, bytes]


from harness.recorders import film, health, history, timing  # noqa: E402, F401  they need Report


def _sound(name: str, made: Any, before: Report) -> Report:
    """What a recorder returned, in plain types; PluginError where the books could not hold it.

    It must not take the names of what is there before it, or one of both would be lost.
    """
    if not (
        isinstance(made, tuple) and len(made) == 2 and all(isinstance(part, dict) for part in made)
    ):
        raise _broken(name, f"{made!r:.200}")
    metrics: dict[str, float] = {}
    artifacts: dict[str, bytes] = {}
    for key, value in made[0].items():
        if (
            not isinstance(key, str)
            or np.ndim(value) != 0
            or np.asarray(value).dtype.kind not in "biuf"
        ):
            raise _broken(name, f"the metric {key!r} is a {type(value).__name__}")
        if not key.strip() or printable(key) != key:
            raise _broken(name, f"a metric is called {key!r}")
        if key in before.metrics:
            raise _broken(name, f"there is a metric {key!r} already")
        metrics[str(key)] = float(value)
    for path, data in made[1].items():
        if not isinstance(path, str) or not isinstance(data, bytes):
            raise _broken(name, f"the artifact {path!r} is a {type(data).__name__}")
        _check_path(name, path, [*before.artifacts, *OURS, *artifacts])
        artifacts[str(path)] = bytes(data)
    return Report(metrics, artifacts)


def _check_path(name: str, path: str, taken: list[str]) -> None:
    """PluginError where a file cannot be put there, or would take the place of another."""
    if printable(path) != path:
        raise _broken(name, f"the path {path!r}, which no file can have")
    try:
        parts = safe_path(path).parts
    except UsageError as error:
        raise PluginError(f"the recorder {name!r}: {error}") from None
    if max(len(part.encode()) for part in parts) > LONGEST or len(path.encode()) > LONGEST_PATH:
        raise _broken(name, f"the path {path!r:.60}, which is too long for a file")
    for other in taken:
        theirs = PurePosixPath(other).parts
        common = min(len(parts), len(theirs))
        if parts[:common] == theirs[:common]:
            raise _broken(name, f"the path {path!r} where there is {other!r} already")


def _broken(name: str, what: str) -> PluginError:
    return PluginError(
        f"the recorder {name!r} must return Report(metrics: numbers by name, artifacts: bytes by "
        f"path), all under "
        f"names of its own, got {what}; text.encode() makes bytes, float(x) a number"
    )


@foreign("a plugin")
def report(trained: Trained) -> Report:
    """What all recorders of the config say; the seconds of each are in time/<name>_s."""
    metrics: dict[str, float] = {}
    artifacts: dict[str, bytes] = {}
    specs: list[Any] = [{"name": "timing"}, {"name": "history"}, *trained.config.recorders]
    if trained.config.film is not None:
        specs.append(trained.config.film)
    known = dict.fromkeys((key for record in trained.records for key in record.metrics), 0.0)
    known |= {f"time/epoch_{key}": 0.0 for record in trained.records for key in record.seconds}
    for spec in specs:
        begun = time.perf_counter()
        made = registry.make("recorder", spec)(trained)
        added = _sound(spec["name"], made, Report({**known, **metrics}, artifacts))
        metrics |= added.metrics
        artifacts |= added.artifacts
        if spec["name"] not in ("timing", "history"):
            metrics[f"time/{spec['name']}_s"] = time.perf_counter() - begun
    return Report(metrics, artifacts)
