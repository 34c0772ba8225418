"""The connections of MLflow to a store, which tests close before they move or damage its file."""

from pathlib import Path
from typing import Any

from harness import tracking
from harness.tracking import connect


def engine_of(root: Path | None = None) -> Any:
    """SQLAlchemy's engine of the store below a root. MLflow offers no public way to it."""
    return connect.client_for(tracking.store_uri(root))._tracking_client.store.engine


def disconnect() -> None:
    """Closes the connections to the store of this root; the next use of it opens others."""
    engine_of().dispose()
