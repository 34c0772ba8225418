"""What has limited a study: its workers, or the driver that feeds them."""

from harness.studies.plan import Sitting
from harness.workers.pool import Dask, Inline

LARGE_PART = 0.1  # of the time of the workers without work, above which a sentence says so


def say_if_limited(sitting: Sitting, pool: Inline | Dask | None, seconds: float) -> None:
    """Says it where workers had no work for long because the driver was busy.

    Parameters
    ----------
    sitting : Sitting
        The start of the study that has ended.
    pool : Inline or Dask or None
        Its workers; None where none were started.
    seconds : float
        How long it took.
    """
    if pool is None or seconds <= 0:
        return
    share = sitting.shipped["idle"] / (seconds * pool.workers)
    if share > LARGE_PART:
        sitting.progress.say(
            f"workers had no work for {100 * share:.0f} % of their time, because the driver was "
            "busy with asking and writing; longer trials or fewer workers use them better"
        )
