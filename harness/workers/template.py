"""The template of local workers: a process that has imported what they need, and is copied.

A worker that starts by itself imports Dask and Numba for more than a second. Copies of one process
share that second, and the memory that it fills. This is what multiprocessing calls a fork server.
It is one of our own, since the environment of workers is not what other processes of a user want.
Elsewhere than on Linux workers start by themselves, because libraries there do not survive a copy.
They do so too where there can be no such process, which is said.
"""

import contextlib
import io
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing import (
    context,
    forkserver,
    popen_fork,
    popen_forkserver,
    popen_spawn_posix,
    reduction,
    spawn,
    util,
)
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any

from harness.errors import in_words
from harness.workers.saying import say

METHOD = "harness"  # the name under which Dask finds how workers are started
FIRST = "harness.workers.preloading"
LAST = "harness.workers.preloaded"
BEFORE = "HARNESS_TEMPLATE_BEFORE"  # what these variables were that a template is started with

_server: forkserver.ForkServer | None = None
has_told = False  # whether this process has said that workers start by themselves


def set_environment(values: Mapping[str, str | None]) -> None:
    """Sets variables of the environment; those that are None are taken out of it."""
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def can_be_copied() -> bool:
    """Whether workers are copies of a template here."""
    return sys.platform == "linux"


@contextlib.contextmanager
def template(*more: str) -> Iterator[None]:
    """Has a template within the block, which begins to import at once.

    What starts within the block inherits the environment and the signals of now. A template that
    is there already is taken. OSError where there is no place for its socket, or no room for
    another process; workers then start by themselves.

    Parameters
    ----------
    *more : str
        Names of modules that it imports beside those that all workers need.
    """
    global _server
    if _server is not None or not can_be_copied():
        yield
        return
    context._concrete_contexts[METHOD] = _Context()  # type: ignore[attr-defined]
    server = _Server(more)
    _server = server
    try:
        yield
    finally:
        _server = None
        server.end()


def start_without(error: Exception) -> None:
    """Lets workers start by themselves, for which nothing is to be done but to say why, once."""
    global has_told
    if has_told:
        return
    has_told = True
    remedy = ", unless TMPDIR is a shorter path" if "too long" in str(error) else ""
    say(
        f"workers: there is no process that they can be copies of ({in_words(error)}); each starts "
        f"by itself, which takes a second or two longer{remedy}"
    )


class _Server(forkserver.ForkServer):
    """A fork server that finds modules where its driver does, and not in the folder it is in."""

    def __init__(self, more: Sequence[str]) -> None:
        super().__init__()
        self._one_at_a_time = threading.Lock()
        self.set_forkserver_preload([FIRST, *more, LAST])
        self.ensure_running()

    def end(self) -> None:
        """Ends the server, which may still import, without waiting for that."""
        pid: int | None = self._forkserver_pid  # type: ignore[attr-defined]
        if pid is not None:  # one that has died, and could not be started anew, has none
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # At the end of a program the folder of its socket may have been removed before.
        with contextlib.suppress(FileNotFoundError):
            self._stop()  # type: ignore[attr-defined]

    def ensure_running(self) -> None:
        """Starts the server unless it is there."""
        # Two workers may be started anew at the same moment, each by a thread of its own.
        with self._one_at_a_time:
            self._start_unless_there()

    def _start_unless_there(self) -> None:
        # What the environment names is there too, also where that was said after Python's start.
        places = [*sys.path, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        wanted = {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(filter(None, places))}
        before = {name: os.environ.get(name) for name in wanted}
        # Workers get back what their driver had (`preloaded`).
        os.environ.update(wanted, **{BEFORE: json.dumps(before)})
        try:
            super().ensure_running()
        finally:
            del os.environ[BEFORE]
            set_environment(before)


class _Popen(popen_forkserver.Popen):
    """A process that is a copy of the template."""

    def _launch(self, process: Any) -> None:
        assert _server is not None, "without a template a process is started otherwise"
        # A worker has no main module: what a study needs comes with its jobs.
        about = spawn.get_preparation_data(process._name)
        for name in ("init_main_from_name", "init_main_from_path"):
            about.pop(name, None)
        content = io.BytesIO()
        context.set_spawning_popen(self)
        try:
            reduction.dump(about, content)
            reduction.dump(process, content)
        finally:
            context.set_spawning_popen(None)
        handed_on: list[int] = self._fds  # type: ignore[attr-defined]
        self.sentinel, to_child = _server.connect_to_new_process(handed_on)
        # The child takes it that its parent has died when nobody has this end open any more.
        alive = os.dup(to_child)
        close: Any = util.close_fds  # type: ignore[attr-defined]
        self.finalizer = util.Finalize(self, close, (alive, self.sentinel))
        with open(to_child, "wb") as pipe:
            pipe.write(content.getbuffer())
        self.pid = forkserver.read_signed(self.sentinel)


class _Process(BaseProcess):
    _start_method = "forkserver"

    @staticmethod
    def _Popen(process: Any) -> popen_fork.Popen:
        if _server is not None:
            # A template that has just died is replaced by the second attempt.
            with contextlib.suppress(EOFError, OSError):
                return _Popen(process)
            try:
                return _Popen(process)
            except Exception as error:
                start_without(error)
        return popen_spawn_posix.Popen(process)


class _Context(BaseContext):
    _name = "forkserver"
    Process = _Process
