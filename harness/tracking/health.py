"""How the store is: whole, of the right version, reachable."""

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.tracking.connect import client_for, import_mlflow, sqlite_path, store_uri
from harness.tracking.text import core_of, one_line

if TYPE_CHECKING:
    pass


# --- checking -------------------------------------------------------------------------------------
class StoreState(NamedTuple):
    """How the store is: whether it is there, a word about it, and what is wrong with it or ""."""

    exists: bool
    about: str
    problem: str


def check_store(root: Path | None = None) -> StoreState:
    """Looks whether the store is whole and of this MLflow's version, or whether its server
    answers.
    """
    uri = store_uri(root)
    file = sqlite_path(uri)
    if file is None:
        try:
            count = len(client_for(uri).search_experiments())
        except Exception as error:  # whatever it is, the doctor says it and goes on
            return StoreState(True, "", f"it cannot be used ({core_of(one_line(error, 600))})")
        return StoreState(True, f"it answers, {count} experiments", "")
    if not file.exists():
        return StoreState(False, "", "")
    try:
        with contextlib.closing(sqlite3.connect(file, timeout=20)) as connection:
            (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            (version,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except (sqlite3.Error, TypeError, UnicodeDecodeError) as error:
        found, version = str(error), ""
    if found != "ok" and not os.access(file.parent, os.W_OK):  # sqlite needs that even to read
        return StoreState(
            True,
            "",
            f"its folder must be one that can be written ({found}); correct its permissions",
        )
    if found != "ok":
        return StoreState(
            True,
            "",
            f"it is damaged ({found}); move {file} away, and `harness doctor` sends all "
            f"from the spools again",
        )
    return StoreState(True, f"whole, schema {version}", _version_problem(uri, version))


def _version_problem(uri: str, version: str) -> str:
    mlflow = import_mlflow(uri)
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError
    from mlflow.store.db.utils import _get_alembic_config, _get_latest_schema_revision

    if version == _get_latest_schema_revision():
        return ""
    try:
        ScriptDirectory.from_config(_get_alembic_config("")).get_revision(version)
    except CommandError:
        return f"it was made by an MLflow newer than {mlflow.__version__} (schema {version}); upgrade mlflow"
    return f"it was made by an MLflow older than {mlflow.__version__} (schema {version}); `mlflow db upgrade {uri}`"
