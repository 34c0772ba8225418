"""Writing to disk: durable, whole or not at all, and any error of the disk is one sentence.

All other rooms write through these functions, so that a full disk, a quota, a failing device or a
folder without permission ends every command in the same way: a `DiskError`, which the command line
prints with exit code 2.
"""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from harness.errors import UsageError

_GO_ON = "then the same command goes on"
_REMEDIES = {
    errno.ENOSPC: f"free some space (`harness gc` shows what takes it), {_GO_ON}",
    errno.EDQUOT: f"free some of your quota (`harness gc` shows what takes it), {_GO_ON}",
    errno.EFBIG: f"raise the limit on the size of files (ulimit -f), {_GO_ON}",
    errno.EIO: f"the device may be failing, so see the system's log and keep a copy; {_GO_ON}",
    errno.EROFS: "make its file system writable, {elsewhere}",
    errno.EACCES: "correct its permissions, {elsewhere}",
    errno.EPERM: "correct its permissions, {elsewhere}",
    errno.ENAMETOOLONG: "choose a shorter name, {elsewhere}",
    errno.EMFILE: f"raise the limit on open files (ulimit -n), {_GO_ON}",
    errno.ENFILE: f"close other programs, {_GO_ON}",
}
_ANY_REMEDY = "correct that, {elsewhere}"

_AT_ONCE = 8  # files that are synced together
_syncing: ThreadPoolExecutor | None = None  # made when it is first needed


# Errors -------------------------------------------------------------------------------------------


class DiskError(UsageError):
    """The disk has not taken what was to be written there.

    Attributes
    ----------
    errno : int
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
    path : Path or str
        What is being written; the sentence names it.
    kind : str
        "file" or "folder", as the sentence calls it.

    Raises
    ------
    DiskError
        What must hold, what came and what to do, in one sentence.
    """
    try:
        yield
    except OSError as error:
        raise _disk_error(path, error, kind) from error


def _disk_error(path: Path | str, error: OSError, kind: str = "file") -> DiskError:
    """The sentence about an error of the system's, for `path`."""
    number = error.errno or 0
    reason = error.strerror or str(error) or type(error).__name__
    elsewhere = "or choose another place"
    if "mlruns" in Path(path).parts:
        elsewhere = "or set HARNESS_ROOT to another folder"
    remedy = _REMEDIES.get(number, _ANY_REMEDY).replace("{elsewhere}", elsewhere)
    return DiskError(
        f"{path} must be a {kind} that can be written, but: {reason}; {remedy}", number
    )


# Files --------------------------------------------------------------------------------------------


def write_durably(path: Path, data: bytes) -> None:
    """Writes a file that a power cut cannot take away once its folder is synced too."""
    with on_disk(path):
        _write(path, data)


def write_together(contents: Mapping[Path, bytes], folders: Iterable[Path]) -> None:
    """Writes files durably, and makes the names in folders durable with them.

    All are synced at once. A disk takes them in one go then, where one after the other would wait
    for it, and for whoever else writes to it, several times.

    Parameters
    ----------
    contents : mapping of Path to bytes
        The files; their folders are there.
    folders : iterable of Path
        The folders.
    """
    for path, data in contents.items():
        with on_disk(path), open(path, "wb") as file:
            file.write(data)
    global _syncing
    if _syncing is None:
        _syncing = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="sync")
    tasks = [_syncing.submit(sync_file, path) for path in contents]
    tasks += [_syncing.submit(sync_folder, path) for path in folders]
    wait(tasks)
    for task in tasks:
        task.result()


def _forget_threads() -> None:
    """A process that is forked has none of the threads of its parent."""
    global _syncing
    _syncing = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


def _write(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_whole(contents: Mapping[Path, bytes]) -> None:
    """Writes or replaces files; who reads them finds the old content of each, or the new one.

    That holds after a power cut too. What could not be written leaves nothing behind.

    Parameters
    ----------
    contents : mapping of Path to bytes
        All are written beside their places and then moved there, in order. Missing folders are
        made.
    """
    beside = {path: path.with_name(f".{path.name}.{os.getpid()}.new") for path in contents}
    try:
        for path, data in contents.items():
            make_folder(path.parent)
            with on_disk(path):
                _write(beside[path], data)
        for path, written in beside.items():
            rename(written, path)
            sync_folder(path.parent)
    finally:
        for written in beside.values():
            # It is not there any more where it has been moved, and never was after an error.
            with contextlib.suppress(OSError):
                written.unlink()


def write_plain(path: Path, data: bytes, new: bool = False) -> None:
    """Writes a file that need not survive a power cut, and makes its folder.

    Parameters
    ----------
    path : Path
        The file.
    data : bytes
        Its content.
    new : bool
        Whether it must not be there yet.

    Raises
    ------
    FileExistsError
        If it is to be new, and is there.
    """
    make_folder(path.parent)
    mode = "xb" if new else "wb"
    try:
        with on_disk(path), open(path, mode) as file:
            file.write(data)
    except DiskError as error:
        if new and isinstance(error.__cause__, FileExistsError):
            raise error.__cause__ from None
        raise


def append(path: Path, text: str) -> None:
    """Appends all of a text to a file, or nothing: what a full disk has cut short is taken off."""
    with on_disk(path):
        size = path.stat().st_size
        try:
            with open(path, "a", encoding="utf-8") as file:
                file.write(text)
        except OSError:
            os.truncate(path, size)
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
    """Moves a file or folder into a folder that exists, in place of a file that is there."""
    with on_disk(to):
        os.replace(path, to)


def name_once(path: Path, to: Path) -> None:
    """Moves a file to a name that nobody has; where somebody has it by now, nothing happens."""
    with on_disk(to):
        try:
            os.link(path, to)
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            if not to.exists():
                os.rename(path, to)
    remove(path)


def remove(path: Path) -> None:
    """Removes a file; nothing if it is not there."""
    with on_disk(path):
        path.unlink(missing_ok=True)


# Folders ------------------------------------------------------------------------------------------


def make_folder(path: Path) -> bool:
    """Makes a folder and those above it, unless it is there; whether it did."""
    if path.is_dir():
        return False
    with on_disk(path, "folder"):
        path.mkdir(parents=True, exist_ok=True)
    return True


def move_into(path: Path, folder: Path) -> None:
    """Moves a file or folder, under its name, into a folder that is made where it is missing."""
    make_folder(folder)
    rename(path, folder / path.name)


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


def take_tree(path: Path, to: Path, but: str = "") -> None:
    """Gives all files in a folder a second name in another one, which may be there, durably.

    Files that were synced under their first name need not be written a second time. Where the file
    system knows no second names they are copied. What is in the folder `but` stays out.
    """
    to_sync: set[Path] = set()
    for below, names in _files_by_folder(path, but):
        folder = to / below
        make_folder(folder)
        for name in names:
            _take(path / below / name, folder / name)
        to_sync.add(folder)
        to_sync.update(folder.parents[: len(below.split(os.sep))] if below else ())
    if to_sync:
        # The folder itself may be new, and the one above it.
        to_sync |= {to, to.parent, to.parent.parent}
    for folder in to_sync:
        sync_folder(folder)


def _files_by_folder(path: Path, but: str) -> list[tuple[str, list[str]]]:
    """The names of all files in a folder, by the folders in it that have some.

    A writer asks this for each trial, and pathlib would take ten times as long.
    """
    found = []
    top = str(path)
    with on_disk(path, "folder"):
        for above, folders, names in os.walk(top, onerror=_unless_missing):
            if above == top:
                folders[:] = [name for name in folders if name != but]
            files = [name for name in names if os.path.isfile(os.path.join(above, name))]
            if files:
                found.append((above[len(top) + 1 :], files))
    return found


def _unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _take(source: Path, target: Path) -> None:
    fresh = target.with_name(f".{target.name}.new")
    with on_disk(target):
        fresh.unlink(missing_ok=True)
        try:
            os.link(source, fresh)
        except OSError:
            _write(fresh, source.read_bytes())
    rename(fresh, target)
    # Where both were the same file already, its third name is left over.
    remove(fresh)


def copy_tree(path: Path, to: Path) -> None:
    """Copies all that is in a folder into another one, which may be there."""
    with on_disk(to, "folder"):
        try:
            shutil.copytree(path, to, dirs_exist_ok=True)
        except shutil.Error as error:
            # It has tried all files, and its first argument lists those that failed.
            _, _, reason = error.args[0][0]
            raise OSError(0, str(reason)) from error
