"""The rows of runs in MLflow's sqlite file, as MLflow 3.17 itself writes them.

Everything here happens within a transaction of the caller's.
"""

import math
import uuid
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from sqlite3 import Connection
from typing import Any, NamedTuple

from harness.storage.mlflow_db import StoredPoint

NAME_TAG = "mlflow.runName"  # MLflow keeps the name of a run in this tag, too


class Refusal(Exception):
    """What will never be written, in the words of MLflow.

    Parameters
    ----------
    message : str
        Why.
    error_code : str
        MLflow's name for the kind of error.
    """

    def __init__(self, message: str, error_code: str = "INVALID_PARAMETER_VALUE") -> None:
        super().__init__(message)
        self.error_code = error_code

    def get_http_status_code(self) -> int:
        """The status that a server would answer with."""
        if self.error_code == "RESOURCE_DOES_NOT_EXIST":
            return HTTPStatus.NOT_FOUND
        return HTTPStatus.BAD_REQUEST


class RunRow(NamedTuple):
    """A run, in the order of the columns that are read and written here.

    Attributes
    ----------
    run_uuid, name, experiment_id : str, str, int
        The run, what people call it, and where it is.
    status : str
        MLflow's word for how it stands.
    start_time, end_time : int, int or None
        In ms since 1970.
    lifecycle_stage : str
        "active" or "deleted".
    artifact_uri : str
        Where its artifacts go.
    """

    run_uuid: str
    name: str
    experiment_id: int
    status: str
    start_time: int
    end_time: int | None
    lifecycle_stage: str
    artifact_uri: str


_COLUMNS = ", ".join(RunRow._fields)


class InputRow(NamedTuple):
    """A data set as an input of a run.

    Attributes
    ----------
    name, digest : str
        By which MLflow knows the data set.
    source_type, source : str
        Where it comes from.
    schema, profile : str or None
        Its columns, and its counts of rows.
    tags : mapping of str to str
        What it was for.
    """

    name: str
    digest: str
    source_type: str
    source: str
    schema: str | None
    profile: str | None
    tags: Mapping[str, str]


# Experiments --------------------------------------------------------------------------------------


def place_of_experiment(connection: Connection, experiment_id: int) -> str:
    """Where the artifacts of an experiment go; Refusal where it is not active."""
    row = connection.execute(
        "SELECT artifact_location, lifecycle_stage FROM experiments WHERE experiment_id = ?",
        (experiment_id,),
    ).fetchone()
    if row is None:
        raise Refusal(f"No Experiment with id={experiment_id} exists", "RESOURCE_DOES_NOT_EXIST")
    place, stage = row
    if stage != "active":
        raise Refusal(
            f"The experiment {experiment_id} must be in the 'active' state. "
            f"Current state is {stage}."
        )
    return str(place or "")


def add_experiment(
    connection: Connection, name: str, place: str, now: int, experiment_id: int | None = None
) -> int:
    """Adds an experiment whose artifacts go to a place; its id, which sqlite chooses for None."""
    cursor = connection.execute(
        "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, "
        "creation_time, last_update_time, workspace) VALUES (?, ?, ?, 'active', ?, ?, 'default')",
        (experiment_id, name, place, now, now),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def set_experiment_tag(connection: Connection, experiment_id: int, key: str, value: str) -> None:
    """Sets a tag of an experiment."""
    connection.execute(
        "INSERT INTO experiment_tags (key, value, experiment_id) VALUES (?, ?, ?) "
        "ON CONFLICT DO UPDATE SET value = excluded.value",
        (key, value, experiment_id),
    )


# Runs ---------------------------------------------------------------------------------------------


def experiment_of_run(connection: Connection, run_id: str) -> int:
    """The experiment of a run; Refusal where there is no such run, or it was deleted."""
    row = connection.execute(
        "SELECT experiment_id, lifecycle_stage FROM runs WHERE run_uuid = ?", (run_id,)
    ).fetchone()
    if row is None:
        raise Refusal(f"Run with id={run_id} not found", "RESOURCE_DOES_NOT_EXIST")
    experiment_id, stage = row
    if stage != "active":
        raise Refusal(f"The run {run_id} must be in the 'active' state. Current state is {stage}.")
    return int(experiment_id)


def runs_where(connection: Connection, condition: str, values: Sequence[Any]) -> list[RunRow]:
    """The runs that meet a condition, the newest first."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM runs WHERE {condition} ORDER BY start_time DESC, run_uuid", values
    )
    return list(map(RunRow._make, rows))


def texts_of(connection: Connection, table: str, run_id: str) -> dict[str, str]:
    """The params or the tags of a run, as the name of the table says."""
    rows = connection.execute(f"SELECT key, value FROM {table} WHERE run_uuid = ?", (run_id,))
    return dict(rows.fetchall())


def last_points(connection: Connection, run_id: str) -> dict[str, float]:
    """The last value of each metric of a run."""
    rows = connection.execute(
        "SELECT key, value, is_nan FROM latest_metrics WHERE run_uuid = ?", (run_id,)
    )
    return {key: math.nan if is_nan else value for key, value, is_nan in rows}


def add_run(connection: Connection, run: RunRow, tags: Mapping[str, str]) -> None:
    """Adds a run, whose name becomes a tag, too."""
    user = tags.get("mlflow.user", "unknown")
    connection.execute(
        f"INSERT INTO runs ({_COLUMNS}, source_type, source_name, entry_point_name, "
        "source_version, user_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'UNKNOWN', '', '', '', ?)",
        (*run, user),
    )
    set_tags(connection, run.run_uuid, {**tags, NAME_TAG: run.name})


def set_tags(connection: Connection, run_id: str, tags: Mapping[str, str]) -> None:
    """Sets tags of a run; the one with its name renames it."""
    if NAME_TAG in tags:
        connection.execute("UPDATE runs SET name = ? WHERE run_uuid = ?", (tags[NAME_TAG], run_id))
    connection.executemany(
        "INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?) "
        "ON CONFLICT DO UPDATE SET value = excluded.value",
        [(key, value, run_id) for key, value in tags.items()],
    )


def delete_tag(connection: Connection, run_id: str, key: str) -> None:
    """Deletes a tag of a run; Refusal where it has none such."""
    cursor = connection.execute("DELETE FROM tags WHERE run_uuid = ? AND key = ?", (run_id, key))
    if not cursor.rowcount:
        raise Refusal(f"No tag with name: {key} in run with id {run_id}", "RESOURCE_DOES_NOT_EXIST")


def set_status(connection: Connection, run_id: str, status: str, end_ms: int | None = None) -> None:
    """Says how a run stands, and when it has ended unless that is None."""
    connection.execute(
        "UPDATE runs SET status = ?, end_time = ifnull(?, end_time) WHERE run_uuid = ?",
        (status, end_ms, run_id),
    )


def add_params(connection: Connection, run_id: str, params: Mapping[str, str]) -> None:
    """Adds params of a run; Refusal where one is there with another value."""
    if not params:
        return
    there = texts_of(connection, "params", run_id)
    changed = [
        {"key": key, "old_value": there[key], "new_value": value}
        for key, value in params.items()
        if there.get(key, value) != value
    ]
    if changed:
        raise Refusal(
            f"Changing param values is not allowed. Params were already logged='{changed}' for "
            f"run ID='{run_id}'."
        )
    connection.executemany(
        "INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)",
        [(key, value, run_id) for key, value in params.items() if key not in there],
    )


def add_points(connection: Connection, run_id: str, points: Iterable[StoredPoint]) -> None:
    """Adds points of a run, each of them once, and keeps the last one of each metric."""
    last: dict[str, tuple[Any, ...]] = {}
    rows = []
    for key, value, timestamp, step in points:
        is_nan = math.isnan(value)
        stored = 0.0 if is_nan else value
        row = (key, stored, timestamp, step, is_nan, run_id)
        rows.append(row)
        if key not in last or (step, timestamp, stored) > _rank(last[key]):
            last[key] = row
    values = "(key, value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, ?, ?, ?, ?)"
    connection.executemany(f"INSERT INTO metrics {values} ON CONFLICT DO NOTHING", rows)
    connection.executemany(
        f"INSERT INTO latest_metrics {values} ON CONFLICT DO UPDATE SET value = excluded.value, "
        "timestamp = excluded.timestamp, step = excluded.step, is_nan = excluded.is_nan "
        "WHERE (excluded.step, excluded.timestamp, excluded.value) > (step, timestamp, value)",
        list(last.values()),
    )


def _rank(row: tuple[Any, ...]) -> tuple[int, int, float]:
    """What MLflow tells the last point of a metric by."""
    _, value, timestamp, step, _, _ = row
    return step, timestamp, value


def add_input(connection: Connection, run_id: str, experiment_id: int, added: InputRow) -> None:
    """Adds an input of a run, unless it is there; runs of an experiment share their data sets."""
    row = connection.execute(
        "SELECT dataset_uuid FROM datasets WHERE experiment_id = ? AND name = ? AND digest = ?",
        (experiment_id, added.name, added.digest),
    ).fetchone()
    dataset = row[0] if row else uuid.uuid4().hex
    if row is None:
        connection.execute(
            "INSERT INTO datasets (dataset_uuid, experiment_id, name, digest, dataset_source_type, "
            "dataset_source, dataset_schema, dataset_profile) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (dataset, experiment_id, *added[:6]),
        )
    new = uuid.uuid4().hex
    cursor = connection.execute(
        "INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id) "
        "VALUES (?, 'DATASET', ?, 'RUN', ?) ON CONFLICT DO NOTHING",
        (new, dataset, run_id),
    )
    if cursor.rowcount:
        connection.executemany(
            "INSERT INTO input_tags (input_uuid, name, value) VALUES (?, ?, ?)",
            [(new, name, value) for name, value in added.tags.items()],
        )


# Models -------------------------------------------------------------------------------------------

# MLflow's words for how a model stands, by the numbers that it stores for them.
STATUSES = {1: "PENDING", 2: "READY", 3: "FAILED"}


class ModelRow(NamedTuple):
    """A model of a run.

    Attributes
    ----------
    model_id, name, experiment_id : str, str, int
        The model, what people call it, and where it is.
    artifact_location : str
        Where its files are.
    status : int
        How it stands, as in `STATUSES`.
    source_run_id : str
        Its run.
    """

    model_id: str
    name: str
    experiment_id: int
    artifact_location: str
    status: int
    source_run_id: str


_MODEL_COLUMNS = ", ".join(ModelRow._fields)


def add_model(connection: Connection, model: ModelRow, tags: Mapping[str, str], now: int) -> None:
    """Adds a model."""
    connection.execute(
        f"INSERT INTO logged_models ({_MODEL_COLUMNS}, creation_timestamp_ms, "
        "last_updated_timestamp_ms, lifecycle_stage) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'active')",
        (*model, now, now),
    )
    connection.executemany(
        "INSERT INTO logged_model_tags (model_id, experiment_id, tag_key, tag_value) "
        "VALUES (?, ?, ?, ?)",
        [(model.model_id, model.experiment_id, key, value) for key, value in tags.items()],
    )


def set_model_status(connection: Connection, model_id: str, status: int, now: int) -> None:
    """Says how a model stands."""
    connection.execute(
        "UPDATE logged_models SET status = ?, last_updated_timestamp_ms = ? WHERE model_id = ?",
        (status, now, model_id),
    )


def add_output(connection: Connection, run_id: str, model_id: str, step: int) -> None:
    """Lets a model be an output of a run."""
    connection.execute(
        "INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id, "
        "step) VALUES (?, 'RUN_OUTPUT', ?, 'MODEL_OUTPUT', ?, ?)",
        (uuid.uuid4().hex, run_id, model_id, step),
    )


def models_called(
    connection: Connection, name: str, experiment_ids: Sequence[str]
) -> list[tuple[ModelRow, dict[str, str]]]:
    """The models of some name that nobody has deleted, with their tags, the newest first."""
    marks = ", ".join("?" * len(experiment_ids))
    rows = connection.execute(
        f"SELECT {_MODEL_COLUMNS} FROM logged_models WHERE lifecycle_stage = 'active' "
        f"AND name = ? AND experiment_id IN ({marks}) ORDER BY creation_timestamp_ms DESC",
        (name, *experiment_ids),
    ).fetchall()
    models = map(ModelRow._make, rows)
    tags = "SELECT tag_key, tag_value FROM logged_model_tags WHERE model_id = ?"
    return [
        (model, dict(connection.execute(tags, (model.model_id,)).fetchall())) for model in models
    ]
