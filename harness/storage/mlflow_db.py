"""MLflow's sqlite file, for what MLflow's own interface cannot say.

That is where artifacts lie, all points of a run, and repairs. Runs are read here too where the
schema is known, since that takes a small part of the time that MLflow's own search takes with its
import. Only this module and `mlflow_rows` know the tables; `tracking.check_store` has said before
that they are those of this MLflow.
"""

import contextlib
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import UsageError
from harness.storage.findings import Finding, removal

_PATIENCE_S = 20.0  # how long sqlite waits for another process
_LOOKED_AT = 50  # run folders that are looked for to see whether artifacts have come along

# A store is made under another name, with this lock held, and then renamed.
_LOCK = ".mlflow.lock"
_HALF_MADE = ".mlflow.db.new*"

# The schemas whose runs are read here; MLflow reads those of others.
SCHEMAS = frozenset({"dc11669786a5"})  # of MLflow 3.17

# The tables that say where artifacts are, and the columns that do.
_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


class StoredPoint(NamedTuple):
    """One point of a metric, in the order of MLflow's own Metric.

    Attributes
    ----------
    key : str
        The name of the metric.
    value : float
        NaN is always `math.nan`, which is found again in a set.
    timestamp : int
        In ms since 1970.
    step : int
        The epoch, or whatever else the metric is drawn over.
    """

    key: str
    value: float
    timestamp: int
    step: int


@contextlib.contextmanager
def _open(file: Path, mode: str = "rw") -> Iterator[sqlite3.Connection]:
    """A connection in one transaction, which is undone where the block raises."""
    address = f"{file.absolute().as_uri()}?mode={mode}"
    try:
        connecting = contextlib.closing(sqlite3.connect(address, uri=True, timeout=_PATIENCE_S))
        with connecting as connection, connection:
            yield connection
    except (sqlite3.Error, UnicodeDecodeError) as error:
        use = "read" if mode == "ro" else "read and written"
        raise UsageError(
            f"{file} must be a sqlite file that can be {use}, but: {error}; "
            "`harness doctor` says what is wrong with it"
        ) from error


# Runs ---------------------------------------------------------------------------------------------

# The runs with a tag, none of them deleted, nor their experiment.
_ACTIVE = """
    FROM runs JOIN experiments USING (experiment_id)
    WHERE runs.lifecycle_stage = 'active' AND experiments.lifecycle_stage = 'active'
    AND run_uuid IN (SELECT run_uuid FROM tags WHERE {condition})
"""


@dataclass(frozen=True)
class StoredRun:
    """A run that nobody has deleted.

    Attributes
    ----------
    run_id : str
        Its id.
    name : str
        What people call it.
    status : str
        MLflow's word for how it stands.
    experiment_id : str
        Where it is.
    start_ms : int
        When it was started, in ms since 1970.
    end_ms : int or None
        When it has ended, in ms since 1970.
    tags, params : dict
        Text by key.
    metrics : dict
        The last value of each metric.
    """

    run_id: str
    name: str
    status: str
    experiment_id: str
    start_ms: int
    end_ms: int | None
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)


def is_known(file: Path) -> bool:
    """Whether runs can be read from a file here; UsageError where sqlite cannot read the file."""
    return schema_of(file) in SCHEMAS


def schema_of(file: Path) -> str:
    """The schema of a file, "" for none; UsageError where sqlite cannot read the file."""
    with _open(file, "ro") as connection:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else ""


def parents(file: Path) -> list[StoredRun]:
    """Every sweep, comparison and single run, the newest first.

    Parameters
    ----------
    file : Path
        The sqlite file, of a schema that is known.

    Raises
    ------
    UsageError
        If sqlite cannot read the file.
    """
    return _runs_with(file, "key = 'harness.kind' AND value != ?", "trial")


def children(file: Path, parent_run_id: str) -> list[StoredRun]:
    """The runs below a parent, the newest first.

    Parameters
    ----------
    file : Path
        The sqlite file, of a schema that is known.
    parent_run_id : str
        The run of a sweep or a comparison.

    Raises
    ------
    UsageError
        If sqlite cannot read the file.
    """
    return _runs_with(file, "key = 'mlflow.parentRunId' AND value = ?", parent_run_id)


def _runs_with(file: Path, condition: str, value: str) -> list[StoredRun]:
    """The runs that have a tag."""
    active = _ACTIVE.format(condition=condition)
    columns = "run_uuid, runs.name, status, runs.experiment_id, start_time, end_time"
    with _open(file, "ro") as connection:

        def select(what: str) -> Iterator[tuple[Any, ...]]:
            return connection.execute(f"SELECT {what}", (value,))

        # All is read as it stands at one moment.
        connection.execute("BEGIN")
        runs = {
            run_id: StoredRun(run_id, name or "", status, str(experiment), start, end)
            for run_id, name, status, experiment, start, end in select(
                f"{columns} {active} ORDER BY start_time DESC, run_uuid"
            )
        }
        of_these = f"WHERE run_uuid IN (SELECT run_uuid {active})"
        for run_id, key, text in select(f"run_uuid, key, value FROM tags {of_these}"):
            runs[run_id].tags[key] = text
        for run_id, key, text in select(f"run_uuid, key, value FROM params {of_these}"):
            runs[run_id].params[key] = text
        last = select(f"run_uuid, key, value, is_nan FROM latest_metrics {of_these}")
        for run_id, key, number, is_nan in last:
            runs[run_id].metrics[key] = math.nan if is_nan else number
    return list(runs.values())


# Where artifacts are ------------------------------------------------------------------------------


def moved_from(file: Path, artifacts: Path) -> str:
    """The folder where a store looks for its artifacts, although they are beside it.

    The store keeps absolute paths, which a moved or copied project takes along. A store whose
    artifacts somebody has put elsewhere on purpose is left alone: they are there, and not beside
    it.

    Parameters
    ----------
    file : Path
        The sqlite file.
    artifacts : Path
        The folder beside it where its artifacts should be.

    Returns
    -------
    str
        Empty where the store looks for them in the right place.

    Raises
    ------
    UsageError
        If sqlite cannot read the file.
    """
    with _open(file) as connection:
        row = connection.execute(
            "SELECT artifact_location AS place FROM experiments WHERE experiment_id = 0"
        ).fetchone()
        before = ""
        if row is not None:
            (place,) = row
            before = (place or "").removesuffix("/0")
        is_ours = before.startswith("/") and Path(before).name == artifacts.name
        if not is_ours or Path(before) == artifacts:
            return ""
        rows = connection.execute(
            "SELECT run_uuid FROM runs WHERE artifact_uri LIKE ? ESCAPE '\\' LIMIT ?",
            (_below(before), _LOOKED_AT),
        )
        came_along = any((artifacts / run_id).is_dir() for (run_id,) in rows)
    if came_along or not Path(before).is_dir():
        return before
    return ""


def move(file: Path, before: str, artifacts: Path) -> None:
    """Lets a store say that its artifacts are in another folder.

    Parameters
    ----------
    file : Path
        The sqlite file.
    before : str
        The folder where it looks for them, as `moved_from` says it.
    artifacts : Path
        The folder where they are.
    """
    with _open(file) as connection:
        for table, column in _PLACES:
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                f"WHERE {column} = ? OR {column} LIKE ? ESCAPE '\\'",
                (str(artifacts), len(before) + 1, before, _below(before)),
            )


def _below(folder: str) -> str:
    """The LIKE pattern of all paths below a folder."""
    escaped = folder.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"{escaped}/%"


# Points -------------------------------------------------------------------------------------------


def points(file: Path, run_id: str) -> set[StoredPoint]:
    """All points of a run's metrics; UsageError where sqlite cannot read the file."""
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
    """Makes a run ready to be logged again from its record.

    Parameters
    ----------
    file : Path
        The sqlite file.
    run_id : str
        The run in it.
    start_ms : int
        When the run has started, in ms since 1970.
    tags : mapping of str to str
        Tags that it must have, by which it is found.
    params : iterable of str
        The keys of the params that go.
    metrics : iterable of (str, int or None)
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
            # Without a step, which is NULL then, every step is equal to its own.
            connection.execute(
                "DELETE FROM metrics WHERE run_uuid = ? AND key = ? AND step = ifnull(?, step)",
                (run_id, key, step),
            )
            _set_last(connection, run_id, key)


def drop_others(file: Path, run_id: str, wanted: Iterable[StoredPoint]) -> None:
    """Drops the points of a run that stand at the same step of the same metric as one of these.

    MLflow would keep both, as it does where a sweep has trained a trial again and so has another
    course.

    Parameters
    ----------
    file : Path
        The sqlite file.
    run_id : str
        The run in it.
    wanted : iterable of StoredPoint
        The points that are to stand there.
    """
    kept = set(wanted)
    places = {(point.key, point.step) for point in kept}
    others = [point for point in points(file, run_id) - kept if (point.key, point.step) in places]
    if not others:
        return
    with _open(file) as connection:
        for point in others:
            is_nan = math.isnan(point.value)
            stored = point._replace(value=0.0) if is_nan else point  # as MLflow writes it
            connection.execute(
                "DELETE FROM metrics WHERE key = ? AND value = ? AND timestamp = ? AND step = ? "
                "AND is_nan = ? AND run_uuid = ?",
                (*stored, is_nan, run_id),
            )
            _set_last(connection, run_id, point.key)


def _set_last(connection: sqlite3.Connection, run_id: str, key: str) -> None:
    """Makes the last value of a metric that of the last point that is left."""
    connection.execute("DELETE FROM latest_metrics WHERE run_uuid = ? AND key = ?", (run_id, key))
    connection.execute(
        "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) "
        "SELECT key, value, timestamp, step, is_nan, run_uuid FROM metrics "
        "WHERE run_uuid = ? AND key = ? ORDER BY step DESC, timestamp DESC, value DESC LIMIT 1",
        (run_id, key),
    )


# Checking -----------------------------------------------------------------------------------------


def lock_of(mlruns: Path) -> Path:
    """The lock that whoever makes a store holds meanwhile."""
    return mlruns / _LOCK


def check(mlruns: Path) -> list[Finding]:
    """Finds stores that were being made when their processes were killed.

    A process that is alive may be making one now, unless the lock is held here.
    """
    return [
        removal(path, f"{path.name}, left by a killed process")
        for path in sorted(mlruns.glob(_HALF_MADE))
    ]
