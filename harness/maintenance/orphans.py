"""Runs that a dead driver has left RUNNING: the next command that works here says so in MLflow."""

import contextlib
from pathlib import Path

from harness.errors import UsageError
from harness.maintenance.folders import folders, held, name_of, spool_of
from harness.maintenance.sync import Senders, end, other_stores
from harness.maintenance.words import Say
from harness.storage import marks
from harness.storage.formats import Damaged, OtherVersion
from harness.storage.record_folder import read_record, record_folders
from harness.storage.records import RunStatus
from harness.storage.spool import Spool


def close_orphans(root: Path | None = None, say: Say = print) -> None:
    """Lets what no driver drives any more say KILLED in MLflow.

    Only the spools below this root are looked at, and only those whose lock nobody holds: no
    command on another machine, and none that reads beside a driver, ends a run. It is cheap where
    nothing is to be done, and where the store cannot be used nothing happens.

    Parameters
    ----------
    root : Path, optional
        The folder that holds mlruns/; looked for from here by default.
    say : callable
        Takes a line for each sweep and comparison that was ended.
    """
    senders = Senders(root)
    for folder in folders(root):
        # A folder that cannot be read or locked is for the doctor.
        with contextlib.suppress(UsageError):
            if _is_unended(folder):
                _close(folder, senders, say)


def _is_unended(folder: Path) -> bool:
    """Whether MLflow may say that a sweep is running, as its newest record tells without a lock."""
    newest = record_folders(spool_of(folder), "parent")[-1:]
    for path in newest:
        with contextlib.suppress(Damaged, OtherVersion):
            return read_record(path).status == RunStatus.RUNNING or not marks.is_marked(path)
    return False


def _close(folder: Path, senders: Senders, say: Say) -> None:
    with held(folder) as owner:
        if owner:
            return
        spool = Spool(spool_of(folder))
        if other_stores(spool, senders.root):
            return
        end(spool)
        parent = spool.parent()
        if parent is not None and senders.close(spool):
            say(f"{name_of(folder)}: its driver is gone; it has ended {parent.status}")
