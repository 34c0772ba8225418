"""The progress of a study on a terminal."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from harness.escapes import printable

REDRAWN = 0.1  # seconds between two states of the bar on a terminal
REPEATED = 30.0  # seconds between two lines where stderr is no terminal


class Progress:
    """A bar on stderr, and sentences above it.

    Parameters
    ----------
    bar
        A bar of tqdm.
    """

    def __init__(self, bar: Any) -> None:
        self._bar = bar

    def say(self, text: str) -> None:
        """Writes a text above the bar."""
        self._bar.write(printable(text), file=sys.stderr)

    def advance(self, count: int = 1) -> None:
        """So many more have ended."""
        self._bar.update(count)

    def show(self, text: str) -> None:
        """Shows a few words behind the bar, from its next state on."""
        self._bar.set_postfix_str(text, refresh=False)

    def expect(self, total: int) -> None:
        """Corrects how many there will be in all."""
        self._bar.total = total


@contextlib.contextmanager
def progress(name: str, total: int, ended: int, unit: str) -> Iterator[Progress]:
    """Opens the bar of a study.

    Parameters
    ----------
    name : str
        The study.
    total, ended : int
        How many will have ended in all, and how many have before this start.
    unit : str
        What ends.
    """
    from tqdm import tqdm

    with tqdm(
        desc=name,
        total=total,
        initial=ended,
        unit=unit,
        file=sys.stderr,
        dynamic_ncols=True,
        mininterval=REDRAWN if sys.stderr.isatty() else REPEATED,
    ) as bar:
        yield Progress(bar)
