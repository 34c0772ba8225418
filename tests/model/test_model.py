"""The user's own handle on one network: training and going on, single steps, answers, parts, files,
refusals.
"""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

from harness import Model, load_model, registry
from harness.builtin.layers import mlp
from harness.config import Config
from harness.data import from_arrays, load
from harness.errors import UsageError
from harness.registry import known
from harness.storage import files
from harness.storage.bundle import Bundle, pack, unpack
from harness.training.prepare import prepare
from harness.training.segment import segment

SMALL = {"data": "mnist14(rows=500)", "batch": 50, "epochs": 2, "eval_batch": 64}


def digits(**changes: Any) -> Model:
    return Model(**{"layers": mlp([196, 20, 10]), "update": "sgd(0.5)", **SMALL, **changes})


def points(n: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three clouds in four dimensions, and which cloud."""
    random = np.random.default_rng(seed)
    k = np.arange(n) % 3
    return random.normal(size=(n, 4)) + 4 * np.eye(4)[k], k


def clouds(**changes: Any) -> Model:
    return Model(
        **{
            "layers": mlp([4, 6, 3]),
            "update": "sgd(0.1)",
            "batch": 10,
            "epochs": 3,
            "eval_batch": 32,
            **changes,
        }
    )


def refusal(*words: str) -> Any:
    """A UsageError of one line in which every word occurs."""
    return pytest.RaisesExc(
        UsageError, check=lambda e: "\n" not in str(e) and all(word in str(e) for word in words)
    )


def same(a: Model, b: Model) -> bool:
    """Whether two models have the same weights, bit for bit."""
    return list(a.weights) == list(b.weights) and all(
        a[name].tobytes() == b[name].tobytes() for name in a.weights
    )


def course(net: Model) -> list[dict[str, float]]:
    return [{k: v for k, v in epoch.items() if not k.startswith("time/")} for epoch in net.history]


def saved(net: Model, folder: Path) -> dict[str, Any]:
    """The state of a model, as its file has it."""
    path = net.save(folder / "state")
    about, arrays = unpack("network", path.read_bytes(), path)
    return {**about["state"], **arrays}


def filmed_steps(net: Model, folder: Path) -> list[int]:
    """The steps of the frames of a film, as its page shows them."""
    page = net.film(folder / "film.html", zoom=1).read_text()
    return json.loads(re.search(r"const film = (.*);\n", page)[1])["steps"]


# Training -----------------------------------------------------------------------------------------


def test_fit_is_the_fold():
    net = digits().fit()
    state, records = segment(net.config, prepare(net.config))
    np.testing.assert_array_equal(
        np.concatenate([w.ravel() for w in map(net.__getitem__, ("0/W", "2/W", "0/b", "2/b"))]),
        state["theta"],
    )
    assert [epoch["valid/accuracy"] for epoch in net.history] == [
        r.metrics["valid/accuracy"] for r in records
    ]
    assert [epoch["step"] for epoch in net.history] == [8, 16]
    assert (net.epoch, net.steps) == (2, 16)
    assert (
        repr(net)
        == "Model(dense(units=20) > relu > dense(units=10); sgd(learning_rate=0.5); 2 epochs, 16 "
        "steps)"
    )


def test_a_config_and_keywords_are_one():
    config = Config(layers=mlp([196, 20, 10]), update="sgd(0.5)", **SMALL)
    assert Model(config).config == digits().config
    assert Model(config, epochs=5).config == config.replace(epochs=5)


@pytest.mark.parametrize("select", ["last", "best"])
@pytest.mark.parametrize("update", ["adam(0.01)", "compose(clip_norm(1.0), momentum(0.1))"])
def test_one_and_two_epochs_are_three(update: str, select: str, tmp_path: Path):
    layers = mlp([196, 20, 10], dropout=(0.1, 0.3))
    parts, whole = (
        digits(layers=layers, update=update, select=select, patience=9) for _ in range(2)
    )
    parts.fit(epochs=1)
    parts.fit(epochs=2)
    whole.fit(epochs=3)
    assert same(parts, whole)
    assert course(parts) == course(whole)
    first = saved(parts, tmp_path)
    second = saved(whole, tmp_path)
    assert list(first) == list(second)
    assert all(np.array_equal(first[key], second[key]) for key in first)
    losses = [epoch["train/loss"] for epoch in whole.history]
    assert len(set(losses)) == 3  # another order of the data in each epoch
    # An order repeated would give the second epoch the masks and batches of the first
    again = digits(layers=layers, update=update, select=select, patience=9).fit(epochs=1)
    assert again.history[0]["train/loss"] == losses[0]


def test_a_schedule_spreads_over_all_epochs_asked_for(tmp_path: Path):
    net = digits(update={"name": "sgd", "learning_rate": "linear(0.4, 0.2)"}).fit(epochs=1)
    first = saved(net, tmp_path)["rule/learning_rate"]
    net.fit(epochs=1)
    assert first == 0.4 - 0.2 * 7 / 8  # at the last of 8 steps
    assert saved(net, tmp_path)["rule/learning_rate"] == pytest.approx(
        0.4 - 0.2 * 15 / 16, rel=1e-12
    )
    net.partial_fit(np.zeros((1, 196)), [0])
    assert saved(net, tmp_path)["rule/learning_rate"] == 0.4
    net.partial_fit(np.zeros((1, 196)), [0], fraction=0.5)
    assert saved(net, tmp_path)["rule/learning_rate"] == pytest.approx(0.3)


def test_early_stopping_ends_a_fit_and_the_next_goes_on():
    net = clouds(patience=1, update="sgd(3.0)", epochs=50).fit(*points())
    stopped = net.epoch
    assert stopped < 50
    assert net.history[-1]["valid/loss"] >= min(epoch["valid/loss"] for epoch in net.history)
    net.fit(*points(), epochs=1)
    assert net.epoch == stopped + 1


def test_best_weights_predict_and_the_last_go_on():
    net = clouds(select="best", metric="log_loss", update="sgd(6.0)", epochs=12, seed=1).fit(
        *points()
    )
    values = [epoch["valid/log_loss"] for epoch in net.history]
    best = int(np.argmin(values)) + 1
    assert best < 12  # or this shows nothing
    short = clouds(metric="log_loss", update="sgd(6.0)", seed=1).fit(*points(), epochs=best)
    assert same(net, short)
    assert not same(
        net, clouds(metric="log_loss", update="sgd(6.0)", seed=1).fit(*points(), epochs=12)
    )
    # A single step starts from the weights that are shown
    assert same(net.partial_fit([[1, 2, 3, 4]], [0]), short.partial_fit([[1, 2, 3, 4]], [0]))


def test_other_data_keep_classes_and_scaling(tmp_path: Path):
    x, k = points()
    net = clouds(scale="standardize").fit(x, np.array(["a", "b", "c"])[k])
    before = net["0/W"]
    steps = net.steps
    sample = net.scaled(x[:5])
    net.fit(10 * x[:40], np.array(["c", "b", "a"])[k[:40]], epochs=1)
    assert net.classes.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(net.scaled(x[:5]), sample)
    assert not np.array_equal(net["0/W"], before)
    # 32 training rows in batches of 10, 10, 10 and 2
    assert (net.epoch, net.steps) == (4, steps + 4)
    assert net.history[-1]["step"] == net.steps
    recorded = filmed_steps(net, tmp_path)
    assert recorded == sorted(set(recorded))
    assert recorded[-1] == net.steps


def test_the_best_epoch_is_one_of_the_data_at_hand(tmp_path: Path):
    x, k = points()
    net = clouds(select="best", patience=2, epochs=20).fit(x, k)
    assert saved(net, tmp_path)["best/value"] > 0.9
    # Where no epoch is as good as that
    net.fit(x, np.random.default_rng(0).permutation(k), epochs=2)
    state = saved(net, tmp_path)
    assert state["best/epoch"] > net.epoch - 2
    assert state["best/value"] < 0.9


def test_scaling_is_that_of_the_training_part():
    x, k = points()
    net = clouds(scale="standardize").fit(x, k)
    train = prepare(net.config, from_arrays("same", x, k)).x
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-6)
    inside = {row.tobytes() for row in net.scaled(x)}
    assert all(row.tobytes() in inside for row in train)


# Single steps -------------------------------------------------------------------------------------


def test_partial_fit_is_one_step_of_sgd():
    # "no" is class 0. W = 0, b = 0, x = (1, 2, 3): p = (1/2, 1/2), db = p - t = (-1/2, 1/2), dW =
    # x^T db
    net = Model(layers=['dense(2, init="zeros")'], update="sgd(0.1)", dtype="float64")
    net.partial_fit([[1, 2, 3]], ["no"], classes=["yes", "no"])
    np.testing.assert_allclose(net["0/W"], [[0.05, -0.05], [0.1, -0.1], [0.15, -0.15]], rtol=1e-14)
    np.testing.assert_allclose(net["0/b"], [[0.05, -0.05]], rtol=1e-14)
    assert (net.steps, net.epoch, net.history) == (1, 0, [])
    # Two rows: the gradient is the mean over them
    x = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, -1.0]])
    t = np.array([[0.0, 1.0], [1.0, 0.0]])
    W = net["0/W"]
    b = net["0/b"]
    e = np.exp(x @ W + b)
    dy = (e / e.sum(axis=1, keepdims=True) - t) / 2
    net.partial_fit(x, ["yes", "no"])
    np.testing.assert_allclose(net["0/W"], W - 0.1 * x.T @ dy, rtol=1e-13)
    np.testing.assert_allclose(net["0/b"], b - 0.1 * dy.sum(axis=0, keepdims=True), rtol=1e-13)


def test_partial_fit_of_a_regression_and_of_pixels():
    net = Model(
        layers=['dense(1, init="zeros")'],
        loss="squared_error",
        metric="rmse",
        update="sgd(0.5)",
        dtype="float64",
    )
    net.partial_fit([[2.0]], [3.0])  # dy = 0 - 3
    assert (net["0/W"].item(), net["0/b"].item()) == (3.0, 1.5)
    assert net.predict([[1.0], [0.0]]).tolist() == [[4.5], [1.5]]
    bytes_ = Model(layers=["dense(2)"]).partial_fit(
        np.full((1, 3), 255, np.uint8), [0], classes=range(2)
    )
    assert bytes_.scaled([[51, 0, 255]]).tolist() == [[np.float32(0.2), 0.0, 1.0]]


def test_partial_fit_learns_online_and_starts_as_fit_does():
    x, k = points(300)
    net = clouds()
    fitted = clouds().fit(x, k, epochs=1)
    start = clouds().partial_fit(np.zeros((1, 4)), [0], classes=range(3))
    # X = 0 moves biases alone
    state, _ = segment(fitted.config, prepare(fitted.config, from_arrays("clouds", x, k)), None, 1)
    np.testing.assert_array_equal(start["0/W"], state["film/frames"][0])
    for row in range(200):
        net.partial_fit(x[row : row + 1], k[row : row + 1], classes=[2, 1, 0])
    assert net.score(x[200:], k[200:]) > 0.9
    net.fit(x, k)  # and it may go on in epochs
    assert (net.epoch, net.steps) == (3, 200 + 3 * 24)


def test_masks_of_single_steps_differ_and_are_reproduced():
    def after(resets: int) -> np.ndarray:
        """W after one step from zeros, which is step number `resets`."""
        net = Model(layers=["dropout(0.5)", 'dense(2, init="zeros")'])
        for _ in range(resets):
            net.partial_fit(np.ones((1, 50)), [0], classes=[0, 1])
            net["1/W"] = np.zeros((50, 2))
            net["1/b"] = np.zeros((1, 2))
        return net.partial_fit(np.ones((1, 50)), [0], classes=[0, 1])["1/W"]

    np.testing.assert_array_equal(after(0), after(0))
    np.testing.assert_array_equal(after(1), after(1))
    assert not np.array_equal(after(0), after(1))
    # Kept inputs are doubled: 0.1 * 2 * 1/2
    assert set(np.unique(after(0)[:, 0])) == {0.0, np.float32(0.1)}


# Answers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["ann", "bob", "cy"], "U"),
        ([7, -3, 100], "i"),
        ([1.0, 2.0, 5.0], "f"),
        ([b"x", b"y", b"z"], "U"),
    ],
)
def test_labels_come_back_as_they_were(names: list[Any], kind: str):
    x, k = points()
    y = np.array(names)[k]
    net = clouds(epochs=10).fit(x, y)
    found = net.predict(x)
    assert found.dtype.kind == kind
    assert net.score(x, y) == np.mean(found == (y if kind != "U" else y.astype(str))) > 0.9
    assert net.classes.tolist() == sorted(n.decode() if isinstance(n, bytes) else n for n in names)
    np.testing.assert_array_equal(found, net.classes[net.predict_proba(x).argmax(axis=1)])


def test_labels_of_data_sets():
    net = digits().fit()
    assert net.predict(load("mnist14").x_test[:3]).dtype == np.int64
    x, k = points()
    padded = from_arrays("padded", x, k, classes=["01", "2", "3"])
    # Not all are whole numbers as one writes them
    assert clouds().fit(padded).classes.tolist() == ["01", "2", "3"]
    text = np.array(list("0123456789"))
    online = digits().partial_fit(np.zeros((1, 196), np.uint8), ["3"], classes=text)
    online.fit(load("mnist14(rows=500)"), epochs=1)
    assert online.classes.tolist() == text.tolist()  # as they were first given
    yes = clouds(layers=mlp([4, 2])).fit(x, k == 0)
    assert yes.predict(x).dtype == bool


def test_probabilities_and_scores():
    net = digits().fit()
    test = load("mnist14(rows=500)")
    p = net.predict_proba(test.x_test)
    assert p.shape == (1000, 10)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-6)
    right = p[np.arange(1000), test.y_test]
    assert net.score() == np.mean(net.predict(test.x_test) == test.y_test) > 0.5
    assert net.score(metric="log_loss") == pytest.approx(-np.mean(np.log(right.astype(float))))
    pictures = test.x_test.reshape(-1, 14, 14)
    assert (
        net.score(pictures, test.y_test)
        == net.score(list(pictures), [str(k) for k in test.y_test])
        == net.score()
    )
    assert net.predict_proba(test.x_test[:0]).shape == (0, 10)
    # Padded, so to the last bit
    np.testing.assert_array_equal(net.predict_proba(test.x_test[:3]), p[:3])


def test_regression():
    data = load("friedman1(rows=400)")
    changes = {
        "loss": "squared_error",
        "metric": "r2",
        "scale": "standardize",
        "epochs": 20,
        "batch": 20,
    }
    net = Model(
        layers=mlp([10, 30, 1], activation="tanh"),
        data="friedman1(rows=400)",
        update="momentum(0.01)",
        **changes,
    ).fit()
    fresh = load("friedman1(rows=200, seed=1)")
    found = net.predict(fresh.x)
    assert found.shape == (200, 1)
    residual = ((found - fresh.y) ** 2).sum() / ((fresh.y - fresh.y.mean()) ** 2).sum()
    assert net.score(fresh.x, fresh.y) == pytest.approx(1 - residual)
    assert 1 - residual > 0.7
    assert net.score(fresh.x, fresh.y[:, 0], metric="rmse") == pytest.approx(
        np.sqrt(np.mean((found - fresh.y) ** 2))
    )
    assert net.classes is None
    arrays = Model(net.config).fit(data.x, data.y[:, 0])
    assert same(arrays, net)
    h = fresh.x
    for f in net.layers:
        h = f(h)
    np.testing.assert_array_equal(net.output(h), found)
    with refusal("no test part"):
        net.score()
    with refusal("test part", "arrays", "x and y"):
        arrays.score()
    with refusal("classification", "predict"):
        net.predict_proba(data.x)


# Parts --------------------------------------------------------------------------------------------

NETWORKS = {
    "plain": mlp([196, 30, 20, 10]),
    "none hidden": mlp([196, 10]),
    "dropout": mlp([196, 30, 10], activation="tanh", dropout=(0.2, 0.5)),
    "residual": mlp(
        [196, 30, 30, 10], activation="leaky_relu(slope=0.1)", kinds=["dense", "residual", "dense"]
    ),
    "no bias": ["dense(12, bias=False)", "sigmoid", "dense(10)"],
}


@pytest.mark.parametrize("rows", [1, 64, 200])
@pytest.mark.parametrize("kind", NETWORKS)
def test_piping_through_the_layers_is_predict(kind: str, rows: int):
    net = digits(layers=NETWORKS[kind], epochs=1, select="best", scale="standardize").fit()
    x = load("mnist14").x_test[:rows]
    h = x
    for f in net.layers:
        h = f(h)
    np.testing.assert_array_equal(net.output(h), net.predict_proba(x))
    assert [f.spec for f in net.layers] == net.config.layers
    assert [f.features for f in net.layers][1:] == [f.outputs for f in net.layers][:-1]


def test_layers_of_the_best_epoch_have_its_running_means():
    layers = ["dense(20)", "batch_norm", "relu", "dense(10)"]
    net = digits(layers=layers, epochs=5, select="best", update="sgd(learning_rate=20.0)").fit()
    accuracies = [record["valid/accuracy"] for record in net.history]
    assert max(accuracies) > accuracies[-1]  # so the best epoch is not the last one
    x = load("mnist14").x_test[:64]
    h = x
    for f in net.layers:
        h = f(h)
    np.testing.assert_array_equal(net.output(h), net.predict_proba(x))


def test_a_layer_by_hand():
    net = digits().fit()
    x = load("mnist14").x_test[:7]
    first, relu, last = net.layers
    np.testing.assert_array_equal(net.scaled(x), x.astype(np.float32) / np.float32(255))
    z = net.scaled(x) @ net["0/W"] + net["0/b"]
    np.testing.assert_allclose(first(x), z, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(
        relu([[-1.0, 0.0] * 10, [2.0, -0.5] * 10]), [[0.0, 0.0] * 10, [2.0, 0.0] * 10]
    )
    assert repr(first) == "dense(units=20): 196 -> 20"
    kept = last(np.ones((1, 20)))
    net["2/b"] = net["2/b"] + 1
    # A layer is as it was when it was asked for
    np.testing.assert_array_equal(last(np.ones((1, 20))), kept)
    np.testing.assert_allclose(net.layers[2](np.ones((1, 20))), kept + 1, rtol=1e-5)


def test_names_of_weights():
    net = digits(layers=NETWORKS["residual"], epochs=1).fit()
    shapes = {name: w.shape for name, w in net.weights.items()}
    assert shapes == {
        "0/W": (196, 30),
        "0/b": (1, 30),
        "2/body/0/W": (30, 30),
        "2/body/0/b": (1, 30),
        "3/W": (30, 10),
        "3/b": (1, 10),
    }
    assert list(shapes) == ["0/W", "0/b", "2/body/0/W", "2/body/0/b", "3/W", "3/b"]
    deep = digits(layers=[*["dense(4)"] * 11, "dense(10)"], epochs=1, update="sgd(1e-4)").fit()
    assert [name for name in deep.weights if name.endswith("W")] == [f"{k}/W" for k in range(12)]


def test_weights_are_copies_and_can_be_set():
    net = digits(epochs=1, select="best").fit()
    old = net["2/W"]
    with pytest.raises(ValueError, match="read-only"):
        old[0] = 1
    net["2/W"] = np.zeros((20, 10))
    net["2/b"] = np.arange(10).reshape(1, 10)
    assert old.any()
    assert not net["2/W"].any()
    assert net.predict(np.zeros((2, 196))).tolist() == [9, 9]
    twin = digits(epochs=1).fit()
    for name in net.weights:
        twin[name] = net[name]
    net.fit(epochs=1)
    assert same(net, twin.fit(epochs=1))  # training goes on from what was set
    with refusal("'2/W'", "(20, 10)", "(10, 20)"):
        net["2/W"] = np.zeros((10, 20))
    with refusal("finite"):
        net["2/b"] = np.full((1, 10), np.inf)
    with refusal("no parameter '1/W'", "0/W"):
        net["1/W"]
    with refusal("no parameter"):
        net["9"] = 0


def test_film(tmp_path: Path):
    net = digits(film="film(every=4, zoom=2)").fit()
    begins = {".gif": b"GIF89a", ".png": b"\x89PNG", ".html": b"<!doctype html>"}
    for suffix, start in begins.items():
        assert net.film(tmp_path / "deep" / f"w{suffix}").read_bytes().startswith(start)
    assert net.film(tmp_path / "w.mp4", fps=5).read_bytes()[4:8] == b"ftyp"
    assert b'"steps":[0,4,8,12,16]' in (tmp_path / "deep" / "w.html").read_bytes()
    net.film(tmp_path / "half.html", every=8, columns=4)
    assert b'"steps":[0,8,16]' in (tmp_path / "half.html").read_bytes()

    from PIL import Image

    with Image.open(tmp_path / "deep" / "w.png") as picture:
        # 20 tiles of 14 x 14 with gaps between them, twice as large
        assert picture.size == (2 * (5 * 15 - 1), 2 * (4 * 15 - 1))
    net.film(tmp_path / "one.png", zoom=1, columns=20)
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.size == (20 * 15 - 1, 14)
    for words, path, settings in [
        (("no setting 'colums'", "columns"), "w.gif", {"colums": 2}),
        ((".avi",), "w.avi", {}),
        (("every", "0"), "w.gif", {"every": 0}),
    ]:
        with refusal(*words):
            net.film(tmp_path / path, **settings)
    unfilmed = digits(film=None).fit()
    with refusal("frames", "got none"):
        unfilmed.film(tmp_path / "w.gif", every=1000, fps=3)


# Files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("select", ["last", "best"])
@pytest.mark.parametrize("update", ["adam(0.01)", "momentum(0.1)"])
def test_a_loaded_model_is_the_saved_one(tmp_path: Path, update: str, select: str):
    layers = mlp([4, 8, 3], dropout=0.2)
    net = clouds(layers=layers, update=update, scale="standardize", select=select, patience=20)
    x, k = points()
    y = np.array(["low", "mid", "top"])[k]
    net.fit(x, y)
    path = net.save(tmp_path / "new" / "v1.2")
    assert [p.name for p in path.parent.iterdir()] == ["v1.2.npz"]
    for name in ("v1.2", "v1.2.npz"):
        other = load_model(path.parent / name)
        assert other.predict_proba(x).tobytes() == net.predict_proba(x).tobytes()
        assert other.predict(x).tolist() == net.predict(x).tolist()
        assert (other.config, other.history, repr(other)) == (net.config, net.history, repr(net))
        state = saved(net, tmp_path)
        again = saved(other, tmp_path)
        assert list(state) == list(again)
        assert all(np.array_equal(state[key], again[key]) for key in state)
        assert {"lowest", "waited"} < set(state)
        assert other.classes.dtype == net.classes.dtype
    for one in (net, other):
        one.fit(x, y, epochs=2)
        one.partial_fit(x[:7], y[:7])
        one.partial_fit(x[:1], y[:1])
    between = load_model(net.save(tmp_path / "between"))
    for one in (net, other, between):
        one.partial_fit(x[:1], y[:1])
        one.fit(x, y, epochs=1)
    assert same(net, other)
    assert same(net, between)
    assert course(net) == course(other) == course(between)


def test_the_file_holds_what_it_says(tmp_path: Path):
    net = digits(epochs=1).fit()
    path = net.save(tmp_path / "a")
    about, arrays = unpack("network", path.read_bytes(), path)
    assert path.read_bytes()[-64:].decode() == hashlib.sha256(path.read_bytes()[:-64]).hexdigest()
    assert Config.from_json(json.dumps(about["config"])) == net.config
    assert about["classes"]["labels"] == list(range(10))
    assert about["scaling"] == {"shift": 0.0, "divisor": 255.0}
    assert about["weights"] == {"0/W": [196, 20], "0/b": [1, 20], "2/W": [20, 10], "2/b": [1, 10]}
    assert about["data"]["digest"] == load("mnist14(rows=500)").digest
    assert (about["shape"], about["versions"]["numpy"]) == ([14, 14], np.__version__)
    assert np.shape(about["example"]["rows"]) == (3, 196)
    np.testing.assert_array_equal(arrays["theta"][: 196 * 20].reshape(196, 20), net["0/W"])
    # NumPy alone reads it too.
    with np.load(path, allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["theta"], arrays["theta"])
    again = net.save(tmp_path / "b.npz")
    assert again == tmp_path / "b.npz"
    assert again.read_bytes() == path.read_bytes()
    other = load_model(path)
    assert other.score() == net.score()  # of the config's own data set
    with refusal("film", "frames"):
        other.film(tmp_path / "w.gif")
    assert other.fit(epochs=1).film(tmp_path / "w.gif").is_file()


def test_a_test_part_that_has_changed_is_refused(tmp_path: Path):
    x, k = points()
    np.savez(tmp_path / "d.npz", x=x, y=k, x_test=x[:9], y_test=k[:9])
    net = clouds(data=str(tmp_path / "d.npz"), epochs=10).fit()
    other = load_model(net.save(tmp_path / "a"))
    assert other.score() == net.score() > 0.8
    np.savez(tmp_path / "d.npz", x=x[3:], y=k[3:], x_test=x[:9], y_test=k[:9])
    with refusal("d.npz", "changed", "x and y"):
        load_model(tmp_path / "a").score()
    assert net.score() == other.score(x[:9], k[:9])  # it still has the data it was trained on


def test_bad_files_are_refused(tmp_path: Path):
    net = clouds().fit(*points())
    path = net.save(tmp_path / "a")
    raw = path.read_bytes()
    about, arrays = unpack("network", raw, path)

    def put(**changes: Any) -> Path:
        (tmp_path / "b.npz").write_bytes(pack("network", Bundle({**about, **changes}, arrays)))
        return tmp_path / "b"

    assert same(load_model(put()), net)
    for at in (100, len(raw) // 2, len(raw) - 30):
        flipped = bytearray(raw)
        flipped[at] ^= 1
        (tmp_path / "b.npz").write_bytes(flipped)
        with refusal("b.npz", "checksum", "damaged"):
            load_model(tmp_path / "b")
    for rest in (raw[:-1], raw[:70], b"", b"{"):
        (tmp_path / "b.npz").write_bytes(rest)
        with refusal("b.npz", "damaged"):
            load_model(tmp_path / "b")
    (tmp_path / "b.npz").write_bytes(pack("checkpoint", Bundle({"identity": ""}, {})))
    with refusal("b.npz", "a checkpoint, not a network"):
        load_model(tmp_path / "b")
    with refusal("b.npz", "version 9", "use the harness that wrote it"):
        load_model(put(version=9, config=None))
    for strange in (
        {"config": None},
        {"classes": 3},
        {"scaling": {}},
        {"state": []},
        {"features": 5},
        {"history": 1},
    ):
        with refusal("b.npz"):
            load_model(put(**strange))
    with refusal("unknown layer 'swirl'", "my_plugin.py", "load"):
        load_model(
            put(
                config={**about["config"], "layers": [{"name": "swirl"}]},
                plugins={"my_plugin.py": "0"},
            )
        )
    with refusal("there is no", "gone.npz"):
        load_model(tmp_path / "gone")


def test_a_failing_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    net = clouds().fit(*points())
    path = net.save(tmp_path / "a")
    old = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    net.fit(*points())

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with refusal("a.npz", "No space left"):
        net.save(path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == old
    monkeypatch.undo()
    (tmp_path / "file").write_text("")
    with refusal("that can be written, but"):
        net.save(tmp_path / "file" / "a")
    with refusal("must end in a name"):
        net.save("/")


# Refusals -----------------------------------------------------------------------------------------


def test_nothing_before_fit(tmp_path: Path):
    net = clouds()
    x, k = points(6)
    for use in (
        lambda: net.predict(x),
        lambda: net.predict_proba(x),
        lambda: net.score(x, k),
        lambda: net.score(),
        lambda: net["0/W"],
        lambda: net.weights,
        lambda: net.layers,
        lambda: net.classes,
        lambda: net.scaled(x),
        lambda: net.save(tmp_path / "a"),
    ):
        with refusal("call fit first"):
            use()
    with refusal("frames"):
        net.film(tmp_path / "a.gif")
    assert (net.history, net.epoch, net.steps) == ([], 0, 0)


def test_bad_models_are_refused():
    for words, arguments, changes in [
        (("layers",), (), {}),
        (("Config", "list"), ([{"name": "dense", "units": 3}],), {}),
        (("no field 'update_rule'", "update"), (), {"layers": ["dense(3)"], "update_rule": "sgd"}),
        (("unknown layer 'dens'", "dense"), (), {"layers": ["dens(3)"]}),
        (("epochs", "0"), (), {"layers": ["dense(3)"], "epochs": 0}),
    ]:
        with refusal(*words):
            Model(*arguments, **changes)


def test_tables_are_read_by_the_names_of_their_columns(tmp_path: Path):
    x, k = points()
    table = pandas.DataFrame(x, columns=list("abcd"))
    turned = table.assign(id=[f"n{row}" for row in range(len(x))])[["id", "d", "b", "a", "c"]]
    net = clouds().fit(table, k)
    plain = clouds().fit(x, k)
    assert net.features == tuple("abcd")
    assert plain.features is None
    wanted = plain.predict_proba(x).tobytes()
    assert [net.predict_proba(rows).tobytes() for rows in (table, turned, x)] == [wanted] * 3
    assert load_model(net.save(tmp_path / "net")).predict_proba(turned).tobytes() == wanted
    assert net.score(turned, k) == plain.score(x, k)
    net.fit(turned, k, epochs=1).partial_fit(turned[:5], k[:5])
    plain.fit(x, k, epochs=1).partial_fit(x[:5], k[:5])
    assert same(net, plain)
    with refusal("'c' is missing", "a, b"):
        net.predict(table[["a", "b"]])
    assert clouds().fit(pandas.DataFrame(x), k).features is None  # numbered, not named


def test_bad_rows_are_refused():
    x, k = points()
    net = clouds().fit(x, k)
    nan = x.copy()
    nan[3, 1] = np.nan
    for words, bad in [
        (("4 features", "(2, 3)", "rows like those it learned from"), np.zeros((2, 3))),
        (("4 features", "(2, 2)", "x[None]"), x[0].reshape(2, 2)),
        (("(4,)", "x[None]"), x[0]),
        (("row 3, column 1", "nan"), nan),
        (("numbers", "'a'"), [["a", "b", "c", "d"]]),
        (("rows of one length",), [[1, 2, 3, 4], [1, 2]]),
    ]:
        for use in (
            net.predict,
            net.predict_proba,
            net.scaled,
            lambda x: net.partial_fit(x, [0] * len(x)),
            net.layers[0],
        ):
            with refusal(*words):
                use(bad)
    with refusal("finite", "row 3"):
        net.fit(nan, k)
    with refusal("6 inputs", "(1, 4)"):
        net.layers[1](x[:1])
    for use in (net.predict, lambda x: net.partial_fit(x, [0])):
        with refusal("finite as float32", "1e+39"):
            use(np.full((1, 4), 1e39))
    net["2/W"] = np.full((6, 3), 3e38)
    with refusal("not finite", "too large"):
        net.predict(x)
    with refusal("features", "4", "5"):
        net.fit(np.zeros((20, 5)), k[:20])


def test_bad_labels_are_refused():
    x, k = points()
    net = clouds().fit(x, k)
    for words, bad in [
        (("0, 1, 2", "'9'"), [0, 9]),
        (("'cat'",), ["0", "cat"]),
        (("'1.5'",), [0, 1.5]),
        (("nan", "row 1"), [0, np.nan]),
        (("2 rows", "3"), [0, 1, 2]),
        (("shape (rows,)", "(2, 3)"), np.eye(3)[:2]),
    ]:
        for use in (net.score, net.partial_fit):
            with refusal(*words):
                use(x[:2], bad)
    for use in (net.fit, net.score):
        with refusal("x and y"):
            use(x)
    with refusal("'9'"):
        net.fit(x, np.where(k == 0, 9, k))
    with refusal("classes", "first training", "0, 1, 2"):
        net.fit(load("mnist14(rows=500)"))
    with refusal("cannot change", "0, 1, 2"):
        net.partial_fit(x[:1], [0], classes=range(4))
    with refusal("at least one row"):
        net.score(x[:0], k[:0])
    with refusal("at least one row"):
        net.partial_fit(x[:0], k[:0])
    with refusal("'rmse'", "regression"):
        net.score(x, k, metric="rmse")
    with refusal("unknown metric 'acuracy'", "accuracy"):
        net.score(x, k, metric="acuracy")
    with refusal("3 outputs", "2 classes"):
        clouds().fit(x, k > 0)
    with refusal("accuracy", "regression"):
        clouds().fit(x, k + 0.5)
    with refusal("epochs", "0"):
        net.fit(x, k, epochs=0)
    with refusal("fraction", "2"):
        net.partial_fit(x, k, fraction=2)
    assert same(net, clouds().fit(x, k))  # nothing of all this has left a trace


def test_a_first_step_must_know_the_classes():
    x, k = points(6)
    with refusal("all classes", "range(10)"):
        clouds().partial_fit(x, k)
    with refusal("two or more", "[1]"):
        clouds().partial_fit(x, k, classes=[1])
    with refusal("'2'"):
        clouds().partial_fit(x, k, classes=[0, 1])
    with refusal("3 outputs", "2 classes"):
        clouds().partial_fit(x, k > 0, classes=[False, True])
    with refusal("standardize", "fit"):
        clouds(scale="standardize").partial_fit(x, k, classes=range(3))
    with refusal("class_weight"):
        clouds(class_weight="balanced").partial_fit(x, k, classes=range(3))
    net = clouds()
    with refusal("4 features", "(6, 2)"):
        net.partial_fit(x[:, :2], k, classes=range(3))
    with refusal("finite as float32"):
        net.partial_fit(1e39 * x, k, classes=range(3))
    with refusal("call fit first"):
        net.predict(x)
    assert net.partial_fit(x, k, classes={0, 1, 2}).steps == 1


def test_divergence_is_told_and_final():
    x, k = points()
    regression = {"loss": "squared_error", "metric": "rmse"}
    net = Model(layers=mlp([4, 6, 1]), update="sgd(1e30)", batch=10, eval_batch=32, **regression)
    with refusal("not finite at step", "lower learning rate"):
        net.fit(x, k.astype(float))
    steps = net.steps
    assert steps > 0
    for use in (lambda: net.fit(x, k.astype(float)), lambda: net.partial_fit(x, k)):
        with refusal("diverged", "new Model"):
            use()
    assert net.history[-1]["step"] == net.steps == steps
    with refusal("not finite", "diverged"):
        net.predict(x)
    online = Model(layers=mlp([4, 6, 1]), update="sgd(1e30)", **regression)

    def stream() -> None:
        for _ in range(9):
            online.partial_fit(x, k)

    with refusal("not finite at step", "lower learning rate"):
        stream()


def test_a_diverged_model_is_saved_as_it_is(tmp_path: Path):
    x, k = points()
    net = clouds(loss="squared_error", update="sgd(1e30)")
    with refusal("not finite"):
        net.fit(x, k)
    other = load_model(net.save(tmp_path / "bad"))
    about, _ = unpack("network", (tmp_path / "bad.npz").read_bytes(), "bad.npz")
    assert "NaN" not in json.dumps(about)
    assert np.isnan(other.history[-1]["train/loss"])
    with refusal("diverged"):
        other.fit(x, k)


# The rest -----------------------------------------------------------------------------------------


def test_a_rule_with_weights_of_its_own():
    from harness.engine.contracts import Rule

    name = "test_model_halved"

    @registry.update_rule(name)
    def halved() -> Rule:
        """u = -g / 10; predicts with half of the parameters"""

        def update(u: Any, arena: Any, state: Any) -> None:
            arena.xp.multiply(u, -0.1, out=u)

        return Rule(lambda arena: {}, update, None, lambda arena, state: arena.value * 0.5)

    try:
        x, k = points()
        net = clouds(update=name).fit(x, k)
        plain = clouds().fit(x, k)
        np.testing.assert_allclose(net["0/W"], plain["0/W"] / 2, rtol=1e-5)
        h = x
        for f in net.layers:
            h = f(h)
        np.testing.assert_array_equal(net.output(h), net.predict_proba(x))
        for _ in range(2):  # between two steps, predicting leaves the trained parameters alone
            for one in (net, plain):
                one.partial_fit(x[:9], k[:9])
                one.predict(x)
        np.testing.assert_allclose(net["0/W"], plain["0/W"] / 2, rtol=1e-5)
        np.testing.assert_allclose(
            net.fit(x, k)["0/W"], plain.fit(x, k)["0/W"] / 2, rtol=1e-4, atol=1e-6
        )
        with refusal(name, "cannot be set"):
            net["0/W"] = net["0/W"]
    finally:
        del known.registered["update_rule", name]


def test_it_works_with_numpy_alone(tmp_path: Path):
    absent = [
        "pandas",
        "av",
        "imageio",
        "PIL",
        "mlflow",
        "optuna",
        "distributed",
        "scipy",
        "matplotlib",
    ]
    script = f"""
import sys
sys.modules.update(dict.fromkeys({absent}))
from harness import Model, load_model
net = Model(layers=["dense(10)"], data="mnist14(rows=500)", batch=10, epochs=1).fit()
path = net.save({str(tmp_path / "a")!r})
print(load_model(path).score() == net.score() > 0.2)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=240, check=False
    )
    assert (done.stdout, done.stderr) == ("True\n", "")
