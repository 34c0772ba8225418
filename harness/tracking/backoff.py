"""The pauses between attempts at a store or a server that fails."""

import time
from collections.abc import Callable
from http import HTTPStatus


class BackOff:
    """Decide when a store that has failed may be asked again.

    The first failure is followed by a pause of 5 s and each further one by twice the pause before,
    up to 5 minutes. A pause is also ten times as long as the attempt took, as far as that is less
    than 5 minutes. So a server that hangs costs its first timeout, and then about a tenth of the
    time.

    Parameters
    ----------
    clock
        The time in seconds, from any start.

    Attributes
    ----------
    first_pause_s, longest_pause_s : float
        The shortest and the longest pause.
    """

    first_pause_s = 5.0
    longest_pause_s = 300.0

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._begun = 0.0
        self._pause_s = 0.0
        self._pause_ends = 0.0

    @property
    def pausing(self) -> bool:
        """Whether it is too early for another attempt."""
        return self._clock() < self._pause_ends

    def begin(self) -> None:
        """Note that an attempt begins."""
        self._begun = self._clock()

    def failed(self) -> None:
        """Note that the attempt has failed: a pause begins."""
        now = self._clock()
        doubled = 2 * self._pause_s or self.first_pause_s
        wanted = max(doubled, 10 * (now - self._begun))
        self._pause_s = min(wanted, self.longest_pause_s)
        self._pause_ends = now + self._pause_s

    def reset(self) -> None:
        """Note that the store works: the next failure is the first one again."""
        self._pause_s = 0.0
        self._pause_ends = 0.0

    def end_pause(self) -> None:
        """Let the next attempt be made at once; if it fails, the pause after it is longer still."""
        self._pause_ends = 0.0


def is_refusal(error: Exception) -> bool:
    """Return whether a server says that the request is at fault, so that it will never succeed."""
    # MLflow's exceptions know the HTTP status.
    status_of = getattr(error, "get_http_status_code", None)
    if status_of is None:
        return False
    status = status_of()
    # These two mean "later", although their numbers say that the client is at fault.
    is_later = status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
    return 400 <= status < 500 and not is_later
