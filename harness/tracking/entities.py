"""Records as what MLflow takes: tags, params and points, within its limits."""

import getpass
import hashlib
import json
import math
import posixpath
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.errors import UsageError
from harness.storage.formats import FORMATS, sha256, upgraded
from harness.storage.records import Run, TrialRun

if TYPE_CHECKING:
    pass


_LONGEST_PARAM, LONGEST_TAG = 5900, 7900  # characters; MLflow cuts at 6000 and 8000


# Tags that hold the name of a param whose key is another, by the end of that key
NAME_OF = "harness.param."


class Logged(NamedTuple):
    """What MLflow gets of a record beside its artifacts; a point is (key, value, time in ms,
    step).
    """

    tags: dict[str, str]
    params: dict[str, str]
    points: list[tuple]


def as_logged(run: Run, parent_run_id: str | None = None) -> Logged:
    """What MLflow gets of a record: keys that it takes, nothing too long, NaN for what is not
    finite.
    """
    points, nonfinite = mlflow_points(run.metrics)
    tags = mlflow_tags(run, parent_run_id, nonfinite)
    if isinstance(run, TrialRun):
        tags["harness.record"] = _digest(run)
    return Logged(tags, mlflow_params(run.params), points)


def condition_of_id(id: str) -> str:
    """The filter for runs of an id, and maybe of others alike: MLflow's filters have no way to
    write a quote.
    """
    pattern = re.sub(r"""['"\\%\x00-\x1f]""", "_", id)  # _ matches any character
    return f"tags.\"harness.id\" LIKE '{pattern}'"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"


def mlflow_tags(run: Run, parent_run_id: str | None = None, nonfinite: str = "") -> dict[str, str]:
    tags = {
        **run.tags,
        "harness.id": run.id,
        "harness.kind": run.kind,
        "mlflow.user": _user(),
        "mlflow.source.name": Path(sys.argv[0]).name or "python",
        "mlflow.source.type": "LOCAL",
    }
    if isinstance(run, TrialRun) and run.number is not None:
        tags["harness.number"] = str(run.number)
    tags |= _file_tags(
        run.checksums or {path: sha256(data) for path, data in run.artifacts.items()}
    )
    if parent_run_id:
        tags["mlflow.parentRunId"] = parent_run_id
    if nonfinite:
        tags["harness.nonfinite"] = nonfinite
    tags |= _renamed(run.params)
    if run.description:
        tags["mlflow.note.content"] = run.description
    return {key_for(key): cut(str(value), LONGEST_TAG) for key, value in tags.items()}


_READ_BACK = ("config.json", "environment.json")  # with the sources in plugins/


_IN_A_TAG = 60  # files whose checksums go into one tag


def read_back(path: str) -> bool:
    return path in _READ_BACK or path.startswith("plugins/")


def _file_tags(checksums: Mapping[str, str]) -> dict[str, str]:
    """Tags with the version of the artifacts that are read back, and the SHA-256 of each."""
    known = sorted((path, checksum) for path, checksum in checksums.items() if read_back(path))
    tags = {}
    for number, at in enumerate(range(0, len(known), _IN_A_TAG)):
        part = {"version": FORMATS["artifacts"].version, "sha256": dict(known[at : at + _IN_A_TAG])}
        tags["harness.files" + (f".{number}" if number else "")] = json.dumps(part)
    return tags


def file_checksums(run: Any) -> dict[str, str]:
    """The SHA-256 of the artifacts of a run in MLflow that are read back, by path."""
    known: dict[str, str] = {}
    name = run.info.run_name
    for key, text in run.data.tags.items():
        if not re.fullmatch(r"harness\.files(\.\d+)?", key):
            continue
        try:
            part = json.loads(text)
            version, checksums = int(part["version"]), dict(part["sha256"])
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"the tag {key} of {name!r} must have the checksums of its artifacts, but is "
                f"damaged ({error}); "
                "`harness doctor` mends it"
            ) from error
        known |= upgraded("artifacts", version, checksums, f"what {name!r} has left")
    return known


def _digest(run: Run) -> str:
    """What tells a record from another one with the same id: 16 digits of the SHA-256 of what is
    logged of it.
    """
    logged = [run.params, run.metrics, run.tags, run.status, run.start_ms, run.end_ms]
    return hashlib.sha256(json.dumps(logged, sort_keys=True, default=float).encode()).hexdigest()[
        :16
    ]


def mlflow_params(params: Mapping[str, Any]) -> dict[str, str]:
    return {key_for(key): cut(str(value), _LONGEST_PARAM) for key, value in params.items()}


def mlflow_points(metrics: Iterable[tuple[str, float, int, int]]) -> tuple[list[tuple], str]:
    """The points in the order of MLflow's Metric, and one sentence about those that are not
    finite.
    """
    points: list[tuple] = []
    first: dict[str, str] = {}
    for key, value, step, timestamp in metrics:
        finite = math.isfinite(value)
        points.append(
            (key_for(key), float(value) if finite else math.nan, int(timestamp), int(step))
        )
        if not finite:
            first.setdefault(key, f"{key} {value} at step {step}")
    return points, ", ".join(first.values())


def key_for(name: str) -> str:
    """A key that MLflow takes: letters, digits and _-. :/ with no empty or dotted part, at most 250
    characters.

    Different names have different keys: one that has to be changed gets eight digits of its SHA-256
    behind it.
    """
    name = str(name)
    key = posixpath.normpath(re.sub(r"[^\w\-. :/]", "_", name)).lstrip("./")[:250]
    if key == name and key:
        return key
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{key[:240]} {digest}".strip()


def _renamed(names: Iterable[str]) -> dict[str, str]:
    """Tags that say what the params are called whose keys are not their names: `results` gives them
    back.
    """
    keys = {name: key_for(name) for name in map(str, names)}
    return {f"{NAME_OF}{key[-8:]}": name for name, key in keys.items() if key != name}


def cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}... (cut: {len(text)} characters)"
