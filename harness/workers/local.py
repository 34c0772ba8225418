"""Local workers: processes on this machine, which belong to one driver and end with it."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Iterator
from functools import cache
from typing import Any

from harness.errors import UsageError, in_words
from harness.workers import remote
from harness.workers.ahead import inherited, template_opened
from harness.workers.template import METHOD, can_be_copied

STARTS = 3  # in a row that end before a worker is there, until no other is tried
_LOST = 255  # the exit code of a process that nobody can tell of, such as a dead template's copy
PATIENCE_S = 300.0  # seconds in which each worker must be there


def start(workers: int) -> Any:
    """Starts a Dask cluster of local workers, which talk to this process and to nobody else.

    Parameters
    ----------
    workers : int
        How many processes, each with one thread.

    Returns
    -------
    distributed.LocalCluster
        All of them are up. UsageError where one ends at once, or does not come up in time.
    """
    from distributed import LocalCluster

    from harness.workers.keys import temporary_keys

    cluster = None
    try:
        with inherited():
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                memory_limit=0,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": False},
                silence_logs=logging.CRITICAL,
                security=temporary_keys(),
                protocol="tls://",
                worker_class=_patient_nanny(),
                preload=[remote.__name__],
            )
    except TimeoutError:
        raise UsageError(
            f"{workers} workers must start, but one of these processes was not there after "
            f"{PATIENCE_S:g} s; try fewer, or raise the limits of processes (`ulimit -a`)"
        ) from None
    except OSError as error:
        raise UsageError(
            f"{workers} workers must start, but no process can be started here: {error}; end other "
            "programs or raise their limits (`ulimit -a`), then try again"
        ) from None
    except RuntimeError as error:
        raise UsageError(
            f"{workers} workers must start, but one of these processes ended at once"
            f"{_cause_of(error)}; see above"
        ) from None
    except BaseException:
        # A Ctrl-C that came meanwhile strikes where the block ends: the workers are there by then.
        if cluster is not None:
            kill(cluster)
            cluster.close(timeout=5)
        raise
    return cluster


def _cause_of(error: BaseException) -> str:
    """Why a worker has not come up, in brackets; "" where nobody has said so."""
    reason = ""
    each: BaseException | None = error
    while each is not None:
        # Those are what Dask says where it knows nothing, and where it trips over its own states.
        if not isinstance(each, RuntimeError | AssertionError):
            reason = f" ({in_words(each)})"
        each = each.__cause__ or each.__context__
    return reason


def check(cluster: Any) -> None:
    """UsageError where no local worker is left."""
    states = [nanny.status.name for nanny in cluster.workers.values()]
    if all(state in ("closing", "closed", "failed") for state in states):
        raise UsageError(
            "workers must stay, but none is left: they died, and those that were to replace them "
            "ended at once"
        )


def kill(cluster: Any) -> None:
    """Kills local workers, so that Ctrl-C does not wait for a trial to end.

    They keep nothing that is of use.
    """
    for nanny in cluster.workers.values():
        # It does not start another one in place of what is killed.
        nanny.close_gracefully()
        if pid := nanny.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@cache
def _patient_nanny() -> Any:
    """The class that starts a local worker, and another one when it dies.

    It does not do so for ever where they do not come up. One that is killed while it starts is
    replaced, since somebody else is to blame; one that ends by itself would do so again.
    """
    from distributed import Nanny

    class Patient(Nanny):
        starts = 0  # since the last one that succeeded
        was_killed = False  # the last one that has ended

        def _on_worker_exit_sync(self, exitcode: int) -> None:
            self.was_killed = exitcode < 0 or exitcode == _LOST
            super()._on_worker_exit_sync(exitcode)

        async def instantiate(self) -> Any:
            if self.starts == STARTS:
                await self.close()
                return self.status
            self.starts += 1
            status = await self._instantiate_in_time()
            if status.name == "running":
                self.starts = 0
            # Later than at the first start Dask itself replaces what has ended.
            elif self.status.name == "init" and self.was_killed and self.starts < STARTS:
                return await self.instantiate()
            return status

        async def _instantiate_in_time(self) -> Any:
            try:
                return await asyncio.wait_for(super().instantiate(), PATIENCE_S)
            except TimeoutError:
                if self.pid:
                    os.kill(self.pid, signal.SIGKILL)
                    await self.process.stopped.wait()
                raise

    return Patient


@contextlib.contextmanager
def copied_by_dask() -> Iterator[None]:
    """Lets Dask start workers as copies of the template within the block, where that can be."""
    import dask

    method = METHOD if can_be_copied() else "spawn"
    with template_opened(), dask.config.set({"distributed.worker.multiprocessing-method": method}):
        yield
