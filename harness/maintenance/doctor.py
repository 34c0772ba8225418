"""`harness doctor`: checks the store and all below mlruns/, and repairs what can be without loss.

Checks return findings (`storage.findings`), and the report says them and mends them. What a live
driver holds the lock of is left alone, and said.
"""

import contextlib
import importlib.metadata
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from harness.errors import UsageError
from harness.maintenance import in_mlflow, in_models
from harness.maintenance.folders import SINGLE, folders, held, name_of, spool_of
from harness.maintenance.gc import ENOUGH
from harness.maintenance.report import Report
from harness.maintenance.store import Store, places_of
from harness.maintenance.sync import Senders
from harness.maintenance.words import Say, counted, size
from harness.storage import (
    checkpoints,
    frames,
    journal,
    ledger,
    live,
    mlflow_db,
    networks,
    record_folder,
    stops,
)
from harness.storage import (
    spool as spools,
)
from harness.storage.findings import Finding
from harness.storage.formats import Damaged, OtherVersion
from harness.storage.lock import file_lock
from harness.storage.record_folder import read_record, record_folders
from harness.storage.records import RunStatus, TrialRun
from harness.storage.root import find_root
from harness.storage.spool import Spool
from harness.tracking import check_store, known_runs, place
from harness.tracking.sqlite_store import follow_move
from harness.trials.fingerprint import fingerprint

_PACKAGES = ("numpy", "optuna", "mlflow", "distributed")
_NAMED_RUNS = 5  # runs that a line names


def doctor(root: Path | None = None, dry: bool = False, say: Say = print) -> bool:
    """Checks versions, disk, the store and all below mlruns/, and repairs what can be without loss.

    Parameters
    ----------
    root : Path, optional
        The folder that holds mlruns/; looked for from here by default.
    dry : bool
        Whether it only says what it would do.
    say : callable
        Takes each line.

    Returns
    -------
    bool
        Whether all is well now; with `dry`, whether nothing is to be done.

    Raises
    ------
    UsageError
        If a file cannot be read or written.
    """
    report = Report(say, dry)
    mlruns = (root or find_root()) / "mlruns"
    report.note(f"versions: {versions()}")
    _look_at_disk(mlruns, report)
    _look_for_half_made_store(mlruns, report)
    store = _look_at_store(root, report)
    senders = Senders(root)
    ours: set[str] = set()
    for folder in folders(root):
        report.where = name_of(folder)
        ours.update(_look_at_folder(folder, store, senders, report))
    report.where = ""
    _look_for_strangers(store, ours, report)
    _sum_up(report)
    if dry:
        return report.is_clean
    return not report.wrong


def _sum_up(report: Report) -> None:
    if report.is_clean:
        report.say("all is well")
        return
    done = "to repair" if report.dry else "repaired"
    report.say(f"{report.mended} {done}, {report.wrong} wrong")


def versions() -> str:
    """Python, the packages that results and stores depend on, and BLAS with its kernel."""
    here = fingerprint()
    packages = [f"{package} {importlib.metadata.version(package)}" for package in _PACKAGES]
    blas = f"{here['blas']} {here['blas_kernel']}"
    return ", ".join([f"python {here['python']}", *packages, blas])


# The machine and the store ------------------------------------------------------------------------


def _look_at_disk(mlruns: Path, report: Report) -> None:
    existing = next(folder for folder in (mlruns, *mlruns.parents) if folder.is_dir())
    free = shutil.disk_usage(existing).free
    text = f"disk: {size(free)} free in {existing}"
    if free < ENOUGH:
        report.bad(f"{text}, less than 1 GB; see what takes space with `harness gc`")
    else:
        report.fine(text)


def _look_for_half_made_store(mlruns: Path, report: Report) -> None:
    lock = mlflow_db.lock_of(mlruns)
    if not lock.exists() or not mlflow_db.check(mlruns):
        return
    # Who holds the lock is making the store now.
    with contextlib.suppress(UsageError), file_lock(lock, wait=False):
        report.take(mlflow_db.check(mlruns))


def _look_at_store(root: Path | None, report: Report) -> Store:
    state = check_store(root)
    called = f"store {place(root)}"
    if state.problem:
        report.bad(f"{called}: {state.problem}")
        return Store(root, [], is_usable=False)
    if not state.exists:
        report.note(f"{called}: none yet")
        return Store(root, [])
    report.fine(f"{called}: {state.about}")
    report.take(_moved(root))
    return Store(root, known_runs(root))


def _moved(root: Path | None) -> list[Finding]:
    """Finds a store that looks for its artifacts where they were before mlruns/ was moved."""
    before = follow_move(root, dry=True)
    if not before:
        return []
    where = f"for its artifacts in {before}; they are beside it"
    mend = partial(follow_move, root)
    return [Finding(Path(before), f"the store looks {where}", mend, f"the store looked {where}")]


def _look_for_strangers(store: Store, ours: set[str], report: Report) -> None:
    """Names the runs of others on a shared server, which are let be."""
    strangers = [
        run
        for run in store.runs
        if run.status == RunStatus.RUNNING and run.id and run.id not in ours and not run.deleted
    ]
    if not strangers:
        return
    names = ", ".join(repr(run.name) for run in strangers[:_NAMED_RUNS])
    if len(strangers) > _NAMED_RUNS:
        names += ", ..."
    verb = "is" if len(strangers) == 1 else "are"
    count = f"{counted(len(strangers), 'run')} {verb}"
    report.note(f"{count} RUNNING in MLflow that no spool here knows, and let be: {names}")


# Sweeps and comparisons ---------------------------------------------------------------------------


def _look_at_folder(folder: Path, store: Store, senders: Senders, report: Report) -> set[str]:
    """Checks a sweep, a comparison or the single runs; the ids of their records."""
    with held(folder) as owner:
        if owner:
            report.note(f"left alone, {owner} works on it")
            return {*_ids(folder), *_live_ids(folder)}
        before = (report.wrong, report.mended)
        damaged = list(_check_records(folder))
        report.take(damaged)
        if any(finding.mend is None for finding in damaged):
            return set()  # without that record nobody can say what the others mean
        spool = Spool(spool_of(folder), clean=not report.dry)
        report.take(_check_files(folder, spool))
        if store.is_usable:
            _look_at_mlflow(spool, store, senders, report)
        if before == (report.wrong, report.mended):
            report.fine(counted(len(spool), "record"))
        return {run.id for run in spool.sound()} | set(_live_ids(folder))


def _ids(folder: Path) -> Iterator[str]:
    """The ids of the records in a folder that somebody else works on."""
    for path in record_folders(spool_of(folder)):
        with contextlib.suppress(Damaged, OtherVersion):
            yield read_record(path).id


def _live_ids(folder: Path) -> Iterator[str]:
    """The ids that the trials in training will have, or had when their driver has gone."""
    place = live.live_folder(folder)
    courses = map(live.LiveTrials(place).sound, live.LiveTrials(place).numbers())
    yield from (course.trial.id for course in courses if course is not None)
    ledgers = ledger.Ledgers(place)
    entries = map(ledgers.read, ledgers.numbers())
    yield from (entry.id for entry in entries if entry is not None)


def _check_records(folder: Path) -> Iterator[Finding]:
    then = "the trial will be trained again"
    if name_of(folder) == SINGLE:
        then = "run its command again"
    for path in record_folders(spool_of(folder)):
        yield from record_folder.check(path, folder / "damaged", then)


def _check_files(folder: Path, spool: Spool) -> list[Finding]:
    """Finds what is wrong in a folder whose records can be read."""
    trials = [run for run in spool.sound() if isinstance(run, TrialRun)]
    recorded = {run.number for run in trials if run.number is not None}
    parent = spool.parent()
    is_sweep = parent is not None and parent.kind == "sweep"
    return [
        *spool.check_marks(),
        *journal.check(folder / "journal.log", recorded, is_sweep),
        *checkpoints.check(folder / "checkpoints"),
        *frames.check(folder / "films"),
        *stops.check(folder / "stops"),
        *live.check(live.live_folder(folder)),
        *ledger.check(live.live_folder(folder)),
        *networks.check(folder),
        *spools.check(spool.folder),
    ]


def _look_at_mlflow(spool: Spool, store: Store, senders: Senders, report: Report) -> None:
    places = places_of(spool, store)
    report.take(in_mlflow.check(spool, places, store))
    # What was found there may wait now.
    in_mlflow.send_waiting(spool, places, store, senders, report)
    # Models belong to runs, which may have been sent just now.
    _look_at_models(spool, store, report)
    in_mlflow.send_models(spool, senders, report)
    report.take(in_mlflow.check_twins(spool, places, senders))


def _look_at_models(spool: Spool, store: Store, report: Report) -> None:
    if report.dry and not store.runs:
        return  # there may be no store at all
    try:
        report.take(in_models.check(spool, store.root))
    except UsageError as error:  # a plugin that its network needs
        report.bad(f"a model that MLflow has lost cannot be made again: {error}")
