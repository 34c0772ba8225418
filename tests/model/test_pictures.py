"""The pictures of a trained network, and how its weights and activations spread while it learns."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness
from harness import Config, Model, UsageError, mlp
from harness.model.courses import empty_courses, trained_again, trained_measured, wanted_epochs
from harness.model.pictures import CAPTIONS, caption_of
from harness.pictures import style
from harness.pictures.distributions import quantiles_of


def config(**changes: Any) -> Config:
    data = "mnist14(rows=600)"
    given = {"data": data, "layers": mlp([196, 8, 10]), "update": "sgd(0.1)", "batch": 50}
    return Config(**{**given, "epochs": 3, **changes})


@pytest.fixture(scope="module")
def net() -> Model:
    return Model(config()).fit()


def test_training_again_measures_the_same_network(net: Model) -> None:
    courses = trained_again(net)
    assert courses is not None
    assert courses.epochs == [0, 1, 2, 3]
    assert courses.part == "validation part"
    assert list(courses.weights()) == ["0/W", "2/W"]
    np.testing.assert_array_equal(courses.weights()["0/W"][-1], quantiles_of(net["0/W"]))
    before = courses.weights()["0/W"][0]
    # Glorot's limit for 196 and 8 units is sqrt(6 / 204).
    assert np.abs(before).max() <= np.sqrt(6 / 204)
    assert courses.activations()["1 relu"].shape == (4, 7)
    assert courses.activations()["1 relu"].min() == 0.0


def test_a_measured_training_is_the_training(net: Model) -> None:
    model, courses = trained_measured(net.config)
    np.testing.assert_array_equal(model["2/W"], net["2/W"])
    keys = ("epoch", "step", "train/loss", "valid/loss", "valid/accuracy")
    for one, other in zip(model.history, net.history, strict=True):
        assert [one[key] for key in keys] == [other[key] for key in keys]
    np.testing.assert_array_equal(courses.weights()["2/W"], trained_again(net).weights()["2/W"])


def test_what_was_set_by_hand_is_not_trained_again() -> None:
    net = Model(config(epochs=1)).fit()
    assert trained_again(net).epochs == [0, 1]
    net["0/W"] = np.zeros((196, 8))
    assert trained_again(net) is None


def test_early_stopping_ends_the_course() -> None:
    net = Model(config(epochs=30, patience=1, update="sgd(2.0)")).fit()
    assert net.epoch < 30
    courses = trained_again(net)
    assert courses is not None
    assert courses.epochs[-1] == net.epoch
    np.testing.assert_array_equal(courses.weights()["0/W"][-1], quantiles_of(net["0/W"]))


def test_the_course_is_that_of_the_last_epochs_and_not_of_the_best() -> None:
    net = Model(config(select="best", update="sgd(1.5)", epochs=4)).fit()
    best = max(net.history, key=lambda epoch: epoch["valid/accuracy"])["epoch"]
    course = trained_again(net).weights()["0/W"]
    np.testing.assert_array_equal(course[best], quantiles_of(net["0/W"]))
    assert len(np.unique(course[:, 0])) == 5


def test_long_trainings_are_measured_now_and_then() -> None:
    assert wanted_epochs(3) == [0, 1, 2, 3]
    assert len(wanted_epochs(1000)) == 51
    assert wanted_epochs(1000)[-2:] == [980, 1000]
    courses = empty_courses(config(epochs=1000))
    courses.add({"epoch": 7})
    assert courses.epochs == [0]


def test_pictures_over_time_are_drawn_where_asked_for(net: Model, tmp_path: Path) -> None:
    files = net.pictures(tmp_path, over_time=True)
    names = {file.stem for file in files}
    assert {"learning_curves", "weights_over_time", "activations_over_time"} <= names
    assert names <= set(CAPTIONS)
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)
    assert caption_of("activation_1.png") == CAPTIONS["activation"]
    assert caption_of("history.png") == ""


def test_what_changes_nothing_is_not_among_the_layers_that_are_taken_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    titles: list[list[str]] = []

    def kept(figure: Any) -> bytes:
        titles.append([axes.get_title(loc="left") for axes in figure.axes])
        return b"png"

    monkeypatch.setattr(style, "png", kept)
    layers = ["dense(8)", "relu", "dropout(0.5)", "gaussian_noise(0.1)", "dense(10)"]
    net = Model(config(layers=layers, epochs=1)).fit()
    names = [file.stem for file in net.pictures(tmp_path)]
    apart = titles[names.index("taken_apart")]
    assert apart[1:-1] == ["dense(units=8)", "relu", "dense(units=10)"]


def test_pictures_need_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "png", lambda figure: b"png")
    x = np.random.default_rng(0).normal(size=(60, 2))
    net = Model(layers=mlp([2, 4, 2]), epochs=1, batch=10).fit(x, (x[:, 0] > 0).astype(int))
    names = {file.stem for file in net.pictures(tmp_path / "xor", over_time=True)}
    assert {"boundary", "weights_over_time"} <= names
    loaded = harness.load_model(net.save(tmp_path / "net"))
    with pytest.raises(UsageError, match="learned from data that are not kept; train it again"):
        loaded.pictures(tmp_path / "none")
