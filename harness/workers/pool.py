"""The workers for a study: opened, used and closed in one place."""

import contextlib
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

from harness import checks, registry
from harness.errors import Unguarded
from harness.workers import snapshot
from harness.workers.dask import Dask
from harness.workers.inline import Inline

__all__ = ["Dask", "Inline", "engine", "plugins_for", "refuse_in_worker"]


@contextlib.contextmanager
def engine(workers: int = 1, scheduler: str | None = None) -> Iterator[Inline | Dask]:
    """The engine for so many workers; with one and no scheduler, this process. Closed on the way
    out.
    """
    workers = checks.whole("workers", workers, 1)
    made: Inline | Dask = (
        Inline() if workers == 1 and scheduler is None else Dask(workers, scheduler)
    )
    try:
        yield made
    finally:
        made.close()


def plugins_for(pool: Inline | Dask, script: Path | None) -> list[str]:
    """The plugins that a job must bring to its worker, the script's own too; none where this
    process trains.

    What the session has defined otherwise goes with the pool. The pool refuses a job that uses what
    cannot.
    """
    if isinstance(pool, Inline):
        return []
    pool.defined = snapshot.take(script)
    if script is None:
        for name in snapshot.modules():
            registry.load_plugin(name)  # it is loaded, and now the registry knows its source
    return list(dict.fromkeys([*registry.plugins(), *([str(script)] if script else [])]))


def refuse_in_worker(what: str) -> None:
    """Unguarded in a local worker, which loads the script for its plugins and must not start the
    work anew.
    """
    if multiprocessing.parent_process() is not None:
        raise Unguarded(
            f"a script that starts a {what} with workers must do so below: if __name__ "
            f"== '__main__':"
        )
