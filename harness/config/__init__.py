"""Everything that decides the outcome of one training run, as plain data: JSON in and out."""

from harness.config.config import SETTINGS, Config, refuse_unknown_fields
from harness.config.population import stack
from harness.config.writing import brief

__all__ = ["SETTINGS", "Config", "brief", "refuse_unknown_fields", "stack"]
