"""Read what has been logged: which sweeps, comparisons and runs there are."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.storage import mlflow_db
from harness.storage.secrets import mask
from harness.tracking.connect import client_for, reason_of, sqlite_path, store_uri
from harness.tracking.entities import condition_of_parent
from harness.tracking.sqlite_store import require_store
from harness.tracking.text import core_of

_RUNS_PER_PAGE = 1000
_ACTIVE_ONLY = 1  # as in mlflow.entities.ViewType, which is imported late


@dataclass(frozen=True, kw_only=True)
class KnownRun:
    """A run in MLflow as it stands there.

    Attributes
    ----------
    id : str
        The id of its record; "" if it is not ours.
    kind : str
        "trial", or "sweep", "comparison" or "run" for those that `parents` lists.
    name : str
        What people call it.
    status : str
        MLflow's word for how it stands.
    run_id, experiment_id : str
        Where it is in MLflow.
    deleted : bool
        Whether it was deleted in the UI.
    start_ms : int
        When it was started, in ms since 1970.
    end_ms : int or None
        When it has ended, in ms since 1970.
    tags, params : dict
        Text by key.
    metrics : dict
        The last value of each metric.
    """

    id: str
    kind: str
    name: str
    status: str
    run_id: str
    experiment_id: str
    deleted: bool
    start_ms: int
    end_ms: int | None
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]

    @classmethod
    def of(cls, run: Any) -> "KnownRun":
        """Take what matters here from a run of MLflow's."""
        info = run.info
        tags = dict(run.data.tags)
        return cls(
            id=tags.get("harness.id", ""),
            kind=tags.get("harness.kind", ""),
            name=info.run_name,
            status=info.status,
            run_id=info.run_id,
            experiment_id=info.experiment_id,
            deleted=info.lifecycle_stage == "deleted",
            start_ms=info.start_time,
            end_ms=info.end_time,
            tags=tags,
            params=dict(run.data.params),
            metrics=dict(run.data.metrics),
        )

    @classmethod
    def stored(cls, run: mlflow_db.StoredRun) -> "KnownRun":
        """Take what was read from the file of a store."""
        return cls(
            id=run.tags.get("harness.id", ""),
            kind=run.tags.get("harness.kind", ""),
            name=run.name or run.tags.get("mlflow.runName", ""),
            status=run.status,
            run_id=run.run_id,
            experiment_id=run.experiment_id,
            deleted=False,
            start_ms=run.start_ms,
            end_ms=run.end_ms,
            tags=run.tags,
            params=run.params,
            metrics=run.metrics,
        )


def search(
    client: Any, experiments: list[str], condition: str, view: int = _ACTIVE_ONLY
) -> Iterator[Any]:
    """Find all runs that meet a condition, the newest first, page by page.

    Parameters
    ----------
    client
        An MlflowClient.
    experiments
        The ids of the experiments to look in.
    condition
        A filter of MLflow's; "" for all runs.
    view
        A ViewType of MLflow's: whether deleted runs count.
    """
    token = None
    while True:
        page = client.search_runs(
            experiments, condition, view, max_results=_RUNS_PER_PAGE, page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return


class Reader:
    """A store that is open for reading.

    Attributes
    ----------
    client : MlflowClient
        Its client.
    experiments : list of str
        The ids of all its experiments.
    """

    def __init__(self, client: Any):
        self.client = client
        self.experiments = [each.experiment_id for each in client.search_experiments()]

    def run(self, run_id: str) -> KnownRun:
        """Return the run with an id; MlflowException if there is none."""
        return KnownRun.of(self.client.get_run(run_id))

    def runs(self, condition: str, view: int = _ACTIVE_ONLY) -> Iterator[KnownRun]:
        """Find all runs that meet a condition, as `search` does."""
        # MLflow refuses to search in no experiment.
        if self.experiments:
            yield from map(KnownRun.of, search(self.client, self.experiments, condition, view))

    def parents(self) -> list[KnownRun]:
        """List every sweep, comparison and single run, the newest first."""
        parents = self.runs("tags.\"harness.kind\" != 'trial'")
        return sorted(parents, key=lambda parent: -parent.start_ms)

    def children(self, parent_run_id: str) -> list[KnownRun]:
        """List the runs below a parent, the newest first."""
        return list(self.runs(condition_of_parent(parent_run_id)))

    def trial(self, parent_run_id: str, number: str) -> KnownRun | None:
        """Find the trial with a number below a parent; None if there is none."""
        condition = f"{condition_of_parent(parent_run_id)} AND tags.\"harness.number\" = '{number}'"
        return next(self.runs(condition), None)


class FileReader:
    """A sqlite file whose runs are read without MLflow, of which the import alone takes seconds.

    Its methods do what those of `Reader` do.
    """

    def __init__(self, file: Path):
        self._file = file

    def parents(self) -> list[KnownRun]:
        """List every sweep, comparison and single run, the newest first."""
        return list(map(KnownRun.stored, mlflow_db.parents(self._file)))

    def children(self, parent_run_id: str) -> list[KnownRun]:
        """List the runs below a parent, the newest first."""
        return list(map(KnownRun.stored, mlflow_db.children(self._file, parent_run_id)))


def newest_called(name: str, runs: Iterable[KnownRun]) -> KnownRun | None:
    """Return the first run that has a name or a run id; None if there is none."""
    return next((run for run in runs if name in (run.name, run.run_id)), None)


@contextlib.contextmanager
def reading(root: Path | None) -> Iterator[Reader]:
    """Open the store for reading.

    Parameters
    ----------
    root
        The folder that holds mlruns/; None to look for it from here.

    Raises
    ------
    UsageError
        If there is no store, or if it fails within the block.
    """
    uri = store_uri(root)
    require_store(uri)
    try:
        yield Reader(client_for(uri))
    except UsageError:
        raise
    except Exception as error:
        # In a damaged database MLflow can meet what it does not expect, and raise anything.
        raise UsageError(
            f"the runs in {mask(uri)} must be readable, but: {core_of(reason_of(error))}; see "
            "whether it runs, and what `harness doctor` says"
        ) from error


@contextlib.contextmanager
def browsing(root: Path | None) -> Iterator[FileReader | Reader]:
    """Open the store for looking through its runs, without MLflow where its file can be read so.

    Parameters
    ----------
    root
        The folder that holds mlruns/; None to look for it from here.

    Raises
    ------
    UsageError
        If there is no store, or if it fails within the block.
    """
    uri = store_uri(root)
    require_store(uri)
    file = sqlite_path(uri)
    if file and mlflow_db.is_known(file):
        yield FileReader(file)
        return
    with reading(root) as reader:
        yield reader


def parents(root: Path | None = None) -> list[KnownRun]:
    """List every sweep, comparison and single run in the store, the newest first.

    Parameters
    ----------
    root
        The folder that holds mlruns/; None to look for it from here.
    """
    with browsing(root) as reader:
        return reader.parents()


def known_runs(root: Path | None = None) -> list[KnownRun]:
    """List all runs in the store, those deleted in the UI too.

    Parameters
    ----------
    root
        The folder that holds mlruns/; None to look for it from here.
    """
    from mlflow.entities import ViewType

    with reading(root) as reader:
        return list(reader.runs("", ViewType.ALL))
