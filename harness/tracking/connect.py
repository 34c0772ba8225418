"""Connect to the store or the server that has the runs: its address and its client.

MLflow takes about two seconds to import, so that happens inside functions.
"""

import contextlib
import logging
import os
import re
import sqlite3
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.storage.mlflow_rows import Refusal
from harness.storage.root import find_root
from harness.storage.secrets import mask
from harness.tracking.text import one_line

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # The spool retries. MLflow's own retries could create a run twice, and block a driver for
    # minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    # A server that takes ten seconds an answer is slow, and not down.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}

# The mark of a store that lies beside its spools. It is still true when all of them move together.
_BESIDE = "mlruns/mlflow.db"


# --- MLflow ---------------------------------------------------------------------------------------
def import_mlflow(uri: str) -> Any:
    """Import mlflow and what it needs for `uri`, without its telemetry and its messages."""
    # MLflow would prefer this run id to those that we pass.
    os.environ.pop("MLFLOW_RUN_ID", None)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        # MLflow uses what its own libraries deprecate while its tables are declared.
        warnings.simplefilter("ignore", DeprecationWarning)
        import mlflow

        if not is_server(uri):
            import mlflow.store.db.utils
            import mlflow.store.tracking.sqlalchemy_store

            # MLflow's ten attempts would block a driver for 100 s if a database is down.
            mlflow.store.db.utils.MAX_RETRY_COUNT = 1
    # Our own messages say in one sentence what went wrong.
    if "MLFLOW_LOGGING_LEVEL" not in os.environ:
        for name in ("mlflow", "alembic", "urllib3.connectionpool"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    return mlflow


def client_for(uri: str) -> Any:
    """Make an MlflowClient for a store or a server.

    Raises
    ------
    UsageError
        If `uri` names no store, or one that needs a package that is not installed.
    """
    mlflow = import_mlflow(uri)
    from sqlalchemy.exc import ArgumentError

    try:
        client = mlflow.MlflowClient(uri)
    except ImportError as error:
        raise UsageError(
            one_line(f"{uri} needs a package that is not installed: {error}")
        ) from error
    except ArgumentError as error:  # It is no address, or an unknown kind of database.
        raise UsageError(
            one_line(f"MLFLOW_TRACKING_URI must name a store, but it is {uri}: {error}")
        ) from error
    if sqlite_path(uri):
        _sync_at_checkpoints(client)
    return client


def _sync_at_checkpoints(client: Any) -> None:
    """Let sqlite sync at the checkpoints of its WAL, not at each of the seven commits of a trial.

    The database stays whole at a power cut, but can lose its last commits; `harness doctor` sends
    them again from the spool, which is synced.
    """
    from sqlalchemy import event

    # MLflow offers no public way to its connections.
    engine = client._tracking_client.store.engine
    if not event.contains(engine, "connect", _relax):
        event.listen(engine, "connect", _relax)
        engine.dispose()  # This closes connections that are open already.


def _relax(connection: Any, record: Any) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")


def is_failure(error: BaseException) -> bool:
    """Return whether a store or a server has not done what it was asked."""
    if isinstance(error, OSError | sqlite3.Error | Refusal):
        return True
    if "mlflow" not in sys.modules:
        return False
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return isinstance(error, MlflowException | SQLAlchemyError)


@contextlib.contextmanager
def failures_passed_over() -> Iterator[None]:
    """Go on after a block in which a store or a server has not done what it was asked."""
    try:
        yield
    except Exception as error:
        if not is_failure(error):
            raise


def reason_of(error: Exception) -> str:
    """Say in one line why a call of MLflow has failed."""
    if is_failure(error):
        return one_line(error, 600)
    # Of an error that nobody foresaw the type matters too.
    return one_line(repr(error), 600)


# --- The address of the store ---------------------------------------------------------------------
def store_uri(root: Path | None = None) -> str:
    """Return MLFLOW_TRACKING_URI if it is set, else the URI of the sqlite file below `root`.

    It may hold credentials, so it must be masked before it is shown.

    Raises
    ------
    UsageError
        If MLflow 3 keeps no runs in what MLFLOW_TRACKING_URI names.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or _uri_below(root)
    is_path = "://" not in uri and not uri.startswith("databricks")
    if is_path or uri.startswith("file:"):
        raise UsageError(
            f"MLFLOW_TRACKING_URI must be a server or a database, but it is the folder {uri}, "
            "where MLflow 3 keeps no runs; use http://HOST:PORT or sqlite:////PATH/mlflow.db, or "
            "unset it"
        )
    file = sqlite_path(uri)
    return f"sqlite:///{file}" if file else uri


def is_server(uri: str) -> bool:
    """Return whether runs are logged over HTTP."""
    return uri.startswith(("http://", "https://"))


def sqlite_path(uri: str) -> Path | None:
    """Return the absolute file of a sqlite URI, None for another kind of store.

    Raises
    ------
    UsageError
        If the path cannot be used as the name of a file.
    """
    if not uri.startswith("sqlite:"):
        return None
    name = uri.removeprefix("sqlite:///")
    if name in ("", ":memory:", uri) or re.search(r"\?|%[0-9a-fA-F]{2}", name):
        raise UsageError(
            "runs must be kept in a sqlite file whose path has no '?' and no '%' code, but this "
            f"is {mask(uri)}; set HARNESS_ROOT to another folder, or MLFLOW_TRACKING_URI as in "
            "sqlite:////data/mlflow.db"
        )
    return Path(name).absolute()


def sqlite_file(root: Path | None = None) -> Path | None:
    """Return the file of the store if it is a sqlite file, else None."""
    return sqlite_path(store_uri(root))


def artifact_location(uri: str, root: Path | None) -> str:
    """Return where artifacts go if no server decides: beside the sqlite file, else below `root`."""
    file = sqlite_path(uri)
    folder = file.parent if file else _folder(root)
    return str(folder / "artifacts")


def artifacts_folder(root: Path | None = None) -> Path | None:
    """Return the local folder that has the artifacts by run ids; None if a server has them."""
    uri = store_uri(root)
    if is_server(uri):
        return None
    return Path(artifact_location(uri, root))


def place(root: Path | None = None) -> str:
    """Return the address of the store without credentials."""
    return mask(store_uri(root))


def mark(root: Path | None = None) -> str:
    """Return what spools remember of the store that has their records."""
    uri = store_uri(root)
    if sqlite_path(uri) == _folder(root) / "mlflow.db":
        return _BESIDE
    return mask(uri)


def place_of(mark: str, root: Path | None = None) -> str:
    """Return the address, without credentials, of the store that a mark in a spool means."""
    if mark == _BESIDE:
        return _uri_below(root)
    return mark


def _uri_below(root: Path | None) -> str:
    return f"sqlite:///{_folder(root)}/mlflow.db"


def _folder(root: Path | None) -> Path:
    above = Path(root).absolute() if root else find_root()
    return above / "mlruns"
