"""The workers for a study: opened, used and closed in one place."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from harness import checks, registry
from harness.workers import snapshot
from harness.workers.dask import Dask
from harness.workers.inline import Inline

__all__ = ["Dask", "Inline", "engine", "plugins_for"]


@contextlib.contextmanager
def engine(workers: int = 1, scheduler: str | None = None) -> Iterator[Inline | Dask]:
    """Opens the workers for a study, and closes them on the way out.

    Parameters
    ----------
    workers : int
        How many processes; with one and no scheduler this process trains.
    scheduler : str or None
        A Dask cluster's address or scheduler file, whose workers train instead.
    """
    workers = checks.whole("workers", workers, 1)
    pool: Inline | Dask
    if workers == 1 and scheduler is None:
        pool = Inline()
    else:
        pool = Dask(workers, scheduler)
    try:
        yield pool
    finally:
        pool.close()


def plugins_for(pool: Inline | Dask, script: Path | None) -> list[str]:
    """The plugins that a job must bring to its worker; none where this process trains.

    The script is among them. What the main module has defined otherwise goes with the pool, which
    refuses a job that uses what cannot travel.
    """
    if isinstance(pool, Inline):
        return []
    pool.defined = snapshot.take(script)
    if script is None:
        for name in snapshot.modules():
            # The module is loaded already; now the registry knows its source.
            registry.load_plugin(name)
    scripts = [str(script)] if script else []
    return list(dict.fromkeys([*registry.plugins(), *scripts]))
