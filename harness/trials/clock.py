"""The clock of durations."""

import time


def monotonic() -> float:
    """Seconds for durations."""
    return time.perf_counter()
