"""One worker that is this process."""

from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from harness.trials import keeping
from harness.trials.job import Job
from harness.trials.outcome import Outcome
from harness.workers.errands import Errand

T = TypeVar("T")

HERE = "this process"


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
        self._studies: set[str] = set()
        self.shipped: dict[str, float] = {"segments": 0, "bytes": 0, "seconds": 0.0, "idle": 0.0}

    def submit(self, job: Job) -> None:
        """Takes a job."""
        self._queue.append(job)

    def next(self, seconds: float | None = None) -> list[Outcome]:
        """The outcomes of the next job, however long it takes."""
        job = self._queue.popleft()
        self._studies.add(job.study)
        return keeping.carry_on(job, HERE)

    def errand(self, function: Callable[..., T], *arguments: Any) -> Errand[T]:
        """A function of this package whose value this process computes when it is asked for."""
        return Errand(function, *arguments)

    def withdraw(self) -> None:
        """Takes back the jobs that have not run."""
        self._queue.clear()

    def close(self) -> None:
        """Forgets what has not run, and how trials stand that have not ended."""
        self._queue.clear()
        for study in self._studies:
            keeping.forget(study)
