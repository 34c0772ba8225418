"""The view of a study in the MLflow UI: a tag of the experiment, in the UI's own format."""

import base64
import io
import json
import urllib.error
import zlib
from email.message import Message
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness import Config, mlp
from harness.storage.records import ParentRun, TrialRun
from harness.storage.result import TrialResult
from harness.studies.sweep import Sweep
from harness.tracking import connect, saved_view, store_uri
from harness.tracking.views import Views


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


def test_a_view_stays_where_a_sweep_goes_on_with_nothing_new(root: Path) -> None:
    Sweep(space, "seen", trials=2).run()
    (before,) = views()
    # It is opened again, by a writer that sees no trial.
    Sweep(space, "seen", trials=2, note="looked at").run()
    assert views() == [before]
    Sweep(space, "seen", trials=3).run()
    (after,) = views()
    assert state_in(after) == state_in(before)


def test_what_a_view_shows_is_known_from_it() -> None:
    view = saved_view.View(
        name="s",
        run_id="r",
        metric="valid/rmse",
        maximize=False,
        params=["config.rate", "a `b`"],
        image_steps=[1, 7],
    )
    tags: dict[str, str] = {}
    client: Any = SimpleNamespace(
        set_experiment_tag=lambda id, key, text: tags.update({key: text}),
        get_experiment=lambda id: SimpleNamespace(tags=tags),
    )
    assert saved_view.what_is_there(client, "1", "r") is None
    saved_view.save(client, "1", view, 1)
    assert saved_view.what_is_there(client, "1", "r") == (["config.rate", "a `b`"], [7])
    assert saved_view.what_is_there(client, "1", "other") is None
    (key,) = tags
    for text in ("", "{}", '{"state": "deflate;AAAA"}', '{"state": 1}', "[]"):
        tags[key] = text
        assert saved_view.what_is_there(client, "1", "r") is None


def test_a_version_that_was_not_tried_gets_none(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.tracking.views.mlflow_version", lambda: "4.0.0")
    Sweep(space, "unseen", trials=1).run()
    assert views() == []


def test_a_server_that_does_not_say_its_version_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    saved: list[str] = []
    answers: list[Exception | bytes] = [
        TimeoutError(),
        urllib.error.HTTPError("", 503, "not yet", Message(), None),
        b"3.17.2",
    ]

    def answer(*given: Any, **options: Any) -> io.BytesIO:
        said = answers.pop(0)
        if isinstance(said, Exception):
            raise said
        return io.BytesIO(said)

    monkeypatch.setattr("urllib.request.urlopen", answer)
    client = SimpleNamespace(
        set_experiment_tag=lambda id, key, text: saved.append(key),
        get_experiment=lambda id: SimpleNamespace(tags={}),
    )
    experiment: Any = SimpleNamespace(uri="http://127.0.0.1:9", client=client, open=lambda: "1")
    views = Views(experiment)
    tags = {"harness.metric": "accuracy", "harness.direction": "maximize"}
    views.begin(ParentRun(id="p", name="p", tags=tags), "run")
    for name, count in (("rate", 0), ("kind", 1), ("decay", 2)):
        result = TrialResult(params={name: 1})
        views.take(TrialRun(id=name, name=name, result=result), "run")
        assert saved == ["mlflow.sharedViewState.run"] * count
    assert answers == []


def test_arms_are_grouped() -> None:
    view = saved_view.View(
        name="c", run_id="r", metric="valid/rmse", maximize=False, params=[], group="arm"
    )
    state = saved_view.state_of(view)
    assert state["groupBy"]["groupByKeys"] == [{"mode": "param", "groupByData": "arm"}]
    assert state["orderByAsc"] is True
