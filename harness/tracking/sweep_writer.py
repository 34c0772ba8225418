"""What the writer of a sweep does: it brings the spool and the live points into MLflow."""

from collections.abc import Callable
from pathlib import Path
from time import monotonic

from harness.storage.spool import Spool
from harness.storage.stops import Stops
from harness.tracking.connect import failures_passed_over
from harness.tracking.stop_tags import StopTags
from harness.tracking.writer import Say, Tracker, open_tracker

LOOK_S = 3.0  # seconds between two looks for a tag that asks to stop a trial
_LOOK_PART = 0.1  # of the time of the writer that these looks may take, where a server is slow


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
        self.tracker: Tracker = open_tracker(root, project, say)
        self._spool = Spool(folder / "spool")
        self._stops = Stops(folder / "stops")
        self._stop_tags: StopTags | None = None
        self._next_look = monotonic() + LOOK_S

    @property
    def is_down(self) -> bool:
        """Whether the store could not be used when it was asked last."""
        return self.tracker.down

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
        waiting = self.go_on(until)
        self._look_for_stops()
        return waiting

    def go_on(self, until: Callable[[], bool]) -> int:
        """Write what there is as `turn` does, where there is no training left to be stopped."""
        return self._catch_up(until, force=False, end=False)

    def drain(self, until: Callable[[], bool]) -> int:
        """Try all that waits, what was refused too, and whatever has been down."""
        return self._catch_up(until, force=True, end=False)

    def finish(self, until: Callable[[], bool]) -> int:
        """Write the end of the parent. What could not be written a moment ago is not tried."""
        return self._catch_up(until, force=False, end=True)

    def _catch_up(self, until: Callable[[], bool], *, force: bool, end: bool) -> int:
        self._spool.refresh()
        return self.tracker.catch_up(self._spool, force, until, end)

    def _look_for_stops(self) -> None:
        """Passes on to the driver what somebody has asked for by a tag in the UI, now and then."""
        parent = self._spool.parent()
        begun = monotonic()
        if parent is None or self.is_down or begun < self._next_look:
            return
        run_id = self.tracker.index.run_id_of_parent(parent.id)
        if run_id is None:
            return
        # What cannot be asked now is asked again a moment later.
        with failures_passed_over():
            if self._stop_tags is None:
                experiment_id = self.tracker.experiment.open()
                client = self.tracker.client
                self._stop_tags = StopTags(client, experiment_id, run_id, self._stops)
            self._stop_tags.relay()
        now = monotonic()
        self._next_look = now + max(LOOK_S, (now - begun) / _LOOK_PART)
