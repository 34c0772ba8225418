"""The events of a study for another program: one JSON object a line on stdout.

They come where `harness sweep --json` or HARNESS_JSON=1 asks for them. From the first event on
nothing else reaches stdout: what this process, its libraries or its workers print goes to stderr.
"""

import contextlib
import io
import json
import math
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from harness.errors import UsageError
from harness.storage.clock import now_ms

VARIABLE = "HARNESS_JSON"
_YES = ("1", "true", "yes", "on")
_NO = ("", "0", "false", "no", "off")


class Events:
    """Writes events, each at once.

    Parameters
    ----------
    stream : text stream
        Where they go.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def emit(self, event: str, **fields: Any) -> None:
        """Writes an event.

        Parameters
        ----------
        event : str
            What has happened.
        **fields
            What JSON can hold; numbers that are not finite become null, which JSON has for them.
        """
        line = json.dumps(_finite({"event": event, "time_ms": now_ms(), **fields}), default=str)
        try:
            # JSON leaves no character in it that could end a line or steer a terminal.
            self._stream.write(line + "\n")
            self._stream.flush()
        except OSError:
            # A reader that has gone away ends no training.
            self._stream = io.StringIO()


def _finite(value: Any) -> Any:
    """A value without numbers that JSON has no words for."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return value


# Who gets them ------------------------------------------------------------------------------------

_events: Events | None = None


def wanted_events() -> Events | None:
    """The events of this process, None where nobody wants any. UsageError for a wrong variable."""
    if _events is None and _is_wanted():
        # It keeps stdout until the process ends, because a script may print results when its study
        # has ended, and these are no events.
        _take_stdout(contextlib.ExitStack())
    return _events


def _is_wanted() -> bool:
    value = os.environ.get(VARIABLE, "")
    if value.lower() not in (*_YES, *_NO):
        raise UsageError(f"{VARIABLE} must be 1 or 0, got {value!r}; unset it for no events")
    return value.lower() in _YES


@contextlib.contextmanager
def events_on_stdout(wanted: bool) -> Iterator[None]:
    """Lets stdout have the events of the block and nothing else, where events are wanted.

    Parameters
    ----------
    wanted : bool
        Whether they are in any case; else the variable decides.
    """
    with contextlib.ExitStack() as stack:
        if wanted or _is_wanted():
            _take_stdout(stack)
        yield


def _take_stdout(stack: contextlib.ExitStack) -> None:
    """Keeps stdout for events until a stack is closed; everything else goes to stderr."""
    global _events
    before = _events
    stream = sys.stdout
    stream.flush()
    # Workers and C code write to the descriptor, and know nothing of `sys.stdout`.
    with contextlib.suppress(OSError, ValueError, io.UnsupportedOperation):
        if stream.fileno() == 1:
            kept = os.dup(1)
            os.dup2(2, 1)
            stream = _lasting(kept)
            stack.callback(_give_back, kept)
    _events = Events(stream)
    stack.enter_context(contextlib.redirect_stdout(sys.stderr))
    stack.callback(_set, before)


def _lasting(descriptor: int) -> TextIO:
    # The descriptor is closed by who has made it.
    return open(descriptor, "w", encoding="utf-8", closefd=False)


def _give_back(descriptor: int) -> None:
    os.dup2(descriptor, 1)
    os.close(descriptor)


def _set(events: Events | None) -> None:
    global _events
    _events = events
