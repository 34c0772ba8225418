"""The boundary around code that is not ours: plugins, search spaces, scripts that are loaded.

Whoever calls such code does it inside `foreign(...)`. An Exception passes as it is, with its
traceback, for the caller to judge. Nothing else comes out: what would end the process (SystemExit,
KeyboardInterrupt, GeneratorExit and all that is made from BaseException) becomes a PluginError. The
only exception to this is the user's own Ctrl-C, or SIGTERM, which is known by its signal and passes
even where the foreign code has caught it.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

from harness.errors import PluginError, in_words, place_of

_STOPS: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM)
_inside: list[bool] = []  # one entry for each foreign block that the main thread is in


@contextlib.contextmanager
def foreign(
    who: str, refused: type[Exception] = PluginError, remedy: str = "return, or raise an Exception"
) -> Iterator[None]:
    """Runs foreign code: a block, or as a decorator a whole function.

    Parameters
    ----------
    who
        What runs, as it begins a sentence: "the search space", "the plugin mine.py".
    refused
        What an exit becomes, such as SystemExit: a PluginError, or a UsageError where bad input is
        to blame.
    remedy
        What to do about an exit.
    """
    with _user_stops():
        try:
            yield
        except BaseException as error:
            if isinstance(error, Exception) and not _of_click(error):
                raise
            raise refused(_sentence(who, error, remedy)) from error


def _of_click(error: Exception) -> bool:
    """Whether it is one by which click ends a command line: ours is not the one that is meant."""
    return type(error).__module__.partition(".")[0] == "click"


def _sentence(who: str, error: BaseException, remedy: str) -> str:
    """What became of an exit: "the metric 'm' must not end the process, but it raised SystemExit: 5
    (m.py, line 3)".
    """
    place = place_of(error)
    where = f" ({place})" if place else ""
    return f"{who} must not end the process, but it raised {in_words(error)}{where}; {remedy}"


@contextlib.contextmanager
def _user_stops() -> Iterator[None]:
    """Lets the user's Ctrl-C and SIGTERM through whatever the block makes of them.

    What the handler in place raises at a signal is kept, and raised again when the block is left in
    any way: foreign code may catch it, or raise something else for it. Signals arrive in the main
    thread, so other threads have none.
    """
    if _inside or threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[BaseException] = []
    before: dict[int, Any] = {}  # handlers, by signal

    def relay(number: int, frame: Any) -> None:
        try:
            before[number](number, frame)
        except BaseException as stop:
            came.append(stop)
            raise

    _inside.append(True)
    try:
        for number in _STOPS:
            handler = signal.getsignal(number)
            if callable(handler):
                before[number] = handler
                signal.signal(number, relay)
        yield
    except BaseException:
        if came:
            raise came[0] from None
        raise
    else:
        if came:
            raise came[0]
    finally:
        _inside.clear()
        for number, previous in before.items():
            signal.signal(number, previous)
