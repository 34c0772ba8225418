"""How trials fail: what an error makes of a trial, in one sentence, and the end of those that take
too long.
"""

import contextlib
import ctypes
import errno
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator

from harness.errors import in_words, place_of
from harness.storage.result import TrialState

# Seconds that a trial out of time has to come back from a call that is not Python, before its
# worker ends
GRACE = 10


class TimedOut(Exception):
    """Raised where a trial stands when its time is up; the traceback is its stack."""


def why(error: Exception, timeout: float | None) -> tuple[TrialState, str]:
    """The state of a trial that raised this, and one sentence: what, and in whose file and line."""
    place = place_of(error)
    if isinstance(error, TimedOut):
        return TrialState.TIMED_OUT, f"timed out after {timeout:g} s"
    # The engine's words of where it was, the innermost first
    notes = list(getattr(error, "__notes__", ()))
    said = in_words(error)
    place = place or "; ".join(notes[:1])
    sentence = f"{said} ({place})" if place else said
    if isinstance(error, MemoryError):
        return TrialState.OUT_OF_MEMORY, f"out of memory: {sentence}"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return TrialState.DISK_FULL, f"the disk is full: {sentence}"
    return TrialState.FAILED, sentence


@contextlib.contextmanager
def deadline(seconds: float | None, last_words: Callable[[str], None] | None) -> Iterator[None]:
    """Raises TimedOut in the block when its time is up: at its next line of Python.

    A call that never comes back to Python cannot be left that way: with `last_words`, which is told
    the stack, the process then ends after GRACE seconds.
    """
    if seconds is None:
        yield
        return
    thread, over, lock = threading.get_ident(), threading.Event(), threading.Lock()

    def watch() -> None:
        if over.wait(min(seconds, threading.TIMEOUT_MAX)):
            return
        with lock:
            if not over.is_set():
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(thread), ctypes.py_object(TimedOut)
                )
        if last_words and not over.wait(GRACE):
            try:
                last_words("".join(traceback.format_stack(sys._current_frames()[thread])))
            finally:
                os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        try:
            with lock:
                over.set()
        except TimedOut:  # it comes once, and may come here
            over.set()
            raise
