"""Names and numbers that come from users stay apart, come back as they were, and are shown as plain text."""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import harness
from harness import registry
from harness.cli import main
from harness.compare import compare
from harness.config import Config
from harness.errors import UsageError
from harness.layers import mlp
from harness.recorders import Report
from harness.sweep import Sweep
from harness.trial import Job, work

DATA = "mnist14(rows=500)"


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One root for all tests of this file, since to make a store takes a second; each test uses names of its own."""
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("home")
        patch.setenv("HARNESS_ROOT", str(root))
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
            patch.delenv(name, raising=False)
        patch.setattr(registry, "_plugins", {})
        patch.chdir(root)
        yield root


epochs: list[int] = []  # in which `fades` was asked


@harness.metric()
def fades() -> Any:
    """0.9, and not a number from the second time on that it is asked"""

    def score(predictions: Any, y: Any) -> Any:
        epochs.append(len(epochs))
        return np.full(predictions.shape[:-2], 0.9 if len(epochs) == 1 else math.nan)

    return score


@pytest.fixture
def fading() -> None:
    epochs.clear()


def small(**more: Any) -> Config:
    return Config(**{"data": DATA, "layers": mlp([196, 10]), "film": None, "epochs": 2, **more})


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


# A value that is not a number -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("fading")
def test_a_metric_that_is_nan_at_the_end_is_nan_in_the_results_and_never_ranked() -> None:
    result = Sweep(lambda trial: small(metric="fades"), "fades", trials=1).run()
    assert (result.best, result.ranked) == (None, [])
    assert "#0 is not ranked: valid/fades is nan at its last epoch, 2" in result.table()
    row = harness.results("fades").iloc[0]
    assert (row["state"], row["note"]) == ("COMPLETE", "valid/fades is nan at its last epoch, 2")
    assert math.isnan(row["valid/fades"])
    assert math.isnan(row["value"])
    shown = call("results", "fades").stdout
    assert "0.9" not in shown
    assert "valid/fades is nan at its last epoch, 2" in shown


@pytest.mark.usefixtures("fading")
def test_a_run_without_a_score_exits_with_1_and_is_logged() -> None:
    run = call("run", "--data", DATA, "--metric", "fades", "--epochs", "2", "--film", "none", "--name", "no score")
    assert run.exit_code == 1
    assert "Error: valid/fades is nan at its last epoch, 2, so the network has no score" in run.stderr
    assert "logged as 'no score'" in run.stdout
    assert math.isnan(harness.results("no score")["valid/fades"][0])


@pytest.mark.usefixtures("fading")
def test_the_best_epoch_is_one_with_a_number() -> None:
    (outcome,) = work(Job([0], [small(metric="fades", select="best")]))
    outcome.records = [outcome.records[1], outcome.records[0]]  # first not a number, then one
    assert outcome.value == 0.9


# Names that stay apart ------------------------------------------------------------------------------------------------

TAKEN = ["name", "state", "number", "value", "note", "seconds", "run_id", "valid/accuracy", "batch", "layers"]


def test_params_of_any_name_stay_apart_from_each_other_and_from_what_is_ours(home: Path) -> None:
    names = [*TAKEN, "lr (a)", "lr [a]", "a//b", "a/b", "=1+1", "x" * 300, "größe", "100%_\x1b[31m"]

    def space(trial: Any) -> Config:
        for k, name in enumerate(names):
            trial.suggest_int(name, k, k)
        return small(epochs=1, batch=50)

    Sweep(space, "apart", trials=1).run()
    frame = harness.results("apart")
    row = frame.iloc[0]
    assert [row[f"params.{name}"] for name in names] == list(range(len(names)))
    assert frame.columns.is_unique
    assert (row["number"], row["state"], row["config.batch"]) == (0, "COMPLETE", 50)
    assert 0 < row["valid/accuracy"] < 1
    assert call("results", "apart", "--csv", "apart.csv").exit_code == 0
    head, line = (home / "apart.csv").read_text(encoding="utf-8").splitlines()
    assert len(set(head.split(","))) == len(frame.columns)
    assert f",{len(names) - 1}," in line


@pytest.mark.parametrize("name", ["config.batch", "config."])
def test_a_param_that_would_pass_for_the_configs_is_refused_before_training(name: str) -> None:
    def space(trial: Any) -> Config:
        trial.suggest_int(name, 1, 2)
        return small()

    with pytest.raises(UsageError, match=f"leave the names that begin with 'config.' .* but suggests '{name}'"):
        Sweep(space, "taken").run()
    with pytest.raises(UsageError, match=r"leave 'arm' to the harness, .* but suggests 'arm'"):
        compare("taken", {"a": lambda trial: small(batch=trial.suggest_int("arm", 1, 2))})


def test_rules_of_one_name_in_a_composition_keep_their_numbers() -> None:
    flat = small(update="compose(sgd(0.5), scale(0.25), scale(4.0))").flat()
    numbers = [value for key, value in flat.items() if key.startswith("update.scale.")]
    assert sorted(numbers) == [0.25, 4.0]


@harness.recorder()
def claims(metric: str = "", artifact: str = "") -> Any:
    """Returns a metric and an artifact of these names"""

    def record(trained: Any) -> Report:
        return Report({metric: 1.0} if metric else {}, {artifact: b"1"} if artifact else {})

    return record


@pytest.mark.parametrize(
    ("claim", "what"),
    [
        ("metric='valid/accuracy'", "the metric 'valid/accuracy'"),
        ("metric='train/loss'", "the metric 'train/loss'"),
        ("metric='time/train_s'", "the metric 'time/train_s'"),
        ("artifact='config.json'", "the artifact 'config.json'"),
        ("artifact='history.npz'", "the artifact 'history.npz'"),
    ],
)
def test_a_recorder_cannot_take_the_place_of_what_training_has_noted(claim: str, what: str) -> None:
    (outcome,) = work(Job([0], [small(epochs=1, recorders=[f"claims({claim})"])]))
    assert outcome.failure == "FAILED"
    assert f"the recorder 'claims' must leave {what} alone" in outcome.reason


# What is shown can be typed back --------------------------------------------------------------------------------------


def test_a_number_of_a_table_a_name_or_a_log_gives_the_same_network() -> None:
    rates: dict[int, float] = {}

    def space(trial: Any) -> Config:
        rate = trial.suggest_float("rate", 1e-9, 1.0, log=True)
        rates[trial.number] = rate
        return small(update=f"sgd({rate})", epochs=1)

    result = Sweep(space, "typed", trials=2, sampler="RandomSampler").run()
    for trial in result.trials:
        for text in (result.table(), trial.name):
            assert any(float(number) == rates[trial.number] for number in re.findall(r"rate=(\S+)", text))
    frame = harness.results("typed")
    assert list(frame["params.rate"]) == [rates[0], rates[1]]
    assert list(frame["config.update.learning_rate"]) == [rates[0], rates[1]]
    assert "not a setting" not in result.table()


def test_a_suggestion_that_the_space_computes_with_is_said_to_be_no_setting() -> None:
    def space(trial: Any) -> Config:
        return small(update=f"sgd({0.1 * trial.suggest_float('rate', 0.1, 1.0)})", epochs=1)

    result = Sweep(space, "computed", trials=1).run()
    update = harness.results("computed")["config.update"][0]
    assert "rate is not a setting of the networks themselves" in result.table()
    assert f"the update rule of #0 is {update}" in result.table()
    assert "#0 again: harness run --config 'computed#0'" in result.table()
