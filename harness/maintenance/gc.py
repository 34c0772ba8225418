"""`harness gc`: what takes space below mlruns/, and how to free it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from harness.errors import UsageError
from harness.maintenance.folders import RUN_ID, Say, folders, held, name_of, records
from harness.storage import files as disk
from harness.storage.formats import Damaged, OtherVersion
from harness.storage.records import ParentRun, RunStatus, TrialRun, read_mark
from harness.storage.spool import Spool
from harness.studies.objectives import recorded_objectives
from harness.studies.result import Result
from harness.trials.checkpoints import trial_of

ENOUGH = 1 << 30  # bytes that must be free


# gc -----------------------------------------------------------------------------------------------
def size(count: float) -> str:
    """Bytes as people read them: 77.3 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError


def _bytes(path: Path) -> int:
    """The bytes of a file, or of all files below a folder; links are not followed."""
    total = 0
    for each in path.rglob("*") if path.is_dir() else [path]:
        with contextlib.suppress(OSError):
            total += 0 if each.is_dir() else each.lstat().st_size
    return total


class Usage(NamedTuple):
    """What a sweep takes, in bytes; films and other artifacts are those in MLflow's local artifact
    store.
    """

    name: str
    spool: int
    journal: int
    checkpoints: int
    films: int
    artifacts: int


def _logged(folder: Path) -> Iterator[str]:
    """The run ids of a folder's records."""
    for path in records(folder):
        with contextlib.suppress(Damaged, OtherVersion):
            run_id, _ = read_mark(path)
            if RUN_ID.fullmatch(run_id):
                yield run_id


def usage(root: Path | None = None) -> list[Usage]:
    """What takes space below mlruns/, by sweep, then the rest: runs that no spool knows, and the
    store's own file.
    """
    from harness.tracking.connect import artifacts_folder

    artifacts, found, seen = artifacts_folder(root), [], set()

    def split(run_ids: list[str]) -> tuple[int, int]:
        seen.update(run_ids)
        places = [artifacts / run_id / "artifacts" for run_id in run_ids] if artifacts else []
        films = sum(_bytes(film) for place in places for film in place.glob("film.*"))
        return films, sum(map(_bytes, places)) - films

    for folder in folders(root):
        spool, journal, checkpoints = (
            _bytes(folder / name) for name in ("spool", "journal.log", "checkpoints")
        )
        found.append(
            Usage(name_of(folder), spool, journal, checkpoints, *split(list(_logged(folder))))
        )
    if artifacts and artifacts.is_dir():
        strangers = [
            p.name for p in artifacts.iterdir() if RUN_ID.fullmatch(p.name) and p.name not in seen
        ]
        found.append(Usage("(other runs)", 0, 0, 0, *split(strangers)))
        found.append(
            Usage("(mlflow.db)", 0, 0, 0, 0, sum(map(_bytes, artifacts.parent.glob("mlflow.db*"))))
        )
    return found


def _idle(root: Path | None, say: Say) -> Iterator[tuple[Path, Spool, ParentRun]]:
    """The sweeps and comparisons that nobody works on, each under its lock meanwhile."""
    for folder in folders(root):
        with held(folder) as owner:
            if owner:
                say(f"{name_of(folder)}: left alone, {owner} works on it")
                continue
            try:
                spool = Spool(folder / "spool")
                parent = spool.parent()
            except UsageError as error:
                say(f"{name_of(folder)}: left alone: {error}")
                continue
            if parent is not None:
                yield folder, spool, parent


def films_of_lost(root: Path | None = None, say: Say = print) -> list[Path]:
    """The films, in the local artifact store, of all trials of sweeps that are not the best of
    their sweep.

    Those of comparisons and of single runs are kept, and those of sweeps that somebody works on.
    """
    from harness.tracking.connect import artifacts_folder

    artifacts, found = artifacts_folder(root), []
    for _, spool, parent in _idle(root, say):
        if parent.kind != "sweep" or artifacts is None:
            continue
        trials = [run for run in spool.sound() if isinstance(run, TrialRun)]
        try:
            result = Result(parent.name, trials, recorded_objectives(parent.params), True)
        except UsageError as error:  # a metric of a plugin, which must be named
            say(f"{parent.name}: left alone, since {error}")
            continue
        best = result.front if len(result.objectives) > 1 else result.ranked[:1]
        for run in trials:
            run_id = spool.run_id(run.id) or ""
            if run not in best and RUN_ID.fullmatch(run_id):
                found += sorted((artifacts / run_id / "artifacts").glob("film.*"))
    return found


def old_checkpoints(root: Path | None = None, say: Say = print) -> list[Path]:
    """The checkpoints of trials that have ended, and all those of sweeps that have finished."""
    found = []
    for folder, spool, parent in _idle(root, say):
        ended = {run.number for run in spool.sound() if isinstance(run, TrialRun)}
        for path in sorted((folder / "checkpoints").glob("*.npz")):
            number = trial_of(path)
            if number is not None and (parent.status == RunStatus.FINISHED or number in ended):
                found.append(path)
    return found


def delete(paths: list[Path]) -> int:
    """Deletes files; the bytes that this frees."""
    freed = 0
    for path in paths:
        freed += _bytes(path)
        disk.remove(path)
    return freed
