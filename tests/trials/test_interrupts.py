"""Ctrl-C strikes where it tears nothing, and is never lost."""

import gc
import signal
import sys
import threading
import time
from collections.abc import Callable

import pytest

from harness.trials.interrupts import Interrupts, term_stops


def in_a_finalizer(strike: Callable[[], None]) -> None:
    class Dying:
        def __del__(self) -> None:
            strike()

    Dying()


def in_the_collector(strike: Callable[[], None]) -> None:
    def once(phase: str, info: dict[str, int]) -> None:
        gc.callbacks.remove(once)
        strike()

    gc.callbacks.append(once)
    gc.collect(0)


@pytest.mark.parametrize("where", [in_a_finalizer, in_the_collector])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_python_would_lose_strikes_again(
    where: Callable[[Callable[[], None]], None], number: int
) -> None:
    before = sys.unraisablehook

    def work() -> None:
        with term_stops():
            where(lambda: signal.raise_signal(number))
            threading.Event().wait(60)

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        work()
    assert time.monotonic() < begun + 30
    assert sys.unraisablehook is before


def test_one_that_is_held_back_strikes_after_the_block() -> None:
    interrupts = Interrupts()
    written: list[str] = []

    def work() -> None:
        with term_stops():
            with interrupts.held_back():
                in_the_collector(lambda: signal.raise_signal(signal.SIGINT))
                written.append("whole")
            written.append("more")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert written == ["whole"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_other_errors_of_finalizers_end_nothing() -> None:
    def fail() -> None:
        raise ValueError("in a finalizer")

    with term_stops():
        in_a_finalizer(fail)
