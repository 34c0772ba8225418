"""MLflow, which only this room imports: connecting, writing, reading, its health and its UI."""

from harness.tracking.connect import artifacts_folder, place, store_uri
from harness.tracking.entities import key_for
from harness.tracking.health import StoreState, check_store
from harness.tracking.reader import KnownRun, known_runs, parents
from harness.tracking.recorded_run import Recorded, recorded
from harness.tracking.table import results
from harness.tracking.ui import serve_ui, ui_command
from harness.tracking.writer import Tracker, open_tracker

__all__ = [
    "KnownRun",
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
