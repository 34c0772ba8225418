"""The view of a study in the MLflow UI: a tag of the experiment, in the UI's own format."""

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from harness import Config, mlp
from harness.studies.sweep import Sweep
from harness.tracking import connect, saved_view, store_uri


def views() -> list[dict[str, Any]]:
    client = connect.client_for(store_uri())
    tags = client.get_experiment_by_name("harness").tags
    return [
        json.loads(text) for key, text in tags.items() if key.startswith("mlflow.sharedViewState.")
    ]


def state_in(view: dict[str, Any]) -> dict[str, Any]:
    packed = view["state"].removeprefix("deflate;")
    return json.loads(zlib.decompress(base64.b64decode(packed)))


def space(trial: Any) -> Config:
    rate = trial.suggest_float("rate", 0.05, 0.5)
    trial.suggest_categorical("kind", ["a", "b"])
    data = "mnist14(rows=600)"
    return Config(data=data, layers=mlp([196, 8, 10]), update=f"sgd({rate})", epochs=1, film=None)


def test_a_sweep_brings_its_view(root: Path) -> None:
    Sweep(space, "seen", trials=2).run()
    (view,) = views()
    assert view["name"] == "seen"
    state = state_in(view)
    assert state["orderByKey"] == "metrics.`valid/accuracy`"
    assert state["orderByAsc"] is False
    assert {"params.`rate`", "params.`kind`"} <= set(state["selectedColumns"])
    sections = [section["name"] for section in state["compareRunSections"]]
    assert sections == ["Learning", "What mattered", "Optimizer", "Time"]
    (parallel,) = [chart for chart in state["compareRunCharts"] if chart["type"] == "PARALLEL"]
    assert parallel["selectedParams"] == ["rate", "kind"]


def test_a_version_that_was_not_tried_gets_none(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlflow.__version__", "4.0.0")
    Sweep(space, "unseen", trials=1).run()
    assert views() == []


def test_arms_are_grouped() -> None:
    view = saved_view.View(
        name="c", run_id="r", metric="valid/rmse", maximize=False, params=[], group="arm"
    )
    state = saved_view.state_of(view)
    assert state["groupBy"]["groupByKeys"] == [{"mode": "param", "groupByData": "arm"}]
    assert state["orderByAsc"] is True
