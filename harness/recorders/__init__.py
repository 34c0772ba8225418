"""Recorders: what a training run leaves behind. record(trained) -> Report(metrics, artifacts)."""

# Importing these four registers them.
from harness.recorders import film, health, history, timing  # noqa: F401
from harness.recorders.report import Report, Trained
from harness.recorders.running import report

__all__ = ["Report", "Trained", "report"]
