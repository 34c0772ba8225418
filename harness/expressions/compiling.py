"""Who compiles loops now: a trial waits for it, and its user is told why nothing moves."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

# The folder of compiled loops; without it that of the user's cache.
VARIABLE = "HARNESS_KERNEL_CACHE"

_MARK = "compiling-"
_OLD = 600.0  # seconds after which a note is that of a process that was killed

_listeners: list[Callable[[], None]] = []

_spent: dict[int, float] = {}  # by thread: the seconds that it has waited for loops
_began: dict[int, float] = {}  # by thread: since when it waits for one


def caches() -> Path:
    """Return the folder that has a folder of compiled loops for each version and processor."""
    given = os.environ.get(VARIABLE)
    if given:
        return Path(given)
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home) / "mlp-harness" / "kernels"


@contextlib.contextmanager
def announced() -> Iterator[None]:
    """Count the time of the block, and leave a note for other processes while it lasts."""
    thread = threading.get_ident()
    note = caches() / f"{_MARK}{os.getpid()}-{thread}"
    try:
        # Where the folder cannot be written, nobody is told.
        with contextlib.suppress(OSError):
            note.touch()
        _began[thread] = time.perf_counter()
        for tell in _listeners:
            tell()
        yield
    finally:
        # A time limit may have struck before the clock was started.
        _spent[thread] = seconds(thread)
        _began.pop(thread, None)
        with contextlib.suppress(OSError):
            note.unlink()


@contextlib.contextmanager
def told(tell: Callable[[], None]) -> Iterator[None]:
    """Call a function each time that this process begins to compile a loop within the block."""
    _listeners.append(tell)
    try:
        yield
    finally:
        _listeners.remove(tell)


def seconds(thread: int) -> float:
    """Return how long a thread of this process has waited for loops in all."""
    spent = _spent.get(thread, 0.0)
    began = _began.get(thread)
    return spent if began is None else spent + time.perf_counter() - began


def watcher() -> Callable[[], bool]:
    """Return a function that says whether a process of this user on this machine compiles now."""
    folder = caches()

    def compiles_now() -> bool:
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            return any(_is_true(entry) for entry in entries if entry.name.startswith(_MARK))
        return False

    return compiles_now


def _is_true(note: os.DirEntry[str]) -> bool:
    """Whether who left a note is still at work, as far as can be told."""
    process, _, _ = note.name.removeprefix(_MARK).partition("-")
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (ValueError, PermissionError):
        pass
    return time.time() - note.stat().st_mtime < _OLD
