"""The checksums of those artifacts that are read back from MLflow, kept in tags of their run."""

import json
import re
from collections.abc import Mapping

from harness.errors import UsageError
from harness.storage.formats import FORMATS, upgraded

_READ_BACK = ("config.json", "environment.json")  # beside the sources in plugins/
_FILES_PER_TAG = 60  # A tag of MLflow holds 8000 characters.
_TAG = "harness.files"


def is_read_back(path: str) -> bool:
    """Return whether an artifact of that path is read back from MLflow."""
    return path in _READ_BACK or path.startswith("plugins/")


def checksum_tags(checksums: Mapping[str, str]) -> dict[str, str]:
    """Make tags with the SHA-256 of the artifacts that are read back, and their version.

    Parameters
    ----------
    checksums
        The SHA-256 of all artifacts of a run, by path.
    """
    kept = sorted(path for path in checksums if is_read_back(path))
    tags = {}
    for start in range(0, len(kept), _FILES_PER_TAG):
        number = start // _FILES_PER_TAG
        key = f"{_TAG}.{number}" if number else _TAG
        part = {path: checksums[path] for path in kept[start : start + _FILES_PER_TAG]}
        tags[key] = json.dumps({"version": FORMATS["artifacts"].version, "sha256": part})
    return tags


def checksums_in(tags: Mapping[str, str], name: str) -> dict[str, str]:
    """Return the SHA-256 of the artifacts of a run that are read back, by path.

    Parameters
    ----------
    tags
        The tags of the run.
    name
        The name of the run, for messages.

    Raises
    ------
    UsageError
        If a tag is damaged, or the artifacts are of a version that is not read here.
    """
    checksums: dict[str, str] = {}
    for key, text in tags.items():
        if not re.fullmatch(rf"{re.escape(_TAG)}(\.\d+)?", key):
            continue
        try:
            content = json.loads(text)
            version = int(content["version"])
            part = dict(content["sha256"])
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"the tag {key} of {name!r} must have the checksums of its artifacts, but is "
                f"damaged ({error}); `harness doctor` mends it"
            ) from error
        checksums |= upgraded("artifacts", version, part, f"what {name!r} has left")
    return checksums
