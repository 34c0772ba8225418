"""The spool: everything a run logs, safe on disk before it goes anywhere else, so no outage and no
kill can lose it.

One driver writes a spool; any process may read it. Nothing in it is code, nothing is pickled, and
no name becomes a path: a record lies in a folder named by a number (the order of writing), "trial"
or "parent", and the hash of its id.
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from harness.errors import UsageError
from harness.storage import files as disk
from harness.storage.formats import Damaged, seal, sha256
from harness.storage.paths import safe_path
from harness.storage.records import (
    ParentRun,
    Run,
    key_of,
    plain,
    read_mark,
    read_record,
    record_as_json,
)
from harness.storage.secrets import masked_file

_FOLDER = re.compile(r"(\d{8})-(trial|parent)-([0-9a-f]{32})")


class Spool:
    """The records of one sweep in `folder`: trials as they end, and the parent's newest state.

    A record is there whole or not at all: it is made in a temporary folder, synced, then renamed.
    Writing an id again replaces its record. Once a record is in MLflow its artifacts are deleted
    here; its JSON stays, it is what resuming reads. Raises UsageError where the folder cannot be
    used or does not take what is written. With clean=False what a crash has left there stays until
    somebody writes. A record whose mark of being in MLflow is damaged waits again, since MLflow
    stores once what it is sent twice; `unmarked` has their folders.
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
        # Replaced: the newer record stands
        if (old := self._records.pop(key, None)) and self._clean:
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
        files = {
            safe_path(path): masked_file(path, data) for path, data in record.artifacts.items()
        }
        if record.files and not files:  # read from a spool and written again
            with disk.on_disk(record.files, "folder"):
                found = [path for path in record.files.rglob("*") if path.is_file()]
                files = {
                    PurePosixPath(path.relative_to(record.files)): path.read_bytes()
                    for path in found
                }
        entry = record_as_json(record)
        # those of files that were read from the spool stay as they were first, so that damage
        # meanwhile is noticed
        fresh_sums = (
            {str(path): sha256(data) for path, data in files.items()} if record.artifacts else {}
        )
        entry["checksums"] = {**record.checksums, **fresh_sums}
        # One writer, so one name, and what a crash left of it goes now
        fresh = self.folder / ".new"
        disk.remove_tree(fresh)
        disk.make_folder(fresh)
        folders = {fresh}
        for path, data in files.items():
            target = fresh / "files" / path
            disk.make_folder(target.parent)
            disk.write_durably(target, data)
            folders.update(parent for parent in target.parents if parent.is_relative_to(fresh))
        disk.write_durably(fresh / "record.json", seal("record", entry, plain))
        for folder in folders:
            disk.sync_folder(folder)
        kind = "parent" if isinstance(record, ParentRun) else "trial"
        final = self.folder / f"{self._next:08d}-{kind}-{key_of(record.id)}"
        disk.rename(fresh, final)
        disk.sync_folder(self.folder)
        self._next += 1
        self._enter(final)

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, id: str) -> bool:
        return key_of(id) in self._records

    def read(self, id: str) -> Run:
        """The record of one id; KeyError if there is none."""
        return self._load(self._records[key_of(id)])

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
                f"the record {path} must be as it was written, but it is damaged ({error}); "
                f"`harness doctor` puts it "
                "aside, and its run is trained again"
            ) from error

    def is_logged(self, id: str) -> bool:
        """Whether MLflow has this record."""
        return (key := key_of(id)) in self._records and key not in self._pending

    def run_id(self, id: str) -> str | None:
        """The run that this record has become in MLflow, or None while it waits."""
        return self._mark(id)[0] if self.is_logged(id) else None

    def store(self, id: str) -> str:
        """Where MLflow has this record, as `mark_logged` was told; "" while it waits."""
        return self._mark(id)[1] if self.is_logged(id) else ""

    def _mark(self, id: str) -> tuple[str, str]:
        path = self._records[key_of(id)]
        try:
            return read_mark(path)
        except Damaged as error:  # it was whole when the spool was opened
            raise UsageError(
                f"{path / 'logged'} is damaged ({error}); `harness doctor` mends it"
            ) from error

    def mark_logged(self, id: str, run_id: str = "", store: str = "") -> None:
        """Remember that MLflow has this record (as `run_id` in `store`), and free the space of its
        artifacts.
        """
        path = self._records[key_of(id)]
        disk.write_durably(path / ".logged", seal("mark", {"run_id": run_id, "store": store}))
        disk.rename(path / ".logged", path / "logged")
        disk.sync_folder(path)  # before its artifacts go
        self._settle(path)

    def mark_waiting(self, id: str, artifacts: Path | None = None) -> None:
        """The record waits again, since MLflow has lost it; with copies of the files of a folder as
        its artifacts.
        """
        path = self._records[key_of(id)]
        if artifacts is not None and artifacts.is_dir():
            disk.copy_tree(artifacts, path / "files")
        disk.remove(path / "logged")
        self._pending[key_of(id)] = path


def _try_to_remove(path: Path) -> None:
    """Frees the space of what is not needed any more; the next who opens the spool tries again."""
    with contextlib.suppress(disk.DiskError):
        disk.remove_tree(path)
