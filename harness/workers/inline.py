"""One worker that is this process."""

from collections import deque

from harness.trials.job import Job
from harness.trials.outcome import Outcome
from harness.trials.work import work


class Inline:
    """One worker: this process. A job runs when its result is asked for.

    Attributes
    ----------
    workers : int
        1.
    remote : bool
        False: nothing comes back by itself.
    shipped : dict
        Zeros, because nothing travels.
    """

    workers = 1
    remote = False

    def __init__(self) -> None:
        self._queue: deque[Job] = deque()
        self.shipped: dict[str, float] = {"segments": 0, "bytes": 0, "seconds": 0.0}

    def submit(self, job: Job) -> None:
        """Takes a job."""
        self._queue.append(job)

    def next(self, seconds: float | None = None) -> list[Outcome]:
        """The outcomes of the next job, however long it takes."""
        return work(self._queue.popleft())

    def close(self) -> None:
        """Forgets what has not run."""
        self._queue.clear()
