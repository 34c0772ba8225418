"""The page of the MLflow UI that is opened: the view of a study, or the runs of a project."""

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from harness.errors import UsageError
from harness.tracking.saved_view import saved_in

_PATIENCE_S = 5
# Past the view for language models that the UI would begin with.
_WORKFLOW = {"workflowType": "machine_learning"}


def fetch(address: str, question: dict[str, Any] | None = None) -> bytes | None:
    """Return what a server answers with, None if it does not answer or reports an error.

    Parameters
    ----------
    address
        What is asked for.
    question
        JSON that is sent along; None for nothing.
    """
    data = None
    headers = {}
    if question is not None:
        data = json.dumps(question).encode()
        headers["Content-Type"] = "application/json"
    try:
        request = urllib.request.Request(address, data, headers)
        with urllib.request.urlopen(request, timeout=_PATIENCE_S) as answer:
            return answer.read()
    except (urllib.error.URLError, OSError):
        return None


def page_of(address: str, project: str, name: str | None = None) -> str:
    """Return the part of an address that leads to what people want to see.

    That is the saved view of the study that was started last, or of the one that is named; the run
    of a study that has no view; else the runs of the project.

    Parameters
    ----------
    address
        The address of a server that answers.
    project
        The MLflow experiment.
    name
        A sweep or comparison; None for the newest.

    Raises
    ------
    UsageError
        If there is none of that name.
    """
    experiment = _experiment(address, project)
    if experiment is None:
        if name is not None:
            raise _missing(name, project)
        return _path("experiments")
    runs = f"experiments/{experiment['experiment_id']}/runs"
    tags = {tag["key"]: tag["value"] for tag in experiment.get("tags", [])}
    views = [view for view in saved_in(tags) if name in (None, view.name)]
    if views:
        newest = max(views, key=lambda view: view.updated_ms)
        return _path(runs, compareRunsMode="CHART", viewStateShareKey=newest.run_id)
    if name is None:
        return _path(runs)
    run_id = _run_called(address, experiment["experiment_id"], name)
    if run_id is None:
        raise _missing(name, project)
    return _path(f"{runs}/{run_id}")


def _path(path: str, **query: str) -> str:
    return f"#/{path}?{urllib.parse.urlencode({**_WORKFLOW, **query})}"


def _experiment(address: str, project: str) -> dict[str, Any] | None:
    query = urllib.parse.urlencode({"experiment_name": project})
    answer = fetch(f"{address}/api/2.0/mlflow/experiments/get-by-name?{query}")
    return None if answer is None else json.loads(answer)["experiment"]


def _run_called(address: str, experiment_id: str, name: str) -> str | None:
    """Return the id of the newest sweep, comparison or single run of a name."""
    question = {
        "experiment_ids": [experiment_id],
        "filter": "tags.\"harness.kind\" != 'trial'",
        "max_results": 1000,
        "order_by": ["attributes.start_time DESC"],
    }
    answer = fetch(f"{address}/api/2.0/mlflow/runs/search", question)
    runs = [] if answer is None else json.loads(answer).get("runs", [])
    infos = [run["info"] for run in runs]
    return next((info["run_id"] for info in infos if info.get("run_name") == name), None)


def _missing(name: str, project: str) -> UsageError:
    return UsageError(
        f"there is no sweep or comparison {name!r} in the project {project!r}; harness results "
        "lists what there is, and --project names another project"
    )
