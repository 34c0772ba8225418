"""Which of two trials is better: by the objective, for films, networks, console and watchers."""

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from harness import Config, mlp
from harness.storage.networks import NetworkFolder
from harness.storage.ranking import Objective, losses
from harness.storage.records import ParentRun, TrialRun
from harness.storage.result import TrialResult, TrialState
from harness.storage.spool import Spool
from harness.studies.books import folder_of
from harness.studies.sweep import Sweep
from harness.tracking.connect import client_for, store_uri
from harness.trials.job import Job, Trial
from harness.trials.outcome import Bar
from harness.trials.work import work
from harness.watching.snapshot import Watched

ACCURACY = Objective("accuracy", "maximize")
LOSS = Objective("loss", "minimize")
# The second network has the accuracy of the first one and a lesser loss, the third one is worse.
RATES = [0.0768, 0.2029, 0.0202, 0.6515]


def config(rate: float) -> Config:
    layers = mlp([196, 8, 10])
    return Config(
        data="mnist14(rows=200)", layers=layers, update=f"sgd({rate})", epochs=2, batch=50
    )


def space(trial: Any) -> Config:
    return config(trial.suggest_categorical("rate", RATES))


def test_of_two_values_the_objective_says_which_is_better() -> None:
    assert ACCURACY.is_better(0.9, 0.8)
    assert not ACCURACY.is_better(0.8, 0.8)
    assert LOSS.is_better(0.1, 0.2)
    assert not LOSS.is_better(0.2, 0.2)
    assert losses([ACCURACY, LOSS], [0.9, 0.3]) == [-0.9, 0.3]
    assert (ACCURACY.key, ACCURACY.key_of_epochs) == ("valid/accuracy", "valid/accuracy")
    seconds = Objective("train_s", "minimize")
    assert (seconds.key, seconds.key_of_epochs) == ("time/train_s", "")


def test_a_worker_makes_a_film_only_of_what_beats_the_best_by_its_objective() -> None:
    def made(bar: Bar) -> set[str]:
        (outcome,) = work(Job([Trial(0, config(0.3))], beat=bar, networks=True, least=bar))
        made = {name for name in outcome.artifacts if name.startswith("film.")}
        return made | ({"network"} if outcome.network else set())

    (outcome,) = work(Job([Trial(0, config(0.3))]))
    accuracy = outcome.value
    loss = outcome.records[-1].metrics["valid/loss"]
    assert accuracy is not None
    film = {name for name in outcome.artifacts if name.startswith("film.")}
    assert film
    assert made(Bar(LOSS, loss + 0.01)) == film | {"network"}
    assert made(Bar(LOSS, loss)) == {"network"}  # it may have the smaller number
    assert made(Bar(LOSS, loss - 0.01)) == set()
    assert made(Bar(ACCURACY, accuracy - 0.01)) == film | {"network"}
    assert made(Bar(ACCURACY, accuracy + 0.01)) == set()


def test_films_and_networks_of_a_sweep_are_those_of_its_objective(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    points = [{"rate": rate} for rate in RATES]
    options = {"sampler": "RandomSampler", "seed": 3, "enqueue": points, "film": "best"}
    result = Sweep(space, "by loss", trials=4, objectives=["loss"], **options).run()
    loss = [run.result.values[0] for run in result.trials]
    accuracy = [run.result.value or 0.0 for run in result.trials]
    assert loss[3] < loss[1] < loss[0] < loss[2]
    assert accuracy[0] == accuracy[1]  # by its accuracy the second one is no better
    client = client_for(store_uri())
    (experiment,) = client.search_experiments(filter_string="name = 'harness'")
    runs = client.search_runs([experiment.experiment_id], "tags.\"harness.kind\" = 'trial'")
    films = {
        int(run.data.tags["harness.number"])
        for run in runs
        if any(file.path.startswith("film.") for file in client.list_artifacts(run.info.run_id))
    }
    assert films == {0, 1, 3}
    assert result.best is not None
    assert result.best.number == 3
    assert NetworkFolder(folder_of("sweep", "by loss")).read(result.best.result.digest)
    assert f"best loss {loss[3]:.4f} (#3)" in capsys.readouterr().err
    told = Watched(folder_of("sweep", "by loss")).snapshot()
    assert (told["best"]["number"], told["metric"]) == (3, "valid/loss")
    assert told["best"]["value"] == loss[3]
    (view,) = [
        json.loads(text)
        for key, text in experiment.tags.items()
        if key.startswith("mlflow.sharedViewState.")
    ]
    packed = base64.b64decode(view["state"].removeprefix("deflate;"))
    state = json.loads(zlib.decompress(packed))
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`valid/loss`", True)


def test_a_pruned_trial_is_no_best_one_to_watchers(root: Path) -> None:
    spool = Spool(root / "study" / "spool")
    spool.write(ParentRun(id="p", name="p", tags={"harness.direction": "maximize"}))
    for number, state in enumerate((TrialState.COMPLETE, TrialState.PRUNED)):
        result = TrialResult(state=state, value=0.5 + number / 10, values=[0.5 + number / 10])
        spool.write(TrialRun(id=f"p/{number}", name=f"#{number}", number=number, result=result))
    told = Watched(root / "study").snapshot()
    assert told["best"]["number"] == 0
    assert [entry["value"] for entry in told["ended"]] == [0.5, 0.6]
