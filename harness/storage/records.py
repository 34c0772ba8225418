"""What one run logs, as data: the record of a trial and that of its parent."""

import hashlib
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.escapes import encodable
from harness.storage.clock import now_ms
from harness.storage.formats import Damaged, sha256, unseal
from harness.storage.paths import safe_path
from harness.storage.result import TrialResult
from harness.storage.secrets import masked


class RunStatus(StrEnum):
    """The statuses of a run that MLflow knows."""

    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


@dataclass(repr=False)
class Run:
    """What one run logs, start to end; the fields that trials and parents share.

    `id` is unique for ever ("my sweep/12", or a hash) and is how a run is found again; `name` is
    what people read. `metrics` are points (key, value, step, time in ms); `artifacts` map a
    relative path ("films/weights.mp4") to bytes. A record read back from a spool has `files`, the
    folder that holds them, instead, and the SHA-256 of each as `checksums`, which stay when the
    files have gone to MLflow. `description` is Markdown. `project` is the MLflow
    experiment, "" for that of the parent or of whoever sends it.
    """

    id: str
    name: str
    kind: str = "trial"
    params: dict[str, str | int | float | bool] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: list[tuple[str, float, int, int]] = field(default_factory=list)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    status: RunStatus = RunStatus.FINISHED
    start_ms: int = field(default_factory=now_ms)
    end_ms: int | None = None
    description: str = ""
    project: str = ""
    files: Path | None = None
    checksums: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # The texts come from scripts and plugins. Here they are made such that any stream and any
        # store can hold them.
        self.name, self.description = encodable(self.name), encodable(self.description)
        try:
            self.status = RunStatus(self.status)
        except ValueError:
            allowed = ", ".join(RunStatus)
            raise UsageError(
                f"a run's status must be one of {allowed}, but it is {self.status!r}"
            ) from None
        self.params = _encodable(self.params)
        self.tags = _encodable(self.tags)
        self.metrics = [(encodable(point[0]), *point[1:]) for point in self.metrics]

    def __repr__(self) -> str:
        """In a line; what was logged can be looked up by its fields."""
        return f"<{type(self).__name__} {self.name!r}: {self._shown_state()}>"

    def _shown_state(self) -> str:
        return self.status


def _encodable(value: Any) -> Any:
    """JSON whose texts, keys too, are printable."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, dict):
        return {_encodable(key): _encodable(each) for key, each in value.items()}
    return [_encodable(each) for each in value] if isinstance(value, list | tuple) else value


@dataclass(repr=False)
class TrialRun(Run):
    """One trial, written once, when it has ended.

    Attributes
    ----------
    number : int or None
        Its number within its sweep or comparison; None for a run that stands alone.
    result : TrialResult
        What came of it. It stays in the spool and never goes to MLflow as it is: a driver needs it
        to go on after a restart.
    """

    number: int | None = None
    result: TrialResult = field(default_factory=TrialResult)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.result = TrialResult(**_encodable(vars(self.result)))

    def _shown_state(self) -> str:
        return self.result.state


@dataclass(repr=False)
class ParentRun(Run):
    """A sweep, a comparison or a run that stands alone (`kind` "sweep", "comparison", "run").

    It is RUNNING until it ends.

    Attributes
    ----------
    sitting : int
        How many times it has been started.
    records : int
        How many records its spool had when it ended.
    yardstick : dict or None
        What its values are measured by (`studies.yardstick`), as it was at the last start.
    """

    kind: str = "sweep"
    status: RunStatus = RunStatus.RUNNING
    sitting: int = 0
    records: int = 0
    yardstick: dict[str, Any] | None = None


def key_of(id: str) -> str:
    return hashlib.sha256(id.encode()).hexdigest()[:32]


def plain(value: Any) -> Any:
    """NumPy scalars as the numbers they are."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"a record holds JSON only, not {type(value).__name__}")


def record_as_json(record: Run) -> dict[str, Any]:
    """The content of the file that a record is kept in, with all credentials masked."""
    entry = {f.name: getattr(record, f.name) for f in fields(record)}
    del entry["artifacts"], entry["files"]
    if isinstance(record, TrialRun):
        entry["result"] = masked(asdict(record.result))
    for part in ("params", "tags", "description"):
        entry[part] = masked(entry[part])
    return entry


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
        if (path / "files").is_dir():
            entry["files"] = path / "files"
        if "-parent-" in path.name:
            return ParentRun(**entry)
        result = TrialResult(**entry.pop("result"))
        return TrialRun(**entry, result=result)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise Damaged(str(error)) from error


def read_mark(path: Path) -> tuple[str, str]:
    """The run that the record in a folder has become in MLflow, and the store; Damaged where nobody
    can tell.
    """
    try:
        mark = unseal("mark", (path / "logged").read_bytes(), path / "logged")
        return mark["run_id"], mark["store"]
    except (OSError, KeyError, TypeError) as error:
        raise Damaged(str(error)) from error


def changed_files(folder: Path, checksums: dict[str, str]) -> list[str]:
    """The files in a folder that are not as they were written, by name; those that are not there do
    not count.
    """
    changed = []
    for name, checksum in checksums.items():
        path = folder / safe_path(name)
        if path.is_file() and sha256(path.read_bytes()) != checksum:
            changed.append(name)
    return changed
