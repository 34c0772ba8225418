"""A stopwatch for the parts of an epoch."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ACTIVITIES = ("train_s", "evaluate_s", "capture_s")


class Stopwatch:
    """Counts the seconds that are spent on each activity.

    Parameters
    ----------
    synchronize
        Waits for the device, so that its work is counted for who has asked for it.

    Attributes
    ----------
    seconds
        By activity.
    """

    def __init__(self, synchronize: Callable[[], None]):
        self.seconds = dict.fromkeys(ACTIVITIES, 0.0)
        self._synchronize = synchronize
        self._activity: str | None = None
        self._since = 0.0

    @contextmanager
    def measure(self, activity: str) -> Iterator[None]:
        """Count the time of a block for an activity, and not for that of a block around it."""
        around = self._activity
        self._switch_to(activity)
        yield
        self._switch_to(around)

    def _switch_to(self, activity: str | None) -> None:
        # A device works on while Python goes on: what it has been given belongs to the time before.
        self._synchronize()
        now = time.perf_counter()
        if self._activity is not None:
            self.seconds[self._activity] += now - self._since
        self._activity = activity
        self._since = now
