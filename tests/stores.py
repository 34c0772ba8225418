"""Stores of MLflow: copies of a new one, and the connections to one, which tests close before they
move or damage its file.
"""

import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import tracking
from harness.storage import mlflow_db
from harness.tracking import connect, sqlite_store


def copying(create: Callable[[Path, Path], None], folder: Path) -> Callable[[Path, Path], None]:
    """What makes a store as `create` does, but migrates only the first one, which takes a second;
    the others are copies of it.
    """
    template = folder / "mlflow.db"

    def copy(file: Path, artifacts: Path) -> None:
        if not template.exists():
            create(template, folder / "artifacts")
            _remember_the_schema()
        fresh = file.with_name(f".{file.name}.new")
        shutil.copyfile(template, fresh)
        mlflow_db.move(fresh, str(folder / "artifacts"), artifacts)
        fresh.rename(file)

    return copy


def prepare(root: Path) -> None:
    """Gives a root its empty store, which each process that a test starts would make itself."""
    sqlite_store.prepare_sqlite(root / "mlruns" / "mlflow.db")


def _remember_the_schema() -> None:
    """Lets MLflow read its sixty scripts of migrations once, not whenever it opens a store."""
    import mlflow.store.db.utils as stores

    stores._get_latest_schema_revision = functools.cache(stores._get_latest_schema_revision)


def engine_of(root: Path | None = None) -> Any:
    """SQLAlchemy's engine of the store below a root. MLflow offers no public way to it."""
    return connect.client_for(tracking.store_uri(root))._tracking_client.store.engine


def disconnect() -> None:
    """Closes the connections to the store of this root; the next use of it opens others."""
    engine_of().dispose()
