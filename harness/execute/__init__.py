"""Where jobs run: in this process, or on Dask workers. One call for both: submit(job), then next() for what is done."""

import contextlib
import multiprocessing
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from harness import checks, registry
from harness.errors import Unguarded
from harness.execute import snapshot
from harness.execute.cluster import Dask
from harness.trial import Job, Outcome, work

__all__ = ["Dask", "Inline", "engine", "plugins_for", "refuse_in_worker"]


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


@contextlib.contextmanager
def engine(workers: int = 1, scheduler: str | None = None) -> Iterator[Inline | Dask]:
    """The engine for so many workers; with one and no scheduler, this process. Closed on the way out."""
    workers = checks.whole("workers", workers, 1)
    made: Inline | Dask = Inline() if workers == 1 and scheduler is None else Dask(workers, scheduler)
    try:
        yield made
    finally:
        made.close()


def plugins_for(pool: Inline | Dask, script: Path | None) -> list[str]:
    """The plugins that a job must bring to its worker, the script's own too; none where this process trains.

    What the session has defined otherwise goes with the pool. The pool refuses a job that uses what cannot.
    """
    if isinstance(pool, Inline):
        return []
    pool.defined = snapshot.take(script)
    if script is None:
        for name in snapshot.modules():
            registry.load_plugin(name)  # it is loaded, and now the registry knows its source
    return list(dict.fromkeys([*registry.plugins(), *([str(script)] if script else [])]))


def refuse_in_worker(what: str) -> None:
    """Unguarded in a local worker, which loads the script for its plugins and must not start the work anew."""
    if multiprocessing.parent_process() is not None:
        raise Unguarded(f"a script that starts a {what} with workers must do so below: if __name__ == '__main__':")
