"""The end of trials that take too long."""

import contextlib
import ctypes
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator

from harness.expressions import compiling

# Seconds that a trial out of time has to come back from a call that is not Python, before its
# worker ends.
GRACE = 10


class TimedOut(Exception):
    """Raised where a trial stands when its time is up; the traceback is its stack."""


@contextlib.contextmanager
def deadline(seconds: float | None, last_words: Callable[[str], None] | None) -> Iterator[None]:
    """Raises TimedOut in the block when its time is up: at its next line of Python.

    To wait for loops that are compiled, once on a machine, does not count.

    Parameters
    ----------
    seconds : float or None
        How long the block may take; None for ever.
    last_words : callable or None
        A call that never comes back to Python cannot be left by an exception. With `last_words`,
        which is told the stack, the process then ends after GRACE seconds.
    """
    if seconds is None:
        yield
        return
    watch = _Watch(seconds, last_words)
    threading.Thread(target=watch.run, daemon=True).start()
    try:
        yield
    finally:
        try:
            watch.end()
        except TimedOut:
            # It may strike before the watch has taken note of the end.
            watch.end()
            raise


class _Watch:
    """Watches over the thread that makes it."""

    def __init__(self, seconds: float, last_words: Callable[[str], None] | None) -> None:
        self._seconds = min(seconds, threading.TIMEOUT_MAX)
        self._last_words = last_words
        self._thread = threading.get_ident()
        self._compiled_before = compiling.seconds(self._thread)
        self._is_over = threading.Event()
        # Held while TimedOut is sent, so that it never comes after the block.
        self._lock = threading.Lock()

    def run(self) -> None:
        """Waits in a thread of its own until the block or its time is over."""
        waited = 0.0
        while waited < (allowed := self._seconds + self._compiled()):
            if self._is_over.wait(min(allowed - waited, threading.TIMEOUT_MAX)):
                return
            waited = allowed
        with self._lock:
            if not self._is_over.is_set():
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self._thread), ctypes.py_object(TimedOut)
                )
        if self._last_words and not self._is_over.wait(GRACE):
            try:
                frame = sys._current_frames()[self._thread]
                self._last_words("".join(traceback.format_stack(frame)))
            finally:
                os._exit(1)

    def _compiled(self) -> float:
        """The seconds of the block that were spent on compiling."""
        return compiling.seconds(self._thread) - self._compiled_before

    def end(self) -> None:
        """Ends the watch; called by the thread that is watched."""
        with self._lock:
            self._is_over.set()
