"""The folders below mlruns/ that somebody may be working on."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from harness.storage.formats import Damaged, OtherVersion
from harness.storage.lock import WRITER_LOCK, lock_unless_held
from harness.storage.record_folder import read_record, record_folders
from harness.storage.root import find_root

SINGLE = "single runs"  # the name of the spool that all runs share which stand alone

_RUN_ID = re.compile(r"[0-9a-f]{32}")


def folders(root: Path | None = None) -> list[Path]:
    """The folders below mlruns/ that have a spool.

    Parameters
    ----------
    root : Path, optional
        The folder that holds mlruns/; looked for from here by default.

    Returns
    -------
    list of Path
        Those of sweeps and comparisons by name, then the one of single runs.
    """
    mlruns = (root or find_root()) / "mlruns"
    candidates = [*sorted((mlruns / "sweeps").glob("*")), mlruns / "runs"]
    return [folder for folder in candidates if spool_of(folder).is_dir()]


def spool_of(folder: Path) -> Path:
    """The folder of the spool of a sweep or comparison."""
    return folder / "spool"


@contextlib.contextmanager
def held(folder: Path) -> Iterator[str]:
    """Holds the locks of a folder while the block runs, where nobody else does.

    Yields
    ------
    str
        Who else works on it; empty where nobody does now.
    """
    with lock_unless_held(folder / "lock") as owner, contextlib.ExitStack() as stack:
        # The writer of a driver that was killed may outlive it for a moment.
        if not owner and (folder / WRITER_LOCK).exists():
            owner = stack.enter_context(lock_unless_held(folder / WRITER_LOCK))
        yield owner


def name_of(folder: Path) -> str:
    """What the sweep or comparison in a folder is called; read without its lock."""
    if folder.name == "runs" and folder.parent.name == "mlruns":
        return SINGLE
    with contextlib.suppress(Damaged, OtherVersion, IndexError):
        newest = record_folders(spool_of(folder), "parent")[-1]
        return str(read_record(newest).name)
    # The readable part of its name is left where the record of its parent is missing or damaged.
    return folder.name


def is_run_id(text: str) -> bool:
    """Whether a text is a run id of MLflow's, so that it may become a path."""
    return _RUN_ID.fullmatch(text) is not None


def artifacts_of(store: Path | None, run_id: str | None) -> Path | None:
    """The folder with the artifacts of a run.

    Parameters
    ----------
    store : Path or None
        The local folder of artifacts; None where a server has them.
    run_id : str or None
        The run in MLflow; None for one that is not there.

    Returns
    -------
    Path or None
        None where there can be no such folder here.
    """
    if store is None or run_id is None or not is_run_id(run_id):
        return None
    return store / run_id / "artifacts"
