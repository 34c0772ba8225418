"""What the writer of a sweep does: it brings the spool and the live points into MLflow."""

from collections.abc import Callable
from pathlib import Path

from harness.storage.spool import Spool
from harness.tracking.writer import Say, Tracker, open_tracker


class SweepWriter:
    """Write one sweep into MLflow, in turns. Whoever uses it holds the lock `writer.lock`.

    Parameters
    ----------
    folder
        The folder of the sweep below mlruns/sweeps/.
    project
        The MLflow experiment.
    say
        Gets each message for the user.

    Raises
    ------
    UsageError
        Where the user must act, as `open_tracker` says.
    """

    def __init__(self, folder: Path, project: str, say: Say):
        root = folder.parents[2]
        self._tracker: Tracker = open_tracker(root, project, say)
        self._spool = Spool(folder / "spool")

    @property
    def is_down(self) -> bool:
        """Whether the store could not be used when it was asked last."""
        return self._tracker.down

    def turn(self, until: Callable[[], bool]) -> int:
        """Write what there is, but for the end of the parent.

        Parameters
        ----------
        until
            No more trials are written once this returns True.

        Returns
        -------
        int
            How many trials still wait.
        """
        return self._catch_up(until, force=False, end=False)

    def drain(self, until: Callable[[], bool]) -> int:
        """Try all that waits, what was refused too, and whatever has been down."""
        return self._catch_up(until, force=True, end=False)

    def finish(self, until: Callable[[], bool]) -> int:
        """Write the end of the parent. What could not be written a moment ago is not tried."""
        return self._catch_up(until, force=False, end=True)

    def _catch_up(self, until: Callable[[], bool], *, force: bool, end: bool) -> int:
        self._spool.refresh()
        return self._tracker.catch_up(self._spool, force, until, end)
