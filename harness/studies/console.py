"""Where the progress of a study is shown: in place on a terminal, else as plain lines.

Both are drawn on news, and by a thread now and then, because minutes can pass between two news.
"""

import contextlib
import io
import os
import sys
import threading
from collections.abc import Iterator
from typing import Protocol, TextIO

from harness.escapes import printable
from harness.studies.board import Board

REDRAWN = 0.1  # seconds between two states on a terminal
TICK = 0.5  # seconds between two looks at the clock
SELDOM = 60.0  # seconds after which a plain line comes in any case
OFTEN = 10.0  # seconds before which no plain line comes after another
USUAL_COLUMNS = 80

_START_OF_LINE = "\r"
_ERASE_LINE = "\x1b[K"  # from the cursor to the end of the line
_ERASE_BELOW = "\x1b[J"  # from the cursor to the end of the screen


class Console(Protocol):
    """Where the progress of a study is shown."""

    def say(self, text: str) -> None:
        """Shows a text, and lets it stand."""

    def news(self) -> None:
        """Shows what has changed, if it is time for that."""

    def close(self) -> None:
        """Shows how the study stands for the last time."""


class Terminal:
    """One or two lines at the bottom of a terminal, which are drawn in place.

    The cursor waits at the beginning of the first one. So whatever a resized terminal makes of the
    lines lies behind the cursor and is erased, and so does what another process writes over them.

    Parameters
    ----------
    stream : text stream
        A terminal.
    board : Board
        What is shown.
    """

    def __init__(self, stream: TextIO, board: Board) -> None:
        self._stream = stream
        self._board = board
        self._drawn: list[str] = []
        self._columns = 0
        self._next = 0.0
        self._blocks = _can_encode(stream, "\u2588\u258f")

    def say(self, text: str) -> None:
        """Shows a text above the lines."""
        with self._board.lock:
            self._write(f"{_START_OF_LINE}{_ERASE_BELOW}{printable(text)}\n")
            self._drawn = []
            self._draw()

    def news(self) -> None:
        """Draws how the study stands, unless it was just drawn."""
        now = self._board.clock()
        if now >= self._next:
            with self._board.lock:
                self._draw()

    def close(self) -> None:
        """Lets the first line stand, and what comes next begin below it."""
        with self._board.lock:
            self._board.in_training.clear()
            self._draw()
            self._write("\n")

    def _draw(self) -> None:
        self._next = self._board.clock() + REDRAWN
        size = _size_of(self._stream)
        # Into the last column nothing is written, because terminals differ in what follows.
        lines = self._board.lines(max(1, size.columns - 1), self._blocks)
        if size.lines < 3:
            del lines[1:]
        if lines == self._drawn and size.columns == self._columns:
            return
        frame = _START_OF_LINE
        if size.columns != self._columns or len(lines) < len(self._drawn):
            frame += _ERASE_BELOW
        frame += "\n".join(line + _ERASE_LINE for line in lines) + _START_OF_LINE
        if len(lines) > 1:
            frame += f"\x1b[{len(lines) - 1}A"
        # All at once, or a terminal would show half of it.
        self._write(frame)
        self._drawn = lines
        self._columns = size.columns

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class Plain:
    """A line now and then, for files, pipes and terminals that cannot move their cursor.

    A line comes at the start and at the end, 10 s after the last one at the earliest if a trial has
    ended since, and 60 s after it in any case.

    Parameters
    ----------
    stream : text stream
        Where the lines go.
    board : Board
        What they say.
    """

    def __init__(self, stream: TextIO, board: Board) -> None:
        self._stream = stream
        self._board = board
        self._last: tuple[float, int] | None = None  # when, and how many had ended

    def say(self, text: str) -> None:
        """Writes a text."""
        with self._board.lock:
            self._write(printable(text))

    def news(self) -> None:
        """Writes a line, if it is time for one."""
        with self._board.lock:
            if self._is_due():
                self._write_line()

    def close(self) -> None:
        """Writes a last line, unless nothing has ended since the one before."""
        with self._board.lock:
            self._board.in_training.clear()
            if self._last is None or self._last[1] != self._board.ended:
                self._write_line()

    def _is_due(self) -> bool:
        if self._last is None:
            # The first line says what is trained, not that nothing is.
            return bool(self._board.in_training)
        when, ended = self._last
        seconds = self._board.clock() - when
        return seconds >= SELDOM or (seconds >= OFTEN and ended != self._board.ended)

    def _write_line(self) -> None:
        self._last = (self._board.clock(), self._board.ended)
        self._write(self._board.line())

    def _write(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


class Above(io.TextIOBase):
    """A stream whose lines stand above those of a console, whoever prints them.

    Parameters
    ----------
    stream : text stream
        What it stands for.
    console : Terminal
        Who draws below.
    """

    def __init__(self, stream: TextIO, console: Terminal) -> None:
        self._stream = stream
        self._console = console
        self._rest = ""
        self._process = os.getpid()

    def write(self, text: str) -> int:
        """Shows the lines that are whole; the rest waits for its end."""
        if os.getpid() != self._process:
            # In a fork nobody draws, and another thread of the parent may have held the lock.
            return self._stream.write(text)
        lines, newline, rest = (self._rest + text).rpartition("\n")
        self._rest = rest
        if newline:
            self._console.say(lines)
        return len(text)

    def finish(self) -> None:
        """Shows what has not come to the end of its line."""
        if self._rest:
            self._console.say(self._rest)
            self._rest = ""

    def isatty(self) -> bool:
        """True, since it stands for a terminal."""
        return True

    def fileno(self) -> int:
        """That of the stream."""
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream."""
        return self._stream.encoding


def is_terminal(stream: TextIO) -> bool:
    """Whether a stream is a terminal that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


@contextlib.contextmanager
def terminal(board: Board) -> Iterator[Console]:
    """Shows a board at the bottom of the terminal of stderr, and all that is printed above it."""
    console = Terminal(sys.stderr, board)
    with contextlib.ExitStack() as stack:
        stack.callback(console.close)
        err = Above(sys.stderr, console)
        stack.callback(err.finish)
        stack.enter_context(contextlib.redirect_stderr(err))
        # Where stdout is a file or a pipe, it does not come into the way of the lines.
        if sys.stdout.isatty():
            out = Above(sys.stdout, console)
            stack.callback(out.finish)
            stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(_ticking(console))
        yield console


@contextlib.contextmanager
def plain(board: Board) -> Iterator[Console]:
    """Shows a board as lines on stderr."""
    console = Plain(sys.stderr, board)
    with contextlib.ExitStack() as stack:
        stack.callback(console.close)
        stack.enter_context(_ticking(console))
        yield console


@contextlib.contextmanager
def _ticking(console: Console) -> Iterator[None]:
    """Lets the console look at the clock now and then while the block runs."""
    done = threading.Event()

    def tick() -> None:
        while not done.wait(TICK):
            console.news()

    thread = threading.Thread(target=tick, name="console", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _size_of(stream: TextIO) -> os.terminal_size:
    """The size of a terminal as it is now."""
    with contextlib.suppress(OSError, ValueError):
        size = os.get_terminal_size(stream.fileno())
        # A terminal that was never told its size says 0.
        if size.columns > 0:
            return size
    return os.terminal_size((USUAL_COLUMNS, 24))


def _can_encode(stream: TextIO, text: str) -> bool:
    try:
        text.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
