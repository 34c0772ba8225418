"""Where jobs run: in this process, or on Dask workers. One call for both: submit(job), then next() for what is done."""

import atexit
import contextlib
import ctypes
import hashlib
import logging
import math
import os
import signal
import sys
import tempfile
import time
import traceback
from collections import deque
from collections.abc import Iterator
from functools import cache
from multiprocessing import resource_tracker
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from harness.errors import UsageError
from harness.spool import now_ms
from harness.trial import Job, Outcome, member, work

TIMED_OUT = "TIMED_OUT"
DEATHS = 4  # so many workers that died while they ran a job: they die of other things too, but then it is the job
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "BLIS_NUM_THREADS")


class Inline:
    """One worker: this process. A job runs when its result is asked for."""

    workers = 1

    def __init__(self) -> None:
        self._queue: deque[Job] = deque()
        self.shipped = {"segments": 0, "bytes": 0, "seconds": 0.0}  # nothing is

    def submit(self, job: Job) -> None:
        self._queue.append(job)

    def next(self) -> list[Outcome]:
        return work(self._queue.popleft())

    def close(self) -> None:
        self._queue.clear()


class Sent(NamedTuple):
    """A job on its way: the how many-th, and how many workers have died while they ran it."""

    job: Job
    order: int
    deaths: int


class Dask:
    """Workers of a Dask cluster: local ones that are started here, or a cluster that is there already."""

    def __init__(self, workers: int, scheduler: str | None = None) -> None:
        self._jobs: dict[Any, Sent] = {}  # by their futures
        self._orders: dict[str, int] = {}  # of all futures so far, by their keys
        self.shipped = {"segments": 0, "bytes": 0, "seconds": 0.0}  # there and back; seconds of this process
        self._sources: dict[str, bytes | None] = {}  # of plugins that are files: what all workers train with
        self._address = scheduler or "of its own"
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
            "distributed.scheduler.allowed-failures": 0,  # who dies of what is decided here
            # After this time a cluster gives a worker up that is down at that moment, though it is being started again
            "distributed.deploy.lost-worker-timeout": "1000 days",
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
                self._cluster = LocalCluster(
                    workers, threads_per_worker=1, host="127.0.0.1", memory_limit=0, preload=[__name__], **quiet
                )
        try:
            self._client = Client(self._cluster or scheduler, timeout="5s", set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise UsageError(
                f"no Dask scheduler answers at {scheduler!r} ({error}); start one with 'dask scheduler' or leave it out"
            ) from None
        self._done = as_completed([], loop=self._client.loop)
        self._counted = -math.inf
        if scheduler is not None and not self._count():
            print(f"the Dask scheduler at {scheduler} has no workers yet; the work waits for one", file=sys.stderr)

    def _count(self) -> int:
        self._counted, self._workers = time.monotonic(), len(self._client.scheduler_info(n_workers=-1)["workers"])
        return self._workers

    @property
    def workers(self) -> int:
        """How many there are, at least 1: those of a cluster come and go."""
        if time.monotonic() > self._counted + 2:
            self._count()
        return max(1, self._workers)

    def submit(self, job: Job) -> None:
        self._send(job, 0)

    def _send(self, job: Job, deaths: int) -> None:
        from distributed.protocol.pickle import dumps

        begun = time.perf_counter()
        for each in job.plugins:
            if each not in self._sources:
                self._sources[each] = Path(each).read_bytes() if Path(each).is_file() else None
        plugins = {each: self._sources[each] for each in job.plugins}
        content = dumps((job, plugins))
        order = len(self._orders)
        future = self._client.submit(_work, content, pure=False, priority=-order)  # first come, first served
        self._jobs[future], self._orders[future.key] = Sent(job, order, deaths), order
        self._done.add(future)
        self._shipped(begun, content, 1)

    def next(self) -> list[Outcome]:
        from distributed import CancelledError, KilledWorker
        from distributed.protocol.pickle import loads

        future = next(self._done)
        begun, sent = time.perf_counter(), self._jobs.pop(future)
        job = sent.job
        try:
            content = future.result()
        except KilledWorker as killed:
            return self._bereaved(future.key, sent, killed) or self.next()
        except CancelledError:
            raise UsageError(
                f"the Dask scheduler {self._address} must stay until the work is done, but it is gone; start it again, "
                "then the same command goes on"
            ) from None
        except Exception as error:  # work() raises nothing: the worker has another harness, or none
            said = f"{type(error).__name__}: {error}"
            return _lost(job, "FAILED", "".join(traceback.format_exception(error)), f"a worker cannot work: {said}")
        outcomes = loads(content)
        self._shipped(begun, content, 0)
        return outcomes

    def _bereaved(self, key: str, sent: Sent, killed: Any) -> list[Outcome]:
        """What becomes of a job whose worker died: it is sent again, unless it is the one that workers die of.

        A worker runs one job while others may wait there; only the first of them can be the cause.
        """
        said = [event for _, event in self._client.get_events(killed.last_worker.address)]
        held = next((e["processing-tasks"] for e in reversed(said) if e.get("action") == "remove-worker"), [key])
        job, deaths = sent.job, sent.deaths
        if sent.order == min(self._orders[each] for each in held if each in self._orders):
            for event in said:
                if event.get("action") == TIMED_OUT and event["key"] == key:
                    reason = f"timed out after {job.timeout:g} s and did not come back: its worker has been ended"
                    return _lost(job, TIMED_OUT, event["stack"], reason)
            deaths += killed.allowed_failures + 1
        if deaths < DEATHS:
            self._send(job, deaths)
        elif len(job.numbers) > 1:
            for p in range(len(job.numbers)):
                self._send(member(job, p), 0)
        else:
            text = f"{deaths} worker processes died while they trained it (out of memory? a plugin?)"
            return _lost(job, "KILLED", text, text)
        return []

    def _shipped(self, begun: float, content: bytes, segments: int) -> None:
        self.shipped["segments"] += segments
        self.shipped["bytes"] += len(content)
        self.shipped["seconds"] += time.perf_counter() - begun

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


def _work(content: bytes) -> bytes:
    """`work` on a worker. What Dask would do to what travels is done here, so that its bytes can be counted."""
    from distributed import get_worker
    from distributed.protocol.pickle import dumps, loads

    worker = get_worker()
    key = worker.get_current_task()

    def last_words(stack: str) -> None:
        worker.log_event(worker.address, {"action": TIMED_OUT, "key": key, "stack": stack})
        time.sleep(1)  # it is sent by another thread

    job, plugins = loads(content)
    job.plugins = [_here(reference, source) for reference, source in plugins.items()]
    return dumps(work(job, last_words))


def dask_setup(worker: Any) -> None:
    """Dask calls it in a worker of ours that starts: it dies with its driver, even while it is stopped by a signal."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


@cache
def _here(reference: str, source: bytes | None) -> str:
    """A plugin as this machine has it: the file itself, or a copy of what the driver has sent."""
    path = Path(reference)
    if source is None or (path.is_file() and path.read_bytes() == source):
        return reference
    copy = _copies() / hashlib.sha256(source).hexdigest()[:16] / path.name
    copy.parent.mkdir(exist_ok=True)
    copy.write_bytes(source)
    return str(copy)


@cache
def _copies() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="harness-plugins-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


def _lost(job: Job, failure: str, error: str, reason: str) -> list[Outcome]:
    """The outcomes of a job that came to nothing."""
    said: dict[str, Any] = {"failure": failure, "error": error, "reason": reason, "ended": True}
    return [
        Outcome(n, c, **said, start_ms=now_ms(), end_ms=now_ms()) for n, c in zip(job.numbers, job.configs, strict=True)
    ]


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
