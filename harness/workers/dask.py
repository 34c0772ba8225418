"""A Dask cluster as the driver sees it: local workers, or a cluster that is there already."""

import contextlib
import logging
import math
import time
from collections import deque
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar

from harness import registry
from harness.errors import UsageError
from harness.storage.result import TrialState
from harness.trials.job import Job
from harness.trials.outcome import Outcome
from harness.workers import local, remote, scheduler, snapshot
from harness.workers.clocks import wait_by_steady_clock
from harness.workers.deaths import DEATHS, lost, restarted
from harness.workers.errands import Errand
from harness.workers.handover import Handover
from harness.workers.idle import IdleTime
from harness.workers.saying import say

T = TypeVar("T")

LOOK = 2  # seconds after which to look how many workers there are

SETTINGS = {
    # It is decided here what a worker has died of.
    "distributed.scheduler.allowed-failures": 0,
    # What watches the workers takes the lock that their Python needs, ten and more times a second.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "10s",
    # Dask would give up a worker for good if it is just being replaced so long after an earlier
    # death.
    "distributed.deploy.lost-worker-timeout": "1000 days",
    # A job may carry the snapshots of a film.
    "distributed.admin.large-graph-warning-threshold": "1GB",
}


class Sent(NamedTuple):
    """A job on its way.

    Attributes
    ----------
    job : Job
        What was sent.
    order : int
        How many were sent before it.
    deaths : int
        How many workers have died while they ran it.
    """

    job: Job
    order: int
    deaths: int


class Dask:
    """Workers of a Dask cluster: local ones that are started here, or those of a scheduler.

    Parameters
    ----------
    workers : int
        How many local processes to start.
    address : str or None
        The address of a scheduler, or the path of its scheduler file; its workers train instead.

    Attributes
    ----------
    remote : bool
        True: outcomes come back by themselves.
    shipped : dict
        What has travelled: "segments", "bytes", "seconds" of this process; "idle" of workers.
    defined : snapshot.Defined
        What this session has defined in no file.
    """

    remote = True

    def __init__(self, workers: int, address: str | None = None) -> None:
        self.shipped: dict[str, float] = {"segments": 0, "bytes": 0, "seconds": 0.0, "idle": 0.0}
        self._idle = IdleTime()
        self.defined = snapshot.Defined()
        self._handover = Handover()
        self._jobs: dict[Any, Sent] = {}  # by their futures
        self._orders: dict[str, int] = {}  # of all futures so far, by their keys
        # The sources of plugins, read once: all workers train with the same.
        self._sources: dict[str, bytes | str] = {}
        self._done: SimpleQueue[Any] = SimpleQueue()
        # Outcomes of jobs that no worker can do any more.
        self._given_up: deque[list[Outcome]] = deque()
        self._address = None if address is None else scheduler.address_of(address)
        self._workers = -1  # how many were seen last
        self._counted = -math.inf  # when that was
        self._cluster: Any = None
        self._opened = contextlib.ExitStack()
        self._client: Any = None
        try:
            self._open(workers)
        except BaseException:  # Also a Ctrl-C must leave no processes behind.
            self.close()
            raise

    def _open(self, workers: int) -> None:
        import dask
        from distributed import Client

        dask.config.set(SETTINGS)
        for handler in logging.getLogger("distributed").handlers:
            # They stay silent, because no user needs what a cluster says while it goes down.
            handler.setLevel(logging.CRITICAL)
        if self._address is None:
            self._opened.enter_context(local.copied_by_dask())
            self._cluster = local.start(workers)
        else:
            scheduler.check_answer(self._address)
        self._client = Client(self._cluster or self._address, timeout="5s", set_as_default=False)
        wait_by_steady_clock(self._client.loop)
        self._look()

    # The workers ----------------------------------------------------------------------------------

    @property
    def workers(self) -> int:
        """How many workers there are, at least 1."""
        if time.monotonic() > self._counted + LOOK:
            self._look()
        return max(1, self._workers)

    def _look(self) -> None:
        """Counts the workers. The user is told where there are none, or none that is right."""
        found = self._client.scheduler_info(n_workers=-1).get("workers", {})
        before = self._workers
        self._workers = len(found)
        self._counted = time.monotonic()
        self._give_up_where_nobody_is(set(found))
        if self._cluster:
            local.check(self._cluster)
        elif self._client.status == "running":
            # Where it is not running, next() is about to learn it.
            threads = max((worker["nthreads"] for worker in found.values()), default=0)
            self._say_what_is_wrong(before, threads)

    def _give_up_where_nobody_is(self, places: set[str]) -> None:
        """Takes back the jobs that wait for a worker that has gone, of which Dask says nothing.

        Parameters
        ----------
        places : set of str
            The addresses of the workers that are there.
        """
        for future, sent in list(self._jobs.items()):
            place = sent.job.place
            if place and place not in places and not future.done():
                del self._jobs[future]
                future.cancel()
                self._given_up.append(restarted(sent.job, sent.deaths))

    def _say_what_is_wrong(self, before: int, threads: int) -> None:
        """Says what a user of a cluster should know of its workers, once.

        Parameters
        ----------
        before : int
            How many workers were seen before; -1 where nobody has looked.
        threads : int
            The most threads that one of them has now.
        """
        if self._workers == 0 and before != 0:
            say(f"the Dask scheduler at {self._address} has no workers; the work waits for one")
        elif threads > 1 and before < 1:
            say(
                f"a Dask worker has {threads} threads, of which one trains: a process trains one "
                "network at a time; start workers with --nthreads 1 and as many as there are cores "
                "with --nworkers"
            )

    # Sending --------------------------------------------------------------------------------------

    def submit(self, job: Job) -> None:
        """Sends a job. UsageError where it uses what cannot travel."""
        if self.defined.held:
            for trial in job.trials:
                self.defined.refuse(trial.config.names())
        self._send(job, job.deaths)

    def _send(self, job: Job, deaths: int) -> None:
        from distributed.client import ClosedClientError
        from distributed.protocol.pickle import dumps, loads

        begun = time.perf_counter()
        plugins = {reference: self._source_of(reference) for reference in job.plugins}
        path = self._handover.path_for(job) if self._cluster else ""
        load = dumps((job, path, plugins, self.defined.content))
        content = dumps(remote.Call(remote.answer, remote.package_digest(), load))
        order = len(self._orders)
        try:
            # Jobs are served in the order in which they were sent.
            # A job whose trials are kept by a worker is of no use to another one.
            future = self._client.submit(
                loads,
                content,
                pure=False,
                priority=-order,
                workers=[job.place] if job.place else None,
            )
        except ClosedClientError:
            raise self._gone() from None
        self._jobs[future] = Sent(job, order, deaths)
        self._orders[future.key] = order
        self.shipped["idle"] += self._idle.sent(max(1, self._workers))
        future.add_done_callback(self._idle.back)
        future.add_done_callback(self._done.put)
        self.shipped["segments"] += 1
        self._count(content, begun)

    def _source_of(self, reference: str) -> bytes | str:
        """The source of a plugin; of a module, which each machine has, its digest."""
        if reference not in self._sources:
            file = Path(reference)
            if file.is_file():
                self._sources[reference] = file.read_bytes()
            else:
                self._sources[reference] = registry.plugins().get(reference, "")
        return self._sources[reference]

    def _count(self, content: bytes, begun: float) -> None:
        """Counts what has travelled, and the time that it took here."""
        self.shipped["bytes"] += len(content)
        self.shipped["seconds"] += time.perf_counter() - begun

    # Receiving ------------------------------------------------------------------------------------

    def next(self, seconds: float | None = None) -> list[Outcome]:
        """The outcomes of the next job that is done; none where none is within so many seconds."""
        from distributed import KilledWorker
        from distributed.protocol.pickle import loads

        with self._idle.waiting():
            future = self._next_done(seconds)
        if self._given_up:
            return self._given_up.popleft()
        if future is None:
            return []
        begun = time.perf_counter()
        sent = self._jobs.pop(future)
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
        self._count(content, begun)
        return outcomes

    def _next_done(self, seconds: float | None) -> Any:
        """The future of the next job that is done, or None within so many seconds."""
        end = math.inf if seconds is None else time.monotonic() + seconds
        while True:
            if self._given_up:
                return None
            left = max(0.0, end - time.monotonic())
            try:
                future = self._done.get(timeout=min(LOOK, left))
            except Empty:
                if time.monotonic() >= end:
                    return None
                self._look()
                continue
            if future in self._jobs:
                return future

    def _gone(self) -> UsageError:
        where = "of the local workers" if self._address is None else f"at {self._address}"
        return UsageError(
            f"the Dask scheduler {where} must stay until the work is done, but it is gone; start "
            "it again, then the same command goes on"
        )

    def _cannot_work(self, error: Exception) -> str:
        """Why a job raised, though `answer` raises nothing: a worker cannot import this package."""
        answers = self._client.run(import_module, remote.__name__, on_error="return")
        broken = "one"
        why = error
        for address, answer in answers.items():
            if isinstance(answer, Exception):
                broken = address
                why = answer
                break
        return (
            f"each Dask worker must have harness {remote.package_digest()}, but {broken} cannot "
            f"import it: {type(why).__name__}: {why}; install it there and start that worker again"
        )

    # Errands --------------------------------------------------------------------------------------

    def errand(self, function: Callable[..., T], *arguments: Any) -> Errand[T]:
        """Asks a local worker for the value of a function of this package.

        It has loaded the plugins of the last jobs. Workers elsewhere train and do nothing else.
        """
        from distributed.client import ClosedClientError
        from distributed.protocol.pickle import dumps, loads

        if self._cluster is None:
            return Errand(function, *arguments)
        load = dumps((function, arguments, self._sources, self.defined.content))
        content = dumps(remote.Call(remote.run, load))
        try:
            future = self._client.submit(loads, content, pure=False)
        except ClosedClientError:
            return Errand(function, *arguments)
        return Errand(function, *arguments, answer=lambda limit: loads(future.result(limit)))

    # Deaths ---------------------------------------------------------------------------------------

    def _bereaved(self, key: str, sent: Sent, killed: Any) -> list[Outcome]:
        """What becomes of a job whose worker died: it is sent again, unless workers die of it."""
        try:
            address = killed.last_worker.address
            events = [event for _, event in self._client.get_events(address)]
        except Exception:
            if self._client.status != "running":
                raise self._gone() from None
            raise
        job = sent.job
        deaths = sent.deaths
        if self._was_running(key, sent, events):
            for event in events:
                if event.get("action") == remote.TIMED_OUT and event["key"] == key:
                    reason = (
                        f"timed out after {job.timeout:g} s and did not come back: its worker has "
                        "been ended"
                    )
                    return lost(job, TrialState.TIMED_OUT, event["stack"], reason)
            deaths += killed.allowed_failures + 1
        if job.place and (deaths < DEATHS or len(job.trials) > 1):
            # How its trials stood has died with the worker.
            return restarted(job, deaths)
        if deaths < DEATHS:
            self._send(job, deaths)
            return []
        if len(job.trials) > 1:
            # One of its trials is to blame, which is found out by training each alone.
            for alone in job.alone():
                self._send(alone, 0)
            return []
        text = f"{deaths} worker processes died while they trained it (out of memory? a plugin?)"
        return lost(job, TrialState.KILLED, text, text)

    def _was_running(self, key: str, sent: Sent, events: list[dict[str, Any]]) -> bool:
        """Whether a worker that has died ran this job.

        A worker runs one job while others may wait there; only the first of them can be the cause.
        """
        keys = [key]
        for event in reversed(events):
            if event.get("action") == "remove-worker":
                keys = event["processing-tasks"]
                break
        orders = [self._orders[each] for each in keys if each in self._orders]
        return sent.order == min(orders, default=sent.order)

    def close(self) -> None:
        """Kills local workers, and lets go of the cluster."""
        self._handover.close()
        if self._cluster:
            local.kill(self._cluster)
        for opened in (self._client, self._cluster):
            if opened is not None:
                with contextlib.suppress(Exception):
                    opened.close(timeout=5)
        self._opened.close()
