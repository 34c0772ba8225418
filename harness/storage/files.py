"""Writing to disk: durable, whole or not at all, and any error of the disk is one sentence with the
file.

All other rooms write through these functions, so that a full disk, a quota, a failing device or a
folder without permission ends every command in the same way: a `DiskError`, which the command line
prints with exit code 2.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.errors import UsageError

GO_ON = "then the same command goes on"
_REMEDIES = {
    errno.ENOSPC: f"free some space (`harness gc` shows what takes it), {GO_ON}",
    errno.EDQUOT: f"free some of your quota (`harness gc` shows what takes it), {GO_ON}",
    errno.EFBIG: f"raise the limit on the size of files (ulimit -f), {GO_ON}",
    errno.EIO: f"the device may be failing, so see the system's log and keep a copy; {GO_ON}",
    errno.EROFS: "make its file system writable, {elsewhere}",
    errno.EACCES: "correct its permissions, {elsewhere}",
    errno.EPERM: "correct its permissions, {elsewhere}",
    errno.ENAMETOOLONG: "choose a shorter name, {elsewhere}",
    errno.EMFILE: f"raise the limit on open files (ulimit -n), {GO_ON}",
    errno.ENFILE: f"close other programs, {GO_ON}",
}
_ANY_REMEDY = "correct that, {elsewhere}"


class DiskError(UsageError):
    """The disk has not taken what was to be written there.

    Attributes
    ----------
    errno
        The system's number of the error, such as errno.ENOSPC; 0 where the system gave none.
    """

    def __init__(self, message: str, number: int = 0) -> None:
        super().__init__(message)
        self.errno = number


@contextlib.contextmanager
def on_disk(path: Path | str, kind: str = "file") -> Iterator[None]:
    """Makes any OSError in the block a DiskError about `path`.

    Parameters
    ----------
    path
        What is being written; the sentence names it.
    kind
        "file" or "folder", as the sentence calls it.

    Raises
    ------
    DiskError
        What must hold, what came and what to do, in one sentence.
    """
    try:
        yield
    except OSError as error:
        raise disk_error(path, error, kind) from error


def disk_error(path: Path | str, error: OSError, kind: str = "file") -> DiskError:
    """The sentence about an error of the system's, for `path`."""
    number = error.errno or 0
    reason = error.strerror or str(error) or type(error).__name__
    ours = "mlruns" in Path(path).parts
    elsewhere = "or set HARNESS_ROOT to another folder" if ours else "or choose another place"
    remedy = _REMEDIES.get(number, _ANY_REMEDY).replace("{elsewhere}", elsewhere)
    return DiskError(
        f"{path} must be a {kind} that can be written, but: {reason}; {remedy}", number
    )


# Files --------------------------------------------------------------------------------------------


def write_durably(path: Path, data: bytes) -> None:
    """Writes a file that a power cut cannot take away; its name is only safe once its folder is
    synced too.
    """
    with on_disk(path):
        _write(path, data)


def _write(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_whole(files: Mapping[Path, bytes]) -> None:
    """Writes or replaces files so that a reader, and a power cut, find the old content of each or
    the new one.

    All are written beside their places, then moved there in order; missing folders are made. What
    could not be written leaves nothing behind.
    """
    beside = {path: path.with_name(f".{path.name}.{os.getpid()}.new") for path in files}
    try:
        for path, data in files.items():
            make_folder(path.parent)
            with on_disk(path):
                _write(beside[path], data)
        for path, written in beside.items():
            rename(written, path)
            sync_folder(path.parent)
    finally:
        for written in beside.values():
            with contextlib.suppress(OSError):  # moved, or never made
                written.unlink()


def write_plain(path: Path, data: bytes, new: bool = False) -> None:
    """Writes a file that need not survive a power cut, its folder too; with `new` FileExistsError
    where it exists.
    """
    make_folder(path.parent)
    try:
        with on_disk(path), open(path, "xb" if new else "wb") as file:
            file.write(data)
    except DiskError as error:
        if new and isinstance(error.__cause__, FileExistsError):
            raise error.__cause__ from None
        raise


def append(path: Path, text: str) -> None:
    """Appends to a file, all of it or nothing: what a full disk has cut short is taken off
    again.
    """
    with on_disk(path):
        whole = path.stat().st_size
        try:
            with open(path, "a", encoding="utf-8") as file:
                file.write(text)
        except OSError:
            os.truncate(path, whole)
            raise


def touch(path: Path) -> None:
    """Makes an empty file unless it is there."""
    with on_disk(path):
        path.touch()


def truncate(path: Path, size: int) -> None:
    """Cuts a file off after `size` bytes."""
    with on_disk(path):
        os.truncate(path, size)


def sync_file(path: Path) -> None:
    """Makes durable what has been written to a file."""
    with on_disk(path), open(path, "rb") as file:
        os.fsync(file.fileno())


def rename(path: Path, to: Path) -> None:
    """Moves a file or folder, in place of a file that is there, to a folder that exists."""
    with on_disk(to):
        os.replace(path, to)


def remove(path: Path) -> None:
    """Removes a file; nothing if it is not there."""
    with on_disk(path):
        path.unlink(missing_ok=True)


def write_named(folder: Path, name: str, suffix: str, data: bytes) -> None:
    """Writes NAME-SHA256SUFFIX durably, and removes what was written under that name before."""
    path = folder / f"{name}-{hashlib.sha256(data).hexdigest()}{suffix}"
    write_whole({path: data})
    for older in folder.glob(f"{name}-*{suffix}"):
        if older != path:
            remove(older)


def read_named(folder: Path, name: str, suffix: str) -> bytes | None:
    """What `write_named` has written, None where that is missing or damaged."""
    for path in folder.glob(f"{name}-*{suffix}"):
        data = path.read_bytes()
        if is_named(path, data):
            return data
    return None


def is_named(path: Path, data: bytes) -> bool:
    """Whether data have the SHA-256 that a file's name ends in."""
    return path.stem.endswith(f"-{hashlib.sha256(data).hexdigest()}")


# Folders ------------------------------------------------------------------------------------------


def make_folder(path: Path) -> bool:
    """Makes a folder and those above it, unless it is there; whether it did."""
    if path.is_dir():
        return False
    with on_disk(path, "folder"):
        path.mkdir(parents=True, exist_ok=True)
    return True


def sync_folder(path: Path) -> None:
    """Makes the names in a folder durable."""
    with on_disk(path, "folder"):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_tree(path: Path) -> None:
    """Removes a folder with all that is in it; nothing if it is not there."""
    with on_disk(path, "folder"), contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)


def copy_tree(path: Path, to: Path) -> None:
    """Copies all that is in a folder into another one, which may be there."""
    with on_disk(to, "folder"):
        try:
            shutil.copytree(path, to, dirs_exist_ok=True)
        except shutil.Error as error:
            # It has tried them all, and tells of each in a tuple (from, to, why)
            raise OSError(0, str(error.args[0][0][2])) from error


# Locks --------------------------------------------------------------------------------------------


def owner_of(path: Path) -> str:
    """Who holds a lock, as its file says; "" where it does not."""
    with contextlib.suppress(OSError):
        return path.read_bytes().decode(errors="replace").strip()
    return ""


@contextlib.contextmanager
def file_lock(path: Path, wait: bool = True) -> Iterator[None]:
    """Hold `path` as a lock between processes; the system lets go of it when its owner dies.

    With wait=False a lock that somebody else holds is a UsageError that names the owner. DiskError
    where the file cannot be written.
    """
    with contextlib.ExitStack() as held:
        try:
            with on_disk(path):
                # Unbuffered, since what a buffer still holds would fail again when the file is
                # closed
                file = held.enter_context(open(path, "ab", buffering=0))
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                if not path.exists():  # its owner has just removed the folder
                    raise BlockingIOError
                file.truncate(0)
                file.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        except DiskError as error:
            if not isinstance(error.__cause__, BlockingIOError):
                raise
            raise UsageError(
                f"only one process at a time may work in {path.parent}, and "
                f"{owner_of(path) or 'another'} does; "
                "wait for it or stop it"
            ) from None
        yield
