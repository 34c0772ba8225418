"""A lock between processes: a file that says who holds it.

The system lets go of the lock when its owner dies, so no lock is ever left behind.
"""

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from harness.errors import UsageError
from harness.storage.files import DiskError, on_disk

WRITER_LOCK = "writer.lock"  # in the folder of a sweep: held by whoever writes it into MLflow

_ASKED_S = 0.05  # seconds for which a lock may seem to be held because somebody asks about it


class LockHeld(UsageError):
    """Somebody else holds the lock.

    Attributes
    ----------
    owner : str
        Who does, as the file says it; empty where it does not.
    """

    def __init__(self, path: Path) -> None:
        self.owner = owner_of(path)
        super().__init__(
            f"only one process at a time may work in {path.parent}, and "
            f"{self.owner or 'another'} does; wait for it or stop it"
        )


def owner_of(path: Path) -> str:
    """Who holds a lock, as its file says; empty where it does not."""
    with contextlib.suppress(OSError):
        return path.read_bytes().decode(errors="replace").strip()
    return ""


@contextlib.contextmanager
def file_lock(path: Path, wait: bool = True) -> Iterator[None]:
    """Holds a lock while the block runs.

    Parameters
    ----------
    path : Path
        The file of the lock, which is made where it is missing.
    wait : bool
        Whether to wait while somebody else holds it.

    Raises
    ------
    LockHeld
        If somebody else holds it, and wait is False.
    DiskError
        If the file cannot be written.
    """
    with contextlib.ExitStack() as stack:
        try:
            with on_disk(path):
                # A buffer would try to write what it still holds once more when it is closed, and
                # fail again.
                file = stack.enter_context(open(path, "ab", buffering=0))
                _take(file, path, wait)
        except DiskError as error:
            if isinstance(error.__cause__, BlockingIOError):
                raise LockHeld(path) from None
            raise
        yield


def _take(file: FileIO, path: Path, wait: bool) -> None:
    """Locks an open file and writes down who holds it; BlockingIOError where somebody else does."""
    if wait:
        fcntl.flock(file, fcntl.LOCK_EX)
    else:
        _lock_at_once(file)
    if not path.exists():
        # The owner before has just removed the folder, so this file is one that nobody else sees.
        raise BlockingIOError
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())


def _lock_at_once(file: FileIO) -> None:
    """Locks an open file; BlockingIOError where somebody else holds the lock, and keeps it.

    Who only asks whether a lock is held (`is_held`) shares it for less than a millisecond, and must
    refuse nobody by that.
    """
    end = time.monotonic() + _ASKED_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise
            time.sleep(_ASKED_S / 10)
        else:
            return


def is_held(path: Path) -> bool:
    """Whether somebody holds a lock, on this machine or on another one that shares its file.

    The answer is true at the moment of asking. Nobody waits for it, and nobody is refused by it.
    """
    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@contextlib.contextmanager
def lock_unless_held(path: Path) -> Iterator[str]:
    """Holds a lock while the block runs, where nobody else does.

    Yields
    ------
    str
        Who else holds it; empty where this process does now.
    """
    with contextlib.ExitStack() as stack:
        owner = ""
        try:
            stack.enter_context(file_lock(path, wait=False))
        except LockHeld as held:
            owner = held.owner or "another process"
        yield owner
