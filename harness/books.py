"""The books of a sweep, a comparison or a single run: one folder, one lock, one spool, one tracker, one writer."""

import contextlib
import errno
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.spool import ParentRun, Spool, TrialRun, file_lock, find_root, now_ms


class Books:
    """What is known of one sweep. A record is made durable (`write`), then told to whoever decides, then logged (`log`).

    `finished`: there is nothing to do (see `enough` of `open_books`), and nothing can be written.
    """

    def __init__(self, folder: Path, parent: ParentRun, spool: Spool, tracker: Any):
        self.folder, self.parent, self.spool, self.tracker = folder, parent, spool, tracker
        self.finished = tracker is None

    def write(self, run: TrialRun) -> None:
        """Makes the record of a trial that has ended durable."""
        self.spool.write(run)

    def log(self) -> None:
        """Sends what is written to MLflow; what cannot be sent stays in the spool."""
        self.tracker.catch_up(self.spool)

    def trials(self) -> list[TrialRun]:
        """All trials that have ended, in the order in which they did."""
        return [r for r in self.spool.records() if isinstance(r, TrialRun)]

    def close(self, status: str, description: str = "", metrics: Any = (), artifacts: dict[str, bytes] | None = None) -> None:
        """Ends the parent: FINISHED or KILLED, with its verdict and its files."""
        ended = {**vars(self.parent), "status": status, "end_ms": now_ms()}
        ended |= {"description": description or self.parent.description, "metrics": list(metrics), "artifacts": artifacts or {}, "files": None}
        self.spool.write(ParentRun(**ended))
        self.tracker.catch_up(self.spool, force=True)


def folder_of(kind: str, name: str, root: Path | None = None) -> Path:
    """The folder of a sweep below mlruns/: readable, and different for different names."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:60] or kind
    return (root or find_root()) / "mlruns" / "sweeps" / f"{readable}-{hashlib.sha256(f'{kind}/{name}'.encode()).hexdigest()[:8]}"


@contextlib.contextmanager
def open_books(
    kind: str, name: str, *, params: dict[str, Any], tags: dict[str, str], description: str = "", project: str = "harness",
    enough: int | None = None,
) -> Iterator[Books]:  # fmt: skip
    """Opens the books under their lock; a second driver on the same name is refused with the name of the owner.

    Where the parent has FINISHED, `enough` trials have ended and all of them are logged, the books stay closed: `finished`.
    """
    if not isinstance(name, str) or not name.strip():
        raise UsageError(f"a {kind} must have a name, got {name!r}")
    folder = folder_of(kind, name)
    with contextlib.ExitStack() as held:
        with _writable(folder):
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(file_lock(folder / "lock", wait=False))
            books = _open(folder, kind, name, project, enough, dict(params=params, tags=tags, description=description))
        yield books


def _open(folder: Path, kind: str, name: str, project: str, enough: int | None, said: dict[str, Any]) -> Books:
    spool = Spool(folder / "spool")
    known = spool.parent()
    if known and known.status == "FINISHED" and enough is not None and len(spool) - 1 >= enough and not spool.waiting:
        return Books(folder, known, spool, None)
    from harness.tracking import open_tracker

    tracker, start = open_tracker(None, project), known.start_ms if known else now_ms()
    parent = ParentRun(id=known.id if known else f"{kind}/{name}/{start}", name=name, kind=kind, start_ms=start, **said)
    if known is None or known.status != "RUNNING":
        spool.write(parent)
    tracker.catch_up(spool)
    return Books(folder, parent, spool, tracker)


@contextlib.contextmanager
def _writable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.EACCES, errno.ENOTDIR, errno.EROFS, errno.EPERM, errno.EEXIST):
            raise UsageError(
                f"{folder} must be a folder that can be written, but: {error.strerror}; correct its permissions or set HARNESS_ROOT"
            ) from None
        raise


def log_single(run: TrialRun, project: str = "harness") -> str | None:
    """Spools and logs one run that stands alone; its run id, or None where MLflow cannot be reached (it stays in the spool)."""
    from harness.tracking import open_tracker

    folder = find_root() / "mlruns" / "runs"
    with _writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with file_lock(folder / "lock"):
            tracker, spool = open_tracker(None, project), Spool(folder / "spool")
            spool.write(run)
            tracker.catch_up(spool)
            return spool.run_id(run.id)
