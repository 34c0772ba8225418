"""The best network of a study is kept, comes back when it is lost, and is a model in MLflow."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from siblings import quick

from harness import Config, Model, UsageError, compare, load, load_model, mlp
from harness.storage.networks import NetworkFolder
from harness.storage.ranking import Objective
from harness.studies.books import folder_of
from harness.studies.sweep import Sweep
from harness.tracking.connect import client_for, store_uri
from harness.tracking.model import models_of
from harness.trials.job import Job, Trial
from harness.trials.outcome import Bar
from harness.trials.work import work

RATES = [0.01, 0.5, 0.1, 0.3]
DATA = "mnist14(rows=600)"


def config(rate: float, **changes: Any) -> Config:
    options = {"data": DATA, "epochs": 2, "batch": 50, "film": None, **changes}
    return Config(layers=mlp([196, 8, 10]), update=f"sgd({rate})", **options)


def space(trial: Any) -> Config:
    return config(trial.suggest_categorical("rate", RATES))


def sweep(name: str = "kept", trials: int = 4, **options: Any) -> Any:
    points = [{"rate": rate} for rate in RATES]
    return Sweep(space, name, trials=trials, enqueue=points, sampler="RandomSampler", **options)


def kept(name: str = "kept", kind: str = "sweep") -> list[str]:
    return sorted(path.stem for path in (folder_of(kind, name) / "networks").glob("*.npz"))


def models(name: str) -> dict[str, list[Any]]:
    """The models of all runs of a study in MLflow, by the names of the runs."""
    client = client_for(store_uri())
    experiment = client.get_experiment_by_name("harness").experiment_id
    found = {}
    for run in client.search_runs([experiment]):
        if of_run := list(models_of(client, experiment, run.info.run_id)):
            assert len(run.outputs.model_outputs) == len(of_run)
            found[run.info.run_name] = of_run
    return found


def rows() -> np.ndarray:
    x: np.ndarray = load(DATA).x[:20]
    return x


def test_the_best_network_of_a_sweep(root: Path) -> None:
    import mlflow

    result = sweep().run(register="digits")
    best = result.best
    assert kept() == [best.result.digest]
    wanted = Model(config(best.result.params["rate"])).fit()
    for model in (best.model(), load_model(f"kept#{best.number}"), load_model("kept")):
        assert model.predict_proba(rows()).tobytes() == wanted.predict_proba(rows()).tobytes()
        assert len(model.history) == 2
    found = models("kept")
    assert sorted(found) == sorted(["kept", best.name])
    # MLflow itself finds it, and answers with the same bits.
    mlflow.set_tracking_uri(store_uri())
    for uri in (f"runs:/{found['kept'][0].source_run_id}/model", "models:/digits@best"):
        answers = mlflow.pyfunc.load_model(uri).predict(rows())
        assert answers["prediction"].tolist() == wanted.predict(rows()).tolist()
        columns = answers.drop(columns="prediction").to_numpy(np.float32)
        np.testing.assert_array_equal(columns, wanted.predict_proba(rows()))
    # Without the folder MLflow has it, by the run id as well.
    (folder_of("sweep", "kept") / "networks" / f"{kept()[0]}.npz").unlink()
    run_id = found[best.name][0].source_run_id
    for reference in (f"kept#{best.number}", run_id):
        assert load_model(reference).predict_proba(rows()).tobytes() == (
            wanted.predict_proba(rows()).tobytes()
        )
    with pytest.raises(UsageError, match=r"it is missing or damaged; start the sweep again"):
        best.model()
    other = next(run for run in result.trials if run.number != best.number)
    with pytest.raises(UsageError, match=rf"'kept#{other.number}' was not kept"):
        load_model(f"kept#{other.number}")


@pytest.mark.parametrize("how", ["gone", "damaged"])
def test_a_lost_network_is_trained_again(root: Path, how: str, capfd: Any) -> None:
    result = sweep().run()
    path = folder_of("sweep", "kept") / "networks" / f"{result.best.result.digest}.npz"
    content = path.read_bytes()
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:-100] + b"0" * 100)
    capfd.readouterr()
    again = sweep().run()
    assert "is lost, so it is trained again" in capfd.readouterr().err
    assert len(again.trials) == 4
    assert load_model(path).weights["0/W"].tobytes() == again.best.model()["0/W"].tobytes()
    assert sweep().run().finished
    assert "again" not in capfd.readouterr().err
    assert {name: len(found) for name, found in models("kept").items()} == {
        "kept": 1,
        result.best.name: 1,
    }


def test_a_network_that_cannot_come_back_is_said(root: Path, capfd: Any) -> None:
    result = sweep().run()
    path = folder_of("sweep", "kept") / "networks" / f"{result.best.result.digest}.npz"
    path.unlink()

    def changed(trial: Any) -> Config:
        return config(trial.suggest_categorical("rate", RATES), epochs=3)

    Sweep(changed, "kept", trials=4, sampler="RandomSampler").run()
    assert "is lost, and its config is not the one it had" in capfd.readouterr().err
    assert not path.exists()


def test_a_sweep_that_goes_on_has_one_best_network(root: Path) -> None:
    first = sweep(trials=1).run().best
    assert (first.number, kept()) == (0, [first.result.digest])
    result = sweep(trials=4).run()
    assert result.best.number != 0
    assert kept() == [result.best.result.digest]
    found = models("kept")
    # The sweep's own run has both, the newest first.
    assert len(found["kept"]) == 2
    assert found["kept"][0].tags["harness.network"] == result.best.result.digest


@pytest.mark.parametrize("workers", quick([1, 2], [2]))
def test_all_networks_or_none(root: Path, workers: int) -> None:
    result = sweep().run(models="all", workers=workers)
    assert kept() == sorted(run.result.digest for run in result.trials)
    assert sorted(models("kept")) == sorted(["kept", *(run.name for run in result.trials)])
    for run in result.trials:
        model = load_model(f"kept#{run.number}")
        assert model.config.digest() == run.result.config
    assert sweep("none").run(models="none").best is not None
    assert kept("none") == []
    assert "none" not in models("none")


def test_of_equal_values_the_first_is_the_best_whoever_ends_first(root: Path) -> None:
    def equal(trial: Any) -> Config:
        return config(trial.suggest_categorical("rate", [1e-9, 2e-9, 3e-9, 4e-9]))

    result = Sweep(equal, "equal", trials=4, sampler="RandomSampler", population=4).run()
    assert len({run.result.value for run in result.trials}) == 1
    assert result.best.number == 0
    assert kept("equal") == [result.best.result.digest]


def test_a_network_travels_only_where_it_could_be_the_best() -> None:
    def sent(**options: Any) -> bytes:
        (outcome,) = work(Job([Trial(0, config(0.1))], keep_state=False, **options))
        return outcome.network

    (outcome,) = work(Job([Trial(0, config(0.1))]))
    value = outcome.value
    assert value is not None
    assert outcome.network == b""
    accuracy = Objective("accuracy", "maximize")
    assert sent(networks=True) != b""
    assert sent(networks=True, least=Bar(accuracy, value - 0.01)) != b""
    assert sent(networks=True, least=Bar(accuracy, value)) != b""  # it may have the smaller number
    assert sent(networks=True, least=Bar(accuracy, value + 0.01)) == b""
    diverged = config(1e30)
    (outcome,) = work(Job([Trial(0, diverged)], networks=True))
    assert outcome.bad_step is not None
    assert outcome.network == b""


@pytest.mark.parametrize("seeds", [1, 2])
def test_the_network_of_several_seeds_is_the_first(root: Path, seeds: int) -> None:
    result = sweep(seeds=seeds).run()
    best = result.best
    wanted = Model(config(best.result.params["rate"])).fit()
    assert best.model().predict_proba(rows()).tobytes() == wanted.predict_proba(rows()).tobytes()
    (folder_of("sweep", "kept") / "networks" / f"{best.result.digest}.npz").unlink()
    again = sweep(seeds=seeds).run().best.model()
    assert again.predict_proba(rows()).tobytes() == wanted.predict_proba(rows()).tobytes()


def test_the_best_network_of_a_comparison_was_compared(root: Path) -> None:
    def tuned(trial: Any) -> Config:
        return config(trial.suggest_float("rate", 0.1, 0.6))

    arms = {"tuned": tuned, "slow": config(0.001)}
    compare("two", arms, seeds=2, points=2, register="arm")
    trials = [run for run in trials_of("two") if "point" not in run.result.params]
    best = max(trials, key=lambda run: (run.result.value, -run.number))
    assert best.result.arm == "tuned"
    assert kept("two", "comparison") == [best.result.digest]
    assert sorted(models("two")) == sorted(["two", best.name])
    assert load_model(f"two#{best.number}").config.digest() == best.result.config
    NetworkFolder(folder_of("comparison", "two")).keep_only([])
    compare("two", arms, seeds=2, points=2, register="arm")
    assert kept("two", "comparison") == [best.result.digest]


def trials_of(name: str) -> list[Any]:
    from harness.storage.records import TrialRun
    from harness.storage.spool import Spool

    spool = Spool(folder_of("comparison", name) / "spool")
    return [run for run in spool.records() if isinstance(run, TrialRun)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"models": "some"}, "models must be one of 'best', 'all', 'none', got 'some'"),
        ({"models": "none", "register": "a"}, "register needs a network that is kept"),
        ({"register": "a/b"}, "register must be a name without / and :"),
    ],
)
def test_wrong_options_are_refused(root: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        sweep().run(**options)
    with pytest.raises(UsageError, match=words):
        compare("two", {"a": config(0.1)}, **options)
