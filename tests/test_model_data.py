"""What a network learns from is what its user gave: going on, weights of rows, validation sets of one's own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.data import from_arrays
from harness.errors import UsageError
from harness.layers import mlp
from harness.model import Model, load_model


def points(rows: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three clouds in four dimensions, and which cloud."""
    random = np.random.default_rng(seed)
    k = np.arange(rows) % 3
    return random.normal(size=(rows, 4)) + 4 * np.eye(4)[k], k


def clouds(**changes: Any) -> Model:
    fields = {"layers": mlp([4, 6, 3]), "update": "sgd(0.1)", "batch": 10, "epochs": 3, "eval_batch": 32}
    return Model(**{**fields, **changes})


def same(a: Model, b: Model) -> bool:
    """Whether two models have the same weights, bit for bit."""
    return all(a[name].tobytes() == b[name].tobytes() for name in a.weights)


# Going on -------------------------------------------------------------------------------------------------------------


def test_fit_without_data_goes_on_with_the_data_it_had():
    x, y = points()
    named = np.array(["a", "b", "c"])[y]
    again, given = clouds(layers=["dense(3)"]), clouds(layers=["dense(3)"])
    again.fit(x, named).fit().fit(epochs=1)
    given.fit(x, named).fit(x, named).fit(x, named, epochs=1)
    assert same(again, given)
    assert again.predict(x[:1]).dtype.kind == "U"


def test_fit_goes_on_with_the_data_of_the_last_fit():
    x, y = points()
    other, _ = points(seed=1)
    assert same(clouds().fit(x, y).fit(other, y).fit(), clouds().fit(x, y).fit(other, y).fit(other, y))
    source = from_arrays("three", x, y)
    assert same(clouds().fit(source).fit(), clouds().fit(source).fit(source))


def test_a_network_that_learned_from_arrays_never_takes_the_data_set_of_its_config(tmp_path: Path):
    x, y = points()
    fitted = clouds(layers=["dense(3)"]).fit(x, y)
    loaded = load_model(fitted.save(tmp_path / "net"))
    online = clouds(layers=["dense(3)"]).partial_fit(x, y, classes=range(3))
    for net in (loaded, online):
        before = net.weights
        for ask in (net.fit, net.score):
            with pytest.raises(UsageError, match="this network learned from arrays that are not kept; give x and y"):
                ask()
        assert all(np.array_equal(before[name], value) for name, value in net.weights.items())
    assert same(loaded.fit(x, y), fitted.fit())


def test_a_loaded_network_goes_on_with_the_data_set_of_its_config_unless_it_has_changed(tmp_path: Path):
    file = tmp_path / "three.npz"
    x, y = points()
    np.savez(file, x=x, y=y)
    net = clouds(data=str(file)).fit()
    saved = net.save(tmp_path / "net")
    assert same(load_model(saved).fit(), net.fit())
    np.savez(file, x=2 * x[:100], y=y[:100])
    with pytest.raises(UsageError, match="has changed since this network was trained on it; give x and y"):
        load_model(saved).fit()
