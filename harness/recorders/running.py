"""Running the recorders of a config, and refusing what a run cannot hold."""

import time
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from harness import registry
from harness.boundary import foreign
from harness.errors import PluginError, UsageError
from harness.escapes import printable
from harness.recorders.report import Report, Trained
from harness.registry.known import Spec
from harness.storage.paths import safe_path

# The files that every run has beside those of its recorders.
_OWN_FILES = ("config.json", "environment.json", "traceback.txt")

_LONGEST_NAME = 255  # bytes of a file's name
_LONGEST_PATH = 1000  # bytes of an artifact's path, which comes to lie below a path of the harness

# These two run for every config. They are so quick that nobody asks for their seconds.
_ALWAYS = ("timing", "history")


@foreign("a plugin")
def report(trained: Trained) -> Report:
    """What all recorders of a config add to its run, and the seconds that each took.

    Parameters
    ----------
    trained
        The finished run.

    Returns
    -------
    Report
        The metrics and artifacts of all recorders; the seconds are in time/<name>_s.

    Raises
    ------
    PluginError
        If a recorder returns what a run cannot hold, or takes a name that is taken.
    """
    metrics: dict[str, float] = {}
    artifacts: dict[str, bytes] = {}
    taken = _epoch_metrics(trained)
    for spec in _recorders_of(trained):
        name = spec["name"]
        begin = time.perf_counter()
        returned = registry.make("recorder", spec)(trained)
        added = _checked(name, returned, {*taken, *metrics}, [*_OWN_FILES, *artifacts])
        metrics |= added.metrics
        artifacts |= added.artifacts
        if name not in _ALWAYS:
            metrics[f"time/{name}_s"] = time.perf_counter() - begin
    return Report(metrics, artifacts)


def _recorders_of(trained: Trained) -> list[Spec]:
    """The film comes last, because it takes the longest."""
    specs: list[Spec] = [{"name": name} for name in _ALWAYS]
    specs += trained.config.recorders
    if trained.config.film is not None:
        specs.append(trained.config.film)
    return specs


def _epoch_metrics(trained: Trained) -> set[str]:
    """The names of the metrics that the epochs have, which no recorder may take."""
    names: set[str] = set()
    for record in trained.records:
        names.update(record.metrics, record.optim)
        names.update(f"time/epoch_{key}" for key in record.seconds)
    return names


def _checked(name: str, returned: Any, metrics: set[str], paths: list[str]) -> Report:
    """What the recorder `name` returned, in plain types.

    Parameters
    ----------
    metrics, paths
        The names that are taken: if a recorder took one again, one of the two would be lost.
    """
    parts = returned if isinstance(returned, tuple) else ()
    if len(parts) != 2 or not all(isinstance(part, dict) for part in parts):
        raise _refusal(name, f"{returned!r:.200}")
    made = Report(*parts)
    checked = Report({}, {})
    for key, value in made.metrics.items():
        _check_metric(name, key, value, metrics)
        checked.metrics[str(key)] = float(value)
    for path, data in made.artifacts.items():
        if not isinstance(path, str) or not isinstance(data, bytes):
            raise _refusal(name, f"the artifact {path!r} is a {type(data).__name__}")
        _check_path(name, path, [*paths, *checked.artifacts])
        checked.artifacts[str(path)] = bytes(data)
    return checked


def _check_metric(name: str, key: Any, value: Any, taken: set[str]) -> None:
    # A 0-d array of a GPU is a number as well.
    is_number = np.ndim(value) == 0 and np.asarray(value).dtype.kind in "biuf"
    if not isinstance(key, str) or not is_number:
        raise _refusal(name, f"the metric {key!r} is a {type(value).__name__}")
    if not key.strip() or printable(key) != key:
        raise _refusal(name, f"a metric is called {key!r}")
    if key in taken:
        raise _refusal(name, f"there is a metric {key!r} already")


def _check_path(name: str, path: str, taken: list[str]) -> None:
    """PluginError where a file cannot be put there, or would take the place of another."""
    if printable(path) != path:
        raise _refusal(name, f"the path {path!r}, which no file can have")
    try:
        parts = safe_path(path).parts
    except UsageError as error:
        raise PluginError(f"the recorder {name!r}: {error}") from None
    longest = max(len(part.encode()) for part in parts)
    if longest > _LONGEST_NAME or len(path.encode()) > _LONGEST_PATH:
        raise _refusal(name, f"the path {path!r:.60}, which is too long for a file")
    for other in taken:
        other_parts = PurePosixPath(other).parts
        common = min(len(parts), len(other_parts))
        # Equal paths, or one is a folder in the path of the other.
        if parts[:common] == other_parts[:common]:
            raise _refusal(name, f"the path {path!r} where there is {other!r} already")


def _refusal(name: str, problem: str) -> PluginError:
    return PluginError(
        f"the recorder {name!r} must return Report(metrics: numbers by name, artifacts: bytes by "
        f"path), all under "
        f"names of its own, got {problem}; text.encode() makes bytes, float(x) a number"
    )
