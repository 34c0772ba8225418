"""What is said of a network that has learned little, in Python and on the command line."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from harness import LearningWarning, Model, mlp
from harness.cli import main
from harness.data import load

SMALL: dict[str, Any] = {
    "data": "mnist14(rows=600)",
    "layers": mlp([196, 10]),
    "film": None,
    "batch": 20,
    "epochs": 3,
}


def clouds(rows: int = 300, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    y = np.arange(rows) % classes
    return random.normal(size=(rows, classes)) + 6 * np.eye(classes)[y], y


def said_of(net: Model, *data: Any) -> str:
    """The warning of a fit; empty where there is none."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net.fit(*data)
    found = [str(each.message) for each in caught if each.category is LearningWarning]
    assert len(found) <= 1
    return found[0] if found else ""


def test_a_network_that_has_learned_gets_no_warning() -> None:
    assert said_of(Model(**SMALL, update="sgd(0.5)")) == ""
    assert (
        said_of(Model(layers=["dense(3)"], update="sgd(0.1)", batch=10, film=None), *clouds()) == ""
    )


@pytest.mark.parametrize("valid", [0.2, 0.0])
def test_chance_is_said_with_or_without_a_validation_part(valid: float) -> None:
    part = "validation" if valid else "training"
    said = said_of(Model(**SMALL, update="sgd(1e-7)", valid=valid))
    assert said.startswith("the network ")
    assert f" on the {part} part, where " in said
    assert said.endswith("its loss has hardly moved, so try a higher learning rate")


def test_the_note_points_at_the_line_of_the_user() -> None:
    with pytest.warns(LearningWarning) as caught:
        Model(**SMALL, update="sgd(1e-7)").fit()
    assert caught[0].filename == __file__


def test_little_is_measured_by_a_simple_rule() -> None:
    """Better than chance, and yet poor where the nearest mean of a class gets all."""
    net = Model(layers=["dense(10)"], update="sgd(0.15)", batch=100, epochs=1, film=None)
    said = said_of(net, *clouds(1000, 10))
    accuracy = net.history[-1]["valid/accuracy"]
    assert 0.12 < accuracy < 0.5
    assert said.startswith(
        f"the network learned little: accuracy {accuracy:.3f} on the validation part, "
    )
    assert (
        "where the nearest mean of a class gives 1.000; its loss is still falling, so try more "
        "epochs" in said
    )


@pytest.mark.parametrize(
    ("rule", "remedy"),
    [
        ("sgd(0.003)", "its loss is still falling, so try more epochs or a higher learning rate"),
        # It falls from a hundred times what it was before the first step.
        ("sgd(20)", "its loss has risen, so try a lower learning rate"),
    ],
)
def test_a_rate_is_called_low_or_high_by_where_the_loss_went(rule: str, remedy: str) -> None:
    net = Model(**{**SMALL, "layers": mlp([196, 50, 10]), "epochs": 5}, update=rule)
    assert said_of(net).endswith(remedy)


def test_large_features_are_the_first_thing_to_say() -> None:
    x, y = clouds()
    x = np.column_stack([x, 1000.0 * np.random.default_rng(2).normal(size=len(x))])
    said = said_of(
        Model(layers=["dense(3)"], scale="none", update="sgd(0.1)", batch=10, film=None, epochs=2),
        x,
        y,
    )
    assert 'try scale="standardize", as its features are as large as' in said
    assert (
        said_of(Model(layers=["dense(3)"], update="sgd(0.1)", batch=10, film=None, epochs=2), x, y)
        == ""
    )


def test_weighted_classes_are_judged_by_balanced_accuracy() -> None:
    """One row in twenty is rare: who finds most of them at the cost of others has learned, whatever
    the accuracy.
    """
    random = np.random.default_rng(3)
    y = (np.arange(2000) % 20 == 0).astype(int)
    x = random.normal(size=(2000, 2)) + 2.0 * y[:, None]
    net = Model(
        layers=["dense(2)"],
        class_weight="balanced",
        update="sgd(0.3)",
        batch=50,
        epochs=5,
        film=None,
    )
    assert said_of(net, x, y) == ""
    assert net.history[-1]["valid/accuracy"] < 0.95  # fewer than one gets by never saying rare
    noise = random.normal(size=x.shape)
    assert "did not learn: balanced accuracy 0." in said_of(Model(net.config), noise, y)


def test_a_regression_that_is_no_better_than_the_mean() -> None:
    x, _ = clouds()
    given: dict[str, Any] = {
        "layers": ["dense(1)"],
        "loss": "squared_error",
        "metric": "rmse",
        "film": None,
    }
    assert said_of(Model(**given, update="sgd(0.1)", batch=10, epochs=5), x, x.sum(axis=1)) == ""
    said = said_of(Model(**given, update="sgd(1e-9)", batch=10), x, 1000 * x.sum(axis=1))
    assert "r2 -" in said
    assert "targets divided by their standard deviation" in said


def test_few_rows_say_nothing() -> None:
    x, y = clouds(12)
    assert said_of(Model(layers=["dense(3)"], update="sgd(1e-9)", batch=2, film=None), x, y) == ""


def test_the_command_line_says_it_in_its_own_words(tmp_path: Path) -> None:
    x, y = clouds()
    table = pd.DataFrame(x, columns=["a", "b", "c"]).assign(
        far=1000.0 * np.sin(np.arange(len(x))), y=y
    )
    file = tmp_path / "clouds.csv"
    table.to_csv(file, index=False)
    words = [
        "run",
        "--data",
        str(file),
        "--label",
        "y",
        "--layer",
        "dense(3)",
        "--batch",
        "10",
        "--no-log",
    ]
    done = CliRunner().invoke(main, [*words, "--scale", "none", "--learning-rate", "0.1"])
    assert done.exit_code == 0, done.output
    assert "try --scale standardize, as its features are as large as" in done.output
    assert (
        "did not learn" not in CliRunner().invoke(main, [*words, "--learning-rate", "0.1"]).output
    )


def test_own_validation_data_and_weights_of_classes_on_the_command_line(tmp_path: Path) -> None:
    x, y = clouds()
    names = np.array(["r", "s", "t"])
    for name, rows in (("train", slice(0, 200)), ("valid", slice(200, None))):
        pd.DataFrame(x[rows], columns=["a", "b", "c"]).assign(y=names[y[rows]]).to_csv(
            tmp_path / f"{name}.csv", index=False
        )
    words = [
        "run",
        "--data",
        str(tmp_path / "train.csv"),
        "--label",
        "y",
        "--batch",
        "10",
        "--no-log",
    ]
    words += ["--valid-data", str(tmp_path / "valid.csv"), "--layer", "dense(3)"]
    done = CliRunner().invoke(main, [*words, "--class-weight", "r=5,s=1,t=1"])
    assert done.exit_code == 0, done.output
    assert "200 x 3" in done.output
    assert "100 validation rows" in done.output
    for weights, sentence in (
        ("r=5,s=1", "class_weight must name every class, but 't' is missing"),
        ("r=5,s=1,u=1", "class_weight must name the classes of data set 'train.csv', got 'u'"),
        ("r", "--class-weight must be balanced or the weight of each class, such as yes=5,no=1"),
        ("r=x", "--class-weight must be balanced or the weight of each class, such as yes=5,no=1"),
    ):
        refused = CliRunner().invoke(main, [*words, "--class-weight", weights])
        assert refused.exit_code == 2
        assert sentence in " ".join(refused.output.split())
    refused = CliRunner().invoke(
        main, ["run", "--data", "mnist14", "--valid-data", "x.csv", "--no-log"]
    )
    assert refused.exit_code == 2
    assert "--valid-data goes with a .csv or .parquet file" in " ".join(refused.output.split())


def test_a_split_part_is_no_data_set_of_its_own() -> None:
    assert load("mnist14").valid_rows == 0


def test_a_frequent_class_leaves_little_to_gain_and_that_is_learning_too() -> None:
    """Three quarters of the rows are of one class: 0.86 is less than 1.2 times their share, and all
    there is.
    """
    random = np.random.default_rng(0)
    y = random.random(2000) < 0.27
    x = np.where(random.random(2000) < 0.14, ~y, y)[:, None].astype(float)
    net = Model(layers=["dense(2)"], update="sgd(0.5)", batch=20, epochs=3, film=None)
    assert said_of(net, x, y) == ""
    chance = float(np.bincount(y).max() / len(y))
    assert 0.83 < net.history[-1]["valid/accuracy"] < 1.2 * chance
