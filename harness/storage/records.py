"""What one run logs, as data: the record of a trial and that of its parent."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.escapes import encodable
from harness.storage.clock import now_ms
from harness.storage.formats import Damaged, sha256, unseal
from harness.storage.paths import safe_path

STATUSES = ("RUNNING", "FINISHED", "FAILED", "KILLED")


@dataclass(repr=False)
class Run:
    """What one run logs, start to end; the fields that trials and parents share.

    `id` is unique for ever ("my sweep/12", or a hash) and is how a run is found again; `name` is what people read.
    `metrics` are points (key, value, step, time in ms); `artifacts` map a relative path ("films/weights.mp4") to
    bytes. A record read back from a spool has `files`, the folder that holds them, instead, and the SHA-256 of each as
    `checksums`, which stay when the files have gone to MLflow. `extra` is JSON that stays in the spool and never goes
    to MLflow: what a driver needs to go on after a restart. `description` is Markdown.
    `project` is the MLflow experiment, "" for that of the parent or of whoever sends it.
    """

    id: str
    name: str
    kind: str = "trial"
    params: dict[str, str | int | float | bool] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: list[tuple[str, float, int, int]] = field(default_factory=list)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    status: str = "FINISHED"
    start_ms: int = field(default_factory=now_ms)
    end_ms: int | None = None
    description: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
    project: str = ""
    files: Path | None = None
    checksums: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # The texts come from scripts and plugins. Here they are made such that any stream and any store can hold them.
        self.name, self.description = encodable(self.name), encodable(self.description)
        self.params, self.tags, self.extra = _encodable(self.params), _encodable(self.tags), _encodable(self.extra)
        self.metrics = [(encodable(point[0]), *point[1:]) for point in self.metrics]

    def __repr__(self) -> str:
        """In a line; what was logged can be looked up by its fields."""
        return f"<{type(self).__name__} {self.name!r}: {self.extra.get('state', self.status)}>"


def _encodable(value: Any) -> Any:
    """JSON whose texts, keys too, are printable."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, dict):
        return {_encodable(key): _encodable(each) for key, each in value.items()}
    return [_encodable(each) for each in value] if isinstance(value, list | tuple) else value


@dataclass(repr=False)
class TrialRun(Run):
    """One trial, written once, when it has ended; `number` counts within its sweep."""

    number: int | None = None


@dataclass(repr=False)
class ParentRun(Run):
    """A sweep, a comparison or a run that stands alone (`kind` "sweep", "comparison", "run"); RUNNING until it ends."""

    kind: str = "sweep"
    status: str = "RUNNING"


def key_of(id: str) -> str:
    return hashlib.sha256(id.encode()).hexdigest()[:32]


def plain(value: Any) -> Any:
    """NumPy scalars as the numbers they are."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"a record holds JSON only, not {type(value).__name__}")


def read_record(path: Path) -> Any:
    """The record in a folder of a spool.

    Raises
    ------
    Damaged
        It cannot be read, or is not as it was written.
    OtherVersion
        It is of a version that is not read here.
    """
    try:
        entry = unseal("record", (path / "record.json").read_bytes(), path)
        entry["metrics"] = [tuple(point) for point in entry["metrics"]]
        kind = ParentRun if "-parent-" in path.name else TrialRun
        return kind(**entry, files=path / "files" if (path / "files").is_dir() else None)
    except (OSError, KeyError, TypeError) as error:
        raise Damaged(str(error)) from error


def read_mark(path: Path) -> tuple[str, str]:
    """The run that the record in a folder has become in MLflow, and the store; Damaged where nobody can tell."""
    try:
        mark = unseal("mark", (path / "logged").read_bytes(), path / "logged")
        return mark["run_id"], mark["store"]
    except (OSError, KeyError, TypeError) as error:
        raise Damaged(str(error)) from error


def changed_files(folder: Path, checksums: dict[str, str]) -> list[str]:
    """The files in a folder that are not as they were written, by name; those that are not there do not count."""
    changed = []
    for name, checksum in checksums.items():
        path = folder / safe_path(name)
        if path.is_file() and sha256(path.read_bytes()) != checksum:
            changed.append(name)
    return changed
