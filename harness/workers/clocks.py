"""A clock for waiting that no step of the system's clock moves, in place of the one by which Dask
waits.

Dask and Tornado compute deadlines with `time.time()`. Where the system's clock is set back by
minutes, what they were about to send waits for these minutes; where it is set forward, workers
count as lost that have just been heard of.
"""

import sys
import time
from typing import Any

_BEGAN = time.time() - time.monotonic()


def steady() -> float:
    """Seconds since 1970 by the system's clock at the start of this process, and by the monotonic
    one since then.
    """
    return _BEGAN + time.monotonic()


def wait_by_steady_clock(loop: Any) -> None:
    """Dask in this process waits by `steady` from now on.

    Parameters
    ----------
    loop: the Tornado loop in which it runs.
    """
    loop.time = steady
    for name, module in list(sys.modules.items()):
        # They hold the function under this name: from distributed.metrics import time
        if name.startswith("distributed.") and getattr(module, "time", None) is time.time:
            module.time = steady  # type: ignore[attr-defined]
