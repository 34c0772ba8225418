"""The version of this package."""

from importlib import metadata


def version() -> str:
    """Return the version of this package, "unknown" where it runs from its source."""
    try:
        return metadata.version("mlp-harness")
    except metadata.PackageNotFoundError:
        return "unknown"
