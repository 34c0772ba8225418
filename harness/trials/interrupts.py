"""Ctrl-C and SIGTERM, as the one process that keeps the books takes them.

A KeyboardInterrupt comes between any two lines of Python. Where it would tear a write it is held
back until the write is done. MLflow does not roll back what an interrupt tears, and its database
would stay locked.
"""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

PATIENCE = 2.0  # seconds for which a write or a server can keep a Ctrl-C waiting
AGAIN = 0.05  # seconds after which a Ctrl-C that was lost is sent again

Handler = Callable[[int, FrameType | None], object]


class Interrupts:
    """The interrupts of one driver: whether one has come, and when it may strike.

    Attributes
    ----------
    stopping : bool
        Whether an interrupt has stopped the work. From then on each further one strikes at once.
    """

    def __init__(self) -> None:
        self.stopping = False
        # The signals that the running block holds back; None where no block runs.
        self._held: list[int] | None = None

    @property
    def pending(self) -> bool:
        """Whether an interrupt waits or has come: what is not logged yet can wait in the spool."""
        return self.stopping or bool(self._held)

    @contextlib.contextmanager
    def held_back(self) -> Iterator[None]:
        """Holds Ctrl-C, and SIGTERM where it is handled, back until the block has ended.

        The block gets PATIENCE to end. A second interrupt strikes at once. Signals reach the main
        thread alone, so in another thread, and within another such block, nothing happens.
        """
        in_main_thread = threading.current_thread() is threading.main_thread()
        if self._held is not None or not in_main_thread:
            yield
            return
        held: list[int] = []
        handlers = _handlers()

        with contextlib.ExitStack() as stack:

            def hold(number: int, frame: FrameType | None) -> None:
                if held or self.stopping:
                    handlers[number](number, frame)
                held.append(number)
                stack.enter_context(patience(number))

            self._held = held
            for number in handlers:
                signal.signal(number, hold)
            try:
                yield
            finally:
                stack.close()
                self._held = None
                for number, handler in handlers.items():
                    signal.signal(number, handler)
        for number in held:
            handlers[number](number, None)


def _handlers() -> dict[int, Handler]:
    """The handlers of the signals that stop the work, as they are now."""
    handlers: dict[int, Handler] = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        handler = signal.getsignal(number)
        if callable(handler):
            handlers[number] = handler
    return handlers


@contextlib.contextmanager
def patience(number: int = signal.SIGINT) -> Iterator[None]:
    """Sends this process a signal when PATIENCE is over, unless the block has ended before.

    It is what a user does who presses Ctrl-C a second time.
    """
    timer = threading.Timer(PATIENCE, signal.pthread_kill, (threading.get_ident(), number))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def term_stops() -> Iterator[None]:
    """SIGTERM stops the work as Ctrl-C does, unless somebody else has taken care of it.

    Neither is lost where it strikes in what Python ends no program for.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread:
        yield
        return
    with _lost_ones_sent_again():
        if signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
            yield
            return
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextlib.contextmanager
def _lost_ones_sent_again() -> Iterator[None]:
    """Sends an interrupt again that has struck in a finalizer or in a callback of the collector.

    Python writes a note of what is raised there, and goes on.
    """
    before = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        handlers = _handlers()
        if handlers and issubclass(unraisable.exc_type, KeyboardInterrupt):
            # Later: what were raised here would be lost in the same way.
            main = threading.main_thread().ident
            again = threading.Timer(AGAIN, signal.pthread_kill, (main, next(iter(handlers))))
            again.daemon = True
            again.start()
        else:
            before(unraisable)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before
