"""Connecting to a store or a server: its address, its client, and a sqlite store that is made
safely.

MLflow takes about two seconds to import, so that happens inside functions.
"""

import contextlib
import logging
import os
import re
import sqlite3
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.storage import files as disk
from harness.storage.lock import file_lock
from harness.storage.root import find_root
from harness.storage.secrets import mask
from harness.tracking.text import core_of, one_line

if TYPE_CHECKING:
    pass


ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # The spool retries. MLflow's own retries could create a run twice, and block a driver for
    # minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


def import_mlflow(uri: str) -> Any:
    """mlflow and what it needs for `uri`, with its telemetry off and its chatter quiet, whatever
    MLFLOW_RUN_ID says.
    """
    os.environ.pop("MLFLOW_RUN_ID", None)  # it would take the place of the run ids that we pass
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        # MLflow's own, while its tables are declared
        warnings.simplefilter("ignore", DeprecationWarning)
        import mlflow

        if not is_server(uri):
            import mlflow.store.db.utils
            import mlflow.store.tracking.sqlalchemy_store

            # Ten would block a driver for 100 s if a database is down
            mlflow.store.db.utils.MAX_RETRY_COUNT = 1
    # Our own messages say what went wrong, in one sentence
    if "MLFLOW_LOGGING_LEVEL" not in os.environ:
        for name in ("mlflow", "alembic", "urllib3.connectionpool"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    return mlflow


def failure_types() -> tuple[type[Exception], ...]:
    """What MLflow raises when a store or a server does not do what it is asked."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, SQLAlchemyError, OSError


# --- the store ------------------------------------------------------------------------------------
def store_uri(root: Path | None = None) -> str:
    """MLFLOW_TRACKING_URI if it is set, else the sqlite file below `root`. It may hold credentials:
    `mask` it.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{_folder(root)}/mlflow.db"
    if ("://" not in uri and not uri.startswith("databricks")) or uri.startswith("file:"):
        raise UsageError(
            f"MLFLOW_TRACKING_URI must be a server or a database, but it is the folder {uri}, "
            f"where MLflow 3 keeps no "
            "runs; use http://HOST:PORT or sqlite:////PATH/mlflow.db, or unset it"
        )
    file = sqlite_path(uri)
    return f"sqlite:///{file}" if file else uri


def place(root: Path | None = None) -> str:
    """The store in words, without credentials."""
    return mask(store_uri(root))


_BESIDE = "mlruns/mlflow.db"


def mark(root: Path | None = None) -> str:
    """What spools remember of where their records are: a store beside them by a name that it keeps
    when it moves.
    """
    uri = store_uri(root)
    return _BESIDE if sqlite_path(uri) == _folder(root) / "mlflow.db" else mask(uri)


def place_of(mark: str, root: Path | None = None) -> str:
    """The store that a mark means, in words."""
    return f"sqlite:///{_folder(root)}/mlflow.db" if mark == _BESIDE else mark


def artifacts_folder(root: Path | None = None) -> Path | None:
    """The local folder of artifacts, one folder a run; None where a server has them."""
    uri = store_uri(root)
    return None if is_server(uri) else Path(artifact_location(uri, root))


def _folder(root: Path | None) -> Path:
    return (Path(root).absolute() if root else find_root()) / "mlruns"


def artifact_location(uri: str, root: Path | None) -> str:
    """Where artifacts go if no server decides: beside the sqlite file, else below `root`."""
    return str((file.parent if (file := sqlite_path(uri)) else _folder(root)) / "artifacts")


def sqlite_path(uri: str) -> Path | None:
    """The absolute file of a sqlite URI, None for another kind of store."""
    if not uri.startswith("sqlite:"):
        return None
    name = uri.removeprefix("sqlite:///")
    if name in ("", ":memory:", uri) or re.search(r"\?|%[0-9a-fA-F]{2}", name):
        raise UsageError(
            f"runs must be kept in a sqlite file whose path has no '?' and no '%' code, but this "
            f"is {mask(uri)}; "
            "set HARNESS_ROOT to another folder, or MLFLOW_TRACKING_URI as in "
            "sqlite:////data/mlflow.db"
        )
    return Path(name).absolute()


def is_server(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


def prepare_sqlite(file: Path) -> None:
    """Make the sqlite store unless it is there, safely against other processes; UsageError if it
    cannot be written.

    MLflow migrates a fresh file in some dozens of steps, and two processes doing so at once can
    destroy it: the file is made under another name, under a lock, and renamed when it is complete.
    """
    failures: tuple[type[Exception], ...] = (sqlite3.Error, *failure_types())
    try:
        artifacts = file.parent / "artifacts"
        disk.make_folder(artifacts)
        if not file.exists():
            with file_lock(file.parent / ".mlflow.lock"):
                if not file.exists():
                    _create_sqlite(file, artifacts)
        with contextlib.closing(sqlite3.connect(file, timeout=20)) as connection:
            connection.execute("BEGIN IMMEDIATE")  # fails unless the file can be written
            connection.rollback()
    except disk.DiskError:
        raise
    except failures as error:
        reason = core_of(one_line(error, 600))
        remedy = "correct its folder's permissions or set HARNESS_ROOT to another folder"
        if "full" in reason:
            remedy = (
                "free some space (`harness gc` shows what takes it), then the same command goes on"
            )
        elif "I/O" in reason:
            remedy = "the disk may be full or failing: free some space or see the system's log, then try again"
        elif isinstance(error, sqlite3.DatabaseError) and not isinstance(
            error, sqlite3.OperationalError
        ):
            remedy = "`harness doctor` says what to do"  # it is damaged, or none at all
        raise UsageError(
            f"runs are kept in {file}, which must be a sqlite file that can be written, but: "
            f"{reason}; {remedy}"
        ) from error


_SQLITE_SUFFIXES = ("", "-wal", "-shm", "-journal")


def _create_sqlite(file: Path, artifacts: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    fresh = file.with_name(f".{file.name}.new")
    for suffix in _SQLITE_SUFFIXES:  # what a process that was killed here left
        disk.remove(Path(f"{fresh}{suffix}"))
    try:
        SqlAlchemyStore(f"sqlite:///{fresh}", str(artifacts)).engine.dispose()
        with contextlib.closing(sqlite3.connect(fresh)) as connection:
            # Readers (the UI) and the driver do not block each other
            connection.execute("PRAGMA journal_mode=WAL")
        disk.sync_file(fresh)
        disk.rename(fresh, file)
    except Exception:  # a full disk needs the room
        for suffix in _SQLITE_SUFFIXES:
            with contextlib.suppress(disk.DiskError):
                disk.remove(Path(f"{fresh}{suffix}"))
        raise


def client_for(uri: str) -> Any:
    mlflow = import_mlflow(uri)
    from sqlalchemy.exc import ArgumentError

    try:
        client = mlflow.MlflowClient(uri)
    except ImportError as error:
        raise UsageError(
            one_line(f"{uri} needs a package that is not installed: {error}")
        ) from error
    except ArgumentError as error:  # no address, or a kind of database that nobody here knows
        raise UsageError(
            one_line(f"MLFLOW_TRACKING_URI must name a store, but it is {uri}: {error}")
        ) from error
    if sqlite_path(uri):
        _sync_at_checkpoints(client)
    return client


def _sync_at_checkpoints(client: Any) -> None:
    """Lets sqlite sync at the checkpoints of its WAL instead of at each of the seven commits of a
    trial.

    The database stays whole at a power cut, but can lose its last commits; `harness doctor` sends
    them again from the spool, which is synced.
    """
    from sqlalchemy import event

    engine = client._tracking_client.store.engine  # MLflow has no other way to its connections
    if not event.contains(engine, "connect", _relax):
        event.listen(engine, "connect", _relax)
        engine.dispose()  # connections that are open already


def _relax(connection: Any, record: Any) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")


def sqlite_file(root: Path | None = None) -> Path | None:
    """The file of a sqlite store; None for another kind of store."""
    return sqlite_path(store_uri(root))
