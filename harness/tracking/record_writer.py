"""The writing of one record into MLflow: its run, params, points, tags and artifacts."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from harness.storage import mlflow_db
from harness.storage.artifacts import OF_TRIALS
from harness.storage.clock import now_ms
from harness.storage.links import with_addresses
from harness.storage.live import LiveTrial
from harness.storage.mlflow_db import StoredPoint
from harness.storage.records import ParentRun, Run, RunStatus, TrialRun
from harness.tracking.connect import sqlite_path
from harness.tracking.entities import (
    Logged,
    as_logged,
    condition_of_id,
    description_tags,
    mlflow_inputs,
    mlflow_params,
    mlflow_points,
    mlflow_tags,
    nonfinite_tags,
)
from harness.tracking.experiment import Experiment
from harness.tracking.images import LOGGED_IMAGES, steps_of_images
from harness.tracking.run_index import RunIndex, TrialInMlflow
from harness.tracking.sending import artifacts_of, send_folder
from harness.tracking.views import Views

# MLflow refuses more than 1000 things in one batch, and more than 100 params or 100 tags.
_POINTS_PER_BATCH = 800
_PARAMS_PER_BATCH = 100
_TAGS_PER_BATCH = 100

_LONGEST_NAME = 250

# What says which run a record has become, by the id of the record.
RunIdOf = Callable[[str], str | None]

# The tag that says why a trial was left in training; it goes when the trial goes on.
INTERRUPTED = "harness.interrupted"


class Begun(NamedTuple):
    """What the run of a trial that has ended has from the time when it was in training.

    Attributes
    ----------
    points : tuple of StoredPoint
        Its points.
    is_interrupted : bool
        Whether it says that nobody trains it.
    """

    points: tuple[StoredPoint, ...] = ()
    is_interrupted: bool = False


_NOT_BEGUN = Begun()


def not_linked(id: str) -> str | None:
    """Say of every record that its run is not known, so that a link to it becomes its text."""
    return None


class RecordWriter:
    """Write records into the runs of an experiment.

    Every call may be repeated: a run is looked for before it is created, and MLflow stores once a
    point that is sent twice. Errors of MLflow pass through.
    """

    def __init__(self, experiment: Experiment, index: RunIndex):
        self._experiment = experiment
        self._index = index
        self._views = Views(experiment)
        # By the run ids of parents: the checksums of the artifacts that were sent.
        self._sent: dict[str, dict[str, str]] = {}
        # By the ids of the runs of this writer: where their artifacts go, as MLflow has said it.
        self._places: dict[str, str] = {}
        self._started: set[str] = set()  # the ids of the parents that this writer has started

    # Parents ------------------------------------------------------------------------------------
    def start(self, parent: ParentRun) -> str:
        """Create the run of a parent, or open the one that it has; return the run id."""
        run_id = self._index.run_id_of_parent(parent.id)
        if run_id is None:
            run = self._index.find(condition_of_id(parent.id)).get(parent.id)
            if run is None and self._goes_on(parent):
                # Somebody may have deleted it, and it has the trials until now.
                run = self._index.restore(parent.id)
            with self._experiment.together():
                if run is None:
                    run_id = self._create(parent, mlflow_tags(parent)).run_id
                    self._send(run_id, params=mlflow_params(parent.params))
                else:
                    run_id = self._open_again(parent, run)
                self._send_inputs(parent, run_id)
            self._started.add(parent.id)
            self._index.add_parent(parent.id, run_id, is_new=run is None)
            self._views.begin(parent, run_id)
        if parent.status == RunStatus.RUNNING:
            self._send_new_artifacts(parent, run_id)
        return run_id

    def _goes_on(self, parent: ParentRun) -> bool:
        """Return whether a parent may have had a run before."""
        is_new = parent.sitting <= 1 and parent.status == RunStatus.RUNNING
        return parent.id in self._started or not is_new

    def _open_again(self, parent: ParentRun, run: Any) -> str:
        run_id = run.info.run_id
        self._places[run_id] = run.info.artifact_uri
        # MLflow refuses a param whose value has changed, so the params stay as they were first.
        params = mlflow_params(parent.params)
        new_params = {key: text for key, text in params.items() if key not in run.data.params}
        self._send(run_id, params=new_params, tags=mlflow_tags(parent))
        if parent.status == RunStatus.RUNNING:
            self._experiment.client.update_run(run_id, status=RunStatus.RUNNING)
            if INTERRUPTED in run.data.tags:
                self._delete_tag(run_id, INTERRUPTED)
        return run_id

    def _send_new_artifacts(self, parent: ParentRun, run_id: str) -> None:
        """Send what its trials share, such as plugins, while they are being trained.

        They are sent once more at the end, when their copies in the spool go.
        """
        if parent.files is None or self._sent.get(run_id) == parent.checksums:
            return
        self._send(run_id, tags=mlflow_tags(parent))
        self._send_artifacts(parent, run_id)
        if parent.files.is_dir():
            self._sent[run_id] = dict(parent.checksums)

    def finish(self, parent: ParentRun, run_id: str, run_id_of: RunIdOf) -> str:
        """Write what a parent has at its end, and end its run; return the run id.

        Parameters
        ----------
        parent
            Its record.
        run_id
            Its run.
        run_id_of
            The run of the record of an id; None where MLflow has none.
        """
        self._index.delete_late_twins(run_id)
        points = mlflow_points(parent.metrics)
        tags = {**mlflow_tags(parent), **nonfinite_tags(parent.metrics)}
        tags |= self._described(parent, lambda number: run_id_of(f"{parent.id}/{number}"))
        file = sqlite_path(self._experiment.uri)
        if file:
            mlflow_db.drop_others(file, run_id, points)
            # A sweep that goes on has a point for each of its trials, most of which are there.
            there = mlflow_db.points(file, run_id)
            points = [point for point in points if point not in there]
        self._send(run_id, points=points, tags=tags)
        self._send_artifacts(parent, run_id)
        self._views.end(run_id, self._send_to_trials(parent, run_id_of))
        self._terminate(parent, run_id)
        self._index.remove_parent(run_id)
        return run_id

    # Trials -------------------------------------------------------------------------------------
    def log(self, trial: TrialRun, parent_run_id: str | None, begun: Begun = _NOT_BEGUN) -> str:
        """Write a trial that has ended into its run, which is created if need be; its run id.

        Parameters
        ----------
        trial
            The record of the trial.
        parent_run_id
            The run of its sweep or comparison; None for a run that stands alone.
        begun
            What its run has from the time when it was in training.
        """
        logged = as_logged(trial, parent_run_id)
        logged.tags.update(self._described(trial, lambda number: parent_run_id))
        run = self._index.trial(trial.id, parent_run_id)
        if run is not None and not _goes_on(run, trial, logged, begun):
            # The record was lost, and the trial has been trained again: the run would have two
            # points for each step.
            self.delete(trial.id, parent_run_id, run)
            run = None
        with self._experiment.together():
            run = self._send_logged(trial, parent_run_id, logged, begun, run)
            self._send_inputs(trial, run.run_id)
        self._places[run.run_id] = run.artifact_uri
        self._send_artifacts(trial, run.run_id)
        self._terminate(trial, run.run_id)
        self._views.take(trial, parent_run_id)
        return run.run_id

    def _send_logged(
        self,
        trial: TrialRun,
        parent_run_id: str | None,
        logged: Logged,
        begun: Begun,
        run: TrialInMlflow | None,
    ) -> TrialInMlflow:
        """Send what a run does not have yet; one is created where there is none."""
        if run is None:
            # A run that is created takes its tags along.
            run = self._create_trial(trial, logged.tags, parent_run_id)
            self._send(run.run_id, params=logged.params, points=logged.points)
            return run
        if begun.is_interrupted:
            self._delete_tag(run.run_id, INTERRUPTED)
        sent = set(begun.points)
        self._send(
            run.run_id,
            params={key: text for key, text in logged.params.items() if key not in run.params},
            points=[point for point in logged.points if point not in sent],
            tags=logged.tags,
        )
        return run

    def _described(
        self, record: Run, run_id_of: Callable[[int | None], str | None]
    ) -> dict[str, str]:
        """Make the tag with the description of a record, whose links lead to runs."""
        if not record.description:
            return {}
        runs = f"#/experiments/{self._experiment.open()}/runs"

        def address_of(number: int | None) -> str | None:
            run_id = run_id_of(number)
            # Without its workflow MLflow shows a run among those of language models.
            return None if run_id is None else f"{runs}/{run_id}?workflowType=machine_learning"

        return description_tags(with_addresses(record.description, address_of))

    # Trials in training -------------------------------------------------------------------------
    def begin(self, trial: LiveTrial, parent_run_id: str) -> TrialInMlflow:
        """Create the RUNNING run of a trial in training, or find the one that it has.

        A run that has this id, and is of another course of the trial, is deleted.
        """
        run = self._index.trial(trial.id, parent_run_id)
        params = mlflow_params(trial.params)
        if run is not None and not _is_of_course(run, trial.start_ms, params):
            self.delete(trial.id, parent_run_id, run)
            run = None
        if run is None:
            record = TrialRun(
                id=trial.id,
                name=trial.name,
                number=trial.number,
                params=trial.params,
                tags=trial.tags,
                start_ms=trial.start_ms,
            )
            tags = mlflow_tags(record, parent_run_id)
            run = self._create_trial(record, tags, parent_run_id)
        return run

    def extend(
        self,
        run: TrialInMlflow,
        trial: LiveTrial,
        points: Sequence[StoredPoint],
        parent_run_id: str,
    ) -> None:
        """Send points of a trial in training, and the params that its run does not have yet."""
        params = mlflow_params(trial.params)
        missing = {key: text for key, text in params.items() if key not in run.params}
        self._send(run.run_id, params=missing, points=points)
        if missing:
            self._index.add_trial(trial.id, parent_run_id, run._replace(params=params))

    def resume(self, run_id: str) -> None:
        """Let the run of a trial say RUNNING again, since it is trained again."""
        self._experiment.client.update_run(run_id, status=RunStatus.RUNNING)
        self._delete_tag(run_id, INTERRUPTED)

    def interrupt(self, run_id: str, reason: str, end_ms: int) -> None:
        """Let the run of a trial that nobody trains say KILLED, and why."""
        client = self._experiment.client
        client.set_tag(run_id, INTERRUPTED, reason)
        client.set_terminated(run_id, RunStatus.KILLED, end_ms)

    def delete(self, id: str, parent_run_id: str | None, run: TrialInMlflow) -> None:
        """Delete the run of a trial, which is of another course of it."""
        self._experiment.client.delete_run(run.run_id)
        self._index.remove_trial(id, parent_run_id)

    def _create_trial(
        self, trial: TrialRun, tags: Mapping[str, str], parent_run_id: str | None
    ) -> TrialInMlflow:
        run = self._create(trial, tags)
        self._index.add_trial(trial.id, parent_run_id, run)
        return run

    # Calls of MLflow ----------------------------------------------------------------------------
    def _create(self, record: Run, tags: Mapping[str, str]) -> TrialInMlflow:
        experiment_id = self._experiment.open()
        name = record.name[:_LONGEST_NAME]
        run = self._experiment.client.create_run(experiment_id, record.start_ms, tags, name)
        self._places[run.info.run_id] = run.info.artifact_uri
        digest = tags.get("harness.record", "")
        return TrialInMlflow(
            run.info.run_id, run.info.artifact_uri, digest, record.start_ms, params={}
        )

    def _delete_tag(self, run_id: str, key: str) -> None:
        try:
            self._experiment.client.delete_tag(run_id, key)
        except Exception as error:
            # A call before it may have deleted the tag already.
            if getattr(error, "error_code", "") != "RESOURCE_DOES_NOT_EXIST":
                raise

    def _terminate(self, record: Run, run_id: str) -> None:
        end_ms = record.end_ms or now_ms()
        self._experiment.client.set_terminated(run_id, record.status, end_ms)

    def _send(
        self,
        run_id: str,
        *,
        params: Mapping[str, str] | None = None,
        points: Sequence[StoredPoint] = (),
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log params, points and tags in as few batches as MLflow allows."""
        entities = self._experiment.entities
        metrics = [entities.Metric(*point) for point in points]
        param_list = [entities.Param(key, text) for key, text in (params or {}).items()]
        tag_list = [entities.RunTag(key, text) for key, text in (tags or {}).items()]
        number = 0
        while True:
            batch = {
                "metrics": _part(metrics, number, _POINTS_PER_BATCH),
                "params": _part(param_list, number, _PARAMS_PER_BATCH),
                "tags": _part(tag_list, number, _TAGS_PER_BATCH),
            }
            if not any(batch.values()):
                return
            self._experiment.client.log_batch(run_id, **batch)
            number += 1

    def _send_inputs(self, record: Run, run_id: str) -> None:
        # MLflow stores once what is sent twice.
        if record.inputs:
            inputs = mlflow_inputs(record.inputs, self._experiment.entities)
            self._experiment.client.log_inputs(run_id, datasets=inputs)

    def _send_artifacts(self, record: Run, run_id: str) -> None:
        """Send the artifacts of a record, but for those that its trials are to have."""
        with artifacts_of(record) as folder:
            if folder is not None:
                place = self._places.get(run_id, "")
                send_folder(self._experiment, folder, run_id, place, but=OF_TRIALS)

    def _send_to_trials(self, parent: ParentRun, run_id_of: RunIdOf) -> list[int]:
        """Send what a parent has for single trials, and return the steps of images among it."""
        steps: set[int] = set()
        with artifacts_of(parent) as folder:
            if folder is None or not (folder / OF_TRIALS).is_dir():
                return []
            for each in sorted((folder / OF_TRIALS).iterdir()):
                run_id = run_id_of(f"{parent.id}/{each.name}")
                if run_id is None:
                    # A store that has refused the trial has no place for its pictures.
                    continue
                send_folder(self._experiment, each, run_id, self._places.get(run_id, ""))
                if image_steps := steps_of_images(each):
                    self._experiment.client.set_tag(run_id, LOGGED_IMAGES, "True")
                    steps.update(image_steps)
        return sorted(steps)


def _part(items: list[Any], number: int, size: int) -> list[Any]:
    return items[number * size : (number + 1) * size]


def _is_of_course(run: TrialInMlflow, start_ms: int, params: Mapping[str, str]) -> bool:
    """Return whether the run of a trial in training is of the course that began then."""
    is_other = any(params.get(key) != text for key, text in run.params.items())
    return not run.record and run.start_ms == start_ms and not is_other


def _goes_on(run: TrialInMlflow, trial: TrialRun, logged: Logged, begun: Begun) -> bool:
    """Return whether a record goes on from what its run has."""
    if run.record:
        return run.record == logged.tags["harness.record"]
    is_of_course = _is_of_course(run, trial.start_ms, logged.params)
    return is_of_course and set(begun.points) <= set(logged.points)
