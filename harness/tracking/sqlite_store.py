"""The sqlite file of a project: made safely, checked before reading, followed after a move."""

import contextlib
import sqlite3
import sys
from pathlib import Path

from harness.errors import UsageError
from harness.storage import files as disk
from harness.storage import mlflow_db
from harness.storage.lock import file_lock
from harness.tracking.connect import import_mlflow, is_failure, sqlite_path, store_uri
from harness.tracking.known_mlflow import is_local
from harness.tracking.new_store import is_made, make_or_await
from harness.tracking.text import core_of, one_line

_PRIMARY = 0xFF  # the bits of an error of sqlite that say of which kind it is


def prepare_sqlite(file: Path) -> None:
    """Make the sqlite store unless it is there, safely against other processes.

    MLflow migrates a fresh file in some dozens of steps, and two processes doing so at once can
    destroy it. So the file is made under another name, under a lock, and gets its own name when it
    is complete. Where a program that knows nothing of the lock makes it, it is waited for.

    Raises
    ------
    UsageError
        If the file cannot be written, or was left half made.
    """
    uri = f"sqlite:///{file}"
    if not is_local(uri):
        import_mlflow(uri)
    try:
        artifacts = file.parent / "artifacts"
        disk.make_folder(artifacts)
        if not file.exists() or not is_made(file):
            with file_lock(mlflow_db.lock_of(file.parent)):
                # Another process may have made it while this one waited for the lock.
                make_or_await(file, artifacts)
        _check_writable(file)
    except disk.DiskError:
        raise
    except Exception as error:
        if not is_failure(error):
            raise
        raise _cannot_be_written(file, error) from error


def check_place(root: Path | None = None) -> None:
    """Look whether the store can be one, without MLflow: whoever needs it for more finds out later.

    Raises
    ------
    UsageError
        If MLFLOW_TRACKING_URI names no store, or the sqlite file cannot be written.
    """
    file = sqlite_path(store_uri(root))
    if file is None:
        return
    disk.make_folder(file.parent / "artifacts")
    if file.exists():
        try:
            _check_writable(file)
        except sqlite3.Error as error:
            raise _cannot_be_written(file, error) from error


def _check_writable(file: Path) -> None:
    # Whoever looks does not wait for other writers: the work would wait, too.
    with contextlib.closing(sqlite3.connect(file, timeout=0)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")  # This fails unless the file can be written.
        except sqlite3.OperationalError as error:
            # Somebody writes it just now, so it can be written.
            if error.sqlite_errorcode & _PRIMARY != sqlite3.SQLITE_BUSY:
                raise
        connection.rollback()


def _cannot_be_written(file: Path, error: Exception) -> UsageError:
    reason = core_of(one_line(error, 600))
    return UsageError(
        f"runs are kept in {file}, which must be a sqlite file that can be written, but: "
        f"{reason}; {_remedy(error, reason)}"
    )


def _remedy(error: Exception, reason: str) -> str:
    if "full" in reason:
        return "free some space (`harness gc` shows what takes it), then the same command goes on"
    if "I/O" in reason:
        return (
            "the disk may be full or failing: free some space or see the system's log, then try "
            "again"
        )
    is_operational = isinstance(error, sqlite3.OperationalError)
    if isinstance(error, sqlite3.DatabaseError) and not is_operational:
        # The file is damaged, or no database at all.
        return "`harness doctor` says what to do"
    return "correct its folder's permissions or set HARNESS_ROOT to another folder"


def require_store(uri: str) -> None:
    """Look whether a sqlite store is there and can be read; other stores are not looked at.

    Raises
    ------
    UsageError
        If the file does not exist, or is no database of MLflow's. MLflow itself would make its
        tables in whatever is there.
    """
    file = sqlite_path(uri)
    if file is None:
        return
    if not file.exists():
        raise UsageError(
            f"there must be runs in {file} before they can be shown, but that file does not exist; "
            "start a sweep here first, or set HARNESS_ROOT to the folder that has mlruns/"
        )
    address = f"{file.as_uri()}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=20)) as connection:
            connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise UsageError(
            f"the runs in {file} must be readable, but: {error}; `harness doctor` says what is "
            f"wrong with it"
        ) from error


def follow_move(root: Path | None = None, dry: bool = False) -> str:
    """Let a sqlite store that has been moved or copied find its artifacts beside it again.

    Parameters
    ----------
    root
        The folder that holds mlruns/; None to look for it from here.
    dry
        Whether only to look.

    Returns
    -------
    str
        The folder where the store has looked for its artifacts until now; "" if nothing is to be
        done.
    """
    file = sqlite_path(store_uri(root))
    if file is None or not file.exists():
        return ""
    artifacts = file.parent / "artifacts"
    old_folder = mlflow_db.moved_from(file, artifacts)
    if old_folder and not dry:
        mlflow_db.move(file, old_folder, artifacts)
        if "mlflow" in sys.modules:
            from mlflow.tracking._tracking_service import utils

            # MLflow remembers where this process has written until now.
            utils._artifact_repos_cache.clear()
    return old_folder
