"""A lock between processes: a file that says who holds it.

The system lets go of the lock when its owner dies, so no lock is ever left behind.
"""

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from harness.errors import UsageError
from harness.storage.files import DiskError, on_disk

WRITER_LOCK = "writer.lock"  # in the folder of a sweep: held by whoever writes it into MLflow


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
    operation = fcntl.LOCK_EX
    if not wait:
        operation |= fcntl.LOCK_NB
    fcntl.flock(file, operation)
    if not path.exists():
        # The owner before has just removed the folder, so this file is one that nobody else sees.
        raise BlockingIOError
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())


def is_held(path: Path) -> bool:
    """Whether somebody holds a lock. The answer is as old as it is, and nobody waits for it."""
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


def seems_held(path: Path) -> bool:
    """Whether the last owner of a lock is alive, as far as this machine can tell.

    The lock itself is not touched, so that a driver that starts at this moment is not refused. A
    process of another machine counts as alive.
    """
    words = owner_of(path).split()
    # It reads "process 123 on HOST".
    if len(words) != 4 or not words[1].isdigit():
        return False
    if words[3] != socket.gethostname():
        return True
    try:
        os.kill(int(words[1]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return not _has_ended(int(words[1]))


def _has_ended(pid: int) -> bool:
    """Whether a process has ended, and is known only until its parent asks how."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        # This system tells nothing of its processes, or the process has gone meanwhile.
        return False
    # The name of the program, which stands in parentheses before that, may hold anything.
    return status.rpartition(")")[2].split()[:1] in (["Z"], ["X"])
