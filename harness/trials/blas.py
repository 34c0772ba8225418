"""One BLAS thread a process."""

import os
from functools import cache

from harness.errors import UsageError


@cache
def one_blas_thread() -> None:
    """Sees to it, once in a process, that BLAS runs one thread.

    How many there are decides the last bits of results. UsageError where it cannot be arranged.
    """
    try:
        from threadpoolctl import threadpool_info, threadpool_limits
    except ImportError:
        # Nobody can ask BLAS itself, so what it was told must do.
        told = os.environ.get("OPENBLAS_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS")
        counts = [int(told or 0)]
    else:
        threadpool_limits(1, "blas")
        counts = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    if any(count != 1 for count in counts):
        raise UsageError(
            "BLAS must run one thread a process, or results depend on the machine, but it runs "
            f"{max(counts)}; set OMP_NUM_THREADS=1"
        )
