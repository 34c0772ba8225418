"""The index of runs: which run in MLflow belongs to which record."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from harness.storage.records import RunStatus
from harness.tracking.entities import condition_of_id, condition_of_parent
from harness.tracking.experiment import Experiment
from harness.tracking.reader import search

_DELETED_ONLY = 2  # as in mlflow.entities.ViewType, which is imported late


class TrialInMlflow(NamedTuple):
    """The run of a trial, as far as it takes to go on with it.

    Attributes
    ----------
    run_id : str
        The run.
    artifact_uri : str
        Where its artifacts go.
    record : str
        The digest of the record that it was logged from; "" while the trial is in training.
    start_ms : int
        When it was started, in ms since 1970.
    params : dict of str to str
        Its params.
    """

    run_id: str
    artifact_uri: str
    record: str
    start_ms: int
    params: dict[str, str]

    @classmethod
    def of(cls, run: Any) -> "TrialInMlflow":
        """Take what matters here from a run of MLflow's."""
        info = run.info
        record = run.data.tags.get("harness.record", "")
        return cls(info.run_id, info.artifact_uri, record, info.start_time, dict(run.data.params))


# Trials of an earlier sitting that are looked up one by one. The next one has all of them read,
# which takes as long as some dozens of single calls for each thousand.
SINGLE_LOOKUPS = 20


class RunIndex:
    """The runs of an experiment by the ids of their records, each looked up once.

    A run is found by its tag `harness.id`. An outage can leave several runs with one id, for
    example when a server creates a run although its client has given up. Of these one is kept
    wherever they are found.

    Attributes
    ----------
    in_doubt : bool
        Whether a call has failed that may have created a run all the same, maybe later.
    """

    def __init__(self, experiment: Experiment):
        self._experiment = experiment
        self.in_doubt = False
        self._parents: dict[str, str] = {}  # a parent's id -> its run id
        # a parent's run id -> a trial's id -> its run; all of them
        self._trials: dict[str, dict[str, TrialInMlflow]] = {}
        # the same where trials are looked up one by one; None for those that MLflow has not
        self._singles: dict[str, dict[str, TrialInMlflow | None]] = {}

    def forget(self) -> None:
        """Look everything up anew, because nobody knows how far the last call has come."""
        self._experiment.forget()
        self._parents.clear()
        self._trials.clear()
        self._singles.clear()
        self.in_doubt = True

    # Parents ------------------------------------------------------------------------------------
    def run_id_of_parent(self, id: str) -> str | None:
        """Return the run id of a parent that has been started here, else None."""
        return self._parents.get(id)

    def add_parent(self, id: str, run_id: str, is_new: bool) -> None:
        """Remember the run of a parent; below one that was just created there are no trials."""
        self._parents[id] = run_id
        if is_new:
            self._trials[run_id] = {}

    def remove_parent(self, run_id: str) -> None:
        """Forget a parent that has ended, so that its next start opens its run again."""
        self._parents = {id: known for id, known in self._parents.items() if known != run_id}

    def delete_late_twins(self, run_id: str) -> None:
        """Delete what failed calls have created besides the runs of a parent and its trials."""
        if not self.in_doubt:
            return
        for id, known in self._parents.items():
            if known == run_id:
                self.find(condition_of_id(id), keep=run_id)
        self._trials.pop(run_id, None)
        self._singles.pop(run_id, None)
        self._read_all(run_id)
        self.in_doubt = False

    # Trials -------------------------------------------------------------------------------------
    def trial(self, id: str, parent_run_id: str | None) -> TrialInMlflow | None:
        """Return the run of a trial, None if MLflow has none.

        Parameters
        ----------
        id
            The id of the trial's record.
        parent_run_id
            The run of its sweep or comparison; None for a run that stands alone.
        """
        if parent_run_id is None:
            return self._look_up(id)
        if parent_run_id not in self._trials:
            singles = self._singles.setdefault(parent_run_id, {})
            if id in singles:
                return singles[id]
            # Who goes on with a large sweep for one more trial needs that one alone.
            if len(singles) < SINGLE_LOOKUPS:
                singles[id] = self._look_up(id)
                return singles[id]
            self._read_all(parent_run_id)
        return self._trials[parent_run_id].get(id)

    def add_trial(self, id: str, parent_run_id: str | None, trial: TrialInMlflow) -> None:
        """Remember the run of a trial."""
        # What stands alone is logged once, so that nobody asks for it again.
        if parent_run_id is None:
            return
        if parent_run_id in self._trials:
            self._trials[parent_run_id][id] = trial
        else:
            self._singles.setdefault(parent_run_id, {})[id] = trial

    def remove_trial(self, id: str, parent_run_id: str | None) -> None:
        """Forget the run of a trial, which was deleted."""
        if parent_run_id in self._trials:
            self._trials[parent_run_id].pop(id, None)
        elif parent_run_id is not None:
            self._singles.setdefault(parent_run_id, {})[id] = None

    def _look_up(self, id: str) -> TrialInMlflow | None:
        run = self.find(condition_of_id(id)).get(id)
        return None if run is None else TrialInMlflow.of(run)

    def _read_all(self, parent_run_id: str) -> None:
        """Read the runs of all trials of a parent."""
        runs = self.find(condition_of_parent(parent_run_id))
        found = {id: TrialInMlflow.of(run) for id, run in runs.items()}
        self._trials[parent_run_id] = found
        self._singles.pop(parent_run_id, None)

    # Search -------------------------------------------------------------------------------------
    def find(self, condition: str, keep: str = "") -> dict[str, Any]:
        """Return MLflow's runs that meet a condition by the ids of their records.

        Of runs with one id all but the best are deleted.

        Parameters
        ----------
        condition
            A filter of MLflow's.
        keep
            The id of a run that is kept in any case.
        """
        experiment_id = self._experiment.open()
        client = self._experiment.client
        runs: dict[str, Any] = {}
        for run in self._best_first(search(client, [experiment_id], condition), keep):
            id = _record_id(run)
            if id in runs:
                client.delete_run(run.info.run_id)
            else:
                runs[id] = run
        return runs

    def restore(self, id: str) -> Any:
        """Restore the run of a record that somebody has deleted; None where there is none.

        Of several runs the best is restored.
        """
        experiment_id = self._experiment.open()
        client = self._experiment.client
        runs = list(search(client, [experiment_id], condition_of_id(id), _DELETED_ONLY))
        for run in self._best_first(runs, keep="")[:1]:
            client.restore_run(run.info.run_id)
            return client.get_run(run.info.run_id)
        return None

    def _best_first(self, runs: Iterable[Any], keep: str) -> list[Any]:
        """Order runs: `keep` first, then those that have trials, that have ended, the oldest."""
        runs = list(runs)
        counts = Counter(map(_record_id, runs))

        def rank(run: Any) -> tuple[bool, bool, bool, int]:
            info = run.info
            # Only twins are asked for their trials, because each question takes a call.
            is_bare = counts[_record_id(run)] > 1 and not self._has_trials(run)
            is_running = info.status == RunStatus.RUNNING
            return info.run_id != keep, is_bare, is_running, info.start_time

        return sorted(runs, key=rank)

    def _has_trials(self, run: Any) -> bool:
        experiments = [run.info.experiment_id]
        condition = condition_of_parent(run.info.run_id)
        return bool(self._experiment.client.search_runs(experiments, condition, max_results=1))


def _record_id(run: Any) -> str:
    return run.data.tags.get("harness.id", "")
