"""Records as what MLflow takes: tags, params and points, within its limits."""

import functools
import getpass
import hashlib
import json
import math
import posixpath
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.storage.formats import sha256
from harness.storage.mlflow_db import StoredPoint
from harness.storage.records import DataInput, Run, TrialRun
from harness.tracking.checksums import checksum_tags

# In characters. MLflow itself cuts at 6000 and 8000, and says nothing.
_LONGEST_PARAM = 5900
_LONGEST_TAG = 7900

# If MLflow cannot take the name of a param as its key, a tag keeps the name. The tag begins so, and
# ends with the last characters of the key.
NAME_TAG = "harness.param."
KEY_END = 8

_DATASET_CONTEXT = "mlflow.data.context"  # MLflow's tag of an input that says what it was for


@dataclass(frozen=True)
class Logged:
    """What MLflow gets of a record beside its artifacts.

    Attributes
    ----------
    tags, params : dict
        Text by key.
    points : list of StoredPoint
        The points of all metrics.
    """

    tags: dict[str, str]
    params: dict[str, str]
    points: list[StoredPoint]


def as_logged(run: Run, parent_run_id: str | None = None) -> Logged:
    """Return what MLflow gets of a record: allowed keys, nothing too long, NaN for infinity."""
    tags = {**mlflow_tags(run, parent_run_id), **nonfinite_tags(run.metrics)}
    if isinstance(run, TrialRun):
        tags["harness.record"] = _digest(run)
    return Logged(tags, mlflow_params(run.params), mlflow_points(run.metrics))


# --- Tags -----------------------------------------------------------------------------------------
def mlflow_tags(run: Run, parent_run_id: str | None = None) -> dict[str, str]:
    """Return the tags of a record, with what the harness needs to find and to read it again.

    Those that depend on its points are not among them: a parent has few points until it ends.
    """
    tags = {
        "mlflow.source.name": Path(sys.argv[0]).name or "python",
        **run.tags,
        "harness.id": run.id,
        "harness.kind": run.kind,
        "mlflow.user": _user(),
        "mlflow.source.type": "LOCAL",
    }
    if isinstance(run, TrialRun) and run.number is not None:
        tags["harness.number"] = str(run.number)
    # A record from a spool has checksums; one that was just made has the artifacts themselves.
    checksums = run.checksums or {path: sha256(data) for path, data in run.artifacts.items()}
    tags |= checksum_tags(checksums)
    if parent_run_id:
        tags["mlflow.parentRunId"] = parent_run_id
    tags |= _name_tags(run.params)
    tags |= description_tags(run.description)
    return {key_for(key): cut(str(value), _LONGEST_TAG) for key, value in tags.items()}


def description_tags(description: str) -> dict[str, str]:
    """Make the tag that MLflow shows as the description of a run, if there is a description."""
    if not description:
        return {}
    return {"mlflow.note.content": cut(description, _LONGEST_TAG)}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # The user of a container may have no name.
        return "unknown"


def _name_tags(names: Iterable[str]) -> dict[str, str]:
    """Make tags that keep the names of params whose keys are others, for `results`."""
    tags = {}
    for name in map(str, names):
        key = key_for(name)
        if key != name:
            tags[f"{NAME_TAG}{key[-KEY_END:]}"] = name
    return tags


def _digest(run: Run) -> str:
    """Return 16 digits that tell a record from another one with the same id."""
    logged = [run.params, run.metrics, run.tags, run.status, run.start_ms, run.end_ms]
    text = json.dumps(logged, sort_keys=True, default=float)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def condition_of_id(id: str) -> str:
    """Write the filter for the runs of an id.

    It may also let through other ids that look alike, because MLflow's filters have no way to write
    a quote.
    """
    pattern = re.sub(r"""['"\\%\x00-\x1f]""", "_", id)  # _ matches any character
    return f"tags.\"harness.id\" LIKE '{pattern}'"


def condition_of_parent(parent_run_id: str) -> str:
    """Write the filter for the runs below a parent."""
    return f"tags.\"mlflow.parentRunId\" = '{parent_run_id}'"


# --- Params and points ----------------------------------------------------------------------------
def mlflow_params(params: Mapping[str, Any]) -> dict[str, str]:
    """Return params with keys that MLflow takes, as texts that are not too long."""
    return {key_for(key): cut(str(value), _LONGEST_PARAM) for key, value in params.items()}


def mlflow_points(metrics: Iterable[tuple[str, float, int, int]]) -> list[StoredPoint]:
    """Return points with keys that MLflow takes, and NaN for what is not finite.

    MLflow would store infinity as 1.8e308.

    Parameters
    ----------
    metrics
        Points as records have them: key, value, step and time in ms since 1970.
    """
    points = []
    for key, value, step, timestamp in metrics:
        # StoredPoint has one NaN only, which is equal to itself in a set.
        stored = float(value) if math.isfinite(value) else math.nan
        points.append(StoredPoint(key_for(key), stored, int(timestamp), int(step)))
    return points


def nonfinite_tags(metrics: Iterable[tuple[str, float, int, int]]) -> dict[str, str]:
    """Make the tag that says of each metric what its first value was that is not finite, if any."""
    first: dict[str, str] = {}
    for key, value, step, _ in metrics:
        if not math.isfinite(value):
            first.setdefault(key, f"{key} {value} at step {step}")
    if not first:
        return {}
    return {"harness.nonfinite": cut(", ".join(first.values()), _LONGEST_TAG)}


# --- Inputs ---------------------------------------------------------------------------------------
def mlflow_inputs(inputs: Iterable[DataInput], entities: Any) -> list[Any]:
    """Return data as the inputs of a run in MLflow, in their context.

    Parameters
    ----------
    inputs
        The data.
    entities
        The module with the entities that the client takes.
    """
    return [
        entities.DatasetInput(
            entities.Dataset(
                name=given.name,
                digest=given.digest,
                # MLflow knows no other type of source whose content is free.
                source_type="code",
                source=given.source,
                schema=given.schema or None,
                profile=given.profile,
            ),
            [entities.InputTag(_DATASET_CONTEXT, given.context)],
        )
        for given in inputs
    ]


# --- Limits ---------------------------------------------------------------------------------------
def key_for(name: str) -> str:
    """Return a key that MLflow takes for a param, a metric or a tag.

    A key has letters, digits and _-. :/ with no empty or dotted part, and at most 250 characters.
    Different names have different keys: one that has to be changed gets eight digits of its SHA-256
    behind it.
    """
    return _key_for(str(name))


@functools.lru_cache(maxsize=10_000)
def _key_for(name: str) -> str:
    # A sweep has the same few names in each of its records.
    key = posixpath.normpath(re.sub(r"[^\w\-. :/]", "_", name)).lstrip("./")[:250]
    if key == name and key:
        return key
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:KEY_END]
    return f"{key[:240]} {digest}".strip()


def cut(text: str, limit: int) -> str:
    """Return a text, cut where it is longer than `limit` characters, which it then says."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}... (cut: {len(text)} characters)"
