"""A Dask cluster as the driver sees it: local workers that it starts, or a cluster that is there
already.
"""

import asyncio
import contextlib
import json
import logging
import math
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from multiprocessing import resource_tracker
from pathlib import Path
from queue import Empty, SimpleQueue
from types import ModuleType
from typing import Any, NamedTuple

from harness import registry
from harness.errors import UsageError
from harness.storage.clock import now_ms
from harness.storage.result import TrialState
from harness.trials.job import Job
from harness.trials.outcome import Outcome
from harness.workers import remote as worker
from harness.workers import snapshot
from harness.workers.clocks import wait_by_steady_clock

# So many workers that died while they ran a job: they die of other things too, but then it is the
# job
DEATHS = 4
STARTS = 3  # in a row that end before a local worker is there, until no other is tried
LOOK = 2  # seconds after which to look how many workers there are
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS",
)


class Sent(NamedTuple):
    """A job on its way: the how many-th, and how many workers have died while they ran it."""

    job: Job
    order: int
    deaths: int


class Dask:
    """Workers of a Dask cluster: local ones that are started here, or a cluster that is there
    already.
    """

    remote = True

    def __init__(self, workers: int, scheduler: str | None = None) -> None:
        self._jobs: dict[Any, Sent] = {}  # by their futures
        self._orders: dict[str, int] = {}  # of all futures so far, by their keys
        # There and back; seconds of this process
        self.shipped = {"segments": 0, "bytes": 0, "seconds": 0.0}
        self.defined = snapshot.Defined()  # what this session has defined in no file
        self._sources: dict[str, bytes | str] = {}  # of plugins: what all workers train with
        self._done: SimpleQueue[Any] = SimpleQueue()
        self._scheduler = None if scheduler is None else _address(scheduler)
        self._counted, self._workers = -math.inf, -1  # how many were seen, and when
        self._cluster: Any = None
        self._client: Any = None
        try:
            self._open(workers)
        except BaseException:  # Ctrl-C too
            self.close()
            raise

    def _open(self, workers: int) -> None:
        import dask
        from distributed import Client, LocalCluster

        settings = {
            "distributed.scheduler.allowed-failures": 0,  # who dies of what is decided here
            # what watches the workers takes the lock that their Python needs, ten and more times a
            # second
            "distributed.worker.profile.enabled": False,
            "distributed.admin.tick.interval": "1s",
            "distributed.admin.system-monitor.interval": "10s",
            # Dask would give up a worker for good if it is just being replaced so long after an
            # earlier death
            "distributed.deploy.lost-worker-timeout": "1000 days",
            # A job may carry the snapshots of a film
            "distributed.admin.large-graph-warning-threshold": "1GB",
        }
        dask.config.set(settings)
        for handler in logging.getLogger("distributed").handlers:
            # For good: what a cluster says while it goes down is for nobody either
            handler.setLevel(logging.CRITICAL)
        settled: dict[str, Any] = {
            "threads_per_worker": 1,
            "memory_limit": 0,
            "host": "127.0.0.1",
            "dashboard_address": "127.0.0.1:0",
            "scheduler_kwargs": {"dashboard": False},
            "silence_logs": logging.CRITICAL,
        }
        if self._scheduler is None:
            from harness.workers.keys import temporary_keys

            settled |= {"security": temporary_keys(), "protocol": "tls://"}
            try:
                with _inherited():
                    self._cluster = LocalCluster(
                        workers, **settled, worker_class=_nanny(), preload=[worker.__name__]
                    )
            except RuntimeError:
                raise UsageError(
                    f"{workers} workers must start, but one of these processes ended at once; see "
                    f"above"
                ) from None
        else:
            _reach(self._scheduler)
        self._client = Client(self._cluster or self._scheduler, timeout="5s", set_as_default=False)
        wait_by_steady_clock(self._client.loop)
        self._look()

    def _look(self) -> None:
        """Counts the workers; where there are none, the user is told."""
        found = self._client.scheduler_info(n_workers=-1).get("workers", {})
        before, self._workers, self._counted = self._workers, len(found), time.monotonic()
        if self._cluster:
            if all(
                nanny.status.name in ("closing", "closed", "failed")
                for nanny in self._cluster.workers.values()
            ):
                raise UsageError(
                    "workers must stay, but none is left: they died, and those that were to "
                    "replace them ended at once"
                )
        elif self._client.status == "running":  # if not, next() is about to learn it
            threads = max((each["nthreads"] for each in found.values()), default=0)
            if not found and before != 0:
                _say(
                    f"the Dask scheduler at {self._scheduler} has no workers; the work waits for "
                    f"one"
                )
            elif threads > 1 and before < 1:
                _say(
                    f"a Dask worker has {threads} threads, of which one trains: a process trains "
                    f"one network at a "
                    "time; start workers with --nthreads 1 and as many as there are cores with "
                    "--nworkers"
                )

    @property
    def workers(self) -> int:
        """How many there are, at least 1."""
        if time.monotonic() > self._counted + LOOK:
            self._look()
        return max(1, self._workers)

    def submit(self, job: Job) -> None:
        for config in [trial.config for trial in job.trials] if self.defined.held else ():
            self.defined.refuse(config.names())
        self._send(job, 0)

    def _send(self, job: Job, deaths: int) -> None:
        from distributed.client import ClosedClientError
        from distributed.protocol.pickle import dumps, loads

        begun = time.perf_counter()
        for each in job.plugins:
            if each not in self._sources:
                # Where there is no file, of a module
                file, digest = Path(each), registry.plugins().get(each, "")
                self._sources[each] = file.read_bytes() if file.is_file() else digest
        plugins = {each: self._sources[each] for each in job.plugins}
        content = dumps(
            worker.Call(
                worker.answer, worker.package_digest(), dumps((job, plugins, self.defined.content))
            )
        )
        order = len(self._orders)
        try:
            # First come, first served
            future = self._client.submit(loads, content, pure=False, priority=-order)
        except ClosedClientError:
            raise self._gone() from None
        self._jobs[future], self._orders[future.key] = Sent(job, order, deaths), order
        future.add_done_callback(self._done.put)
        self._shipped(begun, content, 1)

    def next(self, seconds: float | None = None) -> list[Outcome]:
        """The outcomes of the next job that is done; none where none is within so many seconds."""
        from distributed import KilledWorker
        from distributed.protocol.pickle import loads

        end = math.inf if seconds is None else time.monotonic() + seconds
        while True:
            try:
                future = self._done.get(timeout=max(0.0, min(LOOK, end - time.monotonic())))
                break
            except Empty:
                if time.monotonic() >= end:
                    return []
                self._look()
        begun, sent = time.perf_counter(), self._jobs.pop(future)
        try:
            content = future.result()
        except KilledWorker as killed:
            return self._bereaved(future.key, sent, killed) or self.next(seconds)
        except Exception as error:
            if future.cancelled() or self._client.status != "running":
                raise self._gone() from None
            raise UsageError(self._cannot_work(error)) from None
        outcomes = loads(content)
        if isinstance(outcomes, str):
            raise UsageError(outcomes)
        self._shipped(begun, content, 0)
        return outcomes

    def _gone(self) -> UsageError:
        where = "of the local workers" if self._scheduler is None else f"at {self._scheduler}"
        return UsageError(
            f"the Dask scheduler {where} must stay until the work is done, but it is gone; start "
            f"it again, then the "
            "same command goes on"
        )

    def _cannot_work(self, error: Exception) -> str:
        """Why a job raised, though `answer` raises nothing: a worker has no harness, or one without
        it.
        """
        found = self._client.run(import_module, worker.__name__, on_error="return")
        broken, why = next(
            (each for each in found.items() if isinstance(each[1], Exception)), ("one", error)
        )
        return (
            f"each Dask worker must have harness {worker.package_digest()}, but {broken} cannot "
            f"import it: "
            f"{type(why).__name__}: {why}; install it there and start that worker again"
        )

    def _bereaved(self, key: str, sent: Sent, killed: Any) -> list[Outcome]:
        """What becomes of a job whose worker died: it is sent again, unless it is the one that
        workers die of.

        A worker runs one job while others may wait there; only the first of them can be the cause.
        """
        try:
            said = [event for _, event in self._client.get_events(killed.last_worker.address)]
        except Exception:
            if self._client.status != "running":
                raise self._gone() from None
            raise
        held = next(
            (e["processing-tasks"] for e in reversed(said) if e.get("action") == "remove-worker"),
            [key],
        )
        job, deaths = sent.job, sent.deaths
        if sent.order == min(
            (self._orders[each] for each in held if each in self._orders), default=sent.order
        ):
            for event in said:
                if event.get("action") == worker.TIMED_OUT and event["key"] == key:
                    reason = f"timed out after {job.timeout:g} s and did not come back: its worker has been ended"
                    return _lost(job, TrialState.TIMED_OUT, event["stack"], reason)
            deaths += killed.allowed_failures + 1
        if deaths < DEATHS:
            self._send(job, deaths)
        elif len(job.trials) > 1:
            for alone in job.alone():
                self._send(alone, 0)
        else:
            text = (
                f"{deaths} worker processes died while they trained it (out of memory? a plugin?)"
            )
            return _lost(job, TrialState.KILLED, text, text)
        return []

    def _shipped(self, begun: float, content: bytes, segments: int) -> None:
        self.shipped["segments"] += segments
        self.shipped["bytes"] += len(content)
        self.shipped["seconds"] += time.perf_counter() - begun

    def close(self) -> None:
        """Workers keep nothing that is of use: they are killed, so that Ctrl-C does not wait for a
        trial to end.
        """
        for nanny in self._cluster.workers.values() if self._cluster else ():
            nanny.close_gracefully()  # it does not start another
            if pid := nanny.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for each in (self._client, self._cluster):
            if each is not None:
                with contextlib.suppress(Exception):
                    each.close(timeout=5)


@cache
def _nanny() -> Any:
    """What starts a local worker, and another one when it dies; but not for ever where they do not
    come up.
    """
    from distributed import Nanny

    class Patient(Nanny):
        starts = 0  # since the last that succeeded

        async def instantiate(self) -> Any:
            if self.starts == STARTS:
                await self.close()
                return self.status
            self.starts += 1
            status = await super().instantiate()
            if status.name == "running":
                self.starts = 0
            return status

    return Patient


def _address(scheduler: str) -> str:
    """A scheduler's address as Dask wants it, perhaps from its scheduler file; UsageError where it
    is none.
    """
    if scheduler.endswith(".json"):
        try:
            scheduler = str(json.loads(Path(scheduler).read_text())["address"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"a scheduler file must be what 'dask scheduler --scheduler-file {scheduler}' has "
                f"written, but: "
                f"{type(error).__name__}: {error}; wait until it is there"
            ) from None
    found = re.fullmatch(r"(tcp|tls)://([\w.-]+|\[[\da-fA-F:.]+\]):(\d{1,5})/?", scheduler)
    if not found or int(found[3]) > 65535:
        raise UsageError(
            f"a scheduler must be an address such as tcp://127.0.0.1:8786, got {scheduler!r}; "
            f"tls:// is encrypted, "
            "tcp:// is not"
        )
    if found[1] == "tls":
        from distributed.security import Security

        if Security().get_connection_args("client").get("ssl_context") is None:
            raise UsageError(
                f"{scheduler} needs certificates; name them in Dask's configuration "
                f"(distributed.comm.tls) or in "
                "DASK_DISTRIBUTED__COMM__TLS__CA_FILE, ..._TLS__CLIENT__CERT and "
                "..._TLS__CLIENT__KEY"
            )
    return f"{found[1]}://{found[2]}:{found[3]}"


def _reach(scheduler: str) -> None:
    """UsageError where no Dask scheduler answers; a Client would wait for ever for somebody who is
    silent.
    """
    from distributed.core import rpc
    from distributed.security import Security
    from distributed.utils import LoopRunner

    async def ask() -> Any:
        async with rpc(
            scheduler, connection_args=Security().get_connection_args("client"), timeout=5
        ) as peer:
            return await asyncio.wait_for(peer.identity(n_workers=0), 10)

    loop = LoopRunner()
    loop.start()
    try:
        if (kind := loop.run_sync(ask)["type"]) == "Scheduler":
            return
        said = f"it is a {kind}"
    except Exception as error:  # whatever the bytes of something else lead to
        said = str(error) or type(error).__name__
    finally:
        loop.stop()
    raise UsageError(
        f"no Dask scheduler answers at {scheduler!r} ({said}); start one with 'dask scheduler' or "
        f"leave it out"
    ) from None


def _say(text: str) -> None:
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)  # above the bar, if there is one


def _lost(job: Job, failure: TrialState, error: str, reason: str) -> list[Outcome]:
    """The outcomes of a job that came to nothing."""
    return [
        Outcome(
            trial.number,
            trial.config,
            failure=failure,
            error=error,
            reason=reason,
            ended=True,
            start_ms=now_ms(),
            end_ms=now_ms(),
        )
        for trial in job.trials
    ]


@contextlib.contextmanager
def _inherited() -> Iterator[None]:
    """What workers that start now inherit: one BLAS thread each, no MLflow run, deafness to Ctrl-C,
    no main module.

    The thread that starts workers, now and later, inherits the blocked SIGINT; here a Ctrl-C waits
    for the end. Workers load a script for its plugins (`Job.plugins`), so multiprocessing need not
    run it as their main module.
    """
    resource_tracker.ensure_running()  # when multiprocessing starts it, it unblocks SIGINT
    wanted = {**dict.fromkeys(THREADS, "1"), "MLFLOW_RUN_ID": None}
    before = {name: os.environ.get(name) for name in wanted}
    main, blocked = (
        sys.modules["__main__"],
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}),
    )
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
