"""The version of this package."""

from importlib import metadata


def version() -> str:
    """The version of this package."""
    try:
        return metadata.version("mlp-harness")
    except metadata.PackageNotFoundError:
        return "unknown"  # run from its source
