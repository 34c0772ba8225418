"""Regression and two classes from end to end: trained, scored, asked, saved, weighed, swept."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness
from harness import Model, load_model
from harness.builtin.layers import mlp
from harness.config import Config
from harness.data import Dataset, load, split
from harness.errors import UsageError
from harness.studies.sweep import Sweep
from harness.training.prepare import prepare
from harness.training.segment import segment


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One root for the sweeps of this file, since to make a store takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_ROOT", str(tmp_path_factory.mktemp("home")))
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
            patch.delenv(name, raising=False)
        yield


@harness.dataset()
def threes_and_eights(rows: int = 4000, eights: int | None = None) -> Dataset:
    """The 3 and 8 among the first `rows` of MNIST at half the resolution, with at most so many 8"""
    source = load(f"mnist14(rows={rows})")

    def part(x: np.ndarray, y: np.ndarray, most: int | None) -> tuple[np.ndarray, np.ndarray]:
        kept = np.sort(np.concatenate([np.flatnonzero(y == 3), np.flatnonzero(y == 8)[:most]]))
        return x[kept], (y[kept] == 8).astype(np.int64)

    assert source.x_test is not None
    assert source.y_test is not None
    (x, y), (x_test, y_test) = (
        part(source.x, source.y, eights),
        part(source.x_test, source.y_test, None),
    )
    return Dataset("threes and eights", x, y, ("3", "8"), (14, 14), x_test, y_test)


def digits(**changes: Any) -> Config:
    """Two digits, one output."""
    given: dict[str, Any] = {
        **{
            "data": "threes_and_eights",
            "layers": mlp([196, 20, 1], init="he"),
            "loss": "binary_cross_entropy",
        },
        **{"update": "sgd(0.3)", "batch": 20, "epochs": 4, "film": None},
    }
    return Config(**given | changes)


def friedman(**changes: Any) -> Config:
    given: dict[str, Any] = {
        **{
            "data": "friedman1(rows=2000)",
            "layers": mlp([10, 30, 1], init="he"),
            "loss": "squared_error",
        },
        **{
            "metric": "rmse",
            "scale": "standardize",
            "valid": 0.3,
            "batch": 20,
            "epochs": 40,
            "film": None,
        },
        **{"update": "adam(cosine(0.02))"},
    }
    return Config(**given | changes)


def run(config: Any) -> Any:
    first = config[0] if isinstance(config, list) else config
    return segment(config, prepare(first))


def line(x: np.ndarray, y: np.ndarray, x_new: np.ndarray) -> np.ndarray:
    """What least squares predicts for x_new."""
    rows, new = (np.c_[each.astype(np.float64), np.ones(len(each))] for each in (x, x_new))
    return new @ np.linalg.lstsq(rows, y.astype(np.float64), rcond=None)[0]


def rmse(p: np.ndarray, y: np.ndarray) -> float:
    return float(np.sqrt(np.mean((p - y) ** 2)))


# Regression ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["squared_error", "huber", "huber(delta=0.3)"])
def test_a_regression_is_better_than_a_line(loss: str) -> None:
    """The noise alone has an RMSE of 1, a line 2.8 here and 2.6 on fresh rows."""
    source = load("friedman1(rows=2000)")
    train, valid = split(source, 0.3, 0)
    straight = rmse(line(source.x[train], source.y[train], source.x[valid]), source.y[valid])
    net = Model(friedman(loss=loss)).fit()
    assert straight > 2.5
    assert net.history[-1]["valid/rmse"] < 0.6 * straight
    fresh = load("friedman1(rows=500, seed=1)")
    p = net.predict(fresh.x)
    assert p.shape == (500, 1)
    assert rmse(p, fresh.y) == pytest.approx(net.score(fresh.x, fresh.y), rel=1e-6)
    assert net.score(fresh.x, fresh.y) < 0.6 * rmse(
        line(source.x[train], source.y[train], fresh.x), fresh.y
    )


def test_huber_is_not_led_astray_by_outliers() -> None:
    """A tenth of the targets is 40 too high: the mean of the errors follows, their median
    hardly.
    """
    source = load("friedman1(rows=2000)")
    fresh = load("friedman1(rows=500, seed=1)")
    y = source.y.copy()
    y[::10] += 40.0
    found = {
        loss: Model(friedman(loss=loss)).fit(source.x, y) for loss in ("squared_error", "huber")
    }
    scores = {loss: net.score(fresh.x, fresh.y) for loss, net in found.items()}
    assert scores["huber"] < 0.5 * scores["squared_error"]


def test_two_targets_and_members_whose_deltas_differ() -> None:
    """Huber's delta is a scalar: members of a population may differ in it, and equal each alone."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 3)).astype(np.float32)
    source = Dataset(
        "two targets", x, np.c_[x[:, :1] * x[:, 1:2], np.abs(x[:, 2:])].astype(np.float32)
    )
    configs = [
        friedman(
            layers=mlp([3, 20, 2], activation="tanh"),
            loss=f"huber({delta})",
            epochs=3,
            metric="r2",
            seed=seed,
        )
        for seed, delta in enumerate((0.1, 1.0))
    ]
    assert len({c.shape_key() for c in configs}) == 1
    data = prepare(configs[0], source)
    states, records = segment(configs, data)
    for config, state, record in zip(configs, states, records, strict=True):
        alone, known = segment(config, data)
        np.testing.assert_array_equal(state["theta"], alone["theta"])
        assert [r.metrics for r in record] == [r.metrics for r in known]


def test_answers_that_are_no_classes() -> None:
    """Several questions of yes or no at once: rows of 0 and 1 are a regression to probabilities."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, 4)).astype(np.float32)
    y = (x[:, :3] + x[:, 1:] > 0).astype(np.float32)
    given = {"loss": "binary_cross_entropy", "metric": "mae", "epochs": 20, "update": "adam(0.02)"}
    net = Model(friedman(layers=mlp([4, 20, 3]), **given)).fit(x, y)
    p = net.predict(x)
    assert p.shape == (600, 3)
    assert ((p >= 0) & (p <= 1)).all()
    assert np.mean((p > 0.5) == y) > 0.97
    assert abs(p.sum(axis=1) - 1).max() > 0.5  # each a question of its own
    one = Model(friedman(layers=["dense(1)"], **given)).fit(x, y[:, :1])
    assert one.predict(x).shape == (600, 1)
    assert np.mean((one.predict(x) > 0.5) == y[:, :1]) > 0.97


# Two classes --------------------------------------------------------------------------------------

ENDS = [
    ("binary_cross_entropy", 1),
    ("binary_cross_entropy", 2),
    ("softmax_cross_entropy", 2),
    ("softmax_cross_entropy(label_smoothing=0.1)", 2),
    ("focal", 2),
    ("hinge", 2),
    ("hinge(p=2)", 2),
]


@pytest.mark.parametrize(("loss", "outputs"), ENDS)
def test_two_digits_are_told_apart(loss: str, outputs: int) -> None:
    net = Model(digits(loss=loss, layers=mlp([196, 20, outputs], init="he"), epochs=8)).fit()
    source = load("threes_and_eights")
    assert source.x_test is not None
    assert source.y_test is not None
    p = net.predict_proba(source.x_test)
    assert p.shape == (len(source.y_test), 2)
    chosen = net.predict(source.x_test)
    np.testing.assert_array_equal(chosen, np.array([3, 8])[p.argmax(axis=1)])
    right = float(np.mean(chosen == np.array([3, 8])[source.y_test]))
    assert net.score() == pytest.approx(right)
    assert right > 0.91
    assert net.history[-1]["valid/accuracy"] > 0.9


def test_one_output_gives_both_probabilities() -> None:
    """Their sum is 1, the loss is the metric log_loss, and they are those of the output taken by
    hand.
    """
    net = Model(digits(metric="log_loss")).fit()
    assert net["2/W"].shape == (20, 1)
    assert net.history[-1]["valid/log_loss"] == pytest.approx(
        net.history[-1]["valid/loss"], rel=1e-5
    )
    source = load("threes_and_eights")
    p = net.predict_proba(source.x)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-6)
    h = source.x
    for layer in net.layers:
        h = layer(h)
    assert h.shape == (len(source.x), 1)
    np.testing.assert_array_equal(net.output(h), p)
    np.testing.assert_allclose(p[:, 1], 1 / (1 + np.exp(-h[:, 0].astype(np.float64))), rtol=1e-5)


def test_one_output_is_saved_and_goes_on(tmp_path: Path) -> None:
    source = load("threes_and_eights")
    net = Model(digits(epochs=1)).fit()
    again = load_model(net.save(tmp_path / "digits"))
    np.testing.assert_array_equal(again.predict_proba(source.x), net.predict_proba(source.x))
    assert list(again.classes) == [3, 8]
    for each in (net, again):
        each.fit(epochs=1)
        each.partial_fit(source.x[:7], np.array([3, 8])[source.y[:7]])
    np.testing.assert_array_equal(again["2/W"], net["2/W"])


def test_one_output_learns_row_by_row_and_from_words() -> None:
    source = load("threes_and_eights")
    words = np.array(["three", "eight"])[source.y]
    config = digits(scale="/255", layers=["dense(1)"], update="sgd(0.05)")
    online = Model(config)
    for x, y in zip(np.split(source.x[:760], 38), np.split(words[:760], 38), strict=True):
        online.partial_fit(x, y, classes=["three", "eight"])
    assert list(online.classes) == ["eight", "three"]
    assert online.score(source.x, words) > 0.85
    assert Model(config).fit(source.x, words).score(source.x, words) > 0.9


def test_members_with_one_output_equal_each_alone() -> None:
    configs = [
        digits(seed=seed, update=f"sgd({rate})", epochs=2)
        for seed, rate in ((0, 0.1), (1, 0.3), (2, 0.5))
    ]
    states, records = run(configs)
    for config, state, record in zip(configs, states, records, strict=True):
        alone, known = run(config)
        np.testing.assert_array_equal(state["theta"], alone["theta"])
        assert [r.metrics for r in record] == [r.metrics for r in known]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"loss": "softmax_cross_entropy"},
            "softmax_cross_entropy needs at least 2 outputs, got 1",
        ),
        (
            {"loss": "squared_error"},
            "the last layer gives 1 outputs but data set 'threes and eights' has 2 classes",
        ),
        (
            {"data": "mnist14"},
            "the last layer gives 1 outputs but data set 'mnist14' has 10 classes; end with "
            "dense(10)",
        ),
        (
            {"layers": ["dense(3)"]},
            "the last layer gives 3 outputs but data set 'threes and eights' has 2 classes",
        ),
    ],
)
def test_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        run(digits(**changes))
    assert str(caught.value).startswith(sentence)


# Classes of unequal size --------------------------------------------------------------------------


@pytest.mark.parametrize(("loss", "outputs"), [end for end in ENDS if "smoothing" not in end[0]])
def test_balanced_weights_see_the_rare_class(loss: str, outputs: int) -> None:
    """25 of 633 digits are an 8: a network that has seen them five times takes most for a 3, unless
    they weigh more.
    """
    scores = {}
    for weight in (None, "balanced"):
        config = digits(
            data="threes_and_eights(rows=6000, eights=25)",
            layers=[f"dense({outputs}, init=he)"],
            loss=loss,
            update="sgd(0.1)",
            epochs=5,
            metric="balanced_accuracy",
            class_weight=weight,
        )
        scores[weight] = Model(config).fit().score()
    assert scores["balanced"] > 0.8
    assert scores["balanced"] > scores[None] + 0.05


def test_balanced_weights_by_hand_with_one_output() -> None:
    """Zero weights, one full batch, rate 1: db = mean of w (p - t) with p = 1/2 and w = N / (2
    N_class) is 0.
    """
    given: dict[str, Any] = {
        **{
            "data": "threes_and_eights(rows=6000, eights=25)",
            "layers": ["dense(1, init=zeros)"],
            "update": "sgd(1.0)",
        },
        **{"batch": "full", "epochs": 1, "dtype": "float64"},
    }
    plain, weighted = (
        Model(digits(class_weight=w, **given)).fit()["0/b"].item() for w in (None, "balanced")
    )
    source = load(given["data"])
    y = source.y[split(source, 0.2, 0)[0]]
    assert plain == pytest.approx(y.mean() - 0.5, rel=1e-12)
    assert weighted == pytest.approx(0.0, abs=1e-12)


# Sweeps -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("home")
def test_a_sweep_over_the_ends_of_a_network() -> None:
    """One and two outputs in one sweep; what comes out is what segment gives for each config."""
    made: dict[str, Config] = {}

    def space(trial: Any) -> Config:
        end = trial.suggest_categorical(
            "end", ["binary_cross_entropy 1", "binary_cross_entropy 2", "hinge 2"]
        )
        loss, outputs = end.split()
        made[end] = digits(
            loss=loss, layers=mlp([196, 10, int(outputs)]), epochs=2, metric="balanced_accuracy"
        )
        return made[end]

    result = Sweep(space, "ends", sampler="BruteForceSampler", trials=3).run()
    frame = harness.results("ends")
    assert sorted(frame["params.end"]) == sorted(made)
    assert set(frame["state"]) == {"COMPLETE"}
    for end, value in zip(frame["params.end"], frame["valid/balanced_accuracy"], strict=True):
        assert value == run(made[end])[1][-1].metrics["valid/balanced_accuracy"]
        assert value > 0.85
    assert result.best is not None
    assert result.best.result.value == frame["valid/balanced_accuracy"].max()


@pytest.mark.usefixtures("home")
def test_a_sweep_of_a_regression() -> None:
    """The least RMSE is the best; deltas of huber share a population."""

    def space(trial: Any) -> Config:
        delta = trial.suggest_float("delta", 0.01, 1.0, log=True)
        return friedman(loss=f"huber({delta})", epochs=10, update="adam(0.01)")

    result = Sweep(space, "regression", sampler="RandomSampler", trials=4, population=4).run()
    frame = harness.results("regression")
    assert set(frame["state"]) == {"COMPLETE"}
    assert result.best is not None
    assert result.best.result.value == frame["valid/rmse"].min()
    assert frame["valid/rmse"].max() < 4.9  # the spread of the targets
    assert frame["valid/rmse"].nunique() == 4
