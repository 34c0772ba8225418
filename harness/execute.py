"""Where jobs run: in this process, or on Dask workers. One call for both: submit(job), then results() as they come."""

import contextlib
import os
from collections import deque
from collections.abc import Iterator
from typing import Any

from harness.errors import UsageError
from harness.trial import Job, Outcome, work

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "BLIS_NUM_THREADS")


class Inline:
    """One worker: this process. A job runs when its result is asked for."""

    workers = 1

    def __init__(self) -> None:
        self._queue: deque[Job] = deque()

    def submit(self, job: Job) -> None:
        self._queue.append(job)

    def next(self) -> list[Outcome]:
        return work(self._queue.popleft())

    def close(self) -> None:
        self._queue.clear()


class Dask:
    """Workers of a Dask cluster: local ones that are started here, or a cluster that is there already."""

    def __init__(self, workers: int, scheduler: str | None = None) -> None:
        from distributed import Client, LocalCluster, as_completed

        self._cluster: Any = None
        if scheduler is None:
            with _environment():
                self._cluster = LocalCluster(
                    n_workers=workers, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None,
                    memory_limit=0, silence_logs=50,
                )  # fmt: skip
        try:
            self._client = Client(self._cluster or scheduler, timeout="10s", set_as_default=False)
        except (OSError, TimeoutError):
            raise UsageError(f"no Dask scheduler answers at {scheduler!r}; start one with 'dask scheduler' or leave --scheduler out") from None
        self.workers = workers if scheduler is None else max(1, len(self._client.scheduler_info(n_workers=-1)["workers"]))
        self._done = as_completed([], loop=self._client.loop)

    def submit(self, job: Job) -> None:
        self._done.add(self._client.submit(work, job, pure=False, retries=2))

    def next(self) -> list[Outcome]:
        return next(self._done).result()

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._client.close(timeout=2)
        if self._cluster is not None:
            with contextlib.suppress(Exception):
                self._cluster.close(timeout=2)


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Workers inherit one BLAS thread each, and no MLflow run."""
    before = {k: os.environ.get(k) for k in (*THREADS, "MLFLOW_RUN_ID")}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    os.environ.pop("MLFLOW_RUN_ID", None)
    try:
        yield
    finally:
        for k, v in before.items():
            if v is None:
                os.environ.pop(k, None)
            else:
                os.environ[k] = v


@contextlib.contextmanager
def engine(workers: int = 1, scheduler: str | None = None) -> Iterator[Inline | Dask]:
    """The engine for so many workers; with one and no scheduler, this process. Closed on the way out."""
    if not isinstance(workers, int) or workers < 1:
        raise UsageError(f"workers must be a whole number of at least 1, got {workers!r}")
    made: Inline | Dask = Inline() if workers == 1 and scheduler is None else Dask(workers, scheduler)
    try:
        yield made
    finally:
        made.close()
