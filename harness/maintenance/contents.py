"""What MLflow has of a record, compared with the record, and made equal again from it.

The record has a checksum and is the truth. Where the store is a sqlite file every point is compared
and a difference is mended in place, so that nothing that somebody has added to the run is lost. Of
another store the last value of each metric is compared, and a difference is said: params and points
cannot be changed there.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from harness.storage import mlflow_db
from harness.storage.files import on_disk
from harness.storage.formats import sha256
from harness.storage.mlflow_db import StoredPoint
from harness.storage.records import Run, TrialRun
from harness.tracking.entities import Logged, as_logged
from harness.tracking.reader import KnownRun

_OURS = ("harness.", "mlflow.parentRunId")  # beginnings of tags that nobody else sets
_NAMED = 3  # differences that are named in a sentence


class Difference(NamedTuple):
    """One thing in which a run in MLflow is not what its record says.

    Attributes
    ----------
    what
        "status", "start", "end", "tag", "param" or "metric".
    key
        Of the tag, param or metric; "" for the others.
    text
        Both values, in words.
    """

    what: str
    key: str
    text: str

    def __str__(self) -> str:
        name = f"{self.what} {self.key}".strip()
        return f"{name} {self.text}"


def differences(record: Run, run: KnownRun, file: Path | None) -> list[Difference]:
    """In what a run in MLflow is not what its record says.

    Parameters
    ----------
    record
        A record that has been logged.
    run
        What MLflow has of it.
    file
        The sqlite file of the store; None for another store.

    Returns
    -------
    list of Difference
        Empty where all is as it should be. What the run has beside its record is no difference.
    """
    logged = as_logged(record, run.tags.get("mlflow.parentRunId"))
    # Written once, while a parent goes on and keeps what it was first
    alone = isinstance(record, TrialRun)
    found = [*_of_run(record, run), *_of_tags(logged, run, alone)]
    if alone:
        for key, value in logged.params.items():
            if run.params.get(key) != value:
                found.append(Difference("param", key, _was(run.params.get(key), value)))
    if file is not None:
        found += _of_points(logged, mlflow_db.points(file, run.run_id), alone)
    return [
        *found,
        *_of_last_values(logged, run, {each.key for each in found if each.what == "metric"}),
    ]


def _was(found: Any, wanted: Any) -> str:
    return f"is {found!r:.60} in MLflow and {wanted!r:.60} in the record"


def _of_run(record: Run, run: KnownRun) -> Iterator[Difference]:
    ways = [("status", run.status, record.status), ("start", run.start_ms, record.start_ms)]
    if record.end_ms is not None:
        ways.append(("end", run.end_ms, record.end_ms))
    for what, found, wanted in ways:
        if found != wanted:
            yield Difference(what, "", _was(found, wanted))


def _of_tags(logged: Logged, run: KnownRun, alone: bool) -> Iterator[Difference]:
    for key, value in logged.tags.items():
        grows = key == "harness.nonfinite" and not alone
        if key.startswith(_OURS) and not grows and run.tags.get(key) != value:
            yield Difference("tag", key, _was(run.tags.get(key), value))


def _of_points(logged: Logged, stored: set[StoredPoint], alone: bool) -> Iterator[Difference]:
    """Points that are missing or not as they were; of a trial also points that its metrics have too
    many.
    """
    wanted = {StoredPoint(*point) for point in logged.points}
    steps = {(point.key, point.step) for point in wanted}
    keys = {point.key for point in wanted}
    extra = {p for p in stored - wanted if (p.key in keys if alone else (p.key, p.step) in steps)}
    for key in sorted({point.key for point in (wanted - stored) | extra}):
        missing = [p for p in wanted - stored if p.key == key]
        wrong = [p for p in extra if p.key == key]
        steps_of_key = sorted({p.step for p in [*missing, *wrong]})
        at = f"at step {steps_of_key[0]}"
        found = next((p.value for p in wrong if p.step == steps_of_key[0]), None)
        value = next((p.value for p in wanted if p.key == key and p.step == steps_of_key[0]), None)
        yield Difference("metric", key, f"{at} {_was(found, value)}")


def _of_last_values(logged: Logged, run: KnownRun, known: set[str]) -> Iterator[Difference]:
    last: dict[str, tuple] = {}
    for key, value, timestamp, step in logged.points:
        last[key] = max(last.get(key, (step, timestamp, value)), (step, timestamp, value))
    for key, (_, _, value) in last.items():
        if key not in known and not _same(run.metrics.get(key), value):
            yield Difference("metric", key, f"at its end {_was(run.metrics.get(key), value)}")


def _same(found: float | None, wanted: float) -> bool:
    """Whether two values are equal; two that are not numbers are."""
    return found == wanted or (found is not None and math.isnan(found) and math.isnan(wanted))


def sentence(found: list[Difference]) -> str:
    """Differences in words: the first few."""
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return "; ".join(map(str, found[:_NAMED])) + more


def prepare(record: Run, run: KnownRun, found: list[Difference], file: Path) -> None:
    """Takes from a run in a sqlite file what differs, so that logging the record again makes it
    whole.
    """
    logged = as_logged(record, run.tags.get("mlflow.parentRunId"))
    metrics = {each.key for each in found if each.what == "metric"}
    points: set[tuple[str, int | None]]
    if isinstance(record, TrialRun):
        points = {(key, None) for key in metrics}
    else:
        points = {(point[0], point[3]) for point in logged.points if point[0] in metrics}
    mlflow_db.restore(
        file,
        run.run_id,
        start_ms=record.start_ms,
        tags={key: value for key, value in logged.tags.items() if key.startswith(_OURS)},
        params=[each.key for each in found if each.what == "param"],
        metrics=points,
    )


# Artifacts ----------------------------------------------------------------------------------------


def artifacts_not_as_written(record: Run, folder: Path) -> list[str]:
    """The artifacts of a record that are damaged or missing in the folder of its run, in words.

    A film that is missing has been deleted to free space.
    """
    said = []
    for name, checksum in record.checksums.items():
        path = folder / name
        with on_disk(path):
            if not path.is_file():
                if not name.startswith(("film.", "films.")):
                    said.append(f"{name} is missing")
            elif sha256(path.read_bytes()) != checksum:
                said.append(f"{name} is damaged")
    return said
