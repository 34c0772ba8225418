"""MLflow, and the only room that imports it: connecting, writing, reading, its health and its
UI.
"""

from harness.tracking.connect import artifacts_folder, place, store_uri
from harness.tracking.entities import key_for
from harness.tracking.health import StoreState, check_store
from harness.tracking.reader import (
    KnownRun,
    Parent,
    Recorded,
    known_runs,
    parents,
    recorded,
    results,
)
from harness.tracking.ui import serve_ui, ui_command
from harness.tracking.writer import Tracker, open_tracker

__all__ = [
    "KnownRun",
    "Parent",
    "Recorded",
    "StoreState",
    "Tracker",
    "artifacts_folder",
    "check_store",
    "key_for",
    "known_runs",
    "open_tracker",
    "parents",
    "place",
    "recorded",
    "results",
    "serve_ui",
    "store_uri",
    "ui_command",
]
