"""What the command line writes to.

Text from outside is spelled out where it would steer a terminal, and a reader that has gone away
ends no training.
"""

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple, TextIO

from harness.escapes import printable

WIDTH = 100  # columns of help texts and tables


def echo(text: object = "", *, err: bool = False, end: str = "\n") -> None:
    """Writes a text as `printable` spells it, at once, because the reader may be a pipe.

    Parameters
    ----------
    text
        What to write.
    err
        Whether it goes to stderr.
    end
        What follows it.
    """
    stream = sys.stdout
    if err:
        stream = sys.stderr
    stream.write(printable(text) + end)
    stream.flush()


def write_data(text: str) -> None:
    """Writes what another program may read: as it is, but spelled out on a terminal."""
    if sys.stdout.isatty():
        text = printable(text)
    sys.stdout.write(text)
    sys.stdout.flush()


class Lasting:
    """A stream that goes on taking text where nobody reads it any more.

    Parameters
    ----------
    stream
        The stream that is written to: perhaps a pipe into `head`, or a file on a full disk.
    name
        What to call it in a message.

    Attributes
    ----------
    problem
        What has happened, in a sentence; "" if nothing has, or if the reader has just gone away.
    """

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream = stream
        self._name = name
        self.problem = ""

    def write(self, text: str) -> int:
        """Writes what can be written; returns the number of characters."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._give_up(error)
            return len(text)

    def flush(self) -> None:
        """Flushes what can be flushed."""
        try:
            self._stream.flush()
        except OSError as error:
            self._give_up(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _give_up(self, error: OSError) -> None:
        """Redirects the stream to nowhere, with what it still holds, and keeps the problem."""
        if error.errno != errno.EPIPE:
            self.problem = (
                f"{self._name} must be writable, but: {error.strerror or error}; the work goes on "
                f"without it, so send "
                "it to another place next time"
            )
        # A stream of a test has no file descriptor to redirect.
        with contextlib.suppress(OSError, ValueError, io.UnsupportedOperation):
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self._stream.fileno())
            os.close(nothing)


class Streams(NamedTuple):
    """The two streams of a process."""

    out: Lasting
    err: Lasting


@contextlib.contextmanager
def lasting_output() -> Iterator[Streams]:
    """Makes stdout and stderr last, and lets them spell what their encoding has no letter for."""
    out_before = sys.stdout
    err_before = sys.stderr
    for stream in (out_before, err_before):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    streams = Streams(
        Lasting(out_before, "the output"), Lasting(err_before, "the output of errors")
    )
    sys.stdout = streams.out  # type: ignore[assignment]
    sys.stderr = streams.err  # type: ignore[assignment]
    try:
        yield streams
    finally:
        streams.out.flush()
        streams.err.flush()
        sys.stdout = out_before
        sys.stderr = err_before
