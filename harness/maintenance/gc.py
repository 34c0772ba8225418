"""`harness gc`: what takes space below mlruns/, and how to free it."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from harness.errors import UsageError
from harness.expressions.compiling import caches
from harness.maintenance.folders import (
    artifacts_of,
    folders,
    held,
    is_run_id,
    name_of,
    spool_of,
)
from harness.maintenance.words import Say, size
from harness.storage import files
from harness.storage.bundle import unpack
from harness.storage.checkpoints import trial_of
from harness.storage.formats import Damaged, OtherVersion
from harness.storage.marks import read_mark
from harness.storage.networks import FORMAT, NetworkFolder
from harness.storage.record_folder import record_folders
from harness.storage.records import ParentRun, RunStatus, TrialRun
from harness.storage.spool import Spool
from harness.studies.objectives import recorded_objectives
from harness.studies.result import Result
from harness.tracking.connect import artifacts_folder

__all__ = [
    "ENOUGH",
    "Usage",
    "compiled_loops",
    "delete",
    "films_of_lost",
    "old_checkpoints",
    "old_networks",
    "size",
    "usage",
]

ENOUGH = 1 << 30  # bytes that must be free
_FILMS = "film.*"


# What takes space ---------------------------------------------------------------------------------


class Usage(NamedTuple):
    """What a sweep takes, in bytes.

    Attributes
    ----------
    name : str
        Of the sweep or comparison, or what else it is in parentheses.
    spool : int
        The records.
    journal : int
        Optuna's study.
    checkpoints : int
        The checkpoints.
    networks : int
        The networks that are kept, and those that wait for MLflow.
    films : int
        Films in MLflow's local artifact store.
    artifacts : int
        What else is there.
    """

    name: str
    spool: int = 0
    journal: int = 0
    checkpoints: int = 0
    networks: int = 0
    films: int = 0
    artifacts: int = 0


def usage(root: Path | None = None) -> list[Usage]:
    """What takes space below mlruns/.

    Parameters
    ----------
    root : Path, optional
        The folder that holds mlruns/; looked for from here by default.

    Returns
    -------
    list of Usage
        Sweep by sweep, then the runs that no spool knows, MLflow's models, and the store's file.
    """
    store = artifacts_folder(root)
    rows = []
    known: set[str] = set()
    for folder in folders(root):
        run_ids = list(_logged(folder))
        known.update(run_ids)
        row = Usage(
            name_of(folder),
            spool=_bytes(spool_of(folder)),
            journal=_bytes(folder / "journal.log"),
            checkpoints=_bytes(folder / "checkpoints"),
            networks=_bytes(folder / "networks") + _bytes(folder / "pending"),
        )
        rows.append(_with_artifacts(row, store, run_ids))
    if store is not None and store.is_dir():
        # Others may share the store, and a sweep whose folder was deleted leaves its runs there.
        in_store = [path.name for path in store.iterdir() if is_run_id(path.name)]
        others = [run_id for run_id in in_store if run_id not in known]
        rows.append(_with_artifacts(Usage("(other runs)"), store, others))
        # MLflow keeps models beside the runs that they came from.
        rows.append(Usage("(models)", networks=_bytes(store / "models")))
        database = sum(map(_bytes, store.parent.glob("mlflow.db*")))
        rows.append(Usage("(mlflow.db)", artifacts=database))
    return rows


def _logged(folder: Path) -> Iterator[str]:
    """The run ids of a folder's records."""
    for path in record_folders(spool_of(folder)):
        with contextlib.suppress(Damaged, OtherVersion):
            run_id = read_mark(path).run_id
            if is_run_id(run_id):
                yield run_id


def _with_artifacts(row: Usage, store: Path | None, run_ids: Iterable[str]) -> Usage:
    """A row with the artifacts of runs added to it."""
    films = 0
    total = 0
    for run_id in run_ids:
        folder = artifacts_of(store, run_id)
        if folder is not None:
            films += sum(map(_bytes, folder.glob(_FILMS)))
            total += _bytes(folder)
    return row._replace(films=films, artifacts=total - films)


def _bytes(path: Path) -> int:
    """The bytes of a file, or of all files below a folder; links are not followed."""
    paths: Iterable[Path] = [path]
    if path.is_dir():
        paths = path.rglob("*")
    total = 0
    for file in paths:
        # Files come and go while a sweep runs.
        with contextlib.suppress(OSError):
            if not file.is_dir():
                total += file.lstat().st_size
    return total


# What can go --------------------------------------------------------------------------------------


class _Idle(NamedTuple):
    """A sweep or comparison that nobody works on."""

    folder: Path
    spool: Spool
    parent: ParentRun


def _idle(root: Path | None, say: Say) -> Iterator[_Idle]:
    """The sweeps and comparisons that nobody works on, each under its lock meanwhile."""
    for folder in folders(root):
        with held(folder) as owner:
            if owner:
                say(f"{name_of(folder)}: left alone, {owner} works on it")
                continue
            try:
                spool = Spool(spool_of(folder))
                parent = spool.parent()
            except UsageError as error:
                say(f"{name_of(folder)}: left alone: {error}")
                continue
            if parent is not None:
                yield _Idle(folder, spool, parent)


def films_of_lost(root: Path | None = None, say: Say = print) -> list[Path]:
    """The films of all trials of sweeps that are not the best of their sweep.

    Those of comparisons and of single runs are kept, and those of sweeps that somebody works on.

    Parameters
    ----------
    root : Path, optional
        The folder that holds mlruns/; looked for from here by default.
    say : callable
        Takes a line for each sweep that is left alone.

    Returns
    -------
    list of Path
        Files in the local artifact store.
    """
    store = artifacts_folder(root)
    films: list[Path] = []
    for idle in _idle(root, say):
        if idle.parent.kind != "sweep" or store is None:
            continue
        try:
            losers = _losers(idle)
        except UsageError as error:  # a metric of a plugin, which must be named
            say(f"{idle.parent.name}: left alone, since {error}")
            continue
        for run in losers:
            if folder := artifacts_of(store, idle.spool.run_id(run.id)):
                films += sorted(folder.glob(_FILMS))
    return films


def _losers(idle: _Idle) -> list[TrialRun]:
    """The trials that are not the best of their sweep."""
    trials = [run for run in idle.spool.sound() if isinstance(run, TrialRun)]
    objectives = recorded_objectives(idle.parent.params)
    result = Result(idle.parent.name, trials, objectives, True)
    best = result.ranked[:1]
    # With several objectives no trial is the best, and those that no other one beats are kept.
    if len(result.objectives) > 1:
        best = result.front
    return [run for run in trials if run not in best]


def old_checkpoints(root: Path | None = None, say: Say = print) -> list[Path]:
    """The checkpoints of trials that have ended, and all those of sweeps that have finished.

    Parameters
    ----------
    root : Path, optional
        The folder that holds mlruns/; looked for from here by default.
    say : callable
        Takes a line for each sweep that is left alone.
    """
    old = []
    for idle in _idle(root, say):
        trials = [run for run in idle.spool.sound() if isinstance(run, TrialRun)]
        ended = {run.number for run in trials}
        # A sweep that has finished trains none of its trials any more.
        is_finished = idle.parent.status == RunStatus.FINISHED
        for path in sorted((idle.folder / "checkpoints").glob("*.npz")):
            number = trial_of(path)
            if number is not None and (is_finished or number in ended):
                old.append(path)
    return old


def old_networks(root: Path | None = None, say: Say = print) -> list[Path]:
    """The networks that no trial needs any more.

    Those of the best trials stay, and of a sweep with `models="all"` those of all trials. Of a
    sweep that has not finished all stay that belong to a trial.

    Parameters
    ----------
    root : Path, optional
        The folder that holds mlruns/; looked for from here by default.
    say : callable
        Takes a line for each sweep that is left alone.
    """
    old = []
    for idle in _idle(root, say):
        networks = NetworkFolder(idle.folder)
        trials = [run for run in idle.spool.sound() if isinstance(run, TrialRun)]
        needed = {run.result.digest for run in trials}
        if idle.parent.status == RunStatus.FINISHED and networks.has_given:
            # What was handed over at its end is what it was asked to keep.
            given = (run for run in trials if networks.is_given(run.id, run.result.digest))
            needed = {run.result.digest for run in given}
        old += networks.others(needed)
        ids = {run.id for run in idle.spool.sound()}
        old += [path for path in networks.waiting() if _is_for_another(path, ids)]
    return old


def _is_for_another(path: Path, ids: set[str]) -> bool:
    """Whether a network waits for a record that is none of these."""
    with contextlib.suppress(Damaged, OtherVersion):
        about, _ = unpack(FORMAT, path.read_bytes(), path)
        return about["record"] not in ids
    return False  # it is for the doctor


def compiled_loops() -> list[Path]:
    """All files of compiled loops in the user's cache folder, those in use among them.

    A process that has loaded a loop needs its files no more.
    """
    return sorted(path for path in caches().rglob("*") if path.is_file())


def delete(paths: list[Path]) -> int:
    """Deletes files; the bytes that this frees."""
    freed = 0
    for path in paths:
        freed += _bytes(path)
        files.remove(path)
    return freed
