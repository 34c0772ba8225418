"""The writing of one record into MLflow: its run, params, points, tags and artifacts."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.storage import files as disk
from harness.storage import mlflow_db
from harness.storage.clock import now_ms
from harness.storage.mlflow_db import StoredPoint
from harness.storage.paths import safe_path
from harness.storage.records import ParentRun, Run, RunStatus, TrialRun
from harness.tracking.connect import sqlite_path
from harness.tracking.entities import (
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
from harness.tracking.run_index import RunIndex

# MLflow refuses more than 1000 things in one batch, and more than 100 params or 100 tags.
_POINTS_PER_BATCH = 800
_PARAMS_PER_BATCH = 100
_TAGS_PER_BATCH = 100

_LONGEST_NAME = 250


class RecordWriter:
    """Write records into the runs of an experiment.

    Every call may be repeated: a run is looked for before it is created, and MLflow stores once a
    point that is sent twice. Errors of MLflow pass through.
    """

    def __init__(self, experiment: Experiment, index: RunIndex):
        self._experiment = experiment
        self._index = index

    # Parents ------------------------------------------------------------------------------------
    def start(self, parent: ParentRun) -> str:
        """Create the run of a parent, or open the one that it has; return the run id."""
        run_id = self._index.run_id_of_parent(parent.id)
        if run_id is not None:
            return run_id
        run = self._index.find(condition_of_id(parent.id)).get(parent.id)
        if run is None:
            run_id = self._create(parent, mlflow_tags(parent))
            self._send(run_id, params=mlflow_params(parent.params))
        else:
            run_id = self._open_again(parent, run)
        self._send_inputs(parent, run_id)
        self._index.add_parent(parent.id, run_id, is_new=run is None)
        return run_id

    def _open_again(self, parent: ParentRun, run: Any) -> str:
        run_id = run.info.run_id
        # MLflow refuses a param whose value has changed, so the params stay as they were first.
        params = mlflow_params(parent.params)
        new_params = {key: text for key, text in params.items() if key not in run.data.params}
        self._send(run_id, params=new_params, tags=mlflow_tags(parent))
        if parent.status == RunStatus.RUNNING:
            self._experiment.client.update_run(run_id, status=RunStatus.RUNNING)
        return run_id

    def finish(self, parent: ParentRun, run_id: str) -> str:
        """Write what a parent has at its end, and end its run; return the run id."""
        self._index.delete_late_twins(run_id)
        points = mlflow_points(parent.metrics)
        tags = {**nonfinite_tags(parent.metrics), **description_tags(parent.description)}
        file = sqlite_path(self._experiment.uri)
        if file:
            mlflow_db.drop_others(file, run_id, points)
        self._send(run_id, points=points, tags=tags)
        self._send_artifacts(parent, run_id)
        self._terminate(parent, run_id)
        self._index.remove_parent(run_id)
        return run_id

    # Trials -------------------------------------------------------------------------------------
    def log(self, trial: TrialRun, parent_run_id: str | None) -> str:
        """Write a trial that has ended into its run, which is created if need be; its run id."""
        run_id = self._index.run_id_of_trial(trial.id, parent_run_id)
        logged = as_logged(trial, parent_run_id)
        if run_id is not None and not self._is_of_record(run_id, logged.tags):
            # The record was lost, and the trial has been trained again: the run would have two
            # points for each step.
            self._experiment.client.delete_run(run_id)
            run_id = None
        if run_id is None:
            run_id = self._create(trial, logged.tags)
            self._index.add_trial(trial.id, parent_run_id, run_id)
        else:
            self._send(run_id, tags=logged.tags)
        self._send_inputs(trial, run_id)
        # Artifacts come first, because for them MLflow reads all that the run has.
        self._send_artifacts(trial, run_id)
        self._send(run_id, params=logged.params, points=logged.points)
        self._terminate(trial, run_id)
        return run_id

    def _is_of_record(self, run_id: str, tags: Mapping[str, str]) -> bool:
        """Return whether a run was logged from the record that has these tags."""
        run = self._experiment.client.get_run(run_id)
        return run.data.tags.get("harness.record") == tags["harness.record"]

    # Calls of MLflow ----------------------------------------------------------------------------
    def _create(self, record: Run, tags: Mapping[str, str]) -> str:
        experiment_id = self._experiment.open()
        name = record.name[:_LONGEST_NAME]
        run = self._experiment.client.create_run(experiment_id, record.start_ms, tags, name)
        return run.info.run_id

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
        from mlflow.entities import Metric, Param, RunTag

        metrics = [Metric(point.key, point.value, point.timestamp, point.step) for point in points]
        param_list = [Param(key, text) for key, text in (params or {}).items()]
        tag_list = [RunTag(key, text) for key, text in (tags or {}).items()]
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
            inputs = mlflow_inputs(record.inputs)
            self._experiment.client.log_inputs(run_id, datasets=inputs)

    def _send_artifacts(self, record: Run, run_id: str) -> None:
        client = self._experiment.client
        if record.files:
            client.log_artifacts(run_id, str(record.files))
            # The spool deletes its copies next, which have been synced.
            if self._experiment.artifacts:
                _sync_files(Path(self._experiment.artifacts) / run_id)
        elif record.artifacts:
            with tempfile.TemporaryDirectory() as folder:
                for path, data in record.artifacts.items():
                    disk.write_plain(Path(folder) / safe_path(path), data)
                client.log_artifacts(run_id, folder)


def _part(items: list[Any], number: int, size: int) -> list[Any]:
    return items[number * size : (number + 1) * size]


def _sync_files(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            disk.sync_file(path)
