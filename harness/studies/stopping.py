"""How a driver heeds requests to stop its study, or single trials."""

from collections.abc import Collection, Iterable
from pathlib import Path

from harness.storage.stops import Stops
from harness.studies.in_training import InTraining

FOLDER = "stops"


class StudyStopped(KeyboardInterrupt):
    """Somebody has stopped the study from elsewhere. It ends as after Ctrl-C."""


class Stopping:
    """The requests to stop that concern one start of a study.

    A request for the whole study means the start that was running then, so that one that was left
    goes. A request for a trial stays until that trial has ended, whoever drives it.

    Parameters
    ----------
    folder : Path
        The folder of the study.
    ended : collection of int
        The numbers of the trials that have ended before.
    """

    def __init__(self, folder: Path, ended: Collection[int]) -> None:
        self._stops = Stops(folder / FOLDER)
        for number in self._stops.requests():
            if number is None or number in ended:
                self._stops.drop(number)

    def heed(self, entries: Iterable[InTraining]) -> str:
        """Marks those of the trials that are to be stopped.

        A trial that a worker has now is marked when it has come back, since it may come to its own
        end there.

        Returns
        -------
        str
            Who has stopped the whole study; empty where nobody has.
        """
        requests = self._stops.requests()
        if not requests:
            return ""
        for entry in entries:
            stop = requests.get(entry.number)
            if stop is not None and not entry.is_away:
                entry.stopped_by = stop.by
        for_all = requests.get(None)
        if for_all is None:
            return ""
        self._stops.drop(None)
        return for_all.by

    def end(self, number: int) -> None:
        """Forgets the request for a trial that has ended."""
        self._stops.drop(number)
