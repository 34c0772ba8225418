"""The writer of a sweep as its driver sees it: a process that is woken, listened to and ended.

It imports MLflow while its driver imports what trains, and its driver never does (`warm_up`). Where
it dies another one is started, which goes on from what is in the spool and in MLflow.
"""

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import Any

from harness.errors import UsageError
from harness.storage.marks import waiting_in
from harness.threads import ONE_THREAD
from harness.tracking.backoff import BackOff
from harness.tracking.writer import Say
from harness.tracking.writer_main import Command, Event, Settings

SILENCE_S = 10.0  # seconds without a sign of life after which a writer that is waited for is ended
TRIED = 3  # writers that may die one after the other before they have begun
TOLD_S = 3.0  # seconds of waiting after which the user is told what for, and how to end it
_AGAIN_S = 20.0  # and after which again; the pauses double up to
_RARELY_S = 300.0
_GOES_ON = "the work goes on, and what it logs waits in the spool for `harness sync`"
_NO_ROOM = (OSError, RuntimeError)  # what Python raises for another process, and another thread
_STEP_S = 0.1  # seconds between two looks at what has become of it

# The child finds the harness, and MLflow, where this process does.
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); "
    "from harness.tracking.writer_main import main; main()"
)


# A process that imports MLflow before anybody knows what it is to write.
spare: "_Launched | None" = None


def warm_up() -> None:
    """Let a process import MLflow from now on, for the writer that is started next.

    It costs a second or two of another core, so that the first points of a sweep come as much
    earlier. Nothing happens if one waits already, or if there is no room for another process,
    which is said when one is needed.
    """
    global spare
    if spare is None or not spare.can_be_used:
        let_go()
        with contextlib.suppress(OSError):
            spare = _Launched()


def let_go() -> None:
    """End the process that was warmed up, if no writer has taken it."""
    global spare
    unused = spare
    spare = None
    if unused is not None and unused.driver == os.getpid():
        unused.end()


atexit.register(let_go)


def _launched() -> "_Launched":
    """Return a process that waits for its settings: the one that was warmed up, or a new one."""
    global spare
    if spare is None or not spare.can_be_used:
        return _Launched()
    taken = spare
    spare = None
    return taken


class WriterProcess:
    """The process that writes a sweep into MLflow.

    Parameters
    ----------
    folder
        The folder of the sweep below mlruns/sweeps/.
    project
        The MLflow experiment.
    say
        Gets each message for the user.

    Raises
    ------
    UsageError
        If it cannot be started.

    Attributes
    ----------
    seconds : float
        How long it was waited for at the end.
    seconds_of_writing : float
        The same, but for the time before it had begun to write.
    """

    def __init__(self, folder: Path, project: str, say: Say):
        self._folder = folder
        self._project = project
        self._say = say
        self._deaths = 0
        self.seconds = 0.0
        self.seconds_of_writing = 0.0
        try:
            self.child = _Child(folder, project)
        except _NO_ROOM as error:
            raise UsageError(
                f"a sweep needs a process that writes to MLflow, which cannot be started: {error}; "
                "end other programs or raise their limits (`ulimit -a`), then try again"
            ) from error

    # While the work goes on ---------------------------------------------------------------------
    def wake(self) -> None:
        """Say that there is something new, and pass on what the writer has said.

        Raises
        ------
        UsageError
            Where the user must act before anything can be written.
        """
        self._tend()
        if not self.has_given_up:
            self.child.ask(Command.WAKE)

    def _tend(self) -> None:
        """Pass on what the writer has said; one that has died is replaced."""
        child = self.child
        has_ended = child.has_ended  # Asked first: what it said last is passed on all the same.
        for sentence in child.sentences():
            self._say(sentence)
        if self.has_given_up:
            return
        if child.refusal:
            # It is raised once: whoever ends the work then has nothing to wait for.
            self._deaths = TRIED
            raise UsageError(child.refusal)
        if child.is_open:
            self._deaths = 0
        if not has_ended:
            return
        self._deaths += 1
        how = child.end()
        if self.has_given_up:
            self._say(
                f"tracking: the process that writes to MLflow has ended {TRIED} times ({how}); "
                f"{_GOES_ON}"
            )
            return
        try:
            self.child = _Child(self._folder, self._project)
        except _NO_ROOM as error:
            self._deaths = TRIED
            self._say(
                f"tracking: the process that writes to MLflow has ended ({how}), and another "
                f"cannot be started ({error}); {_GOES_ON}"
            )
            return
        self._say(f"tracking: the process that writes to MLflow has ended ({how}); another starts")

    @property
    def has_given_up(self) -> bool:
        """Whether so many have died that no other one is started."""
        return self._deaths >= TRIED

    # At the end ---------------------------------------------------------------------------------
    def drain(self, is_over: Callable[[], bool]) -> None:
        """Wait until all trials are written, or cannot be.

        Parameters
        ----------
        is_over
            It is waited no longer once this returns True.
        """
        self._wait_for(Command.DRAIN, Event.DRAINED, is_over)

    def finish(self, is_over: Callable[[], bool]) -> None:
        """Wait until the end of the parent is written, or cannot be."""
        self._wait_for(Command.FINISH, Event.FINISHED, is_over)

    def stop(self, seconds: float) -> None:
        """Give the writer so many seconds to write what it can."""
        end = monotonic() + seconds
        self._wait_for(Command.STOP, Event.FINISHED, lambda: monotonic() > end)

    def end(self) -> None:
        """End the process, however it stands; nothing is lost by it."""
        self.child.end()
        for sentence in self.child.sentences():
            self._say(sentence)

    def _wait_for(self, command: Command, answer: Event, is_over: Callable[[], bool]) -> None:
        asked: _Child | None = None
        silent_s = 0.0
        told = monotonic() + TOLD_S
        pause_s = _AGAIN_S
        while not self.child.has_said(answer) and not self.has_given_up and not is_over():
            self._tend()
            if self.child is not asked:
                asked = self.child
                asked.ask(command)
            begun = monotonic()
            is_alive = asked.listen(_STEP_S)
            # The clock of a machine that was stopped meanwhile may have gone on.
            waited_s = min(monotonic() - begun, 2 * _STEP_S)
            self.seconds += waited_s
            if asked.is_open:
                self.seconds_of_writing += waited_s
            silent_s = 0.0 if is_alive else silent_s + waited_s
            if silent_s > SILENCE_S:
                self._give_up()
            elif monotonic() > told and command is not Command.STOP:
                told = monotonic() + pause_s
                pause_s = min(2 * pause_s, _RARELY_S)
                self._tell_wait()
        for sentence in self.child.sentences():
            self._say(sentence)

    def _tell_wait(self) -> None:
        """Say what is waited for: after the last trial nothing else moves on the terminal."""
        count = self._waiting()
        # At the end come models, which no record waits for.
        what = "the last of it is"
        if count:
            what = "1 record is" if count == 1 else f"{count} records are"
        self._say(
            f"tracking: {what} still to be written to MLflow; Ctrl-C ends the waiting, and "
            "`harness sync` sends the rest"
        )

    def _waiting(self) -> int:
        return waiting_in(self._folder / "spool")

    def _give_up(self) -> None:
        self.child.end()
        self._deaths = TRIED
        self._say(
            f"tracking: the process that writes to MLflow has not stirred for {SILENCE_S:g} s and "
            "was ended"
        )


class _Launched:
    """Such a process, which waits for its settings."""

    def __init__(self) -> None:
        self.driver = os.getpid()
        self._environment = dict(os.environ)
        arguments = [str(self.driver), json.dumps(sys.path)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Pandas, which MLflow imports, may compute with numexpr.
            env={**os.environ, **ONE_THREAD, "NUMEXPR_NUM_THREADS": "1"},
            # Ctrl-C on a terminal reaches the driver alone.
            start_new_session=True,
        )

    @property
    def can_be_used(self) -> bool:
        """Whether it is alive, and what it was started with is still so.

        MLflow reads its own variables as it is imported. Those that other libraries have set
        meanwhile come with the settings.
        """
        is_ours = self.driver == os.getpid()
        is_alive = self.process.poll() is None
        return is_ours and is_alive and not any(name.startswith("MLFLOW_") for name in self.changes)

    @property
    def changes(self) -> dict[str, str | None]:
        """The variables of the environment that have changed since the start; None: it is gone."""
        now = dict(os.environ)
        before = self._environment
        return {name: now.get(name) for name in now | before if now.get(name) != before.get(name)}

    def end(self) -> int:
        """End the process if it has not ended, and return its exit code."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        code = self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()
        return code


class _Child:
    """One such process, and what it has said."""

    def __init__(self, folder: Path, project: str):
        self._launched = _launched()
        settings = Settings(
            folder=str(folder.absolute()),
            project=project,
            source=sys.argv[0],
            longest_pause_s=BackOff.longest_pause_s,
            environment=self._launched.changes,
        )
        self.process = self._launched.process
        assert self.process.stdin is not None
        # A writer that is stopped reads nothing, and its driver must not wait for it.
        os.set_blocking(self.process.stdin.fileno(), False)
        self.ask(json.dumps(asdict(settings)))
        self._news = threading.Condition()
        self._sentences: list[str] = []
        self._said: set[Event] = set()
        self._events = 0
        self.refusal = ""
        self.has_ended = False
        self._thread = threading.Thread(target=self._listen, daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            self._launched.end()
            raise

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            # The last line of a process that was killed may be torn.
            with contextlib.suppress(ValueError), self._news:
                self._take(json.loads(line))
                self._news.notify_all()
        with self._news:
            self.has_ended = True
            self._news.notify_all()

    def _take(self, content: dict[str, Any]) -> None:
        event = Event(content["event"])
        self._events += 1
        self._said.add(event)
        if event is Event.SAY:
            self._sentences.append(content["sentence"])
        if event is Event.REFUSED:
            self.refusal = content["sentence"]

    @property
    def is_open(self) -> bool:
        """Whether it has looked at the store."""
        return Event.OPEN in self._said

    def has_said(self, event: Event) -> bool:
        """Return whether it has said this."""
        return event in self._said

    def sentences(self) -> list[str]:
        """Take what it has said to the user since the last time."""
        with self._news:
            sentences = self._sentences
            self._sentences = []
        return sentences

    def ask(self, command: str) -> None:
        """Send a line, such as a command; nothing happens if the process has ended."""
        stdin = self.process.stdin
        assert stdin is not None
        # A pipe that is full has enough in it to wake the process.
        with contextlib.suppress(BlockingIOError, OSError):
            os.write(stdin.fileno(), f"{command}\n".encode())

    def listen(self, seconds: float) -> bool:
        """Wait for some seconds for a sign of life; whether there was one."""
        with self._news:
            events = self._events
            self._news.wait_for(lambda: self._events != events or self.has_ended, seconds)
            return self._events != events

    def end(self) -> str:
        """End the process if it has not ended, and return how it has."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        self._thread.join()
        code = self._launched.end()
        if code < 0:
            return signal.Signals(-code).name
        return f"exit code {code}"
