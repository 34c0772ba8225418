"""The books of a sweep, a comparison or a single run.

One folder, one lock, one spool, one tracker and one writer belong together.
"""

import contextlib
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import checks
from harness.storage.clock import now_ms
from harness.storage.files import DiskError, make_folder, remove_tree, sync_folder
from harness.storage.live import LiveTrial, LiveTrials
from harness.storage.lock import file_lock
from harness.storage.records import ParentRun, Point, RunStatus, TrialRun
from harness.storage.root import find_root
from harness.storage.spool import Spool
from harness.studies.plugin_files import plugin_files
from harness.trials.interrupts import Interrupts, patience

if TYPE_CHECKING:
    from harness.tracking.writer import Tracker


class Books:
    """What is known of one sweep or comparison.

    A record is made durable (`write`), told to whoever decides, then logged (`log`). Nothing is
    written before `start`.

    Attributes
    ----------
    folder : Path
        The folder below mlruns/ that holds all of it.
    parent : ParentRun
        The run of the sweep or comparison, as it is now.
    before : ParentRun or None
        The same as it was left last time; None for a new one.
    spool : Spool
        The records.
    live : LiveTrials
        The points of the trials in training.
    project : str
        The MLflow experiment.
    interrupts : Interrupts
        Those of the driver that keeps these books.
    tracker : Tracker or None
        What writes to MLflow, between `start` and `close`.
    """

    def __init__(
        self,
        folder: Path,
        parent: ParentRun,
        before: ParentRun | None,
        spool: Spool,
        project: str,
    ) -> None:
        self.folder = folder
        self.parent = parent
        self.before = before
        self.spool = spool
        self.live = LiveTrials(folder / "live")
        self.project = project
        self.interrupts = Interrupts()
        self.tracker: Tracker | None = None

    def finished(self, trials: int) -> bool:
        """Whether the parent has FINISHED and so many trials have ended.

        If so, what still waits to be logged is logged: nothing is trained, and the clocks stay as
        they were.
        """
        if self.before is None or self.before.status != RunStatus.FINISHED:
            return False
        if len(self.spool) - 1 < trials:
            return False
        # A crash may have come before the parent could say how many records there are.
        if self.before.records != len(self.spool):
            return False
        if self.spool.waiting:
            with self.interrupts.held_back():
                self._open_tracker().catch_up(self.spool, force=True, until=self._interrupted)
        return True

    def start(self) -> None:
        """Opens the tracker, says there that the work goes on, and logs what was left last time."""
        with self.interrupts.held_back():
            self.tracker = self._open_tracker()
            was_running = self.before is not None and self.before.status == RunStatus.RUNNING
            if not was_running or self.before is None or self.before.tags != self.parent.tags:
                self.spool.write(self.parent)
            self.log()

    def write(self, run: TrialRun) -> None:
        """Makes the record of a trial that has ended durable."""
        with self.interrupts.held_back():
            self.spool.write(run)

    def extend(self, trial: LiveTrial, points: list[Point]) -> None:
        """Makes points of a trial in training durable; the first call begins its run.

        Points that were given before are passed over: the first one of a metric at a step is true.
        """
        with self.interrupts.held_back():
            self.live.extend(trial, points)

    def live_points(self, number: int, id: str) -> list[Point]:
        """The points of a trial in training that are durable; none where it has not begun."""
        return self.live.points(number, id)

    def log(self) -> None:
        """Sends what is written to MLflow; what cannot be sent stays in the spool."""
        assert self.tracker is not None, "the books have not been started"
        with self.interrupts.held_back():
            self.tracker.catch_up(self.spool, until=self._interrupted)

    def trials(self) -> list[TrialRun]:
        """All trials that have ended, in the order in which they did."""
        return [record for record in self.spool.records() if isinstance(record, TrialRun)]

    def close(
        self,
        status: RunStatus,
        description: str = "",
        metrics: Iterable[tuple[str, float, int, int]] = (),
        artifacts: dict[str, bytes] | None = None,
    ) -> None:
        """Ends the parent with its verdict and its files. Nothing happens if it has not started.

        Parameters
        ----------
        status : RunStatus
            FINISHED or KILLED.
        description : str
            Markdown; the one of the start is kept where it is empty.
        metrics : iterable of (key, value, step, time in ms)
            Points in addition to those of the last time.
        artifacts : dict of bytes by path, or None
            Files in addition to those of the start.
        """
        with self.interrupts.held_back():
            # Taken away first: a second Ctrl-C must not close the books once more.
            tracker = self.tracker
            self.tracker = None
            if tracker is None:
                return
            points = dict.fromkeys(Point(*point) for point in [*self.parent.metrics, *metrics])
            ended = replace(
                self.parent,
                status=status,
                end_ms=now_ms(),
                files=None,
                metrics=list(points),
                description=description or self.parent.description,
                artifacts={**self.parent.artifacts, **(artifacts or {})},
                records=len(self.spool),
            )
            self.spool.write(ended)
            if self.interrupts.stopping:
                # Who stops the work waits for no server.
                with patience():
                    tracker.catch_up(self.spool, until=self._interrupted)
            else:
                tracker.catch_up(self.spool, force=True, until=self._interrupted)

    def _open_tracker(self) -> "Tracker":
        # Importing MLflow takes seconds, so that only those who log wait for it.
        from harness.tracking.writer import open_tracker

        return open_tracker(None, self.project)

    def _interrupted(self) -> bool:
        return self.interrupts.pending


def folder_of(kind: str, name: str, root: Path | None = None) -> Path:
    """The folder of a sweep below mlruns/: readable, and different for different names."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:60] or kind
    digest = hashlib.sha256(f"{kind}/{name}".encode()).hexdigest()[:8]
    return (root or find_root()) / "mlruns" / "sweeps" / f"{readable}-{digest}"


@contextlib.contextmanager
def open_books(
    kind: str,
    name: str,
    *,
    params: dict[str, Any],
    tags: dict[str, str],
    project: str = "harness",
) -> Iterator[Books]:
    """Opens the books under their lock, without starting them.

    A second driver on the same name is refused with the name of the owner. Books that are left
    without `close` say KILLED.

    Parameters
    ----------
    kind : str
        "sweep" or "comparison".
    name : str
        Its name, one line.
    params, tags : dict
        Those of the parent run.
    project : str
        The MLflow experiment.
    """
    checks.line(f"the name of a {kind}", name)
    checks.line("project", project)
    folder = folder_of(kind, name)
    with contextlib.ExitStack() as cleanup:
        is_new = make_folder(folder)
        if is_new:
            cleanup.callback(_discard_unused, folder)
            for above in (folder.parent, folder.parent.parent):
                sync_folder(above)
        cleanup.enter_context(file_lock(folder / "lock", wait=False))
        spool = Spool(folder / "spool")
        before = spool.parent()
        parent = _parent(kind, name, params, tags, project, before)
        if before is not None and not spool.is_logged(before.id):
            # The last time has not come to log these.
            parent.metrics = before.metrics
        books = Books(folder, parent, before, spool, project)
        try:
            yield books
        finally:
            books.close(RunStatus.KILLED)


def _parent(
    kind: str,
    name: str,
    params: dict[str, Any],
    tags: dict[str, str],
    project: str,
    before: ParentRun | None,
) -> ParentRun:
    """The parent run at the start of a sitting; it goes on as the one that was there before."""
    files, plugin_tags = plugin_files(before.tags if before else {})
    parent = ParentRun(
        id=f"{kind}/{name}/{now_ms()}",
        name=name,
        kind=kind,
        params=params,
        tags={**tags, **plugin_tags},
        artifacts=files,
        project=project,
        sitting=1,
    )
    if before is None:
        parent.id = f"{kind}/{name}/{parent.start_ms}"
        return parent
    parent.id = before.id
    parent.start_ms = before.start_ms
    parent.checksums = before.checksums
    parent.sitting = before.sitting + 1
    return parent


def _discard_unused(folder: Path) -> None:
    """Removes the folder of what was refused before its first record."""
    if not list(folder.glob("spool/*-*-*")):
        with contextlib.suppress(DiskError):
            remove_tree(folder)


def log_single(run: TrialRun, project: str = "harness") -> str | None:
    """Spools and logs one run that stands alone.

    Returns
    -------
    str or None
        Its run id; None where MLflow cannot be reached, so that it waits in the spool.
    """
    from harness.tracking.writer import open_tracker

    folder = find_root() / "mlruns" / "runs"
    files, tags = plugin_files({})
    run.artifacts = {**files, **run.artifacts}
    run.tags = {**tags, **run.tags}
    run.project = project
    make_folder(folder)
    with file_lock(folder / "lock"):
        spool = Spool(folder / "spool")
        # Written before anything that may refuse, so that a network that has been trained is kept.
        spool.write(run)
        open_tracker(None, project).catch_up(spool)
        return spool.run_id(run.id)
