"""Local workers: processes on this machine, which belong to one driver and end with it."""

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Iterator
from functools import cache
from multiprocessing import resource_tracker
from types import ModuleType
from typing import Any

from harness.errors import UsageError
from harness.workers import remote

STARTS = 3  # in a row that end before a worker is there, until no other is tried
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS",
)


def start(workers: int) -> Any:
    """Starts a Dask cluster of local workers, which talk to this process and to nobody else.

    Parameters
    ----------
    workers : int
        How many processes, each with one thread.

    Returns
    -------
    distributed.LocalCluster
        All of them are up. UsageError where one ends at once.
    """
    from distributed import LocalCluster

    from harness.workers.keys import temporary_keys

    cluster = None
    try:
        with _inherited():
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
    except RuntimeError:
        raise UsageError(
            f"{workers} workers must start, but one of these processes ended at once; see above"
        ) from None
    except BaseException:
        # A Ctrl-C that came meanwhile strikes where the block ends: the workers are there by then.
        if cluster is not None:
            kill(cluster)
            cluster.close(timeout=5)
        raise
    return cluster


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

    It does not do so for ever where they do not come up.
    """
    from distributed import Nanny

    class Patient(Nanny):
        starts = 0  # since the last one that succeeded

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


@contextlib.contextmanager
def _inherited() -> Iterator[None]:
    """Arranges what workers that start within the block inherit.

    They get one BLAS thread each, no MLflow run, deafness to Ctrl-C and no main module. The thread
    that starts workers, now and later, inherits the blocked SIGINT; here a Ctrl-C waits for the
    end. Workers load a script for its plugins (`Job.plugins`), so multiprocessing need not run it
    as their main module.
    """
    # When multiprocessing starts this process of its own, it unblocks SIGINT.
    resource_tracker.ensure_running()
    wanted: dict[str, str | None] = {**dict.fromkeys(THREADS, "1"), "MLFLOW_RUN_ID": None}
    before = {name: os.environ.get(name) for name in wanted}
    main = sys.modules["__main__"]
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    sys.modules["__main__"] = ModuleType("__main__")
    _set_environment(wanted)
    try:
        yield
    finally:
        _set_environment(before)
        sys.modules["__main__"] = main
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _set_environment(values: dict[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
