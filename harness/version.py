"""The version of this package."""

from functools import cache
from importlib import metadata


@cache  # each trial asks, and it is read from a file
def version() -> str:
    """Return the version of this package, "unknown" where it runs from its source."""
    try:
        return metadata.version("mlp-harness")
    except metadata.PackageNotFoundError:
        return "unknown"
