"""A worker's side: what a Dask worker must have that the driver has, and the work itself.

Nothing here is used by the driver's process but `Call`, which says what a worker has to do.
"""

import ctypes
import hashlib
import os
import signal
import socket
import sys
import threading
import time
from functools import cache
from pathlib import Path
from typing import Any

from harness import registry
from harness.data.loading import load_for
from harness.errors import Unguarded, UsageError, in_words
from harness.storage.files import write_plain
from harness.trials.blas import one_blas_thread
from harness.trials.job import Job
from harness.trials.work import work
from harness.workers import snapshot
from harness.workers.clocks import wait_by_steady_clock

# What a worker logs before it ends itself for a trial that does not come back
TIMED_OUT = "TIMED_OUT"


class Call:
    """What becomes the call of a function where it is unpickled: a task that a worker without
    harness can answer.

    (The function itself as the task would end such a worker, since Dask unpickles it in the thread
    of its messages.)
    """

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], self.call[1:]


_turn = threading.Lock()  # a Dask worker may have several threads; networks are trained by one


def answer(package: str, content: bytes) -> bytes:
    """`work` on a worker: the outcomes, or a sentence where this worker cannot do what the driver
    could.

    What Dask would do to what travels is done here, so that its bytes can be counted.
    """
    from distributed import get_worker
    from distributed.protocol.pickle import dumps, loads

    worker = get_worker()
    this, key = (
        f"the Dask worker {worker.address} on {socket.gethostname()}",
        worker.get_current_task(),
    )
    if package != package_digest():
        return dumps(
            f"{this} must have harness {package} as the driver has, but has {package_digest()}; "
            f"start it anew with that"
        )

    def last_words(stack: str) -> None:
        worker.log_event(worker.address, {"action": TIMED_OUT, "key": key, "stack": stack})
        time.sleep(1)  # it is sent by another thread

    job, sources, defined = loads(content)
    with _turn:
        try:
            lacks = _prepare(job, sources, defined, Path(worker.local_directory) / "plugins")
        except Unguarded as error:
            return dumps(str(error))
        return dumps(f"{this} {lacks}" if lacks else work(job, last_words))


def dask_setup(worker: Any) -> None:
    """Dask calls it in a worker of ours that starts: it dies with its driver, even while it is
    stopped by a signal.

    From then on `ps` and `top` show it as "harness worker".
    """
    wait_by_steady_clock(worker.loop)
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None).prctl
        prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        prctl(15, b"harness worker")  # PR_SET_NAME


def _prepare(job: Job, sources: dict[str, bytes | str], defined: bytes, copies: Path) -> str:
    """Loads a job's plugins and data; what this worker lacks that the driver has, or nothing."""
    job.plugins = [_here(reference, source, copies) for reference, source in sources.items()]
    for each in set(registry.plugins()) - {*job.plugins}:
        registry.unload_plugin(each)  # of another sweep, which may have used the same names
    try:
        one_blas_thread()
    except UsageError as error:
        return f"cannot be used: {error}"
    for (reference, source), here in zip(sources.items(), job.plugins, strict=True):
        module = isinstance(source, str)
        try:
            # Which keeps the digest of the source that was imported
            if not module or here not in registry.plugins():
                registry.load_plugin(here)
        except Unguarded:
            raise
        except UsageError as error:
            return f"cannot load the plugin {reference}: {error}"
        except Exception as error:
            return f"cannot load the plugin {reference}: {in_words(error)}; put there what it needs"
        if module and registry.plugins()[here] != source:
            return f"must have the plugin {reference} as the driver has it; copy it there and start the worker anew"
    if lacks := snapshot.receive(defined):
        return lacks
    if job.digest:
        data = registry.text(job.configs[0].data)
        try:
            found = load_for(job.configs[0].data, job.configs[0].missing).digest
        except Exception as error:
            return f"must have the data that the driver has, but in {os.getcwd()} it cannot load {data}: {error}"
        if found != job.digest:
            return (
                f"must have the data that the driver has, but {data} has digest {found[:12]} there "
                f"and "
                f"{job.digest[:12]} at the driver; copy it there"
            )
    return ""


def _here(reference: str, source: bytes | str, copies: Path) -> str:
    """A plugin as this machine has it: the module, the file itself, or a copy of what the driver
    has sent.
    """
    path = Path(reference)
    if isinstance(source, str):
        return reference
    if not path.is_file() or path.read_bytes() != source:
        path = copies / hashlib.sha256(reference.encode()).hexdigest()[:16] / path.name
        write_plain(path, source)
    elif str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # as `harness sweep` does, for its neighbours
    return str(path.resolve())


@cache
def package_digest() -> str:
    """The version of this package, with a digest of its source: results may hang on any line of
    it.
    """
    folder, digest = Path(__file__).parents[1], hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        digest.update(file.read_bytes())
    return f"{sys.modules['harness'].__version__} ({digest.hexdigest()[:8]})"
