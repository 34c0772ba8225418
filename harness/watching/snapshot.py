"""How a study stands at this moment, read from its files, as JSON for the page."""

import contextlib
import math
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.storage.frames import BestFilms
from harness.storage.live import LiveTrials, live_folder
from harness.storage.lock import is_held
from harness.storage.ranking import Objective
from harness.storage.records import ParentRun, Point, RunStatus, TrialRun
from harness.storage.root import find_root
from harness.storage.spool import Spool
from harness.storage.watch import Watch
from harness.tracking.connect import artifacts_folder

ENDED = 60  # trials of the strip at most
POINTS = 300  # points of a curve at most
BEST = 8  # trials that have ended whose weights are shown, at most
_STILL = "film.png"  # the last frame of a film, among the artifacts of a trial


class Watched:
    """A study that is being watched.

    Parameters
    ----------
    folder : Path
        Its folder below mlruns/.

    Attributes
    ----------
    watch : Watch
        Its lease and pictures.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.watch = Watch(folder)
        self._live = LiveTrials(live_folder(folder))
        self._ended: dict[int, dict[str, Any]] = {}
        self._ranked: set[int] = set()
        self._records: dict[int, tuple[str, Path | None]] = {}  # their ids, and where they wait
        self._films = BestFilms(folder / "films")

    def snapshot(self) -> dict[str, Any]:
        """How the study stands.

        Returns
        -------
        dict
            name, kind, is_running, is_finished; count of trials that have ended; best (an entry of
            ended, or None); ended (the newest `ENDED` of them: number, name, state, value); films
            (the entries of the best `BEST` of which there is a film, the best first); training
            (number, name, epoch, curves by metric as [step, value] pairs, steps of its pictures).
        """
        spool = Spool(self.folder / "spool", clean=False)
        # It is asked first: who has let go of the lock has written down how the study ended.
        is_running = is_held(self.folder / "lock")
        parent = spool.parent()
        self._take_in(spool)
        ended = [self._ended[number] for number in sorted(self._ended)]
        objective = parent.objective if parent else Objective("accuracy", "maximize")
        ranked = sorted(
            (entry for entry in ended if entry["number"] in self._ranked),
            key=lambda entry: objective.loss(entry["value"]),
        )
        return {
            "name": parent.name if parent else self.folder.name,
            "kind": parent.kind if parent else "sweep",
            "metric": parent.curve if parent else objective.key,
            "is_running": is_running,
            "is_finished": not is_running and _is_finished(parent),
            "count": len(ended),
            "best": ranked[0] if ranked else None,
            "ended": ended[-ENDED:],
            "films": [
                entry
                for entry in ranked[:BEST]
                if self.last_frame(entry["number"], spool) is not None
            ],
            "training": self._training(),
        }

    def _take_in(self, spool: Spool) -> None:
        """Reads the records that have come since the last time."""
        for record in spool.sound():
            if isinstance(record, TrialRun) and record.number is not None:
                result = record.result
                value = result.values[0] if result.values else None
                is_finite = value is not None and math.isfinite(value)
                if result.is_ranked:
                    self._ranked.add(record.number)
                self._records[record.number] = (record.id, record.files)
                self._ended[record.number] = {
                    "number": record.number,
                    "name": record.name,
                    "state": str(record.result.state),
                    "value": value if is_finite else None,
                    "reason": record.result.reason,
                }

    def last_frame(self, number: int, spool: Spool | None = None) -> bytes | None:
        """The last frame of the film of a trial that has ended, a PNG; None where there is none.

        It is where the trial waits to be sent to MLflow, among its artifacts on this machine, or
        among the films of the best that are kept beside a server.

        Parameters
        ----------
        number : int
            The trial.
        spool : Spool or None
            The records of the study; None to read them.
        """
        if number not in self._records:
            return None
        id, waiting = self._records[number]
        folders = [waiting]
        run_id = (spool or Spool(self.folder / "spool", clean=False)).run_id(id)
        if run_id is not None and self._artifacts is not None:
            folders.append(self._artifacts / run_id / "artifacts")
        for folder in folders:
            if folder is not None:
                with contextlib.suppress(OSError):
                    return (folder / _STILL).read_bytes()
        return self._films.read(number).get(_STILL)

    @cached_property
    def _artifacts(self) -> Path | None:
        """The folder of the artifacts of all runs, where that is on this machine."""
        try:
            return artifacts_folder(self.folder.parents[2])
        except UsageError:
            # MLFLOW_TRACKING_URI names what no runs can be in.
            return None

    def _training(self) -> list[dict[str, Any]]:
        trials = []
        for number in self._live.numbers():
            course = self._live.course(number)
            if course is None or number in self._ended:
                continue
            curves = _curves(course.points)
            trials.append(
                {
                    "number": number,
                    "name": course.trial.name,
                    "epoch": max((point.step for point in course.points), default=0),
                    "epochs": course.trial.params.get("config.epochs"),
                    "curves": curves,
                    "steps": self.watch.steps(number),
                }
            )
        return trials


def _is_finished(parent: ParentRun | None) -> bool:
    return parent is not None and parent.status == RunStatus.FINISHED


def _curves(points: list[Point]) -> dict[str, list[list[float]]]:
    """The curves of what is measured on the training and the validation part."""
    curves: dict[str, list[list[float]]] = {}
    for point in points:
        if point.key.startswith(("train/", "valid/")) and math.isfinite(point.value):
            curves.setdefault(point.key, []).append([point.step, point.value])
    return {key: _thinned(curve) for key, curve in curves.items()}


def _thinned(curve: list[list[float]]) -> list[list[float]]:
    """A curve of `POINTS` points at most, the last one among them."""
    stride = -(-len(curve) // POINTS)
    return curve[::-1][::stride][::-1]


def newest_study(root: Path | None = None) -> Path:
    """The folder of the study that was written to last.

    Raises
    ------
    UsageError
        If there is none.
    """
    above = (root or find_root()) / "mlruns" / "sweeps"
    folders = [folder for folder in above.glob("*") if (folder / "spool").is_dir()]
    if not folders:
        raise UsageError(
            f"there must be a sweep or comparison to watch, but there is none in {above.parent}; "
            "start one: harness sweep SCRIPT"
        )
    return max(folders, key=lambda folder: (folder / "spool").stat().st_mtime)
