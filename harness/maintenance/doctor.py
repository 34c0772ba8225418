"""`harness doctor`: checks the store and all that lies below mlruns/, and repairs what can be
without loss.

What a live driver holds the lock of is left alone, and said. Each function says one line for each
thing it does.
"""

import contextlib
import importlib.metadata
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import UsageError
from harness.maintenance.folders import (
    RUN_ID,
    SINGLE,
    Say,
    counted,
    folders,
    held,
    name_of,
    records,
)
from harness.maintenance.gc import ENOUGH, size
from harness.maintenance.sync import Senders, end
from harness.storage import files as disk
from harness.storage import journal
from harness.storage.files import file_lock
from harness.storage.formats import Damaged, OtherVersion
from harness.storage.records import Run, RunStatus, TrialRun, changed_files, read_record
from harness.storage.root import find_root
from harness.storage.spool import Spool
from harness.trials.checkpoints import sound, trial_of
from harness.trials.fingerprint import fingerprint

_CREATED, _TOLD = 4, 6  # what Optuna's journal calls a new trial and the state of one


_PACKAGES = ("numpy", "optuna", "mlflow", "distributed")


# doctor -------------------------------------------------------------------------------------------
@dataclass
class _Report:
    """What the doctor says: what is fine, what was repaired (or would be), what is wrong; `notes`
    change nothing.
    """

    say: Say
    dry: bool
    wrong: int = 0
    mended: int = 0
    where: list[str] = field(default_factory=list)

    def _line(self, kind: str, text: str) -> None:
        self.say(": ".join([kind, *self.where, text]))

    def fine(self, text: str) -> None:
        self._line("ok", text)

    def note(self, text: str) -> None:
        self._line("note", text)

    def bad(self, text: str) -> None:
        self.wrong += 1
        self._line("WRONG", text)

    def did(self, verb: str, past: str) -> str:
        """What a repair does, in a dry run what it would do: "remove", "removed"."""
        return verb if self.dry else past

    def repair(self, text: str, action: Callable[..., Any], *arguments: Any) -> None:
        """Does what is said, unless this is a dry run."""
        self.mended += 1
        if not self.dry:
            action(*arguments)
        self._line("to repair" if self.dry else "repaired", text)


def doctor(root: Path | None = None, dry: bool = False, say: Say = print) -> bool:
    """Checks versions, disk, the store and all that lies below mlruns/, and repairs what can be
    without loss.

    Whether all is well now. With `dry` it only says what it would do, and then True means that
    nothing is to be done.
    """
    from harness import tracking
    from harness.tracking.sqlite_store import follow_move

    mlruns, report = (root or find_root()) / "mlruns", _Report(say, dry)
    report.note(f"versions: {versions()}")
    _disk(mlruns, report)
    _leftovers(mlruns, report)
    known: list[Any] | None = None
    state = tracking.check_store(root)
    if state.problem:
        report.bad(f"store {tracking.place(root)}: {state.problem}")
    elif not state.exists:
        report.note(f"store {tracking.place(root)}: none yet")
    else:
        report.fine(f"store {tracking.place(root)}: {state.about}")
        if looks_in := follow_move(root, dry=True):
            moves = report.did("looks", "looked")
            text = f"the store {moves} for its artifacts in {looks_in}; they are beside it"
            report.repair(text, follow_move, root)
        known = tracking.known_runs(root)
    senders = Senders(root)
    ours: set[str] = set()
    for folder in folders(root):
        report.where = [name_of(folder)]
        with held(folder) as owner:
            if owner:
                report.note(f"left alone, {owner} works on it")
                ours.update(_ids(folder))
                continue
            before = report.wrong, report.mended
            if not _damaged(folder, report):
                continue
            spool = Spool(folder / "spool", clean=not dry)
            ours.update(run.id for run in spool.sound())
            _marks(spool, report)
            _journal(folder, spool, report)
            _checkpoints(folder, report)
            _new(folder, report)
            if not state.problem:
                _in_mlflow(spool, known or [], senders, report)
            if before == (report.wrong, report.mended):
                report.fine(counted(len(spool), "record"))
    report.where = []
    strangers = [
        run
        for run in known or []
        if run.status == RunStatus.RUNNING and run.id and run.id not in ours and not run.deleted
    ]
    if strangers:
        names = ", ".join(repr(run.name) for run in strangers[:5]) + (
            ", ..." if len(strangers) > 5 else ""
        )
        count = "1 run is" if len(strangers) == 1 else f"{len(strangers)} runs are"
        report.note(f"{count} RUNNING in MLflow that no spool here knows, and let be: {names}")
    done = f"{report.mended} {'to repair' if dry else 'repaired'}"
    say(f"{done}, {report.wrong} wrong" if report.mended or report.wrong else "all is well")
    return not report.wrong and not (dry and report.mended)


def versions() -> str:
    """Python, the packages that results and stores depend on, and BLAS with its kernel."""
    here = fingerprint()
    packages = [f"{package} {importlib.metadata.version(package)}" for package in _PACKAGES]
    return ", ".join(
        [f"python {here['python']}", *packages, f"{here['blas']} {here['blas_kernel']}"]
    )


def _disk(mlruns: Path, report: _Report) -> None:
    place = next(folder for folder in (mlruns, *mlruns.parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    said = f"disk: {size(free)} free in {place}"
    if free < ENOUGH:
        report.bad(f"{said}, less than 1 GB; see what takes space with `harness gc`")
    else:
        report.fine(said)


def _leftovers(mlruns: Path, report: _Report) -> None:
    """A store that was being made when its process was killed."""
    lock = mlruns / ".mlflow.lock"
    if not (lock.exists() and list(mlruns.glob(".mlflow.db.new*"))):
        return
    with contextlib.suppress(UsageError), file_lock(lock, wait=False):
        for path in mlruns.glob(".mlflow.db.new*"):
            remove = report.did("remove", "removed")
            report.repair(f"{remove} {path.name}, left by a killed process", disk.remove, path)


def _ids(folder: Path) -> Iterator[str]:
    """The ids of the records in a folder that somebody else works on."""
    for path in records(folder):
        with contextlib.suppress(Damaged, OtherVersion):
            yield read_record(path).id


def _damaged(folder: Path, report: _Report) -> bool:
    """Puts a trial's damaged record aside, since it keeps its sweep from starting; whether the
    parent's can be read.
    """
    readable = True
    for path in records(folder):
        try:
            record = read_record(path)
            if changed := changed_files(path / "files", record.checksums):
                raise Damaged(
                    f"{', '.join(changed)} below {path / 'files'} is not as it was written"
                )
        except OtherVersion as error:
            readable = False
            report.bad(str(error))
        except Damaged as error:
            if "-parent-" in path.name:
                readable = False
                report.bad(
                    f"the record {path} is damaged ({error}); restore it from a copy or start "
                    f"under another name"
                )
            else:
                aside = folder / "damaged" / path.name
                again = (
                    "run its command again"
                    if name_of(folder) == SINGLE
                    else "the trial will be trained again"
                )
                report.repair(
                    f"a trial's record is damaged ({error}); {report.did('move it', 'moved')} to "
                    f"{aside}, and {again}",
                    _move,
                    path,
                    aside,
                )
    return readable


def _move(path: Path, to: Path) -> None:
    disk.make_folder(to.parent)
    disk.rename(path, to)


def _marks(spool: Spool, report: _Report) -> None:
    """Marks that say no more where MLflow has a record: it waits already, and is sent again."""
    for path in spool.unmarked:
        report.repair(
            f"the mark {path / 'logged'} is damaged; its record waits again",
            disk.remove,
            path / "logged",
        )


def _journal(folder: Path, spool: Spool, report: _Report) -> None:
    """Optuna's journal: lines as they were written, which are a study that knows every trial of the
    spool.
    """
    file = folder / "journal.log"
    numbers = {
        run.number for run in spool.sound() if isinstance(run, TrialRun) and run.number is not None
    }
    if not file.is_file():
        parent = spool.parent()
        if numbers and parent and parent.kind == "sweep":
            report.bad(f"{file} is missing, so the sweep cannot go on; start it under another name")
        return
    try:
        lines = journal.read(file)
    except Damaged as error:
        report.bad(
            f"{file}, {error}, so the sweep cannot go on; restore the file from a copy, or start "
            f"under another name"
        )
        return
    except OtherVersion as error:
        report.bad(str(error))
        return
    if journal.is_torn(file, lines):
        report.repair(
            f"cut off the torn last line of {file.name}", disk.truncate, file, lines.whole
        )
    created = sum(entry["op_code"] == _CREATED for entry in lines.entries)
    told = [entry for entry in lines.entries if entry["op_code"] == _TOLD]
    # Complete, pruned
    ended = {int(entry["trial_id"]) for entry in told if entry.get("state") in (1, 2)}
    if numbers and max(numbers) >= created:
        report.bad(
            f"{file.name} must know all trials, but #{max(numbers)} is missing; start the sweep "
            f"under another name"
        )
    if lost := sorted(ended - numbers):
        report.note(
            f"the study knows results of trials that have no record: "
            f"{', '.join(f'#{n}' for n in lost[:5])}"
        )


def _checkpoints(folder: Path, report: _Report) -> None:
    remove = report.did("remove", "removed")
    for path in sorted((folder / "checkpoints").glob("*.npz")):
        if trial_of(path) is None:
            report.note(f"{path} is no checkpoint")
        elif not sound(path):
            said = f"{remove} the damaged checkpoint {path.name}; the one before it is used"
            report.repair(said, disk.remove, path)
    for path in sorted((folder / "films").glob("*.npy")):
        if not disk.is_named(path, path.read_bytes()):
            report.repair(f"{remove} the damaged film {path.name} of an arm", disk.remove, path)


def _new(folder: Path, report: _Report) -> None:
    """What was being written when its process was killed."""
    remove = report.did("remove", "removed")
    for path in (folder / "spool/.new", folder / "checkpoints/.new"):
        if path.is_dir():
            report.repair(f"{remove} {path}, half written", disk.remove_tree, path)
        elif path.exists():
            report.repair(f"{remove} {path}, half written", disk.remove, path)


class _Places(NamedTuple):
    """Where the records of a spool are in MLflow."""

    # By a record's id; also those that its mark names, whatever the store says
    runs: dict[str, list[Any]]
    lost: list[Run]  # records that MLflow had, and has no more
    twins: list[Run]  # that it has more than once
    there: list[tuple[Run, Any]]  # that it has, with the run that they are
    elsewhere: Counter[str]  # how many are in another store


def _places(spool: Spool, known: list[Any], root: Path | None) -> _Places:
    from harness.tracking.connect import mark

    by_run_id = {run.run_id: run for run in known}
    found = _Places({}, [], [], [], Counter())
    for run in known:
        found.runs.setdefault(run.id, []).append(run)
    for record in spool.sound():
        runs = found.runs.get(record.id, [])
        marked = by_run_id.get(spool.run_id(record.id) or "")
        if marked is not None and marked not in runs:  # its tag says something else
            runs = [marked, *runs]
        alive = [run for run in runs if not run.deleted]
        if len(alive) > 1:
            found.twins.append(record)
        if not spool.is_logged(record.id) or (runs and not alive):  # deleted in the UI: as wanted
            continue
        store = spool.store(record.id)
        if store not in ("", mark(root)):
            found.elsewhere[store] += 1
        elif not alive or all(run.status == RunStatus.RUNNING for run in alive):
            found.lost.append(record)
        else:
            found.there.append((record, marked if marked in alive else alive[0]))
    return found


def _in_mlflow(spool: Spool, known: list[Any], senders: Senders, report: _Report) -> None:
    """What MLflow has of a spool: each record once, as written; what it has lost or does not have
    yet is sent.
    """
    from harness.tracking.connect import artifacts_folder, place_of

    artifacts = artifacts_folder(senders.root)
    places = _places(spool, known, senders.root)
    for store, count in places.elsewhere.items():
        report.note(
            f"{count} of its runs are in {place_of(store, senders.root)}, which was not looked at"
        )

    def again() -> None:
        for record in places.lost:
            run_id = spool.run_id(record.id) or ""
            kept = (
                artifacts / run_id / "artifacts" if artifacts and RUN_ID.fullmatch(run_id) else None
            )
            spool.mark_waiting(record.id, kept)

    if places.lost:
        found = counted(len(places.lost), "record")
        wait = f"{found} that MLflow had lost {'wait' if len(places.lost) > 1 else 'waits'} again"
        report.repair(report.did(f"send {found} again that MLflow has lost", wait), again)
    _compare(spool, places, senders.root, report)
    parent = spool.parent()
    if parent is not None and parent.status == RunStatus.RUNNING:
        ends = report.did("is to end", "ends")
        report.repair(f"its driver is gone without a word: it {ends} as KILLED", end, spool)
    waiting = spool.waiting
    if waiting and (known or not places.elsewhere) and not report.dry:
        reason = senders.send(spool)
        if waiting > spool.waiting:
            report.repair(
                f"sent {counted(waiting - spool.waiting, 'record')} that waited", lambda: None
            )
        if spool.waiting:
            report.bad(
                f"{counted(spool.waiting, 'record')} "
                f"{'wait' if spool.waiting > 1 else 'waits'}: {reason}"
            )
    elif waiting:
        report.repair(
            f"send {counted(waiting, 'record')} that {'wait' if waiting > 1 else 'waits'}",
            lambda: None,
        )
    for record in places.twins:
        project = (parent or record).project or "harness"
        report.repair(
            f"{record.id!r} {report.did('is', 'was')} in MLflow more than once",
            senders.unite,
            project,
            record.id,
        )


def _compare(spool: Spool, places: _Places, root: Path | None, report: _Report) -> None:
    """Runs in MLflow that are not what their records say wait again, and artifacts that are damaged
    are named.
    """
    from harness.maintenance import contents
    from harness.tracking.connect import artifacts_folder, sqlite_file

    file, artifacts = sqlite_file(root), artifacts_folder(root)
    for record, run in places.there:
        if found := contents.differences(record, run, file):
            text = f"{record.name!r} is not in MLflow as in its record: {contents.sentence(found)}"
            if file is None:
                report.bad(f"{text}; delete that run, and train it again under another name")
            else:
                again = report.did("it is to be sent again", "it waits again")
                report.repair(f"{text}; {again}", _send_again, spool, record, run, found, file)
        if artifacts is not None:
            place = artifacts / run.run_id / "artifacts"
            if said := contents.artifacts_not_as_written(record, place):
                report.bad(
                    f"of {record.name!r}, in {place}: {', '.join(said)}; restore that from a copy"
                )


def _send_again(spool: Spool, record: Run, run: Any, found: list[Any], file: Path) -> None:
    from harness.maintenance import contents

    contents.prepare(record, run, found, file)
    spool.mark_waiting(record.id)
