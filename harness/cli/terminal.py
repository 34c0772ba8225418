"""What the command line writes to: text from outside is spelled out, and a reader that has gone
ends no training.
"""

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from harness.escapes import printable


def echo(text: object = "", *, err: bool = False, end: str = "\n") -> None:
    """Writes a text as `printable` spells it, at once: the reader may be a pipe."""
    stream = sys.stderr if err else sys.stdout
    stream.write(printable(text) + end)
    stream.flush()


def write_data(text: str) -> None:
    """Writes what another program may read: as it is, and as `printable` spells it only where a
    person looks on.
    """
    sys.stdout.write(printable(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


class Lasting:
    """A stream that goes on taking text where nobody takes it any more, such as a pipe into `head`
    or a full disk.

    `problem` says what has happened, "" if nothing has or if its reader has just gone away.
    """

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream = stream
        self._name = name
        self.problem = ""

    def write(self, text: str) -> int:
        """Writes what can be written; how many characters there were."""
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
        """From now on nothing is written, not even what the stream still holds when Python ends."""
        if error.errno != errno.EPIPE:
            self.problem = (
                f"{self._name} must be writable, but: {error.strerror or error}; the work goes on "
                f"without it, so send "
                "it to another place next time"
            )
        with contextlib.suppress(OSError, ValueError, io.UnsupportedOperation):
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self._stream.fileno())
            os.close(nothing)


@contextlib.contextmanager
def lasting_output() -> Iterator[tuple[Lasting, Lasting]]:
    """Makes stdout and stderr last, and lets them spell what their encoding has no letter for."""
    before = sys.stdout, sys.stderr
    lasting = Lasting(sys.stdout, "the output"), Lasting(sys.stderr, "the output of errors")
    for stream in before:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.stdout, sys.stderr = lasting  # type: ignore[assignment]
    try:
        yield lasting
    finally:
        for stream in lasting:
            stream.flush()
        sys.stdout, sys.stderr = before
