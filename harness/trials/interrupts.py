"""Ctrl-C and SIGTERM: held back where a write must not be torn, counted at once where they come
twice.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

PATIENCE = 2.0  # seconds for which a server can keep a Ctrl-C waiting


# Not empty once Ctrl-C has stopped a sweep: from then on each one counts at once
stopping: list[int] = []


_holding: list[list[int]] = []  # the signals held back by the block that runs, the outermost one


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Holds Ctrl-C (and SIGTERM, where it is handled) back until the block has ended or PATIENCE is
    over.

    A second one counts at once.

    MLflow does not roll back what a KeyboardInterrupt tears, and the database stays locked.
    """
    ours = threading.current_thread() is threading.main_thread()
    if _holding or not ours:
        yield
        return
    held: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before: dict[int, Any] = {
        number: handler for number, handler in handlers.items() if callable(handler)
    }

    with contextlib.ExitStack() as stack:

        def hold(number: int, frame: Any) -> None:
            if held or stopping:
                before[number](number, frame)
            held.append(number)
            stack.enter_context(patience(number))

        _holding.append(held)
        for number in before:
            signal.signal(number, hold)
        try:
            yield
        finally:
            stack.close()
            _holding.clear()
            for number, handler in before.items():
                signal.signal(number, handler)
    for number in held:
        before[number](number, None)


@contextlib.contextmanager
def patience(number: int = signal.SIGINT) -> Iterator[None]:
    """Sends this process that signal when PATIENCE is over, as a user would who presses Ctrl-C a
    second time.
    """
    timer = threading.Timer(PATIENCE, signal.pthread_kill, (threading.get_ident(), number))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def stop() -> bool:
    """Whether a Ctrl-C waits or has come: what is not logged yet can wait in the spool."""
    return bool(stopping or (_holding and _holding[0]))


@contextlib.contextmanager
def term_stops() -> Iterator[None]:
    """SIGTERM stops the work as Ctrl-C does, unless somebody else has taken care of it."""
    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    )
    if ours:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
