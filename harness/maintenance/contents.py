"""What MLflow has of a record, compared with the record, and made equal again from it.

The record has a checksum and is the truth. Where the store is a sqlite file every point is compared
and a difference is mended in place, so that nothing that somebody has added to the run is lost. Of
another store the last value of each metric is compared, and a difference is said: params and points
cannot be changed there.
"""

import math
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from harness.storage import mlflow_db
from harness.storage.mlflow_db import StoredPoint
from harness.storage.records import Run, TrialRun
from harness.tracking.entities import Logged, as_logged
from harness.tracking.reader import KnownRun

_OURS = ("harness.", "mlflow.parentRunId")  # beginnings of tags that nobody else sets
_NONFINITE = "harness.nonfinite"  # grows with the points of a parent
_NAMED = 3  # differences that are named in a sentence


class Part(StrEnum):
    """A part of a run, in words."""

    STATUS = "status"
    START = "start"
    END = "end"
    TAG = "tag"
    PARAM = "param"
    METRIC = "metric"


class Difference(NamedTuple):
    """One thing in which a run in MLflow is not what its record says.

    Attributes
    ----------
    part : Part
        The part of the run.
    key : str
        Of the tag, param or metric; empty for the others.
    text : str
        Both values, in words.
    """

    part: Part
    key: str
    text: str

    def __str__(self) -> str:
        name = f"{self.part} {self.key}".strip()
        return f"{name} {self.text}"


def sentence(differences: list[Difference]) -> str:
    """Differences in words: the first few."""
    text = "; ".join(map(str, differences[:_NAMED]))
    if len(differences) > _NAMED:
        text += f" and {len(differences) - _NAMED} more"
    return text


# Comparing ----------------------------------------------------------------------------------------


def compare(record: Run, run: KnownRun, file: Path | None) -> list[Difference]:
    """In what a run in MLflow is not what its record says.

    Parameters
    ----------
    record : Run
        A record that has been logged.
    run : KnownRun
        What MLflow has of it.
    file : Path or None
        The sqlite file of the store; None for another store.

    Returns
    -------
    list of Difference
        Empty where all is as it should be. What the run has beside its record is no difference.
    """
    logged = as_logged(record, run.tags.get("mlflow.parentRunId"))
    points = _points_of(logged)
    # A trial is written once, while a parent goes on and keeps what it was first.
    is_trial = isinstance(record, TrialRun)
    differences = [*_of_run(record, run), *_of_tags(logged, run, is_trial)]
    if is_trial:
        differences += _of_params(logged, run)
    if file is not None:
        differences += _of_points(points, mlflow_db.points(file, run.run_id), is_trial)
    named = _keys(differences, Part.METRIC)
    return [*differences, *_of_last_values(points, run, named)]


def _keys(differences: list[Difference], part: Part) -> set[str]:
    return {difference.key for difference in differences if difference.part is part}


def _points_of(logged: Logged) -> list[StoredPoint]:
    return [StoredPoint(*point) for point in logged.points]


def _in_words(stored: Any, wanted: Any) -> str:
    return f"is {stored!r:.60} in MLflow and {wanted!r:.60} in the record"


def _of_run(record: Run, run: KnownRun) -> Iterator[Difference]:
    if run.status != record.status:
        yield Difference(Part.STATUS, "", _in_words(run.status, record.status))
    if run.start_ms != record.start_ms:
        yield Difference(Part.START, "", _in_words(run.start_ms, record.start_ms))
    if record.end_ms is not None and run.end_ms != record.end_ms:
        yield Difference(Part.END, "", _in_words(run.end_ms, record.end_ms))


def _of_tags(logged: Logged, run: KnownRun, is_trial: bool) -> Iterator[Difference]:
    # Other tags are those of people, who may change them.
    for key, value in logged.tags.items():
        grows = key == _NONFINITE and not is_trial
        if key.startswith(_OURS) and not grows and run.tags.get(key) != value:
            yield Difference(Part.TAG, key, _in_words(run.tags.get(key), value))


def _of_params(logged: Logged, run: KnownRun) -> Iterator[Difference]:
    for key, value in logged.params.items():
        if run.params.get(key) != value:
            yield Difference(Part.PARAM, key, _in_words(run.params.get(key), value))


def _of_points(
    points: list[StoredPoint], stored: set[StoredPoint], is_trial: bool
) -> Iterator[Difference]:
    """Metrics with points that are missing, or not as they were, or too many."""
    wanted = set(points)
    keys = {point.key for point in wanted}
    steps = {(point.key, point.step) for point in wanted}
    missing = wanted - stored
    # A trial has the points of its record only. A parent had others before, at other steps.
    wrong = {
        point
        for point in stored - wanted
        if (point.key, point.step) in steps or (is_trial and point.key in keys)
    }
    # One step is enough to name: the first one of each metric.
    first: dict[str, int] = {}
    for point in missing | wrong:
        first[point.key] = min(point.step, first.get(point.key, point.step))
    for key, step in sorted(first.items()):
        values = _in_words(_value_at(wrong, key, step), _value_at(wanted, key, step))
        yield Difference(Part.METRIC, key, f"at step {step} {values}")


def _value_at(points: set[StoredPoint], key: str, step: int) -> float | None:
    return next((p.value for p in points if p.key == key and p.step == step), None)


def _of_last_values(
    points: list[StoredPoint], run: KnownRun, named: set[str]
) -> Iterator[Difference]:
    """Metrics whose last value is another one, but for those that are named already."""
    by_key: dict[str, list[StoredPoint]] = {}
    for point in points:
        by_key.setdefault(point.key, []).append(point)
    for key, points_of_key in by_key.items():
        last = max(points_of_key, key=_in_time).value
        if key not in named and not _is_same(run.metrics.get(key), last):
            values = _in_words(run.metrics.get(key), last)
            yield Difference(Part.METRIC, key, f"at its end {values}")


def _in_time(point: StoredPoint) -> tuple[int, int, float]:
    """What MLflow sorts the points of a metric by."""
    return point.step, point.timestamp, point.value


def _is_same(stored: float | None, wanted: float) -> bool:
    """Whether two values are equal; two that are not numbers are."""
    if stored is None:
        return False
    return stored == wanted or (math.isnan(stored) and math.isnan(wanted))


# Mending ------------------------------------------------------------------------------------------


def prepare(record: Run, run: KnownRun, differences: list[Difference], file: Path) -> None:
    """Takes from a run what differs, so that logging the record again makes it whole.

    Parameters
    ----------
    record : Run
        What the run should be.
    run : KnownRun
        What MLflow has of it.
    differences : list of Difference
        What `compare` has found.
    file : Path
        The sqlite file of the store.
    """
    logged = as_logged(record, run.tags.get("mlflow.parentRunId"))
    metrics = _keys(differences, Part.METRIC)
    places: set[tuple[str, int | None]]
    if isinstance(record, TrialRun):
        # All points of a trial are in its record, so that what is left of a metric can go.
        places = {(key, None) for key in metrics}
    else:
        places = {(p.key, p.step) for p in _points_of(logged) if p.key in metrics}
    mlflow_db.restore(
        file,
        run.run_id,
        start_ms=record.start_ms,
        tags={key: value for key, value in logged.tags.items() if key.startswith(_OURS)},
        params=_keys(differences, Part.PARAM),
        metrics=places,
    )
