"""Stopping in the MLflow UI: a tag on the run of a trial, or of its sweep or comparison.

Who keeps MLflow up to date for a driver asks now and then, with two calls, and lays what it finds
into the folder of requests that the driver looks into anyway.
"""

from typing import Any

from harness.storage.records import RunStatus
from harness.storage.stops import Stop, Stops
from harness.tracking.entities import condition_of_parent
from harness.tracking.reader import KnownRun, search

TAG = "harness.stop"
_NO = ("", "0", "false", "no", "off")
_LONGEST = 200  # characters of a tag that a reason quotes


class StopTags:
    """The tags by which people ask in the UI to stop a study or its trials.

    Parameters
    ----------
    client : MlflowClient
        The client of the store.
    experiment_id : str
        The experiment of the study.
    parent_run_id : str
        The run of the study.
    stops : Stops
        Where its driver looks for requests.
    """

    def __init__(self, client: Any, experiment_id: str, parent_run_id: str, stops: Stops) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._parent_run_id = parent_run_id
        self._stops = stops
        self._relayed: set[str] = set()  # run ids whose tags have become requests

    def relay(self) -> list[Stop]:
        """Makes each new tag a request, and returns these. Raises what MLflow raises."""
        requests = []
        for run in self._tagged():
            number = self._number_of(run)
            is_ours = run.run_id == self._parent_run_id or number is not None
            if run.run_id in self._relayed or not is_ours or not _says_yes(run):
                continue
            stop = Stop(number, f"the tag {TAG}={run.tags[TAG][:_LONGEST]} in MLflow")
            self._stops.request(stop)
            self._relayed.add(run.run_id)
            requests.append(stop)
        return requests

    def _tagged(self) -> list[KnownRun]:
        """The runs of this study that are RUNNING and have the tag."""
        running = f"attributes.status = '{RunStatus.RUNNING}' AND tags.\"{TAG}\" LIKE '%'"
        below = f"{running} AND {condition_of_parent(self._parent_run_id)}"
        itself = f"{running} AND attributes.run_id = '{self._parent_run_id}'"
        # Filters of MLflow have no OR.
        return [
            KnownRun.of(run)
            for condition in (below, itself)
            for run in search(self._client, [self._experiment_id], condition)
        ]

    def _number_of(self, run: KnownRun) -> int | None:
        number = run.tags.get("harness.number", "")
        if run.run_id == self._parent_run_id or not number.isdigit():
            return None
        return int(number)


def _says_yes(run: KnownRun) -> bool:
    return run.tags[TAG].strip().lower() not in _NO
