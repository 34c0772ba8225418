"""The time that workers had no work because the driver was busy."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator


class IdleTime:
    """Counts the seconds of workers that had no job while the driver did something else than wait.

    Seconds count once another job is sent: at the end of a study there is no work to be had. Jobs
    come back in another thread.

    Parameters
    ----------
    clock : callable
        The time, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._workers = 0
        self._jobs = 0
        self._is_waiting = False
        self._last = 0.0
        self._pending = 0.0  # seconds that count if another job is sent

    def sent(self, workers: int) -> float:
        """A job goes to one of so many workers; the seconds that count from now on."""
        with self._lock:
            self._look()
            seconds = self._pending
            self._pending = 0.0
            self._workers = workers
            self._jobs += 1
            return seconds

    def back(self, job: object = None) -> None:
        """A job has come back."""
        with self._lock:
            self._look()
            self._jobs -= 1

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """The driver waits for a job within the block."""
        self._wait(True)
        try:
            yield
        finally:
            self._wait(False)

    def _wait(self, is_waiting: bool) -> None:
        with self._lock:
            self._look()
            self._is_waiting = is_waiting

    def _look(self) -> None:
        now = self._clock()
        if not self._is_waiting:
            idle = max(0, self._workers - self._jobs)
            self._pending += idle * (now - self._last)
        self._last = now
