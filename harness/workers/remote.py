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
from harness.trials.keeping import carry_on
from harness.workers import handover, snapshot
from harness.workers.clocks import wait_by_steady_clock

# What a worker logs before it ends itself for a trial that does not come back
TIMED_OUT = "TIMED_OUT"


class Call:
    """An object whose unpickling calls a function.

    So a worker without harness can answer a task too. The function itself as the task
    would end such a worker, because Dask unpickles it in the thread of its messages.
    """

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], self.call[1:]


# A Dask worker may have several threads, but one thread trains at a time.
_turn = threading.Lock()


def answer(package: str, content: bytes) -> bytes:
    """Does the work of a job on a worker.

    Parameters
    ----------
    package : str
        The package that the driver has (`package_digest`).
    content : bytes
        The job, where its data set can be read, the sources of its plugins and what the driver's
        session has defined, as Dask packs them. It is unpacked here, so that the bytes that travel
        can be counted.

    Returns
    -------
    bytes
        The outcomes, or a sentence where this worker lacks what the driver has.
    """
    from distributed import get_worker
    from distributed.protocol.pickle import dumps, loads

    worker = get_worker()
    key = worker.get_current_task()
    name = f"the Dask worker {worker.address} on {socket.gethostname()}"
    if package != package_digest():
        return dumps(
            f"{name} must have harness {package} as the driver has, but has {package_digest()}; "
            "start it anew with that"
        )

    def last_words(stack: str) -> None:
        worker.log_event(worker.address, {"action": TIMED_OUT, "key": key, "stack": stack})
        # Another thread sends it, and this process is about to end.
        time.sleep(1)

    job, data, sources, defined = loads(content)
    with _turn:
        try:
            lacks = _prepare(job, data, sources, defined, Path(worker.local_directory) / "plugins")
        except Unguarded as error:
            return dumps(str(error))
        if lacks:
            return dumps(f"{name} {lacks}")
        return dumps(carry_on(job, worker.address, last_words))


def run(content: bytes) -> bytes:
    """Does an errand on a local worker.

    Parameters
    ----------
    content : bytes
        The function with its arguments, the sources of the plugins and what the driver's session
        has defined, as Dask packs them.

    Returns
    -------
    bytes
        The value. What the function raises is raised here.
    """
    from distributed import get_worker
    from distributed.protocol.pickle import dumps, loads

    function, arguments, sources, defined = loads(content)
    with _turn:
        copies = Path(get_worker().local_directory) / "plugins"
        _, lacks = _load_plugins(sources, defined, copies)
        if lacks:
            raise UsageError(lacks)
        return dumps(function(*arguments))


def dask_setup(worker: Any) -> None:
    """Dask calls it in a local worker that starts.

    The worker dies with its driver from then on, even while a signal has stopped it, and `ps` and
    `top` show it as "harness worker".
    """
    wait_by_steady_clock(worker.loop)
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None).prctl
        prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        prctl(15, b"harness worker")  # PR_SET_NAME


def _prepare(
    job: Job, data: str, sources: dict[str, bytes | str], defined: bytes, copies: Path
) -> str:
    """Loads the plugins and the data of a job.

    The data are those that the driver has written to a path, where there is one.

    Returns
    -------
    str
        What this worker lacks that the driver has, as the end of a sentence; "" for nothing.
    """
    job.plugins, lacks = _load_plugins(sources, defined, copies)
    if lacks:
        return lacks
    if data:
        handover.receive(job, data)
    return _check_data(job)


def _load_plugins(
    sources: dict[str, bytes | str], defined: bytes, copies: Path
) -> tuple[list[str], str]:
    """Loads plugins, and what the driver's session has defined.

    Returns
    -------
    tuple of list of str and str
        The plugins as this machine has them, and what it lacks that the driver has, as the end of
        a sentence; "" for nothing.
    """
    plugins = [_here(reference, source, copies) for reference, source in sources.items()]
    for other in set(registry.plugins()) - {*plugins}:
        # Another sweep may have used the same names.
        registry.unload_plugin(other)
    try:
        one_blas_thread()
    except UsageError as error:
        return plugins, f"cannot be used: {error}"
    for (reference, source), here in zip(sources.items(), plugins, strict=True):
        if lacks := _load(reference, source, here):
            return plugins, lacks
    return plugins, snapshot.receive(defined)


def _load(reference: str, source: bytes | str, here: str) -> str:
    """Loads a plugin; what is wrong with it, as the end of a sentence.

    Parameters
    ----------
    reference : str
        The plugin as the driver names it.
    source : bytes or str
        The content of its file; of a module its digest.
    here : str
        The plugin as this machine has it.
    """
    is_module = isinstance(source, str)
    try:
        # A module that is loaded keeps the digest of the source that was imported.
        if not is_module or here not in registry.plugins():
            registry.load_plugin(here)
    except Unguarded:
        raise
    except UsageError as error:
        return f"cannot load the plugin {reference}: {error}"
    except Exception as error:
        return f"cannot load the plugin {reference}: {in_words(error)}; put there what it needs"
    if is_module and registry.plugins()[here] != source:
        return (
            f"must have the plugin {reference} as the driver has it; copy it there and start the "
            "worker anew"
        )
    return ""


def _check_data(job: Job) -> str:
    """What is wrong with the data of a job on this machine, as the end of a sentence."""
    if not job.digest:
        return ""
    data = registry.text(job.config.data)
    needs = "must have the data that the driver has, but"
    try:
        digest = load_for(job.config.data, job.config.missing).digest
    except Exception as error:
        return f"{needs} in {os.getcwd()} it cannot load {data}: {error}"
    if digest != job.digest:
        return (
            f"{needs} {data} has digest {digest[:12]} there and {job.digest[:12]} at the driver; "
            "copy it there"
        )
    return ""


def _here(reference: str, source: bytes | str, copies: Path) -> str:
    """A plugin as this machine has it.

    That is the module, the file itself, or a copy of what the driver has sent.
    """
    if isinstance(source, str):
        return reference
    path = Path(reference)
    if not path.is_file() or path.read_bytes() != source:
        path = copies / hashlib.sha256(reference.encode()).hexdigest()[:16] / path.name
        write_plain(path, source)
    elif str(path.parent) not in sys.path:
        # A plugin may import its neighbours, as it may in `harness sweep`.
        sys.path.append(str(path.parent))
    return str(path.resolve())


@cache
def package_digest() -> str:
    """The version of this package with a digest of its source, since any line may change results.

    Such as "0.1.0 (1f2e3d4c)".
    """
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(file.read_bytes())
    return f"{sys.modules['harness'].__version__} ({digest.hexdigest()[:8]})"
