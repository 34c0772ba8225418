"""What one run logs, as data: the record of a trial and that of its parent."""

from dataclasses import InitVar, dataclass, field, fields
from enum import StrEnum
from itertools import starmap
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import UsageError
from harness.escapes import encodable
from harness.storage.clock import now_ms
from harness.storage.ranking import Objective
from harness.storage.result import TrialResult
from harness.storage.secrets import masked


class RunStatus(StrEnum):
    """The statuses of a run that MLflow knows."""

    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


class Point(NamedTuple):
    """One point of a metric.

    Attributes
    ----------
    key : str
        The name of the metric.
    value : float
        It may be infinite or NaN.
    step : int
        The epoch, or whatever else the metric is drawn over.
    time_ms : int
        In ms since 1970.
    """

    key: str
    value: float
    step: int
    time_ms: int


class DataInput(NamedTuple):
    """Data that a run was trained on or validated with; one of the inputs of its run.

    Attributes
    ----------
    name : str
        The data set.
    digest : str
        Of these rows, at most 36 characters; equal digests are equal rows.
    source : str
        Where they come from, as JSON: {"tags": {...}}.
    schema : str
        Its columns, as JSON; empty where there are too many.
    profile : str
        The counts of rows, features and classes, as JSON.
    context : str
        "training" or "validation".
    """

    name: str
    digest: str
    source: str
    schema: str
    profile: str
    context: str


@dataclass(repr=False)
class Run:
    """What one run logs, start to end; the fields that trials and parents share.

    Attributes
    ----------
    id : str
        Unique for ever ("my sweep/12", or a hash): how a run is found again.
    name : str
        What people read.
    kind : str
        "trial", or what the parent is.
    params : dict
        Numbers, truth values and texts, by name.
    tags : dict of str to str
        Those that the harness or a user sets.
    metrics : list of Point
        All points of all metrics; plain tuples become points.
    artifacts : dict of str to bytes
        The content of files by their relative path ("films/weights.mp4"). A record that is read
        from a spool has none.
    status : RunStatus
        How the run stands.
    start_ms : int
        When it started, in ms since 1970.
    end_ms : int or None
        When it ended; None while it goes on.
    description : str
        Markdown.
    inputs : list of DataInput
        The data that it was trained on; plain tuples become data.
    project : str
        The MLflow experiment; empty for that of the parent or of whoever sends it.
    files : Path or None
        The folder with the artifacts, in a record that is read from a spool.
    checksums : dict of str to str
        The SHA-256 of each artifact, which stays when the files have gone to MLflow.
    """

    id: str
    name: str
    kind: str = "trial"
    params: dict[str, str | int | float | bool] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: list[Point] = field(default_factory=list)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    status: RunStatus = RunStatus.FINISHED
    start_ms: int = field(default_factory=now_ms)
    end_ms: int | None = None
    description: str = ""
    project: str = ""
    files: Path | None = None
    checksums: dict[str, str] = field(default_factory=dict)
    inputs: list[DataInput] = field(default_factory=list)
    # Whether it comes from a spool, where its texts were made printable before.
    is_read: InitVar[bool] = False

    def __post_init__(self, is_read: bool) -> None:
        try:
            self.status = RunStatus(self.status)
        except ValueError:
            allowed = ", ".join(RunStatus)
            raise UsageError(
                f"a run's status must be one of {allowed}, but it is {self.status!r}"
            ) from None
        if is_read:
            self.metrics = list(starmap(Point, self.metrics))
            self.inputs = list(starmap(DataInput, self.inputs))
            return
        # The texts come from scripts and plugins. Here they are made such that any stream and any
        # store can hold them.
        self.name = encodable(self.name)
        self.description = encodable(self.description)
        self.params = _encodable(self.params)
        self.tags = _encodable(self.tags)
        self.metrics = [
            Point(encodable(key), value, step, time_ms)
            for key, value, step, time_ms in self.metrics
        ]
        self.inputs = [DataInput(*_encodable(given)) for given in self.inputs]

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
        return {_encodable(key): _encodable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(inner) for inner in value]
    return value


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

    def __post_init__(self, is_read: bool) -> None:
        super().__post_init__(is_read)
        if is_read:
            return
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
    note : str
        What the user says of it: Markdown, which begins the description.
    """

    kind: str = "sweep"
    status: RunStatus = RunStatus.RUNNING
    sitting: int = 0
    records: int = 0
    yardstick: dict[str, Any] | None = None
    note: str = ""

    def __post_init__(self, is_read: bool) -> None:
        super().__post_init__(is_read)
        self.note = encodable(self.note)

    @property
    def objective(self) -> Objective:
        """What its trials are ranked by first of all."""
        name = self.tags.get("harness.metric") or self.params.get("metric") or "accuracy"
        return Objective(str(name), self.tags.get("harness.direction", "maximize"))

    @property
    def curve(self) -> str:
        """The metric that shows best how a trial goes on: its objective, or its config's metric."""
        return self.objective.key_of_epochs or f"valid/{self.params.get('metric', 'accuracy')}"


# Records as JSON ----------------------------------------------------------------------------------

# The spool keeps artifacts as files beside the JSON.
_NOT_JSON = ("artifacts", "files")
# What scripts and users write, where a credential may have got into.
_MASKED = ("params", "tags", "description", "inputs")


def record_as_json(record: Run) -> dict[str, Any]:
    """A record as JSON, without its artifacts and with all credentials masked."""
    entry = {f.name: getattr(record, f.name) for f in fields(record) if f.name not in _NOT_JSON}
    if isinstance(record, ParentRun):
        entry["yardstick"] = masked(record.yardstick)
        entry["note"] = masked(record.note)
    if isinstance(record, TrialRun):
        entry["result"] = masked(vars(record.result))
    for name in _MASKED:
        entry[name] = masked(entry[name])
    return entry


def trial_from_json(entry: dict[str, Any], files: Path | None) -> TrialRun:
    """The record of a trial that `record_as_json` was given; its artifacts are in `files`."""
    content = dict(entry)
    result = TrialResult(**content.pop("result"))
    return TrialRun(**content, result=result, files=files, is_read=True)


def parent_from_json(entry: dict[str, Any], files: Path | None) -> ParentRun:
    """The record of a parent that `record_as_json` was given; its artifacts are in `files`."""
    return ParentRun(**entry, files=files, is_read=True)


def as_json_number(value: Any) -> Any:
    """A NumPy scalar as the number that it is, for `json.dumps`; TypeError for anything else."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"a record holds JSON only, not {type(value).__name__}")
