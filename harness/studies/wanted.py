"""Whether a study draws when it ends, and what has to be imported for that."""

import os


def is_wanted() -> bool:
    """Whether studies draw pictures and write a report when they end: unless HARNESS_REPORT=0."""
    return os.environ.get("HARNESS_REPORT", "1") != "0"


def to_preload() -> list[str]:
    """The modules that workers need to draw, if they are to."""
    return ["harness.studies.drawing"] if is_wanted() else []
