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
from collections.abc import Callable, Iterator
from typing import Any

from harness.errors import PluginError, in_words, place_of

_STOPS: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM)

# One entry while the main thread is in a foreign block: the outermost of nested ones is enough to
# let the user's signals through.
_inside: list[bool] = []


@contextlib.contextmanager
def foreign(
    who: str, refused: type[Exception] = PluginError, remedy: str = "return, or raise an Exception"
) -> Iterator[None]:
    """Run foreign code: a block, or as a decorator a whole function.

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
            if isinstance(error, Exception) and not _is_of_click(error):
                raise
            raise refused(_sentence(who, error, remedy)) from error


def _is_of_click(error: Exception) -> bool:
    # By these click ends a command line, and foreign code may not end ours.
    return type(error).__module__.partition(".")[0] == "click"


def _sentence(who: str, error: BaseException, remedy: str) -> str:
    """Say what became of an exit.

    Such as "the metric 'm' must not end the process, but it raised SystemExit: 5 (m.py, line 3)".
    """
    place = place_of(error)
    where = f" ({place})" if place else ""
    return f"{who} must not end the process, but it raised {in_words(error)}{where}; {remedy}"


@contextlib.contextmanager
def _user_stops() -> Iterator[None]:
    """Let the user's Ctrl-C and SIGTERM through whatever the block makes of them.

    What the handler in place raises at a signal is kept, and raised again when the block is left in
    any way: foreign code may catch it, or raise something else for it.
    """
    # Signals arrive in the main thread, so that other threads have none.
    if _inside or threading.current_thread() is not threading.main_thread():
        yield
        return
    stops: list[BaseException] = []
    _inside.append(True)
    handlers: dict[int, Any] = {}
    try:
        for number in _STOPS:
            handler = signal.getsignal(number)
            if callable(handler):
                handlers[number] = handler
                signal.signal(number, _relay(handler, stops))
        yield
    except BaseException:
        if stops:
            raise stops[0] from None
        raise
    else:
        if stops:
            raise stops[0]
    finally:
        _inside.clear()
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _relay(handler: Callable[[int, Any], Any], stops: list[BaseException]) -> Callable[..., None]:
    """Make a handler that keeps what another one raises."""

    def relay(number: int, frame: Any) -> None:
        try:
            handler(number, frame)
        except BaseException as stop:
            stops.append(stop)
            raise

    return relay
