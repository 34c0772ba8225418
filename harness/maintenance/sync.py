"""`harness sync`: sends what waits in the spools to MLflow."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from harness import registry
from harness.errors import UsageError
from harness.maintenance import in_models
from harness.maintenance.folders import folders, held, name_of, spool_of
from harness.maintenance.words import Say, counted, waits
from harness.storage import marks
from harness.storage.ledger import Ledgers
from harness.storage.live import live_folder
from harness.storage.record_folder import record_folders
from harness.storage.records import ParentRun, RunStatus, TrialRun
from harness.storage.spool import Spool
from harness.tracking.connect import mark, place, place_of
from harness.tracking.live_writer import GONE
from harness.tracking.record_writer import INTERRUPTED
from harness.tracking.writer import Tracker, open_tracker

PROJECT = "harness"  # the MLflow experiment of what names none


class Senders:
    """Trackers by project, opened when they are needed; after an outage nothing more is tried.

    Attributes
    ----------
    root : Path or None
        The folder that holds mlruns/; None where it is looked for from here.
    problem : str
        Why nothing can be sent; empty where it can.
    """

    def __init__(self, root: Path | None) -> None:
        self.root = root
        self.problem = ""
        self._trackers: dict[str, Tracker] = {}
        self._messages: list[str] = []

    def _tracker(self, project: str) -> Tracker:
        if project not in self._trackers:
            self._trackers[project] = open_tracker(self.root, project, self._messages.append)
        return self._trackers[project]

    def unite(self, project: str, id: str) -> None:
        """Lets one run stay of those that were created twice.

        Parameters
        ----------
        project : str
            The MLflow experiment.
        id : str
            That of the record.
        """
        self._tracker(project).knows(id)

    def send(self, spool: Spool) -> str:
        """Sends what waits in a spool.

        Returns
        -------
        str
            Why something still waits; empty where nothing does.
        """
        # Where only models wait, any project will do.
        for project in _projects(spool) or [PROJECT]:
            if self.problem:
                break  # each further try would cost a timeout
            tracker = self._tracker(project or PROJECT)
            self._messages.clear()
            tracker.catch_up(spool, force=True)
            if tracker.down:
                self.problem = f"{tracker.place} cannot be used ({tracker.trouble})"
            elif spool.waiting and self._messages:
                return self._messages[-1]
        if not spool.waiting:
            return ""
        return self.problem

    def close(self, spool: Spool) -> bool:
        """Ends a parent that has ended, and what was in training, where the store has its run.

        Its trials wait on.

        Returns
        -------
        bool
            Whether that is so in MLflow now.
        """
        parent = spool.parent()
        if parent is None:
            return False
        tracker = self._tracker(parent.project or PROJECT)
        if not tracker.knows(parent.id):
            return False
        tracker.catch_up(spool, until=_at_once)
        return spool.is_logged(parent.id)


def _at_once() -> bool:
    return True


def _projects(spool: Spool) -> Iterable[str]:
    """The projects of what waits in a spool, each once; runs that stand alone may have several."""
    if parent := spool.parent():
        return [parent.project]
    return dict.fromkeys(run.project for run in spool.pending())


def end(spool: Spool) -> None:
    """Ends a parent that says RUNNING though nobody drives it, when its last trial has ended."""
    parent = spool.parent()
    if parent is None or parent.status != RunStatus.RUNNING:
        return
    trials = [run for run in spool.sound() if isinstance(run, TrialRun)]
    # That is the last sign of its driver.
    last = max((run.end_ms or 0 for run in trials), default=parent.start_ms)
    tags = {**parent.tags, INTERRUPTED: GONE}
    ended = {"status": RunStatus.KILLED, "end_ms": last, "tags": tags}
    spool.write(ParentRun(**{**vars(parent), **ended}))


def other_stores(spool: Spool, root: Path | None) -> list[str]:
    """The stores, in words, that have records of a spool and are not the one in use."""
    known = {spool.store(run.id) for run in spool.sound()}
    return [place_of(store, root) for store in sorted(known - {"", mark(root)})]


def says_running(folder: Path) -> bool:
    """Whether MLflow was told that a trial is in training, and not that it is no more."""
    ledgers = Ledgers(live_folder(folder))
    entries = map(ledgers.read, ledgers.numbers())
    return any(entry is not None and entry.is_running for entry in entries)


class _Count(NamedTuple):
    """How many records of a spool were sent, and how many still wait."""

    sent: int
    waiting: int


def sync(name: str | None = None, root: Path | None = None, say: Say = print) -> bool:
    """Sends everything that waits in the spools, or in that of one sweep, to MLflow.

    If a sweep has sent some of its records to another store, its name must be given. Nothing is
    guessed.

    Parameters
    ----------
    name : str, optional
        The sweep or comparison; all by default.
    root : Path, optional
        The folder that holds mlruns/; looked for from here by default.
    say : callable
        Takes a line for each thing that was done.

    Returns
    -------
    bool
        Whether nothing waits any more.

    Raises
    ------
    UsageError
        If nothing has that name, or the store needs the user.
    """
    names = {folder: name_of(folder) for folder in folders(root)}
    if name is not None and name not in names.values():
        hint = registry.suggest(name, list(names.values()))
        raise UsageError(f"nothing in mlruns/ is called {name!r}; {hint}")
    senders = Senders(root)
    sent = 0
    waiting = 0
    for folder, folder_name in names.items():
        if name in (None, folder_name):
            count = _sync_folder(folder, folder_name, senders, name is not None, say)
            sent += count.sent
            waiting += count.waiting
    say(f"{sent} sent to {place(root)}, {waiting or 'nothing'} {waits(waiting)}")
    return waiting == 0


def _sync_folder(folder: Path, name: str, senders: Senders, is_chosen: bool, say: Say) -> _Count:
    with held(folder) as owner:
        if owner:
            return _skip(folder, name, owner, say)
        try:
            return _sync_spool(Spool(spool_of(folder)), name, senders, is_chosen, say)
        except UsageError as error:  # a damaged record
            say(f"{name}: {error}")
            return _Count(0, 1)


def _skip(folder: Path, name: str, owner: str, say: Say) -> _Count:
    """Says what waits in a folder that somebody else works on, who will send it."""
    trials = record_folders(spool_of(folder), "trial")
    waiting = sum(not marks.is_marked(path) for path in trials)
    rest = f"; {waiting} wait" if waiting else ""
    say(f"{name}: skipped, {owner} works on it{rest}")
    return _Count(0, waiting)


def _sync_spool(spool: Spool, name: str, senders: Senders, is_chosen: bool, say: Say) -> _Count:
    # Nobody else holds its lock, so that its driver is gone.
    end(spool)
    before = spool.waiting
    trouble = ""
    others = other_stores(spool, senders.root)
    if not others:
        trouble = in_models.send_lost(spool, senders.root)
    models = in_models.waiting(spool)
    if not before and not models and not says_running(spool.folder.parent):
        if trouble:
            say(f"{name}: a model that MLflow has lost cannot be made again: {trouble}")
        return _Count(0, 0)
    if others and not is_chosen:
        reason = (
            f"its other runs are in {', '.join(others)}; set MLFLOW_TRACKING_URI to that, or "
            f"send them to {place(senders.root)} with --name"
        )
    else:
        reason = senders.send(spool)
    count = _Count(before - spool.waiting, spool.waiting)
    words = []
    if count.sent:
        words.append(f"{count.sent} sent")
    if count.waiting:
        words.append(f"{count.waiting} wait: {reason}")
    sent_models = models - in_models.waiting(spool)
    if sent_models and not count.sent:
        words.append(f"{counted(sent_models, 'model')} sent")
    say(f"{name}: {', '.join(words)}")
    return count
