"""How fast the trials of a study end, and when it will be done."""

import statistics
from collections import deque
from collections.abc import Collection

RECENT = 30  # trials that have ended last, by which the pace is measured


class Pace:
    """The pace of one start of a study, by the trials that have ended recently.

    Work is counted in trials: one that has ended is 1, however early it was pruned, and one in
    training is the share of its epochs that it has behind it. So trials that will be pruned are
    expected as often as they were lately. Copies of known results cost nothing, and do not count.
    """

    def __init__(self) -> None:
        # The work done so far and when, at the start and at the ends of trials.
        self._marks: deque[tuple[float, float]] = deque()
        self._ended = 0
        self._seconds: deque[float] = deque(maxlen=RECENT)  # that whole trials have taken

    def begin(self, now: float, shares: float) -> None:
        """Something is trained from now on.

        Parameters
        ----------
        now : float
            The time, in seconds.
        shares : float
            The work that is in the trials in training, as they were left last time.
        """
        if not self._marks:
            self._marks.append((now, shares))

    def end(self, now: float, shares: float, seconds: float, in_training: int) -> None:
        """A trial has ended.

        Parameters
        ----------
        now : float
            The time, in seconds.
        shares : float
            The work that is in the trials that are still in training.
        seconds : float
            How long a whole trial like this takes.
        in_training : int
            How many still are; trials that are trained at the same time end at the same time.
        """
        self._ended += 1
        self._seconds.append(seconds)
        self._marks.append((now, self._ended + shares))
        while len(self._marks) > max(RECENT, 2 * in_training) + 1:
            self._marks.popleft()

    def per_second(self, now: float, shares: float) -> float | None:
        """Trials that end in a second; None while none has ended."""
        if not self._ended:
            return None
        begun, before = self._marks[0]
        seconds = now - begun
        work = self._ended + shares - before
        if seconds <= 0 or work <= 0:
            return None
        return work / seconds

    def seconds_left(self, now: float, missing: int, shares: Collection[float]) -> float | None:
        """The seconds until all have ended; None while nobody can tell.

        Parameters
        ----------
        now : float
            The time, in seconds.
        missing : int
            How many trials have not ended.
        shares : collection of float
            The work that is in each trial in training.
        """
        rate = self.per_second(now, sum(shares))
        if rate is None:
            return None
        seconds = max(0.0, missing - sum(shares)) / rate
        if shares and missing <= len(shares):
            # The last trials leave workers idle, so that the slowest one decides.
            seconds = max(seconds, (1 - min(shares)) * statistics.fmean(self._seconds))
        return seconds


def in_words(seconds: float) -> str:
    """A time as one would say it: "40 s", "12 min", "3 h 20 min", "2 d 4 h"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours = minutes // 60
    if hours < 24:
        return f"{hours} h {minutes % 60} min"
    return f"{hours // 24} d {hours % 24} h"
