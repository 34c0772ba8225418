"""How a study stands at this moment, read from its files, as JSON for the page."""

import math
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.storage.live import LiveTrials, live_folder
from harness.storage.lock import seems_held
from harness.storage.ranking import Objective
from harness.storage.records import ParentRun, Point, RunStatus, TrialRun
from harness.storage.root import find_root
from harness.storage.spool import Spool
from harness.storage.watch import Watch

ENDED = 60  # trials of the strip at most
POINTS = 300  # points of a curve at most


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
        self._read: set[Path] = set()

    def snapshot(self) -> dict[str, Any]:
        """How the study stands.

        Returns
        -------
        dict
            name, kind, is_running, is_finished; count of trials that have ended; best (an entry of
            ended, or None); ended (the newest `ENDED` of them: number, name, state, value);
            training (number, name, epoch, curves by metric as [step, value] pairs, steps of its
            pictures).
        """
        spool = Spool(self.folder / "spool", clean=False)
        # It is asked first: who has let go of the lock has written down how the study ended.
        is_running = seems_held(self.folder / "lock")
        parent = spool.parent()
        self._take_in(spool)
        ended = [self._ended[number] for number in sorted(self._ended)]
        objective = parent.objective if parent else Objective("accuracy", "maximize")
        best = min(
            (entry for entry in ended if entry["number"] in self._ranked),
            key=lambda entry: objective.loss(entry["value"]),
            default=None,
        )
        return {
            "name": parent.name if parent else self.folder.name,
            "kind": parent.kind if parent else "sweep",
            "metric": parent.curve if parent else objective.key,
            "is_running": is_running,
            "is_finished": not is_running and _is_finished(parent),
            "count": len(ended),
            "best": best,
            "ended": ended[-ENDED:],
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
                self._ended[record.number] = {
                    "number": record.number,
                    "name": record.name,
                    "state": str(record.result.state),
                    "value": value if is_finite else None,
                    "reason": record.result.reason,
                }

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
