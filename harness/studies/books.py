"""The books of a sweep, a comparison or a single run: one folder, one lock, one spool, one tracker,
one writer.
"""

import contextlib
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import checks, registry
from harness.escapes import printable
from harness.storage.clock import now_ms
from harness.storage.files import DiskError, make_folder, remove_tree, sync_folder
from harness.storage.lock import file_lock
from harness.storage.records import ParentRun, RunStatus, TrialRun
from harness.storage.root import find_root
from harness.storage.spool import Spool
from harness.trials.interrupts import patience, stop, stopping, undisturbed


class Books:
    """What is known of one sweep. A record is made durable (`write`), told to whoever decides, then
    logged (`log`).

    Nothing is written before `start`. `before` is the parent as it was left last time, None for a
    new one.
    """

    def __init__(
        self, folder: Path, parent: ParentRun, before: ParentRun | None, spool: Spool, project: str
    ):
        self.folder, self.parent, self.before, self.spool, self.project = (
            folder,
            parent,
            before,
            spool,
            project,
        )
        self.tracker: Any = None

    def finished(self, enough: int) -> bool:
        """Whether the parent has FINISHED and so many trials have ended; what of it waits to be
        logged is logged.
        """
        if (
            self.before is None
            or self.before.status != RunStatus.FINISHED
            or len(self.spool) - 1 < enough
        ):
            return False
        # A crash came before the parent could say so
        if self.before.records != len(self.spool):
            return False
        # It was stopped here: nothing is trained, and the clocks stay as they were
        if self.spool.waiting:
            from harness.tracking.writer import open_tracker

            with undisturbed():
                open_tracker(None, self.project).catch_up(self.spool, force=True, until=stop)
        return True

    @undisturbed()
    def start(self) -> None:
        """Opens the tracker, says there that the work goes on, and logs what the last time has
        left.
        """
        from harness.tracking.writer import open_tracker

        self.tracker = open_tracker(None, self.project)
        if (
            self.before is None
            or self.before.status != RunStatus.RUNNING
            or self.before.tags != self.parent.tags
        ):
            self.spool.write(self.parent)
        self.log()

    @undisturbed()
    def write(self, run: TrialRun) -> None:
        """Makes the record of a trial that has ended durable."""
        self.spool.write(run)

    @undisturbed()
    def log(self) -> None:
        """Sends what is written to MLflow; what cannot be sent stays in the spool."""
        self.tracker.catch_up(self.spool, until=stop)

    def trials(self) -> list[TrialRun]:
        """All trials that have ended, in the order in which they did."""
        return [r for r in self.spool.records() if isinstance(r, TrialRun)]

    @undisturbed()
    def close(
        self,
        status: RunStatus,
        description: str = "",
        metrics: Any = (),
        artifacts: dict[str, bytes] | None = None,
    ) -> None:
        """Ends the parent: FINISHED or KILLED, with its verdict and its files. Nothing if it has
        not started.
        """
        tracker, self.tracker = self.tracker, None  # once, also where a second Ctrl-C comes between
        if tracker is None:
            return
        ended = {**vars(self.parent), "status": status, "end_ms": now_ms(), "files": None}
        ended |= {"metrics": list(dict.fromkeys(map(tuple, [*self.parent.metrics, *metrics])))}
        ended |= {"description": description or self.parent.description}
        ended |= {"artifacts": {**self.parent.artifacts, **(artifacts or {})}}
        ended["records"] = len(self.spool)
        self.spool.write(ParentRun(**ended))
        # Who stops it waits for no server
        with patience() if stopping else contextlib.nullcontext():
            tracker.catch_up(self.spool, force=not stopping, until=stop)


def plugin_files(before: dict[str, str]) -> tuple[dict[str, bytes], dict[str, str]]:
    """The sources of plugins as artifacts plugins/mine.py, and the tag harness.plugins: JSON of
    name -> SHA-256.

    before: the tags that the run has. Where a source has changed since, both are kept, and a line
    on stderr says so.
    """
    known, files = json.loads(before.get("harness.plugins", "{}")), {}
    for name, source in registry.sources().items():
        digest = hashlib.sha256(source).hexdigest()
        if known.get(name, digest) != digest:
            newer = f"{name[:-3]}-{digest[:8]}.py"
            if newer not in known:
                said = f"the plugin {name} has changed since this began: what has ended keeps its results"
                print(
                    printable(f"{said}; the new source is kept as plugins/{newer}"), file=sys.stderr
                )
            name = newer
        known[name], files[f"plugins/{name}"] = digest, source
    return files, {"harness.plugins": json.dumps(known)} if known else {}


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
    description: str = "",
    project: str = "harness",
    start: bool = True,
) -> Iterator[Books]:
    """Opens the books under their lock; a second driver on the same name is refused with the name
    of the owner.

    With start=False the caller starts them. Books that are left without `close` say KILLED.
    """
    checks.line(f"the name of a {kind}", name)
    checks.line("project", project)
    folder = folder_of(kind, name)
    with contextlib.ExitStack() as held:
        new = make_folder(folder)
        if new:
            held.callback(_discard_unused, folder)
            for above in (folder.parent, folder.parent.parent):
                sync_folder(above)
        held.enter_context(file_lock(folder / "lock", wait=False))
        spool = Spool(folder / "spool")
        before = spool.parent()
        begun = before.start_ms if before else now_ms()
        files, more = plugin_files(before.tags if before else {})
        said: dict[str, Any] = {"params": params, "description": description, "start_ms": begun}
        said |= {"tags": {**tags, **more}, "artifacts": files}
        if before:
            said["checksums"] = before.checksums
        if before and not spool.is_logged(before.id):  # what the sitting before has not come to log
            said["metrics"] = before.metrics
        said["sitting"] = 1 + (before.sitting if before else 0)
        said |= {"name": name, "kind": kind, "project": project}
        parent = ParentRun(id=before.id if before else f"{kind}/{name}/{begun}", **said)
        books = Books(folder, parent, before, spool, project)
        if start:
            books.start()
        try:
            yield books
        finally:
            try:
                books.close(RunStatus.KILLED)
            finally:
                stopping.clear()


def _discard_unused(folder: Path) -> None:
    """What was refused before its first record leaves no trace."""
    if not list(folder.glob("spool/*-*-*")):
        with contextlib.suppress(DiskError):
            remove_tree(folder)


def log_single(run: TrialRun, project: str = "harness") -> str | None:
    """Spools and logs one run that stands alone; its run id, or None where MLflow cannot be
    reached: then it waits.
    """
    from harness.tracking.writer import open_tracker

    folder, (files, tags) = find_root() / "mlruns" / "runs", plugin_files({})
    run.artifacts, run.tags, run.project = {**files, **run.artifacts}, {**tags, **run.tags}, project
    make_folder(folder)
    with file_lock(folder / "lock"):
        spool = Spool(folder / "spool")
        spool.write(run)  # before anything that may refuse: a run that has been trained is not lost
        open_tracker(None, project).catch_up(spool)
        return spool.run_id(run.id)
