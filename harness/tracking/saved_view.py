"""The view of a sweep or comparison that the MLflow UI opens: best first, its parameters, charts.

MLflow keeps a view as a tag of the experiment: JSON that has a name and a deflated state. The state
is the UI's own format, so a view is written only for the versions of MLflow that it was tried with.
"""

import base64
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from harness.tracking.images import KEY

# What the tags of views begin with; the id of a view is the run id of its sweep or comparison.
_TAG = "mlflow.sharedViewState."
_TRIED = ("3.17.",)
_EPOCHS = "config.epochs"  # which is no parameter of a trial, but has a column
_PARAM = re.compile("params\\.`(.*)`", re.DOTALL)
# More columns than these push the names of the runs out of sight.
_MOST_COLUMNS = 8
_RUNS = 10  # of the best runs whose curves are drawn

# Sections with one wide chart, where the UI would give it a third of the width; pixels of height.
_ROOM = {
    "mattered": {"columns": 1, "cardHeight": 360},
    "weights": {"columns": 1, "cardHeight": 700},
}


@dataclass(frozen=True, kw_only=True)
class View:
    """What the runs of one sweep or comparison are shown by.

    Attributes
    ----------
    name : str
        The sweep or comparison.
    run_id : str
        Its run.
    metric : str
        The metric that its trials are ranked by, such as "valid/accuracy".
    maximize : bool
        Whether the largest value is the best.
    params : sequence of str
        The parameters that differ between its trials.
    group : str
        The parameter by which runs are grouped; "" for none.
    image_steps : sequence of int
        The steps at which trials have images of their weights; empty where there are none.
    """

    name: str
    run_id: str
    metric: str
    maximize: bool
    params: Sequence[str] = ()
    group: str = ""
    image_steps: Sequence[int] = ()


@dataclass(frozen=True, kw_only=True)
class SavedView:
    """A view that an experiment has.

    Attributes
    ----------
    name : str
        The sweep or comparison.
    run_id : str
        Its run, which is the key of the view in an address.
    updated_ms : int
        When it was written last, in ms since 1970.
    """

    name: str
    run_id: str
    updated_ms: int


class Shown(NamedTuple):
    """What the view of a sweep or comparison shows of its trials.

    Attributes
    ----------
    params : list of str
        The parameters that have columns.
    image_steps : list of int
        The step at which images are shown; empty where there are none.
    """

    params: list[str]
    image_steps: list[int]


def saved_in(tags: Mapping[str, str]) -> list[SavedView]:
    """List the views among the tags of an experiment; what is no view is passed over."""
    views = []
    for key, text in tags.items():
        if not key.startswith(_TAG):
            continue
        try:
            content = json.loads(text)
            name = content["name"]
            updated_ms = int(content["updatedAt"])
        except (ValueError, KeyError, TypeError):
            # Whoever uses the UI may keep views of their own, in whatever form it has.
            continue
        views.append(SavedView(name=name, run_id=key.removeprefix(_TAG), updated_ms=updated_ms))
    return views


def what_is_there(client: Any, experiment_id: str, run_id: str) -> Shown | None:
    """Return what the view of a sweep or comparison shows; None where there is no such view."""
    text = client.get_experiment(experiment_id).tags.get(f"{_TAG}{run_id}")
    if text is None:
        return None
    try:
        packed = json.loads(text)["state"].removeprefix("deflate;")
        state = json.loads(zlib.decompress(base64.b64decode(packed)))
        columns = [_PARAM.fullmatch(column) for column in state["selectedColumns"]]
        steps = [chart["step"] for chart in state["compareRunCharts"] if chart["type"] == "IMAGE"]
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error):
        # Somebody has put something else there, in whose place a view of ours comes.
        return None
    params = [column[1] for column in columns if column and column[1] != _EPOCHS]
    return Shown(params=params, image_steps=steps)


def is_tried(version: str) -> bool:
    """Whether the UI of this version of MLflow is known to read our views."""
    return version.startswith(_TRIED)


def save(client: Any, experiment_id: str, view: View, now_ms: int) -> None:
    """Write a view, in place of the one that was there.

    Parameters
    ----------
    client : mlflow.MlflowClient
        Of a server whose version `is_tried`.
    experiment_id : str
        The experiment of the runs.
    view : View
        What is shown.
    now_ms : int
        The time, in milliseconds since 1970.
    """
    packed = zlib.compress(json.dumps(state_of(view)).encode())
    content = {
        "name": view.name,
        "createdAt": now_ms,
        "updatedAt": now_ms,
        "state": "deflate;" + base64.b64encode(packed).decode(),
    }
    client.set_experiment_tag(experiment_id, f"{_TAG}{view.run_id}", json.dumps(content))


def state_of(view: View) -> dict[str, Any]:
    """Return the state that the UI restores: table, columns and charts."""
    columns = [_metric(view.metric), _metric("valid/loss"), _param(_EPOCHS)]
    columns += [_param(name) for name in view.params[:_MOST_COLUMNS]]
    return {
        "searchFilter": f"tags.mlflow.parentRunId = '{view.run_id}'",
        "orderByKey": _metric(view.metric),
        "orderByAsc": not view.maximize,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [*columns, "attributes.`Duration`"],
        "columnOrder": [],
        "columnWidths": {},
        "runsHiddenMode": "FIRST_10_RUNS",
        "compareRunSections": _sections(view),
        "compareRunCharts": _charts(view),
        "isAccordionReordered": True,
        "viewMaximized": False,
        "runListHidden": False,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": _grouping(view.group),
        "groupsExpanded": {},
        "globalLineChartConfig": {
            "xAxisKey": "step",
            "lineSmoothness": 0,
            "selectedXAxisMetricKey": "",
        },
    }


def _metric(name: str) -> str:
    return f"metrics.`{name}`"


def _param(name: str) -> str:
    return f"params.`{name}`"


def _grouping(param: str) -> dict[str, Any] | None:
    if not param:
        return None
    by_param = {"mode": "param", "groupByData": param}
    return {"aggregateFunction": "average", "groupByKeys": [by_param]}


def _sections(view: View) -> list[dict[str, Any]]:
    """The sections of charts in their order, those that look at learning first."""
    names = {"learning": "Learning"}
    if view.params:
        names["mattered"] = "What mattered"
    if view.image_steps:
        names["weights"] = "Weights"
    names["optimizer"] = "Optimizer"
    names["time"] = "Time"
    flags = {"display": True, "isReordered": True, "deleted": False, "isGenerated": False}
    return [
        {"uuid": key, "name": name, **flags, **_ROOM.get(key, {})} for key, name in names.items()
    ]


def _charts(view: View) -> list[dict[str, Any]]:
    charts = [_line("learning", key) for key in (view.metric, "valid/loss", "train/loss")]
    # One run for each seed makes no line through parameters.
    if view.params:
        charts.append(
            _chart(
                "PARALLEL",
                "mattered",
                "parallel",
                selectedParams=list(view.params[:_MOST_COLUMNS]),
                selectedMetrics=[view.metric],
                showAllRuns=True,
            )
        )
    if view.image_steps:
        # It begins with what the networks have become.
        last = max(view.image_steps)
        images = _chart("IMAGE", "weights", "images", imageKeys=[KEY], step=last)
        charts.append({**images, "showRunParams": False})
    charts += [_line("optimizer", key) for key in ("learning_rate", "gradient_norm", "update_norm")]
    charts.append(_chart("BAR", "time", "train_s", metricKey="time/train_s"))
    return charts


def _chart(kind: str, section: str, name: str, **more: Any) -> dict[str, Any]:
    flags = {"deleted": False, "isGenerated": False, "runsCountToCompare": _RUNS}
    return {
        "uuid": f"{section}-{name}",
        "type": kind,
        "metricSectionId": section,
        **flags,
        **more,
    }


def _line(section: str, key: str) -> dict[str, Any]:
    return _chart(
        "LINE",
        section,
        key,
        metricKey=key,
        selectedMetricKeys=[key],
        xAxisKey="step",
        yAxisKey="metric",
        xAxisScaleType="linear",
        scaleType="linear",
        range={},
        lineSmoothness=0,
        selectedXAxisMetricKey="",
        yAxisExpressions=[],
        ignoreOutliers=False,
        useGlobalXaxisKey=True,
        useGlobalLineSmoothing=True,
    )
