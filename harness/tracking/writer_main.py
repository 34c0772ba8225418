"""The process that writes a sweep into MLflow, a child of its driver (`writer_process`).

Commands come as lines on stdin, and what there is to say goes out as lines of JSON on stdout. The
process may be killed at any moment: all that it does can be repeated.
"""

import contextlib
import ctypes
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TextIO

from harness.errors import UsageError
from harness.storage.lock import WRITER_LOCK, file_lock
from harness.tracking.backoff import BackOff
from harness.tracking.connect import import_mlflow, store_uri
from harness.tracking.known_mlflow import is_local
from harness.tracking.sweep_writer import SweepWriter

BEAT_S = 1.0  # seconds between two signs of life, and between two looks at the spool
TURN_S = 1.0  # seconds after which a backlog is left for a moment, for what is in training
HURRY_S = 1.0  # seconds in which trials are still written when the work was stopped
GRACE_S = 5.0  # seconds that the last call of MLflow may take when the driver is gone

_DRIVER_IS_GONE = 1  # exit codes
_REFUSED = 2
_FAILED = 3


class Command(StrEnum):
    """What a driver may ask for."""

    WAKE = "wake"
    """There is something new."""
    DRAIN = "drain"
    """Try all that waits, but for the end of the parent."""
    FINISH = "finish"
    """Write the end of the parent, and end."""
    STOP = "stop"
    """Write what a moment suffices for, and end."""
    GONE = "gone"
    """The driver has gone."""


class Event(StrEnum):
    """What a writer may say."""

    BEAT = "beat"
    """It is alive."""
    OPEN = "open"
    """The store was looked at, and the writing begins."""
    SAY = "say"
    """A sentence for the user."""
    REFUSED = "refused"
    """The user must act; the writer has ended."""
    WAITING = "waiting"
    """How many trials wait."""
    DRAINED = "drained"
    """What was tried has been written, or cannot be."""
    FINISHED = "finished"
    """The writer has ended."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a writer is started with.

    Attributes
    ----------
    folder : str
        The folder of the sweep.
    project : str
        The MLflow experiment.
    source : str
        The program, as runs name it.
    longest_pause_s : float
        The longest pause after an outage.
    environment : dict of str to str or None
        The variables that have changed in the driver since this process was started, by imports
        for example; None for one that is gone.
    """

    folder: str
    project: str
    source: str
    longest_pause_s: float
    environment: dict[str, str | None]


class Voice:
    """What this process says to its driver."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._turn = threading.Lock()

    def tell(self, event: Event, **content: Any) -> None:
        """Write one line; nothing happens if the driver has gone."""
        line = json.dumps({"event": event, **content})
        with self._turn, contextlib.suppress(OSError, ValueError):
            self._stream.write(f"{line}\n")
            self._stream.flush()

    def beat(self) -> None:
        """Say again and again that the process is alive."""
        while True:
            self.tell(Event.BEAT)
            time.sleep(BEAT_S)


class Ear:
    """What the driver says to this process."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self.is_over = threading.Event()

    def listen(self) -> None:
        """Take commands until the driver has gone, which ends this process in a moment."""
        for line in self._stream:
            self._commands.put(Command(line.strip()))
        self.is_over.set()
        self._commands.put(Command.GONE)
        # A call of MLflow may hang, and can be repeated.
        time.sleep(GRACE_S)
        os._exit(_DRIVER_IS_GONE)

    def next(self, seconds: float) -> Command:
        """Return the next command; WAKE if none comes within some seconds."""
        try:
            command = self._commands.get(timeout=seconds)
            # Several calls to look at the spool are one.
            while command is Command.WAKE:
                command = self._commands.get_nowait()
        except queue.Empty:
            return Command.WAKE
        return command


def write(writer: SweepWriter, voice: Voice, ear: Ear) -> None:
    """Write a sweep into MLflow until its driver wants no more."""
    waiting = 0
    pause_s = 0.0
    while True:
        match ear.next(pause_s):
            case Command.GONE:
                return
            case Command.DRAIN:
                voice.tell(Event.DRAINED, waiting=_drain(writer, voice, ear))
            case Command.FINISH:
                voice.tell(Event.FINISHED, waiting=writer.finish(ear.is_over.is_set))
                return
            case Command.STOP:
                writer.turn(_after(HURRY_S, ear))
                voice.tell(Event.FINISHED, waiting=writer.finish(_always))
                return
        before = waiting
        waiting = writer.turn(_after(TURN_S, ear))
        voice.tell(Event.WAITING, waiting=waiting)
        # A backlog that gets smaller is gone on with at once.
        pause_s = BEAT_S
        if waiting and waiting != before and not writer.is_down:
            pause_s = 0.0


def _drain(writer: SweepWriter, voice: Voice, ear: Ear) -> int:
    """Write all that waits, turn after turn, while it becomes less; how much is left."""
    waiting = writer.drain(_after(TURN_S, ear))
    before = waiting + 1
    while 0 < waiting < before and not writer.is_down and not ear.is_over.is_set():
        voice.tell(Event.WAITING, waiting=waiting)
        before = waiting
        waiting = writer.go_on(_after(TURN_S, ear))
    return waiting


def _after(seconds: float, ear: Ear) -> Callable[[], bool]:
    """Make a condition that holds after some seconds, or once the driver has gone."""
    end = time.monotonic() + seconds

    def is_over() -> bool:
        return ear.is_over.is_set() or time.monotonic() > end

    return is_over


def _always() -> bool:
    return True


# The process --------------------------------------------------------------------------------------


def main() -> None:
    """Run the process; its one argument is its driver, and the first line has its settings."""
    _end_with(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Whatever a library prints must not stand between the lines for the driver.
    voice = Voice(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)
    threading.Thread(target=voice.beat, daemon=True).start()
    # The driver has things of its own to import, and may not know yet what is to be written.
    _import_ahead()
    line = sys.stdin.readline()
    if not line:
        os._exit(_DRIVER_IS_GONE)
    settings = Settings(**json.loads(line))
    ear = Ear(sys.stdin)
    threading.Thread(target=ear.listen, daemon=True).start()
    sys.argv[0] = settings.source
    for name, text in settings.environment.items():
        os.environ.pop(name, None)
        if text is not None:
            os.environ[name] = text
    BackOff.longest_pause_s = settings.longest_pause_s
    code = _run(Path(settings.folder), settings.project, voice, ear)
    sys.stderr.flush()
    # Python would wait for the thread that reads.
    os._exit(code)


def _import_ahead() -> None:
    # What is wrong with MLflow, or with its address, is said where it is used.
    with contextlib.suppress(Exception):
        uri = store_uri()
        if not is_local(uri):
            import_mlflow(uri)


def _run(folder: Path, project: str, voice: Voice, ear: Ear) -> int:
    """Write a sweep under its lock; the exit code."""
    try:
        # The writer of a driver that was killed may still be at work.
        with file_lock(folder / WRITER_LOCK):
            writer = SweepWriter(folder, project, _sayer(voice))
            voice.tell(Event.OPEN)
            write(writer, voice, ear)
    except UsageError as error:
        voice.tell(Event.REFUSED, sentence=str(error))
        return _REFUSED
    except BaseException:
        traceback.print_exc()
        return _FAILED
    return 0


def _sayer(voice: Voice) -> Callable[[str], None]:
    def say(sentence: str) -> None:
        voice.tell(Event.SAY, sentence=sentence)

    return say


def _end_with(driver: int) -> None:
    """Let this process die with its driver, even while a signal has stopped it; `ps` names it."""
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None).prctl
        prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        prctl(15, b"harness writer")  # PR_SET_NAME
    if os.getppid() != driver:
        sys.exit(_DRIVER_IS_GONE)


if __name__ == "__main__":
    main()
