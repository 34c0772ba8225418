"""The writing of runs into a sqlite file without MLflow, whose own calls take ten times as long.

`LocalClient` writes the rows that MLflow would write: a test compares them, table by table. It is
used only for the versions of MLflow and the schema that it was tried with; for others, and for what
it does not do itself, MLflow's own client is asked.
"""

import contextlib
import os
import re
import sqlite3
import uuid
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.storage import mlflow_rows
from harness.storage.clock import now_ms
from harness.storage.mlflow_db import StoredPoint
from harness.storage.mlflow_rows import NAME_TAG, InputRow, ModelRow, Refusal, RunRow
from harness.tracking.connect import client_for, sqlite_path
from harness.tracking.plain_entities import (
    DatasetInput,
    Experiment,
    LoggedModel,
    LoggedModelOutput,
    Page,
    Param,
    Run,
    RunTag,
)

_PATIENCE_S = 20.0  # how long sqlite waits for another process, as MLflow lets it
_LONGEST_NAME = 250
_LONGEST_EXPERIMENT_TAG = 20_000
_PENDING = 1  # as in mlflow_rows.STATUSES
_ACTIVE_ONLY = 1  # as in mlflow.entities.ViewType, which is imported late
_STAGES = {_ACTIVE_ONLY: "active", 2: "deleted"}  # of the runs that each of these views has

# The conditions that the writer searches by.
_CONDITION = re.compile(
    r"(tags|attributes)\.\"?([\w.]+)\"? (=|LIKE) '([^'\"]*)'(?: AND |$)", re.ASCII
)
_NAMED = re.compile("name = '([^'\"]*)'")
_WITH_TAG = "run_uuid IN (SELECT run_uuid FROM tags WHERE key = ? AND value {} ?)"
_ATTRIBUTES = {"status": "status", "run_id": "run_uuid"}  # as filters name them, and columns


class LocalClient:
    """Write runs into a sqlite file, as an MlflowClient does with the same methods.

    Calls that are made within `together` are one transaction. What it does not do itself it lets
    MLflow's own client do, which is imported then.

    Parameters
    ----------
    uri
        The address of the file, of which `is_local` holds.

    Raises
    ------
    Refusal
        By any method, for what MLflow would refuse.
    sqlite3.Error
        By any method, if sqlite cannot read or write the file.
    """

    def __init__(self, uri: str) -> None:
        file = sqlite_path(uri)
        assert file is not None
        self.tracking_uri = uri
        self._file: Path = file
        self._opened: sqlite3.Connection | None = None
        self._is_together = False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._mlflow(), name)

    def _mlflow(self) -> Any:
        """MLflow's own client, which sees what was written until now."""
        self.commit()
        return client_for(self.tracking_uri)

    # Transactions -------------------------------------------------------------------------------
    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Make one transaction of all calls in a block: either all of them are written or none."""
        self._is_together = True
        try:
            yield
            self.commit()
        except BaseException:
            self._undo()
            raise
        finally:
            self._is_together = False

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._connection()
            if not connection.in_transaction:
                connection.execute("BEGIN IMMEDIATE")
            yield connection
            if not self._is_together:
                self.commit()
        except (sqlite3.IntegrityError, sqlite3.DataError, OverflowError) as error:
            self._undo()
            raise Refusal(str(error), "BAD_REQUEST") from error
        except BaseException:
            self._undo()
            raise

    def commit(self) -> None:
        """Write what was not written yet."""
        if self._opened is not None and self._opened.in_transaction:
            self._opened.commit()

    def _undo(self) -> None:
        """Undo what was not committed; the next call opens the file anew."""
        if self._opened is not None:
            self._opened.close()
        self._opened = None

    def _connection(self) -> sqlite3.Connection:
        if self._opened is None:
            connection = sqlite3.connect(
                f"{self._file.as_uri()}?mode=rw",
                uri=True,
                timeout=_PATIENCE_S,
                isolation_level=None,
                check_same_thread=False,
            )
            self._opened = connection
            weakref.finalize(self, _closer(connection))
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA case_sensitive_like = true")
            # The database stays whole at a power cut, but can lose its last commits; `harness
            # doctor` sends them again from the spool, which is synced.
            connection.execute("PRAGMA synchronous = NORMAL")
        return self._opened

    # Experiments --------------------------------------------------------------------------------
    def get_experiment_by_name(self, name: str) -> Experiment | None:
        """Return an experiment, a deleted one too; None where there is none."""
        return self._experiment("name", name)

    def get_experiment(self, experiment_id: str) -> Experiment:
        """Return an experiment, a deleted one too."""
        found = self._experiment("experiment_id", experiment_id)
        if found is None:
            raise Refusal(f"No Experiment with id={experiment_id}", "RESOURCE_DOES_NOT_EXIST")
        return found

    def _experiment(self, column: str, value: str) -> Experiment | None:
        connection = self._connection()
        row = connection.execute(
            "SELECT experiment_id, name, artifact_location, lifecycle_stage FROM experiments "
            f"WHERE {column} = ?",
            (value,),
        ).fetchone()
        if row is None:
            return None
        tags = connection.execute(
            "SELECT key, value FROM experiment_tags WHERE experiment_id = ?", (row[0],)
        )
        number, name, place, stage = row
        return Experiment(str(number), name, place, stage, dict(tags))

    def create_experiment(self, name: str, artifact_location: str | None = None) -> str:
        """Create an experiment, and return its id."""
        if artifact_location is None or not artifact_location.startswith("/") or not name:
            return str(self._mlflow().create_experiment(name, artifact_location=artifact_location))
        with self._writing() as connection:
            place = artifact_location
            return str(mlflow_rows.add_experiment(connection, name, place, now_ms()))

    def set_experiment_tag(self, experiment_id: str, key: str, value: str) -> None:
        """Set a tag of an experiment."""
        if len(value) > _LONGEST_EXPERIMENT_TAG:
            raise Refusal(f"the tag {key} of an experiment is too long: {len(value)} characters")
        with self._writing() as connection:
            mlflow_rows.place_of_experiment(connection, int(experiment_id))
            mlflow_rows.set_experiment_tag(connection, int(experiment_id), key, value)

    # Runs ---------------------------------------------------------------------------------------
    def create_run(
        self,
        experiment_id: str,
        start_time: int | None = None,
        tags: dict[str, str] | None = None,
        run_name: str | None = None,
    ) -> Any:
        """Create a run that says RUNNING."""
        tags = dict(tags or {})
        with self._writing() as connection:
            place = mlflow_rows.place_of_experiment(connection, int(experiment_id))
            if place.startswith("/") and run_name and NAME_TAG not in tags:
                run_id = uuid.uuid4().hex
                row = RunRow(
                    run_uuid=run_id,
                    name=run_name,
                    experiment_id=int(experiment_id),
                    status="RUNNING",
                    start_time=start_time or now_ms(),
                    end_time=None,
                    lifecycle_stage="active",
                    artifact_uri=f"{place.rstrip('/')}/{run_id}/artifacts",
                )
                mlflow_rows.add_run(connection, row, tags)
                return Run.of(row, tags={**tags, NAME_TAG: run_name})
        return self._mlflow().create_run(experiment_id, start_time, tags, run_name)

    def log_batch(
        self,
        run_id: str,
        metrics: Sequence[StoredPoint] = (),
        params: Sequence[Param] = (),
        tags: Sequence[RunTag] = (),
    ) -> None:
        """Log points, params and tags of a run; each point is stored once."""
        with self._writing() as connection:
            mlflow_rows.experiment_of_run(connection, run_id)
            mlflow_rows.add_params(connection, run_id, dict(params))
            mlflow_rows.add_points(connection, run_id, metrics)
            mlflow_rows.set_tags(connection, run_id, dict(tags))

    def log_inputs(self, run_id: str, datasets: Sequence[DatasetInput] = ()) -> None:
        """Log data sets as inputs of a run; what is there already is not changed."""
        with self._writing() as connection:
            experiment_id = mlflow_rows.experiment_of_run(connection, run_id)
            for data, tags in datasets:
                row = InputRow(
                    name=data.name,
                    digest=data.digest,
                    source_type=data.source_type,
                    source=data.source,
                    schema=data.schema,
                    profile=data.profile,
                    tags=dict(tags),
                )
                mlflow_rows.add_input(connection, run_id, experiment_id, row)

    def update_run(self, run_id: str, status: str) -> None:
        """Change the status of a run."""
        with self._writing() as connection:
            mlflow_rows.experiment_of_run(connection, run_id)
            mlflow_rows.set_status(connection, run_id, str(status))

    def set_terminated(self, run_id: str, status: str, end_time: int | None = None) -> None:
        """End a run."""
        with self._writing() as connection:
            mlflow_rows.experiment_of_run(connection, run_id)
            mlflow_rows.set_status(connection, run_id, str(status), end_time or now_ms())

    def set_tag(self, run_id: str, key: str, value: str) -> None:
        """Set a tag of a run."""
        self.log_batch(run_id, tags=[RunTag(key, str(value))])

    def delete_tag(self, run_id: str, key: str) -> None:
        """Delete a tag of a run."""
        with self._writing() as connection:
            mlflow_rows.experiment_of_run(connection, run_id)
            mlflow_rows.delete_tag(connection, run_id, key)

    # Reading ------------------------------------------------------------------------------------
    def get_run(self, run_id: str) -> Run:
        """Return a run, a deleted one too."""
        found = self._runs("run_uuid = ?", [run_id])
        if not found:
            raise Refusal(f"Run with id={run_id} not found", "RESOURCE_DOES_NOT_EXIST")
        return found[0]

    def search_runs(
        self,
        experiment_ids: Sequence[str],
        filter_string: str = "",
        run_view_type: int = _ACTIVE_ONLY,
        **options: Any,
    ) -> Any:
        """Find the runs that meet the conditions of a filter, the newest first, in one page."""
        condition = _condition_of(filter_string)
        if condition is None or run_view_type not in _STAGES or options.get("order_by"):
            return self._mlflow().search_runs(
                experiment_ids, filter_string, run_view_type, **options
            )
        clauses, values = condition
        marks = ", ".join("?" * len(experiment_ids))
        clauses.append(f"experiment_id IN ({marks}) AND lifecycle_stage = ?")
        values += [*experiment_ids, _STAGES[run_view_type]]
        return Page(self._runs(" AND ".join(clauses), values))

    # Models -------------------------------------------------------------------------------------
    def create_logged_model(
        self, experiment_id: str, name: str, source_run_id: str, tags: dict[str, str]
    ) -> Any:
        """Create a model, whose files are still to come."""
        with self._writing() as connection:
            place = mlflow_rows.place_of_experiment(connection, int(experiment_id))
            if place.startswith("/"):
                model_id = f"m-{uuid.uuid4().hex}"
                row = ModelRow(
                    model_id=model_id,
                    experiment_id=int(experiment_id),
                    name=name,
                    artifact_location=f"{place.rstrip('/')}/models/{model_id}/artifacts",
                    status=_PENDING,
                    source_run_id=source_run_id,
                )
                mlflow_rows.add_model(connection, row, tags, now_ms())
                return LoggedModel.of(row, tags)
        return self._mlflow().create_logged_model(
            experiment_id, name=name, source_run_id=source_run_id, tags=tags
        )

    def finalize_logged_model(self, model_id: str, status: str) -> None:
        """Say how a model stands, such as READY."""
        number = next(number for number, name in mlflow_rows.STATUSES.items() if name == status)
        with self._writing() as connection:
            mlflow_rows.set_model_status(connection, model_id, number, now_ms())

    def log_outputs(self, run_id: str, models: Sequence[LoggedModelOutput]) -> None:
        """Let models be outputs of a run."""
        with self._writing() as connection:
            mlflow_rows.experiment_of_run(connection, run_id)
            for model_id, step in models:
                mlflow_rows.add_output(connection, run_id, model_id, step)

    def search_logged_models(
        self, experiment_ids: Sequence[str], filter_string: str = "", **options: Any
    ) -> Any:
        """Find the models of some name that nobody has deleted, the newest first, in one page."""
        match = _NAMED.fullmatch(filter_string)
        if match is None:
            return self._mlflow().search_logged_models(
                experiment_ids, filter_string=filter_string, **options
            )
        rows = mlflow_rows.models_called(self._connection(), match[1], experiment_ids)
        return Page([LoggedModel.of(row, tags) for row, tags in rows])

    def _runs(self, condition: str, values: Sequence[Any]) -> list[Run]:
        connection = self._connection()
        return [
            Run.of(
                row,
                tags=mlflow_rows.texts_of(connection, "tags", row.run_uuid),
                params=mlflow_rows.texts_of(connection, "params", row.run_uuid),
                metrics=mlflow_rows.last_points(connection, row.run_uuid),
            )
            for row in mlflow_rows.runs_where(connection, condition, values)
        ]


def _closer(connection: sqlite3.Connection) -> Callable[[], None]:
    """Make what closes a connection in the process that has opened it."""
    opener = os.getpid()

    def close() -> None:
        if os.getpid() == opener:
            connection.close()

    return close


def _condition_of(filter_string: str) -> tuple[list[str], list[Any]] | None:
    """Return a filter as conditions of SQL and their values; None for what is not known here."""
    clauses: list[str] = []
    values: list[Any] = []
    position = 0
    while position < len(filter_string):
        match = _CONDITION.match(filter_string, position)
        if match is None:
            return None
        place, key, comparison, value = match.groups()
        if place == "tags":
            clauses.append(_WITH_TAG.format(comparison))
            values += [key, value]
        elif key in _ATTRIBUTES:
            clauses.append(f"{_ATTRIBUTES[key]} {comparison} ?")
            values.append(value)
        else:
            return None
        position = match.end()
    return clauses, values
