"""`harness sync`: sends what waits in the spools to MLflow."""

from pathlib import Path
from typing import Any

from harness import registry
from harness.errors import UsageError
from harness.maintenance.folders import Say, folders, held, name_of, records
from harness.storage.records import ParentRun, RunStatus, TrialRun
from harness.storage.spool import Spool


# sync ---------------------------------------------------------------------------------------------
class Senders:
    """Trackers by project, opened when they are needed; after an outage nothing more is tried."""

    def __init__(self, root: Path | None):
        self.root = root
        self.known: dict[str, Any] = {}
        self.said: list[str] = []
        self.problem = ""  # why nothing can be sent

    def of(self, project: str) -> Any:
        from harness.tracking.writer import open_tracker

        if project not in self.known:
            self.known[project] = open_tracker(self.root, project, self.said.append)
        return self.known[project]

    def unite(self, project: str, id: str) -> None:
        """Of runs that were created twice one stays."""
        self.of(project).unite(id)

    def send(self, spool: Spool) -> str:
        """Sends what waits in a spool. Why something still waits, or ""."""
        parent = spool.parent()
        projects = (
            [parent.project]
            if parent
            else list(dict.fromkeys(run.project for run in spool.pending()))
        )
        for project in projects:
            if self.problem:
                break
            tracker = self.of(project or "harness")
            self.said.clear()
            tracker.catch_up(spool, force=True)
            if tracker.down:
                self.problem = f"{tracker.place} cannot be used ({tracker.trouble})"
            elif spool.waiting and self.said:
                return self.said[-1]
        return self.problem if spool.waiting else ""


def end(spool: Spool) -> bool:
    """Ends a parent that says RUNNING though nobody drives it; whether it did."""
    parent = spool.parent()
    if parent is None or parent.status != RunStatus.RUNNING:
        return False
    last = max(
        (run.end_ms or 0 for run in spool.sound() if isinstance(run, TrialRun)),
        default=parent.start_ms,
    )
    spool.write(ParentRun(**{**vars(parent), "status": RunStatus.KILLED, "end_ms": last}))
    return True


def sync(name: str | None = None, root: Path | None = None, say: Say = print) -> bool:
    """Sends everything that waits in the spools, or in that of one sweep, to MLflow; whether
    nothing waits any more.

    What an earlier run of a sweep has in another store is no place to guess: then its name must be
    given. UsageError where nothing has that name, or the store needs the user.
    """
    from harness.tracking.connect import mark, place, place_of

    found = {folder: name_of(folder) for folder in folders(root)}
    if name is not None and name not in found.values():
        raise UsageError(
            f"nothing in mlruns/ is called {name!r}; {registry.suggest(name, list(found.values()))}"
        )
    senders, sent, left = Senders(root), 0, 0
    for folder, called in found.items():
        if name not in (None, called):
            continue
        with held(folder) as owner:
            if owner:
                waiting = sum(not (path / "logged").exists() for path in records(folder, "trial"))
                left += waiting
                say(
                    f"{called}: skipped, {owner} works on it"
                    + (f"; {waiting} wait" if waiting else "")
                )
                continue
            try:
                spool = Spool(folder / "spool")
                end(spool)
                waiting = spool.waiting
                if not waiting:
                    continue
                others = {spool.store(run.id) for run in spool.sound()} - {"", mark(root)}
                stores = ", ".join(place_of(store, root) for store in sorted(others))
                if others and name is None:
                    reason = f"its other runs are in {stores}; set MLFLOW_TRACKING_URI to that, or "
                    reason += f"send them to {place(root)} with --name"
                else:
                    reason = senders.send(spool)
            except UsageError as error:  # a damaged record
                say(f"{called}: {error}")
                left += 1
                continue
            sent, left = sent + waiting - spool.waiting, left + spool.waiting
            words = [f"{waiting - spool.waiting} sent"] if waiting > spool.waiting else []
            words += [f"{spool.waiting} wait: {reason}"] if spool.waiting else []
            say(f"{called}: {', '.join(words)}")
    say(f"{sent} sent to {place(root)}, {left or 'nothing'} {'wait' if left > 1 else 'waits'}")
    return not left
