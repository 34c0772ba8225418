"""A new sqlite file for MLflow: made in a moment, and never by two programs at once.

MLflow makes a fresh file by all its migrations, which takes seconds. Where the tables that they
come to are known here, these are made at once, and MLflow itself checks them.
"""

import contextlib
import functools
import sqlite3
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple

from harness.errors import UsageError
from harness.storage import files as disk
from harness.storage import mlflow_rows
from harness.storage.clock import now_ms
from harness.tracking.known_mlflow import known_schema

# What other programs that make the file are given: they are at work as long as they change it.
STILL_S = 3.0
_LOOK_S = 0.1
_PATIENCE_S = 20.0  # how long sqlite waits for another process

_SUFFIXES = ("", "-wal", "-shm", "-journal")  # of the files that sqlite makes for one database
TABLES = Path(__file__).parent / "tables"  # SQL, by the names of the schemas


class _Progress(NamedTuple):
    """How far a file has been made.

    Attributes
    ----------
    changes : int
        How often its tables were changed.
    schema : str
        The migration that came last; "" for none.
    has_experiments : bool
        Whether it has one at least, which MLflow makes last of all.
    """

    changes: int
    schema: str
    has_experiments: bool


def is_made(file: Path) -> bool:
    """Whether a file has been made to its end, by whichever version of MLflow.

    Raises
    ------
    sqlite3.Error
        If it cannot be read.
    """
    return _is_whole(_progress(file))


def _is_whole(progress: _Progress) -> bool:
    # MLflow reads dozens of scripts to find out its own schema.
    is_known = _script_of(progress.schema).is_file()
    return progress.has_experiments and (is_known or progress.schema == latest_schema())


def make_or_await(file: Path, artifacts: Path) -> None:
    """Make a file, or wait for another program that is making it; nothing if it is made.

    Parameters
    ----------
    file
        The sqlite file.
    artifacts
        Where its artifacts go.

    Raises
    ------
    UsageError
        If another program has left it half made.
    """
    if file.exists() and not _await(file):
        # Nobody has put anything into it.
        disk.remove(file)
    if not file.exists():
        create(file, artifacts)
        if not is_made(file):
            _await(file)


# Waiting ------------------------------------------------------------------------------------------


def _await(file: Path) -> bool:
    """Wait while another program makes a file; whether there is anything in it.

    An old store, which changes no more either, is for MLflow to tell of.
    """
    progress = _progress(file)
    changed = monotonic()
    while not _is_whole(progress):
        if monotonic() > changed + STILL_S:
            break
        sleep(_LOOK_S)
        now = _progress(file)
        if now != progress:
            changed = monotonic()
            progress = now
    if file.stat().st_size == 0:
        return False
    if not progress.has_experiments:
        raise UsageError(
            f"{file} must be a whole store of MLflow, but another program that opened it first has "
            "left it half made; it has no runs, so end that program, delete the file, and start "
            "again"
        )
    _use_wal(file)
    return True


def _progress(file: Path) -> _Progress:
    address = f"{file.absolute().as_uri()}?mode=ro"
    connecting = contextlib.closing(sqlite3.connect(address, uri=True, timeout=_PATIENCE_S))
    with connecting as connection:
        (changes,) = connection.execute("PRAGMA schema_version").fetchone()
        schema = _first(connection, "SELECT version_num FROM alembic_version")
        experiment = _first(connection, "SELECT experiment_id FROM experiments LIMIT 1")
    return _Progress(changes, str(schema or ""), experiment is not None)


def _first(connection: sqlite3.Connection, query: str) -> object:
    """The first cell of a query; None where there is none, or no such table."""
    try:
        row = connection.execute(query).fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return None
        raise
    return None if row is None else row[0]


@functools.cache
def latest_schema() -> str:
    """The schema of the MLflow that is installed."""
    known = known_schema()
    if known:
        return known
    from mlflow.store.db.utils import _get_latest_schema_revision

    return str(_get_latest_schema_revision())


# Making -------------------------------------------------------------------------------------------


def create(file: Path, artifacts: Path) -> None:
    """Make a store under another name; it gets its own when it is complete, unless that is taken.

    Parameters
    ----------
    file
        The sqlite file.
    artifacts
        Where its artifacts go.
    """
    fresh = file.with_name(f".{file.name}.new")
    # A process that was killed here may have left such files.
    _remove(fresh)
    try:
        is_laid = lay_tables(fresh, latest_schema())
        if is_laid and known_schema():
            _add_first_experiment(fresh, artifacts)
        else:
            let_mlflow_make(fresh, artifacts)
        _use_wal(fresh)
        disk.sync_file(fresh)
        disk.name_once(fresh, file)
    except Exception:
        # The disk may be full, and then it needs the room.
        with contextlib.suppress(disk.DiskError):
            _remove(fresh)
        raise
    _remove(fresh)


def let_mlflow_make(fresh: Path, artifacts: Path) -> None:
    """Let MLflow check the tables, or make them, and add its first experiment."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(f"sqlite:///{fresh}", str(artifacts)).engine.dispose()


def _add_first_experiment(fresh: Path, artifacts: Path) -> None:
    """Add the experiment that MLflow demands of each of its stores."""
    with contextlib.closing(sqlite3.connect(fresh)) as connection, connection:
        mlflow_rows.add_experiment(
            connection, "Default", f"{artifacts}/0", now_ms(), experiment_id=0
        )


def _remove(fresh: Path) -> None:
    for suffix in _SUFFIXES:
        disk.remove(Path(f"{fresh}{suffix}"))


def lay_tables(fresh: Path, schema: str) -> bool:
    """Make the tables of a schema in a file that does not exist yet.

    Parameters
    ----------
    fresh
        The file, which somebody syncs afterwards.
    schema
        The schema, by MLflow's name for its last migration.

    Returns
    -------
    bool
        Whether they are known here. Else nothing happens.
    """
    script = _script_of(schema)
    if not script.is_file():
        return False
    with contextlib.closing(sqlite3.connect(fresh)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.executescript(script.read_text(encoding="utf-8"))
    return True


def _script_of(schema: str) -> Path:
    return TABLES / f"{schema}.sql"


def tables_in(file: Path) -> str:
    """Return the SQL that makes the tables of a new store, as `lay_tables` reads it."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        lines = [
            line
            for line in connection.iterdump()
            # MLflow makes its first experiment itself, which says where artifacts are.
            if not line.startswith('INSERT INTO "experiments"')
        ]
    return "\n".join(lines) + "\n"


def _use_wal(file: Path) -> None:
    """With a WAL, readers such as the UI and the driver do not block each other."""
    with contextlib.closing(sqlite3.connect(file, timeout=_PATIENCE_S)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
