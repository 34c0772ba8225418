"""How the store is: whole, of the right version, reachable."""

import contextlib
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from harness.tracking.connect import client_for, import_mlflow, sqlite_path, store_uri
from harness.tracking.text import core_of, one_line


@dataclass(frozen=True)
class StoreState:
    """How the store is.

    Attributes
    ----------
    exists : bool
        Whether there is a store. A server or a database is taken to exist.
    about : str
        What can be said of it; "" if nothing.
    problem : str
        What is wrong with it and what to do; "" if nothing.
    """

    exists: bool = True
    about: str = ""
    problem: str = ""


def check_store(root: Path | None = None) -> StoreState:
    """Look whether a sqlite store is whole and of this MLflow's version, or a server answers.

    Parameters
    ----------
    root
        The folder that holds mlruns/; None to look for it from here.
    """
    uri = store_uri(root)
    file = sqlite_path(uri)
    if file is None:
        return _check_server(uri)
    if not file.exists():
        return StoreState(exists=False)
    return _check_file(uri, file)


def _check_server(uri: str) -> StoreState:
    try:
        count = len(client_for(uri).search_experiments())
    except Exception as error:  # Whatever it is, the doctor says it and goes on.
        return StoreState(problem=f"it cannot be used ({core_of(one_line(error, 600))})")
    return StoreState(about=f"it answers, {count} experiments")


def _check_file(uri: str, file: Path) -> StoreState:
    try:
        with contextlib.closing(sqlite3.connect(file, timeout=20)) as connection:
            (integrity,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            (version,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except (sqlite3.Error, TypeError, UnicodeDecodeError) as error:
        integrity = str(error)
        version = ""
    if integrity == "ok":
        problem = _version_problem(uri, version)
        return StoreState(about=f"whole, schema {version}", problem=problem)
    # sqlite must be able to write in the folder even to read.
    if not os.access(file.parent, os.W_OK):
        return StoreState(
            problem=f"its folder must be one that can be written ({integrity}); correct its "
            "permissions"
        )
    return StoreState(
        problem=f"it is damaged ({integrity}); move {file} away, and `harness doctor` sends all "
        "from the spools again"
    )


def _version_problem(uri: str, version: str) -> str:
    mlflow = import_mlflow(uri)
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError
    from mlflow.store.db.utils import _get_alembic_config, _get_latest_schema_revision

    if version == _get_latest_schema_revision():
        return ""
    try:
        # This MLflow knows all schemas that are older than its own.
        ScriptDirectory.from_config(_get_alembic_config("")).get_revision(version)
    except CommandError:
        return (
            f"it was made by an MLflow newer than {mlflow.__version__} (schema {version}); upgrade "
            "mlflow"
        )
    return (
        f"it was made by an MLflow older than {mlflow.__version__} (schema {version}); `mlflow db "
        f"upgrade {uri}`"
    )
