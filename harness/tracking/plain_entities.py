"""What a client takes and gives, without MLflow: the entities of `LocalClient`, field by field.

They have the names and fields of those in `mlflow.entities`, as far as the writer needs them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from harness.storage.mlflow_db import StoredPoint
from harness.storage.mlflow_rows import STATUSES, ModelRow, RunRow

Metric = StoredPoint
Found = TypeVar("Found")


class Param(NamedTuple):
    """A param of a run."""

    key: str
    value: str


class RunTag(NamedTuple):
    """A tag of a run."""

    key: str
    value: str


class InputTag(NamedTuple):
    """A tag of an input."""

    key: str
    value: str


@dataclass(frozen=True)
class Dataset:
    """A data set, which MLflow knows by its name and its digest."""

    name: str
    digest: str
    source_type: str
    source: str
    schema: str | None = None
    profile: str | None = None


class DatasetInput(NamedTuple):
    """A data set as an input of a run, with tags that say what it was for."""

    dataset: Dataset
    tags: Sequence[InputTag]


class Experiment(NamedTuple):
    """An experiment."""

    experiment_id: str
    name: str
    artifact_location: str
    lifecycle_stage: str
    tags: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """What a run is, and where it stands."""

    run_id: str
    run_name: str
    experiment_id: str
    status: str
    start_time: int
    end_time: int | None
    lifecycle_stage: str
    artifact_uri: str


@dataclass(frozen=True)
class RunData:
    """What a run has: the last value of each metric, and text by key."""

    metrics: dict[str, float]
    params: dict[str, str]
    tags: dict[str, str]


class Run(NamedTuple):
    """A run."""

    info: RunInfo
    data: RunData

    @classmethod
    def of(
        cls,
        row: RunRow,
        *,
        tags: dict[str, str],
        params: dict[str, str] | None = None,
        metrics: dict[str, float] | None = None,
    ) -> "Run":
        """Make a run of its row and of what it has."""
        info = RunInfo(
            run_id=row.run_uuid,
            run_name=row.name,
            experiment_id=str(row.experiment_id),
            status=row.status,
            start_time=row.start_time,
            end_time=row.end_time,
            lifecycle_stage=row.lifecycle_stage,
            artifact_uri=row.artifact_uri,
        )
        return cls(info, RunData(metrics or {}, params or {}, tags))


@dataclass(frozen=True, kw_only=True)
class LoggedModel:
    """A model of a run."""

    model_id: str
    name: str
    experiment_id: str
    source_run_id: str
    artifact_location: str
    status: str
    tags: dict[str, str]

    @classmethod
    def of(cls, row: ModelRow, tags: dict[str, str]) -> "LoggedModel":
        """Make a model of its row and its tags."""
        return cls(
            model_id=row.model_id,
            name=row.name,
            experiment_id=str(row.experiment_id),
            source_run_id=row.source_run_id,
            artifact_location=row.artifact_location,
            status=STATUSES.get(row.status, ""),
            tags=tags,
        )


class LoggedModelOutput(NamedTuple):
    """A model as an output of a run."""

    model_id: str
    step: int


class Page(list[Found]):
    """What was found, all of it, so that no token leads to more."""

    token: None = None
