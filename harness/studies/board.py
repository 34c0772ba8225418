"""What is known of a study while it goes on, and how a line says it."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from tqdm import tqdm
from tqdm.utils import disp_len, disp_trim

from harness.escapes import printable
from harness.studies.pace import Pace, in_words
from harness.trials.clock import monotonic

BAR = 20  # columns of the bar at most
SHORTEST_BAR = 5
NAMED = 4  # trials in training that a line names where nothing limits its length


@dataclass
class Shown:
    """A trial in training.

    Attributes
    ----------
    label : str
        What it is called.
    epochs : int
        The epochs that it will be trained, if nothing ends it early.
    begun : float
        When it has begun, by the clock of durations.
    first : int
        The epochs that it had behind it then.
    epoch : int
        The epochs that it has behind it now.
    value : float or None
        Its metric after the last epoch.
    """

    label: str
    epochs: int
    begun: float
    first: int = 0
    epoch: int = 0
    value: float | None = None

    @property
    def share(self) -> float:
        """The share of its epochs that it has behind it."""
        return self.epoch / max(1, self.epochs)

    def whole_seconds(self, now: float) -> float:
        """The seconds of training that it takes from its first epoch to where it ends now."""
        trained = max(1, self.epoch - self.first)
        return (now - self.begun) * max(1, self.epoch) / trained

    def text(self) -> str:
        """Such as "#12 3/10 0.9412"."""
        words = [self.label, f"{self.epoch}/{self.epochs}"]
        if self.value is not None:
            words.append(f"{self.value:.4f}")
        return printable(" ".join(words))


class Part(NamedTuple):
    """A part of a line, and how much it matters where the line is too long."""

    text: str
    weight: int


@dataclass
class Board:
    """How a study stands.

    Attributes
    ----------
    name : str
        The study.
    unit : str
        What a trial is called.
    total, ended : int
        How many trials will have ended in all, and how many have.
    failures : int
        How many of these have failed since the start.
    headline : str
        The best so far, in words.
    in_training : dict of Shown
        The trials in training by their numbers.
    pace : Pace
        How fast they end.
    clock : callable
        The time, in seconds.
    compiles : callable
        Whether loops are compiled now, on this machine.
    lock : RLock
        Held by whoever changes it or reads it, since a thread draws it. A warning may be raised
        while it is drawn, and is shown by the same thread.
    """

    name: str
    unit: str
    total: int
    ended: int
    failures: int = 0
    headline: str = ""
    in_training: dict[int, Shown] = field(default_factory=dict)
    pace: Pace = field(default_factory=Pace)
    clock: Callable[[], float] = monotonic
    compiles: Callable[[], bool] = lambda: False
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def shares(self) -> list[float]:
        """The work that is in each trial in training."""
        return [shown.share for shown in self.in_training.values()]

    def begin(self, number: int, shown: Shown) -> None:
        """A trial is trained from now on."""
        self.in_training[number] = shown
        self.pace.begin(shown.begun, sum(self.shares))

    def end(self, number: int, has_failed: bool) -> None:
        """A trial has ended."""
        self.ended += 1
        self.failures += has_failed
        shown = self.in_training.pop(number, None)
        # A copy was never in training.
        if shown is not None:
            now = self.clock()
            seconds = shown.whole_seconds(now)
            self.pace.end(now, sum(self.shares), seconds, len(self.in_training))

    # Lines ----------------------------------------------------------------------------------------

    def parts(self) -> list[Part]:
        """What the first line says, in its order."""
        now = self.clock()
        parts = [Part(f"{self.ended}/{self.total} {self.unit}s", 9)]
        if self.headline:
            parts.append(Part(printable(self.headline), 8))
        if self.failures:
            parts.append(Part(f"{self.failures} failed", 6))
        rate = self.pace.per_second(now, sum(self.shares))
        if rate is not None:
            parts.append(Part(_rate(rate), 5))
        seconds = self.pace.seconds_left(now, self.total - self.ended, self.shares)
        if seconds is not None and self.ended < self.total:
            parts.append(Part(f"{in_words(seconds)} left", 7))
        return parts

    def line(self) -> str:
        """How it stands, in one line of any length."""
        text = f"{printable(self.name)}: {', '.join(part.text for part in self.parts())}"
        trained = self.training_line()
        if trained:
            text += f"; {trained}"
        return text

    def lines(self, columns: int, blocks: bool) -> list[str]:
        """How it stands, in one or two lines that fit into so many columns.

        Parameters
        ----------
        columns : int
            The width of the terminal.
        blocks : bool
            Whether the bar may be drawn with blocks; else it is with letters.
        """
        lines = [self._first_line(columns, blocks)]
        if trained := self.training_line(columns):
            lines.append(trained)
        return lines

    def _first_line(self, columns: int, blocks: bool) -> str:
        parts = self.parts()
        name = printable(self.name)
        while len(parts) > 1 and disp_len(_joined(name, parts)) > columns:
            if name:
                # Who looks at a terminal knows what was started there.
                name = ""
                continue
            parts.remove(min(parts, key=lambda part: part.weight))
        text = _joined(name, parts)
        room = min(BAR, columns - disp_len(text) - 1)
        if room < SHORTEST_BAR:
            return disp_trim(text, columns)
        bar = tqdm.format_meter(
            self.ended, self.total, 0, ncols=room, bar_format="{bar}", ascii=not blocks
        )
        return f"{bar} {text}"

    def training_line(self, columns: int | None = None) -> str:
        """What is trained now, "" for nothing; so many columns wide at most, or a few trials."""
        texts = [shown.text() for _, shown in sorted(self.in_training.items())]
        if not texts:
            return ""
        why = "compiling loops, once on this machine; " if self.compiles() else ""
        for count in range(len(texts), 0, -1):
            line = why + _training(texts, count)
            fits = count <= NAMED
            if columns is not None:
                fits = disp_len(line) <= columns
            if fits:
                return line
        return disp_trim(why + _training(texts, 1), columns or 0)


def _joined(name: str, parts: Iterable[Part]) -> str:
    text = ", ".join(part.text for part in parts)
    if name:
        return f"{name}: {text}"
    return text


def _training(texts: list[str], count: int) -> str:
    """The first of the trials in training, and how many more there are."""
    line = f"training {', '.join(texts[:count])}"
    if count < len(texts):
        line += f" and {len(texts) - count} more"
    return line


def _rate(per_second: float) -> str:
    """Trials a minute, or an hour where they are few."""
    per_minute = 60 * per_second
    if per_minute < 1:
        return f"{60 * per_minute:.1f}/h"
    if per_minute < 100:
        return f"{per_minute:.1f}/min"
    return f"{per_minute:.0f}/min"
