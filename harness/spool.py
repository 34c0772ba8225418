"""The spool: everything a run logs, safe on disk before it goes anywhere else, so no outage and no kill can lose it.

One driver writes a spool; any process may read it. Nothing in it is code, nothing is pickled, and no name becomes a
path: a record lies in a folder named by a number (the order of writing), "trial" or "parent", and the hash of its id.
"""

import contextlib
import hashlib
import os
import re
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any

from harness.errors import UsageError
from harness.escapes import encodable
from harness.storage import files as disk
from harness.storage.formats import Damaged, seal, sha256, unseal
from harness.storage.paths import safe_path

_FOLDER = re.compile(r"(\d{8})-(trial|parent)-([0-9a-f]{32})")
STATUSES = ("RUNNING", "FINISHED", "FAILED", "KILLED")


_SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")


def now_ms() -> int:
    """Milliseconds since 1970, the clock of every start and end."""
    return time.time_ns() // 1_000_000


def mask(text: str) -> str:
    """`text`, printable, with the credentials of every URI in it and of the tracking server replaced by ***."""
    text = encodable(text)
    text = re.sub(r"://([^\s/:@]*):\S*@", r"://\1:***@", text)  # scheme://user:password@host
    text = re.sub(r"://[^\s/:@]+@", "://***@", text)  # scheme://token@host
    text = re.sub(r"(?i)([?&][^=&\s]*(?:password|passwd|pwd|token|secret|key)[^=&\s]*=)[^&\s]*", r"\1***", text)
    for secret in _secrets():
        text = text.replace(secret, "***")
    return text


def _secrets() -> Iterator[str]:
    """The credentials of the tracking server, for where they stand without their URI. Short ones are words."""
    try:
        parts = urllib.parse.urlsplit(os.environ.get("MLFLOW_TRACKING_URI", ""))
        found = parts.password or (parts.username if "@" in parts.netloc else None) or ""
    except ValueError:  # no URI
        found = ""
    for secret in (found, urllib.parse.unquote(found), *(os.environ.get(name, "") for name in _SECRETS)):
        if len(secret) >= 6:
            yield secret


def _masked(value: Any) -> Any:
    """JSON with its texts masked; keys and numbers as they are."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {key: _masked(each) for key, each in value.items()}
    return [_masked(each) for each in value] if isinstance(value, list | tuple) else value


def _masked_file(path: str, data: bytes) -> bytes:
    """Texts, such as a traceback, masked; any other file as it is."""
    if not path.endswith(".txt"):
        return data
    return mask(data.decode(errors="surrogateescape")).encode(errors="surrogateescape")


def find_root(start: Path | None = None) -> Path:
    """The folder that holds mlruns/: HARNESS_ROOT, else the nearest parent with mlruns/ or pyproject.toml, else here.

    `start` (default: the current folder) is where the search begins; it counts as its own nearest parent.
    """
    if named := os.environ.get("HARNESS_ROOT"):
        return Path(named).expanduser().absolute()
    here = Path(start or Path.cwd()).absolute()
    for folder in (here, *here.parents):
        if (folder / "mlruns").is_dir() or (folder / "pyproject.toml").is_file():
            return folder
    return here


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


def _encodable(value: Any) -> Any:
    """JSON whose texts, keys too, are printable."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, dict):
        return {_encodable(key): _encodable(each) for key, each in value.items()}
    return [_encodable(each) for each in value] if isinstance(value, list | tuple) else value

    def __repr__(self) -> str:
        """In a line; what was logged can be looked up by its fields."""
        return f"<{type(self).__name__} {self.name!r}: {self.extra.get('state', self.status)}>"


@dataclass(repr=False)
class TrialRun(Run):
    """One trial, written once, when it has ended; `number` counts within its sweep."""

    number: int | None = None


@dataclass(repr=False)
class ParentRun(Run):
    """A sweep, a comparison or a run that stands alone (`kind` "sweep", "comparison", "run"); RUNNING until it ends."""

    kind: str = "sweep"
    status: str = "RUNNING"


def _key(id: str) -> str:
    return hashlib.sha256(id.encode()).hexdigest()[:32]


def _plain(value: Any) -> Any:
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


class Spool:
    """The records of one sweep in `folder`: trials as they end, and the parent's newest state.

    A record is there whole or not at all: it is made in a temporary folder, synced, then renamed. Writing an id again
    replaces its record. Once a record is in MLflow its artifacts are deleted here; its JSON stays, it is what resuming
    reads. Raises UsageError where the folder cannot be used or does not take what is written. With clean=False what a
    crash has left there stays until somebody writes. A record whose mark of being in MLflow is damaged waits again,
    since MLflow stores once what it is sent twice; `unmarked` has their folders.
    """

    def __init__(self, folder: Path | str, clean: bool = True):
        self.folder, self._clean = Path(folder), clean
        self._records: dict[str, Path] = {}  # key -> its folder, in the order of writing
        self._pending: dict[str, Path] = {}  # the part of it that MLflow does not have yet
        self._parent: Path | None = None
        self.unmarked: list[Path] = []
        if disk.make_folder(self.folder):
            disk.sync_folder(self.folder.parent)
        with disk.on_disk(self.folder, "folder"):
            paths = sorted(path for path in self.folder.iterdir() if _FOLDER.fullmatch(path.name))
        self._next = int(paths[-1].name[:8]) + 1 if paths else 0
        for path in paths:
            self._enter(path)
            if not (path / "logged").exists():
                continue
            try:
                read_mark(path)
            except Damaged:
                self.unmarked.append(path)
            else:
                self._settle(path)

    def _enter(self, path: Path) -> None:
        _, kind, key = path.name.split("-")
        self._pending.pop(key, None)
        if (old := self._records.pop(key, None)) and self._clean:  # replaced: the newer record stands
            _try_to_remove(old)
        self._records[key] = self._pending[key] = path
        if kind == "parent":
            self._parent = path

    def _settle(self, path: Path) -> None:
        self._pending.pop(path.name.split("-")[2], None)
        if self._clean:
            _try_to_remove(path / "files")

    def write(self, record: Run) -> None:
        """Put a record on disk, durably; when this returns, a power cut cannot take it away."""
        if record.status not in STATUSES:
            raise UsageError(f"a run's status must be one of {', '.join(STATUSES)}, but it is {record.status!r}")
        files = {safe_path(path): _masked_file(path, data) for path, data in record.artifacts.items()}
        if record.files and not files:  # read from a spool and written again
            with disk.on_disk(record.files, "folder"):
                found = [path for path in record.files.rglob("*") if path.is_file()]
                files = {PurePosixPath(path.relative_to(record.files)): path.read_bytes() for path in found}
        entry = {f.name: getattr(record, f.name) for f in fields(record) if f.name not in ("artifacts", "files")}
        for part in ("params", "tags", "description", "extra"):
            entry[part] = _masked(entry[part])
        # those of files that were read from the spool stay as they were first, so that damage meanwhile is noticed
        fresh_sums = {str(path): sha256(data) for path, data in files.items()} if record.artifacts else {}
        entry["checksums"] = {**record.checksums, **fresh_sums}
        fresh = self.folder / ".new"  # one writer, so one name, and what a crash left of it goes now
        disk.remove_tree(fresh)
        disk.make_folder(fresh)
        folders = {fresh}
        for path, data in files.items():
            target = fresh / "files" / path
            disk.make_folder(target.parent)
            disk.write_durably(target, data)
            folders.update(parent for parent in target.parents if parent.is_relative_to(fresh))
        disk.write_durably(fresh / "record.json", seal("record", entry, _plain))
        for folder in folders:
            disk.sync_folder(folder)
        kind = "parent" if isinstance(record, ParentRun) else "trial"
        final = self.folder / f"{self._next:08d}-{kind}-{_key(record.id)}"
        disk.rename(fresh, final)
        disk.sync_folder(self.folder)
        self._next += 1
        self._enter(final)

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, id: str) -> bool:
        return _key(id) in self._records

    def read(self, id: str) -> Run:
        """The record of one id; KeyError if there is none."""
        return self._load(self._records[_key(id)])

    def records(self) -> Iterator[Run]:
        """All records, in the order in which they were (last) written."""
        return map(self._load, list(self._records.values()))

    def sound(self) -> Iterator[Run]:
        """The records that can be read, in the same order."""
        for path in list(self._records.values()):
            with contextlib.suppress(UsageError):
                yield self._load(path)

    def pending(self) -> Iterator[Run]:
        """The records that are not in MLflow yet, in the same order."""
        return map(self._load, list(self._pending.values()))

    @property
    def waiting(self) -> int:
        """How many records are not in MLflow yet."""
        return len(self._pending)

    def parent(self) -> ParentRun | None:
        """The parent's newest state, or None."""
        return self._load(self._parent) if self._parent else None

    def _load(self, path: Path) -> Any:
        try:
            return read_record(path)
        except Damaged as error:
            raise UsageError(
                f"the record {path} must be as it was written, but it is damaged ({error}); `harness doctor` puts it "
                "aside, and its run is trained again"
            ) from error

    def is_logged(self, id: str) -> bool:
        """Whether MLflow has this record."""
        return (key := _key(id)) in self._records and key not in self._pending

    def run_id(self, id: str) -> str | None:
        """The run that this record has become in MLflow, or None while it waits."""
        return self._mark(id)[0] if self.is_logged(id) else None

    def store(self, id: str) -> str:
        """Where MLflow has this record, as `mark_logged` was told; "" while it waits."""
        return self._mark(id)[1] if self.is_logged(id) else ""

    def _mark(self, id: str) -> tuple[str, str]:
        path = self._records[_key(id)]
        try:
            return read_mark(path)
        except Damaged as error:  # it was whole when the spool was opened
            raise UsageError(f"{path / 'logged'} is damaged ({error}); `harness doctor` mends it") from error

    def mark_logged(self, id: str, run_id: str = "", store: str = "") -> None:
        """Remember that MLflow has this record (as `run_id` in `store`), and free the space of its artifacts."""
        path = self._records[_key(id)]
        disk.write_durably(path / ".logged", seal("mark", {"run_id": run_id, "store": store}))
        disk.rename(path / ".logged", path / "logged")
        disk.sync_folder(path)  # before its artifacts go
        self._settle(path)

    def mark_waiting(self, id: str, artifacts: Path | None = None) -> None:
        """The record waits again, since MLflow has lost it; with copies of the files of a folder as its artifacts."""
        path = self._records[_key(id)]
        if artifacts is not None and artifacts.is_dir():
            disk.copy_tree(artifacts, path / "files")
        disk.remove(path / "logged")
        self._pending[_key(id)] = path


def _try_to_remove(path: Path) -> None:
    """Frees the space of what is not needed any more; the next who opens the spool tries again."""
    with contextlib.suppress(disk.DiskError):
        disk.remove_tree(path)
