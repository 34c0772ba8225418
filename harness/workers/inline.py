"""One worker that is this process."""

from collections import deque

from harness.trials.job import Job
from harness.trials.outcome import Outcome
from harness.trials.work import work


class Inline:
    """One worker: this process. A job runs when its result is asked for."""

    workers = 1
    remote = False  # nothing comes back by itself

    def __init__(self) -> None:
        self._queue: deque[Job] = deque()
        self.shipped = {"segments": 0, "bytes": 0, "seconds": 0.0}  # nothing is

    def submit(self, job: Job) -> None:
        self._queue.append(job)

    def next(self, seconds: float | None = None) -> list[Outcome]:
        """The outcomes of the next job, however long it takes."""
        return work(self._queue.popleft())

    def close(self) -> None:
        self._queue.clear()
