"""Whether the installed MLflow is one whose rows are known here, which is asked without its import.

A store of such a version is written by `LocalClient`.
"""

import contextlib
import functools
import importlib.metadata
import os
import re
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.storage.mlflow_db import schema_of
from harness.tracking import plain_entities
from harness.tracking.connect import sqlite_path

# The schemas of those versions of MLflow whose rows are known here.
SCHEMAS = {"3.17": "dc11669786a5"}

_SCRIPTS = "mlflow/store/db_migrations/versions"


def mlflow_version() -> str:
    """Return the version of the MLflow that is installed, without its import; "" for none."""
    try:
        return importlib.metadata.version("mlflow")
    except importlib.metadata.PackageNotFoundError:
        return ""


def known_schema() -> str:
    """Return the schema of the MLflow that is installed, if its rows are known here, else ""."""
    if os.environ.get("MLFLOW_ENABLE_WORKSPACES"):
        return ""
    major, _, rest = mlflow_version().partition(".")
    schema = SCHEMAS.get(f"{major}.{rest.partition('.')[0]}", "")
    if not schema:
        return ""
    # A later release of the same version could have a later schema.
    scripts = importlib.metadata.distribution("mlflow").locate_file(_SCRIPTS)
    return schema if comes_last(schema, Path(str(scripts))) else ""


@functools.cache
def comes_last(schema: str, scripts: Path) -> bool:
    """Return whether a schema is the one that scripts of migrations come to.

    Parameters
    ----------
    schema
        MLflow's name for it.
    scripts
        The folder with the scripts, each of which names its own schema and the one before.
    """
    texts = [script.read_text(encoding="utf-8") for script in scripts.glob("*.py")]
    is_there = any(re.search(rf"^revision\b.*{schema}", text, re.MULTILINE) for text in texts)
    has_next = any(re.search(rf"^down_revision\b.*{schema}", text, re.MULTILINE) for text in texts)
    return is_there and not has_next


def is_local(uri: str) -> bool:
    """Return whether a store is a sqlite file whose rows are known here, or is still to be made."""
    file = sqlite_path(uri)
    schema = known_schema()
    if file is None or not schema:
        return False
    if not file.exists():
        return True
    # What is wrong with a file is said by whoever opens it.
    with contextlib.suppress(UsageError, OSError):
        return file.stat().st_size == 0 or schema_of(file) == schema
    return False


def is_plain(client: Any) -> bool:
    """Return whether a client writes without MLflow."""
    return hasattr(client, "together")


def entities_of(client: Any) -> Any:
    """Return the module with the entities that a client takes."""
    if is_plain(client):
        return plain_entities
    from mlflow import entities

    return entities
