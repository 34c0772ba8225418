"""A clock for waiting that no step of the system's clock moves, for Dask to wait by.

Dask and Tornado compute deadlines with `time.time()`. Where the system's clock is set back by
minutes, what they were about to send waits for these minutes; where it is set forward, workers
count as lost that have just been heard of.
"""

import sys
import time
from typing import Any

_BEGAN = time.time() - time.monotonic()


def steady() -> float:
    """Seconds since 1970.

    They are those of the system's clock at the start of this process, and since then those of the
    monotonic clock.
    """
    return _BEGAN + time.monotonic()


def wait_by_steady_clock(loop: Any) -> None:
    """Dask in this process waits by `steady` from now on.

    Parameters
    ----------
    loop : tornado.ioloop.IOLoop
        The loop in which it runs.
    """
    loop.time = steady
    for name, module in list(sys.modules.items()):
        # They hold the function under this name, by `from distributed.metrics import time`.
        if name.startswith("distributed.") and getattr(module, "time", None) is time.time:
            module.time = steady  # type: ignore[attr-defined]
