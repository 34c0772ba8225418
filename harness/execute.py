"""Where jobs run: in this process, or on Dask workers. One call for both: submit(job), then next() for what is done."""

import contextlib
import logging
import os
import signal
import sys
from collections import deque
from collections.abc import Iterator
from multiprocessing import resource_tracker
from types import ModuleType
from typing import Any

from harness.errors import UsageError
from harness.spool import now_ms
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
        self._jobs: dict[Any, Job] = {}
        self._cluster: Any = None
        self._client: Any = None
        try:
            self._open(workers, scheduler)
        except BaseException:  # Ctrl-C too
            self.close()
            raise

    def _open(self, workers: int, scheduler: str | None) -> None:
        import dask
        from distributed import Client, LocalCluster, as_completed

        settings = {
            "distributed.scheduler.allowed-failures": 1,  # a job that two workers did not survive kills the third too
            "distributed.admin.large-graph-warning-threshold": "1GB",  # a job may carry the snapshots of a film
        }
        dask.config.set(settings)
        for handler in logging.getLogger("distributed").handlers:
            handler.setLevel(logging.CRITICAL)  # for good: what a cluster says while it goes down is for nobody either
        quiet: dict[str, Any] = {
            "dashboard_address": "127.0.0.1:0",
            "scheduler_kwargs": {"dashboard": False},
            "silence_logs": logging.CRITICAL,
        }
        if scheduler is None:
            with _inherited():
                self._cluster = LocalCluster(workers, threads_per_worker=1, host="127.0.0.1", memory_limit=0, **quiet)
        try:
            self._client = Client(self._cluster or scheduler, timeout="5s", set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise UsageError(
                f"no Dask scheduler answers at {scheduler!r} ({error}); start one with 'dask scheduler' or leave it out"
            ) from None
        self.workers = max(1, len(self._client.scheduler_info(n_workers=-1)["workers"]))
        self._done = as_completed([], loop=self._client.loop)

    def submit(self, job: Job) -> None:
        future = self._client.submit(work, job, pure=False)
        self._jobs[future] = job
        self._done.add(future)

    def next(self) -> list[Outcome]:
        future = next(self._done)
        job = self._jobs.pop(future)
        try:
            return future.result()
        except Exception as error:  # work() raises nothing, so this is the worker's end
            text = (
                f"{type(error).__name__}: the worker process died, and so did a second one (out of memory? a plugin?)"
            )
            said: dict[str, Any] = {"error": text, "ended": True, "start_ms": now_ms(), "end_ms": now_ms()}
            return [Outcome(n, c, **said) for n, c in zip(job.numbers, job.configs, strict=True)]

    def close(self) -> None:
        """Workers keep nothing that is of use: they are killed, so that Ctrl-C does not wait for a trial to end."""
        for nanny in self._cluster.workers.values() if self._cluster else ():
            nanny.close_gracefully()  # it does not start another
            if nanny.pid:
                os.kill(nanny.pid, signal.SIGKILL)
        for each in (self._client, self._cluster):
            if each is not None:
                with contextlib.suppress(Exception):
                    each.close(timeout=5)


@contextlib.contextmanager
def _inherited() -> Iterator[None]:
    """What workers that start now inherit: one BLAS thread each, no MLflow run, deafness to Ctrl-C, no main module.

    The thread that starts workers, now and later, inherits the blocked SIGINT; here a Ctrl-C waits for the end.
    Workers load a script for its plugins (`Job.plugins`), so multiprocessing need not run it as their main module.
    """
    resource_tracker.ensure_running()  # when multiprocessing starts it, it unblocks SIGINT
    wanted = {**dict.fromkeys(THREADS, "1"), "MLFLOW_RUN_ID": None}
    before = {name: os.environ.get(name) for name in wanted}
    main, blocked = sys.modules["__main__"], signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    sys.modules["__main__"] = ModuleType("__main__")
    _set(wanted)
    try:
        yield
    finally:
        _set(before)
        sys.modules["__main__"] = main
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _set(environment: dict[str, str | None]) -> None:
    for name, value in environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextlib.contextmanager
def engine(workers: int = 1, scheduler: str | None = None) -> Iterator[Inline | Dask]:
    """The engine for so many workers; with one and no scheduler, this process. Closed on the way out."""
    if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
        raise UsageError(f"workers must be a whole number of at least 1, got {workers!r}")
    made: Inline | Dask = Inline() if workers == 1 and scheduler is None else Dask(workers, scheduler)
    try:
        yield made
    finally:
        made.close()
