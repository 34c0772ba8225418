"""Films of weights and pictures of plugins."""

from harness.pictures.film import SETTINGS, settings

__all__ = ["SETTINGS", "settings"]
