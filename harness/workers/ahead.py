"""What begins before the workers of a study: the process that they are going to be copies of.

This module imports little, so that this process imports what it needs while the driver imports its
own.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from multiprocessing import resource_tracker
from types import ModuleType

from harness import checks
from harness.errors import Unguarded
from harness.threads import ONE_THREAD
from harness.workers.template import set_environment, start_without, template


def refuse_in_worker(study: str) -> None:
    """Unguarded in a local worker, which loads the script and must not start the work anew."""
    if multiprocessing.parent_process() is not None:
        raise Unguarded(
            f"a script that starts a {study} with workers must do so below: "
            "if __name__ == '__main__':"
        )


def workers_ahead(
    workers: int, scheduler: str | None, *more: str
) -> contextlib.AbstractContextManager[None]:
    """Lets what local workers need be imported from the beginning of a block on.

    Parameters
    ----------
    workers, scheduler
        What `engine` is going to be given within the block.
    *more : str
        Names of modules that they need beside those that all workers need.
    """
    count = checks.plain(workers)
    # What is no number of workers is refused later.
    if scheduler is not None or not checks.is_whole(count) or count <= 1:
        return contextlib.nullcontext()  # no local worker is started
    return template_opened(*more)


@contextlib.contextmanager
def template_opened(*more: str) -> Iterator[None]:
    """Has a template of local workers within the block (`workers.template`)."""
    with contextlib.ExitStack() as opened:
        try:
            with inherited():
                opened.enter_context(template(*more))
        except OSError as error:
            start_without(error)
        yield


@contextlib.contextmanager
def inherited() -> Iterator[None]:
    """Arranges what workers that start within the block inherit.

    They get one BLAS thread each, no MLflow run, deafness to Ctrl-C and no main module. The thread
    that starts workers, now and later, inherits the blocked SIGINT; here a Ctrl-C waits for the
    end. Workers load a script for its plugins (`Job.plugins`), so multiprocessing need not run it
    as their main module.
    """
    # When multiprocessing starts this process of its own, it unblocks SIGINT.
    resource_tracker.ensure_running()
    wanted: dict[str, str | None] = {**ONE_THREAD, "MLFLOW_RUN_ID": None}
    before = {name: os.environ.get(name) for name in wanted}
    main = sys.modules["__main__"]
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    sys.modules["__main__"] = ModuleType("__main__")
    set_environment(wanted)
    try:
        yield
    finally:
        set_environment(before)
        sys.modules["__main__"] = main
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
