"""MLflow's sqlite file, for what its own interface cannot say: where artifacts lie, all points of a
run, and repairs.

Only this module knows the tables; `tracking.check_store` has said before that they are those of
this MLflow.
"""

import contextlib
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from harness.errors import UsageError

_LOOKED_AT = 50  # run folders that are looked for to see whether artifacts have come along


class StoredPoint(NamedTuple):
    """One point of a metric, as MLflow's Metric has it. NaN is always math.nan, which is found
    again in a set.
    """

    key: str
    value: float
    timestamp: int
    step: int


@contextlib.contextmanager
def _open(file: Path) -> Iterator[sqlite3.Connection]:
    """A connection in one transaction, which is undone where the block raises; UsageError where
    sqlite does.
    """
    try:
        with contextlib.closing(sqlite3.connect(file, timeout=20)) as connection, connection:
            yield connection
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise UsageError(
            f"{file} must be a sqlite file that can be read and written, but: {error}; `harness "
            f"doctor` says what is "
            "wrong with it"
        ) from error


def moved_from(file: Path, artifacts: Path) -> str:
    """The folder where a store still says that its artifacts are, although they are in `artifacts`;
    "" if that is so.

    The store keeps absolute paths, which a moved or copied project takes along. A store whose
    artifacts somebody has put elsewhere on purpose is left alone: they are there, and not beside
    it.
    """
    with _open(file) as connection:
        row = connection.execute(
            "SELECT artifact_location FROM experiments WHERE experiment_id = 0"
        ).fetchone()
        before = row[0].removesuffix("/0") if row and row[0] else ""
        if (
            not before.startswith("/")
            or Path(before).name != artifacts.name
            or Path(before) == artifacts
        ):
            return ""
        below = f"{_escaped(before)}/%"
        query = (
            f"SELECT run_uuid FROM runs WHERE artifact_uri LIKE ? ESCAPE '\\' LIMIT {_LOOKED_AT}"
        )
        run_ids = [run_id for (run_id,) in connection.execute(query, (below,))]
    came_along = any((artifacts / run_id).is_dir() for run_id in run_ids)
    return before if came_along or not Path(before).is_dir() else ""


def move(file: Path, before: str, artifacts: Path) -> None:
    """Lets a store say that its artifacts, which it looks for below `before`, are in a folder."""
    places = [
        ("experiments", "artifact_location"),
        ("runs", "artifact_uri"),
        ("logged_models", "artifact_location"),
    ]
    with _open(file) as connection:
        for table, column in places:
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                f"WHERE {column} = ? OR {column} LIKE ? ESCAPE '\\'",
                (str(artifacts), len(before) + 1, before, f"{_escaped(before)}/%"),
            )


def _escaped(text: str) -> str:
    """Text for a LIKE pattern, as it is."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def points(file: Path, run_id: str) -> set[StoredPoint]:
    """All points of a run's metrics."""
    with _open(file) as connection:
        rows = connection.execute(
            "SELECT key, value, timestamp, step, is_nan FROM metrics WHERE run_uuid = ?", (run_id,)
        )
        return {
            StoredPoint(key, math.nan if is_nan else value, timestamp, step)
            for key, value, timestamp, step, is_nan in rows
        }


def restore(
    file: Path,
    run_id: str,
    *,
    start_ms: int,
    tags: Mapping[str, str],
    params: Iterable[str],
    metrics: Iterable[tuple[str, int | None]],
) -> None:
    """Makes a run ready to be logged again from its record: what it has in place of the record's
    content goes.

    Parameters
    ----------
    file, run_id
        The sqlite file, and the run in it.
    start_ms
        When the run has started, in ms since 1970.
    tags
        Tags that it must have, by which it is found.
    params
        The keys of the params that go.
    metrics
        Which points go: a key, and a step or None for all of its points.
    """
    with _open(file) as connection:
        connection.execute("UPDATE runs SET start_time = ? WHERE run_uuid = ?", (start_ms, run_id))
        for key, value in tags.items():
            connection.execute(
                "REPLACE INTO tags (key, value, run_uuid) VALUES (?, ?, ?)", (key, value, run_id)
            )
        for key in params:
            connection.execute("DELETE FROM params WHERE run_uuid = ? AND key = ?", (run_id, key))
        for key, step in metrics:
            where = "run_uuid = ? AND key = ?" + ("" if step is None else " AND step = ?")
            given = (run_id, key) if step is None else (run_id, key, step)
            connection.execute(f"DELETE FROM metrics WHERE {where}", given)
            _set_last(connection, run_id, key)


def drop_others(file: Path, run_id: str, wanted: Iterable[StoredPoint]) -> None:
    """Drops the points of a run that stand where one of these is to stand: at the same step of the
    same metric.

    MLflow would keep both, as it does where a sweep has trained a trial again and so has another
    course.
    """
    kept = set(wanted)
    places = {(point.key, point.step) for point in kept}
    others = [point for point in points(file, run_id) - kept if (point.key, point.step) in places]
    if not others:
        return
    with _open(file) as connection:
        for point in others:
            is_nan = math.isnan(point.value)  # MLflow writes a 0 for it
            connection.execute(
                "DELETE FROM metrics WHERE run_uuid = ? AND key = ? AND value = ? AND is_nan = ? "
                "AND timestamp = ? AND step = ?",
                (
                    run_id,
                    point.key,
                    0.0 if is_nan else point.value,
                    is_nan,
                    point.timestamp,
                    point.step,
                ),
            )
            _set_last(connection, run_id, point.key)


def _set_last(connection: sqlite3.Connection, run_id: str, key: str) -> None:
    """Makes the last value of a metric that of the last point that is left."""
    connection.execute("DELETE FROM latest_metrics WHERE run_uuid = ? AND key = ?", (run_id, key))
    connection.execute(
        "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) "
        "SELECT key, value, timestamp, step, is_nan, run_uuid FROM metrics WHERE run_uuid = ? AND "
        "key = ? "
        "ORDER BY step DESC, timestamp DESC, value DESC LIMIT 1",
        (run_id, key),
    )
