"""The books of a sweep or a comparison.

One folder, one lock, one spool and one writer belong together. The driver makes everything durable
here; the writer, a process of its own, brings it into MLflow (`tracking.writer_process`).
"""

import contextlib
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import checks
from harness.expressions.backend import kernels, using
from harness.storage.clock import now_ms
from harness.storage.files import DiskError, make_folder, remove_tree, sync_folder
from harness.storage.formats import sha256
from harness.storage.live import LiveTrial, LiveTrials, agree, live_folder
from harness.storage.lock import file_lock
from harness.storage.records import DataInput, ParentRun, Point, RunStatus, TrialRun
from harness.storage.root import find_root
from harness.storage.spool import Spool
from harness.studies.labels import NO_LABELS, Labels, users_tags, with_note
from harness.studies.origin import code_tags, origin_tags, without_origin
from harness.studies.plugin_files import plugin_files
from harness.studies.writing import say_what_was_waited_for, start_writer
from harness.tracking.sqlite_store import check_place
from harness.tracking.writer_process import WriterProcess
from harness.trials.clock import monotonic
from harness.trials.interrupts import PATIENCE, Interrupts

ENVIRONMENT = "environment.json"  # what a trial was trained under
KERNELS = "harness.kernels"  # a tag: the backend with which a study began, and goes on


class Books:
    """What is known of one sweep or comparison.

    A record is made durable (`write`), told to whoever decides, and the writer is woken (`log`).
    Nothing is written before `start`.

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
    writer : WriterProcess or None
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
        self.live = LiveTrials(live_folder(folder))
        self.project = project
        self.interrupts = Interrupts()
        self.writer: WriterProcess | None = None
        self._started = 0.0
        self._trials: list[TrialRun] | None = None  # until another one is written

    def finished(self, trials: int) -> bool:
        """Whether the parent has FINISHED and so many trials have ended.

        If so, what still waits to be logged is logged: nothing is trained, and the clocks stay as
        they were.
        """
        if self.before is None or self.before.status != RunStatus.FINISHED:
            return False
        if self.before.note != self.parent.note:
            return False
        if users_tags(self.before.tags) != users_tags(self.parent.tags):
            return False
        if len(self.spool) - 1 < trials:
            return False
        # A crash may have come before the parent could say how many records there are.
        if self.before.records != len(self.spool):
            return False
        if self.spool.waiting:
            with self.interrupts.held_back():
                check_place()
                writer = start_writer(self.folder, self.project)
                try:
                    writer.drain(self._interrupted)
                    writer.finish(self._interrupted)
                finally:
                    writer.end()
        return True

    @property
    def has_same_tags(self) -> bool:
        """Whether it has the tags of the last time, wherever the code has come from."""
        if self.before is None:
            return False
        return without_origin(self.before.tags) == without_origin(self.parent.tags)

    @property
    def tags_of_trials(self) -> dict[str, str]:
        """The tags that each trial has too: the user's, and those of the code."""
        return {**users_tags(self.parent.tags), **code_tags(self.parent.tags)}

    def start(self) -> None:
        """Starts the writer, says that the work goes on, and has logged what was left last time.

        Raises
        ------
        UsageError
            If the store cannot be one. What only MLflow can tell is raised by `log`.
        """
        with self.interrupts.held_back():
            check_place()
            self.writer = start_writer(self.folder, self.project)
            self._started = monotonic()
            was_running = self.before is not None and self.before.status == RunStatus.RUNNING
            before = self.before
            is_same = (
                before is not None
                and before.tags == self.parent.tags
                and before.note == self.parent.note
            )
            if not was_running or not is_same:
                self.spool.write(self.parent)
            self.log()

    def write(self, run: TrialRun) -> None:
        """Makes the record of a trial that has ended durable.

        Its points are those that were durable while it was in training, where there are some.
        """
        with self.interrupts.held_back():
            if run.number is not None:
                agree(run, self.live.sound(run.number))
            self._share_environment(run)
            self._trials = None
            self.spool.write(run)

    def _share_environment(self, run: TrialRun) -> None:
        """Keeps what a trial was trained under with the parent, unless that has another one."""
        environment = run.artifacts.get(ENVIRONMENT)
        if environment is None:
            return
        if ENVIRONMENT not in self.parent.checksums:
            self.parent.checksums[ENVIRONMENT] = sha256(environment)
            self.parent.artifacts[ENVIRONMENT] = environment
            self.spool.write(self.parent)
        if self.parent.checksums[ENVIRONMENT] == sha256(environment):
            del run.artifacts[ENVIRONMENT]

    def extend(self, trial: LiveTrial, points: list[Point]) -> None:
        """Makes points of a trial in training durable; the first call begins its run.

        Points that were given before are passed over: the first one of a metric at a step is true.
        """
        with self.interrupts.held_back():
            self.live.extend(trial, points)
            self.log()

    def live_points(self, number: int, id: str) -> list[Point]:
        """The points of a trial in training that are durable; none where it has not begun."""
        return self.live.points(number, id)

    def log(self) -> None:
        """Has what is written sent to MLflow, without waiting for it.

        Raises
        ------
        UsageError
            If the user must act before anything can be sent; all that is written is kept.
        """
        assert self.writer is not None, "the books have not been started"
        with self.interrupts.held_back():
            self.writer.wake()

    def trials(self) -> list[TrialRun]:
        """All trials that have ended, in the order in which they did."""
        if self._trials is None:
            records = self.spool.records()
            self._trials = [record for record in records if isinstance(record, TrialRun)]
        return list(self._trials)

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
            Markdown, which comes after the user's note.
        metrics : iterable of (key, value, step, time in ms)
            Points in addition to those of the last time.
        artifacts : dict of bytes by path, or None
            Files in addition to those of the start.
        """
        with self.interrupts.held_back():
            # Taken away first: a second Ctrl-C must not close the books once more.
            writer = self.writer
            self.writer = None
            if writer is None:
                return
            points = dict.fromkeys(Point(*point) for point in [*self.parent.metrics, *metrics])
            ended = replace(
                self.parent,
                status=status,
                end_ms=now_ms(),
                files=None,
                metrics=list(points),
                description=with_note(self.parent.note, description),
                artifacts={**self.parent.artifacts, **(artifacts or {})},
                records=len(self.spool),
            )
            try:
                self.spool.write(ended)
                self._log_end(ended, writer)
            finally:
                writer.end()

    def _log_end(self, ended: ParentRun, writer: WriterProcess) -> None:
        """Waits for what is logged, as long as nobody wants to stop."""
        if not self.interrupts.pending:
            writer.drain(self._interrupted)
            self._note_wait(ended, writer)
            writer.finish(self._interrupted)
        if self.interrupts.pending:
            # Who stops the work waits for no server.
            writer.stop(PATIENCE)
        else:
            whole = monotonic() - self._started
            say_what_was_waited_for(writer.seconds_of_writing, whole, self.folder)

    def _note_wait(self, ended: ParentRun, writer: WriterProcess) -> None:
        """Writes down how long the work has waited until its trials were logged."""
        assert ended.end_ms is not None
        point = Point("time/waited_for_mlflow_s", writer.seconds, ended.sitting, ended.end_ms)
        ended.metrics = [*ended.metrics, point]
        self.spool.write(ended)

    def _interrupted(self) -> bool:
        return self.interrupts.pending

    @property
    def is_open(self) -> bool:
        """Whether the books have been started and not closed."""
        return self.writer is not None


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
    labels: Labels = NO_LABELS,
    script: Path | None = None,
    inputs: Iterable[DataInput] = (),
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
    labels : Labels
        The user's tags, which are added to those of the last time, and note.
    script : Path or None
        The script that was started.
    inputs : iterable of DataInput
        The data.
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
        parent.inputs = list(inputs)
        _label(parent, labels, script, before)
        if before is not None and not spool.is_logged(before.id):
            # The last time has not come to log these.
            parent.metrics = before.metrics
        books = Books(folder, parent, before, spool, project)
        try:
            with using(parent.tags[KERNELS]):
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
        tags={**tags, **plugin_tags, KERNELS: kernels()},
        artifacts=files,
        project=project,
        sitting=1,
    )
    if before is None:
        parent.id = f"{kind}/{name}/{parent.start_ms}"
        return parent
    parent.id = before.id
    parent.start_ms = before.start_ms
    parent.tags[KERNELS] = before.tags.get(KERNELS, "numpy")  # formerly there was no other one
    parent.checksums = before.checksums
    if before.files is not None and (before.files / ENVIRONMENT).is_file():
        parent.artifacts[ENVIRONMENT] = (before.files / ENVIRONMENT).read_bytes()
    parent.sitting = before.sitting + 1
    return parent


def _label(
    parent: ParentRun, labels: Labels, script: Path | None, before: ParentRun | None
) -> None:
    """Adds what the user has written on a parent, now and earlier, and where it comes from."""
    earlier = {} if before is None else users_tags(before.tags)
    parent.tags = {**earlier, **labels.tags, **origin_tags(script), **parent.tags}
    parent.note = labels.note
    if before is not None and not labels.note:
        parent.note = before.note
    parent.description = parent.note


def _discard_unused(folder: Path) -> None:
    """Removes the folder of what was refused before its first record."""
    if not list(folder.glob("spool/*-*-*")):
        with contextlib.suppress(DiskError):
            remove_tree(folder)
