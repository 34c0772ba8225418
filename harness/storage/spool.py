"""The spool: everything a run logs, safe on disk before it goes anywhere else.

So no outage and no kill can lose it. One driver writes a spool; any process may read it. Nothing in
it is code, and nothing is pickled.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from harness.errors import UsageError
from harness.storage import files, marks
from harness.storage.findings import Finding, check_half_written, removal
from harness.storage.formats import Damaged
from harness.storage.marks import Mark
from harness.storage.record_folder import (
    ARTIFACTS,
    ORDER_DIGITS,
    FolderName,
    damaged_record,
    key_of,
    name_for,
    parse_name,
    read_record,
    write_record,
)
from harness.storage.records import ParentRun, Run

_HALF_WRITTEN = ".new"
_GOING = ".old"


class Spool:
    """The records of one sweep in a folder: trials as they end, and the parent's newest state.

    A record is there whole or not at all: it is made in a temporary folder, synced, then renamed.
    Writing an id again replaces its record. Once a record is in MLflow its artifacts are deleted
    here; its JSON stays, since it is what resuming reads. A record whose mark of being in MLflow is
    damaged waits again, since MLflow stores once what it is sent twice.

    Parameters
    ----------
    folder : Path or str
        The folder of the spool; it is made where it is missing.
    clean : bool
        Whether to remove what a crash has left there. Without it that stays until somebody writes.

    Attributes
    ----------
    folder : Path
        The folder of the spool.

    Raises
    ------
    UsageError
        If the folder cannot be used.
    """

    def __init__(self, folder: Path | str, clean: bool = True) -> None:
        self.folder = Path(folder)
        self._clean = clean
        # By key, in the order of writing: the folders of all records, and of those that MLflow does
        # not have yet.
        self._records: dict[str, Path] = {}
        self._pending: dict[str, Path] = {}
        self._parent: Path | None = None
        self._next = 0
        self._damaged_marks: list[Finding] = []
        if files.make_folder(self.folder):
            files.sync_folder(self.folder.parent)
        self.refresh()

    def refresh(self) -> None:
        """Takes in what another process has written since; who writes himself needs it never."""
        with files.on_disk(self.folder, "folder"):
            names = os.listdir(self.folder)
        # A writer looks here after each trial, so that what it knows must cost next to nothing.
        first = f"{self._next:0{ORDER_DIGITS}d}"
        new = sorted(name for name in names if name[:ORDER_DIGITS] >= first)
        for path in map(self.folder.joinpath, new):
            name = parse_name(path)
            if name is not None and name.order >= self._next:
                self._enter(path, name)
                self._look_at_mark(path, name)

    def _enter(self, path: Path, name: FolderName) -> None:
        """Takes a record in; an older one of the same id is replaced by it."""
        self._pending.pop(name.key, None)
        older = self._records.pop(name.key, None)
        if older is not None and self._clean:
            _let_go(older)
        self._records[name.key] = path
        self._pending[name.key] = path
        self._next = name.order + 1
        if name.kind == "parent":
            self._parent = path

    def _look_at_mark(self, path: Path, name: FolderName) -> None:
        if not marks.is_marked(path):
            return
        damaged = marks.check(path)
        self._damaged_marks += damaged
        if not damaged:
            self._settle(path, name.key)

    def _settle(self, path: Path, key: str) -> None:
        """Takes note that MLflow has a record, so that its artifacts are not needed any more."""
        self._pending.pop(key, None)
        # Most have none any more, and pathlib takes longer to say so for thousands of records.
        if self._clean and os.path.exists(os.path.join(path, ARTIFACTS)):
            _try_to_remove(path / ARTIFACTS)

    # Writing

    def write(self, record: Run) -> None:
        """Puts a record on disk; when this returns, a power cut cannot take it away.

        Raises
        ------
        UsageError
            If the path of an artifact could leave the spool, or the disk does not take the record.
        """
        # There is one writer, so that one name will do; what a crash has left there goes now.
        fresh = self.folder / _HALF_WRITTEN
        write_record(fresh, record)
        name = name_for(record, self._next)
        path = self.folder / str(name)
        files.rename(fresh, path)
        files.sync_folder(self.folder)
        self._enter(path, name)

    def mark_logged(self, id: str, run_id: str = "", store: str = "") -> None:
        """Remembers that MLflow has a record, and frees the space of its artifacts.

        Parameters
        ----------
        id : str
            That of the record.
        run_id : str
            The run that it has become.
        store : str
            The store that has it.
        """
        key = key_of(id)
        path = self._records[key]
        # The mark must be durable before the artifacts go.
        marks.write_mark(path, Mark(run_id, store))
        self._settle(path, key)

    def mark_waiting(self, id: str, artifacts: Path | None = None) -> None:
        """Lets a record wait again, since MLflow has lost it.

        Parameters
        ----------
        id : str
            That of the record.
        artifacts : Path, optional
            A folder whose files are copied as the artifacts of the record, if it is there.
        """
        key = key_of(id)
        path = self._records[key]
        if artifacts is not None and artifacts.is_dir():
            files.copy_tree(artifacts, path / ARTIFACTS)
        marks.remove_mark(path)
        self._pending[key] = path

    # Reading

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, id: str) -> bool:
        return key_of(id) in self._records

    def read(self, id: str) -> Run:
        """The record of one id; KeyError if there is none."""
        return _load(self._records[key_of(id)])

    def records(self) -> Iterator[Run]:
        """All records, in the order in which they were (last) written."""
        return map(_load, list(self._records.values()))

    def sound(self) -> Iterator[Run]:
        """The records that can be read, in the same order."""
        for path in list(self._records.values()):
            with contextlib.suppress(UsageError):
                yield _load(path)

    def pending(self) -> Iterator[Run]:
        """The records that are not in MLflow yet, in the same order."""
        for path in list(self._pending.values()):
            with unless_replaced(path):
                yield _load(path)

    @property
    def waiting(self) -> int:
        """How many records are not in MLflow yet."""
        return len(self._pending)

    def parent(self) -> ParentRun | None:
        """The parent's newest state; None where there is none."""
        while self._parent is not None:
            with unless_replaced(self._parent):
                parent = _load(self._parent)
                assert isinstance(parent, ParentRun)  # the name of its folder says so
                return parent
            self.refresh()
        return None

    # Where MLflow has a record

    def is_logged(self, id: str) -> bool:
        """Whether MLflow has this record."""
        key = key_of(id)
        return key in self._records and key not in self._pending

    def run_id(self, id: str) -> str | None:
        """The run that a record has become in MLflow; None while it waits."""
        mark = self._mark(id)
        return None if mark is None else mark.run_id

    def store(self, id: str) -> str:
        """Where MLflow has a record, as `mark_logged` was told; empty while it waits."""
        mark = self._mark(id)
        return "" if mark is None else mark.store

    def _mark(self, id: str) -> Mark | None:
        if not self.is_logged(id):
            return None
        path = self._records[key_of(id)]
        try:
            return marks.read_mark(path)
        except Damaged as error:  # it was whole when the spool was opened
            raise UsageError(
                f"{path / marks.NAME} is damaged ({error}); `harness doctor` mends it"
            ) from error

    # Checking

    def check_marks(self) -> list[Finding]:
        """The marks that were damaged when the spool was opened."""
        return list(self._damaged_marks)


def _load(path: Path) -> Run:
    """The record in a folder; UsageError where it is damaged."""
    try:
        return read_record(path)
    except Damaged as error:
        raise damaged_record(path, error) from error


@contextlib.contextmanager
def unless_replaced(path: Path) -> Iterator[None]:
    """Passes over what cannot be read since its driver has just put a newer record in its place.

    Parameters
    ----------
    path : Path
        The folder of the record that is read. A record goes in one step, so where the folder still
        is, the error says the truth.
    """
    try:
        yield
    except UsageError:
        if path.is_dir():
            raise


def _let_go(path: Path) -> None:
    """Removes a record, in one step for whoever reads it: its folder gets another name first."""
    going = path.with_name(_GOING)
    with contextlib.suppress(files.DiskError):
        files.remove_tree(going)
        files.rename(path, going)
        files.remove_tree(going)


def _try_to_remove(path: Path) -> None:
    """Frees the space of what is not needed any more; the next who opens the spool tries again."""
    with contextlib.suppress(files.DiskError):
        files.remove_tree(path)


def check(folder: Path) -> list[Finding]:
    """Finds what was being written or removed in a spool when its process was killed."""
    findings = check_half_written(folder / _HALF_WRITTEN)
    going = folder / _GOING
    if going.exists():
        findings.append(removal(going, f"{going}, half removed"))
    return findings
