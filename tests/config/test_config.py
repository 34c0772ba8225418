"""Config: what decides a run, as plain data: JSON there and back, refusals, and what members of a
population share.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import registry
from harness.builtin.layers import dense, dropout, mlp
from harness.builtin.updates.sgd_family import sgd
from harness.config import Config, stack
from harness.errors import UsageError
from harness.model import Model

FULL = {
    "layers": mlp(
        [196, 30, 20, 10],
        "leaky_relu(0.1)",
        kinds=["dense", "residual", "dense"],
        dropout=(0.1, 0.2),
    ),
    "data": "mnist14(rows=500)",
    "loss": "softmax_cross_entropy",
    "update": "compose(clip_norm(1.0), adam(cosine(0.01)))",
    "batch": 20,
    "epochs": 5,
    "valid": 0.3,
    "seed": 7,
    "split_seed": 8,
    "order_seed": 9,
    "scale": "/256",
    "metric": "macro_f1",
    "select": "best",
    "patience": 2,
    "class_weight": "balanced",
    "film": "film(every=4, zoom=2)",
    "recorders": ["health"],
    "dtype": "float64",
    "eval_batch": 128,
    "inputs": 196,
}


# There and back -----------------------------------------------------------------------------------


def test_a_config_is_shown_as_it_is_written_and_never_at_length() -> None:
    config = Config(
        layers=mlp([784, 100, 10]), update="sgd(0.5)", class_weight={"a": 1, "b": 2}, seed=3
    )
    assert repr(config) == (
        "Config(layers=['dense(units=100)', 'relu', 'dense(units=10)'], data='mnist', "
        "update='sgd(learning_rate=0.5)', "
        "seed=3, class_weight={'a': 1.0, 'b': 2.0}, inputs=784)"
    )
    assert eval(repr(config)) == config
    long = Config(layers=["dense(100)"] * 3000, class_weight={f"class {k}": k for k in range(5000)})
    for shown in (repr(long), repr(Model(long))):
        assert len(shown) < 1600  # less than 20 lines of a terminal
        assert "\n" not in shown


@pytest.mark.parametrize(
    "config", [Config(layers=["dense(10)"]), Config(**FULL)], ids=["defaults", "full"]
)
def test_json_there_and_back(config: Config, tmp_path: Path) -> None:
    text = config.to_json()
    again = Config.from_json(text)
    assert again == config
    assert (again.to_json(), again.digest(), again.shape_key()) == (
        text,
        config.digest(),
        config.shape_key(),
    )
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(text), indent=2))
    assert Config.from_json(file) == Config.from_json(str(file)) == config


def test_every_road_to_a_spec_is_one_config() -> None:
    roads = [
        Config(layers=[dense(5), "relu", dropout(0.5), "dense(10)"], update=sgd(0.25)),
        Config(
            layers=["dense(5)", "relu()", "dropout(rate=0.5)", {"name": "dense", "units": 10}],
            update="sgd(0.25)",
        ),
        Config(
            layers=(
                {"name": "dense", "units": np.int32(5)},
                registry.make("layer", "relu"),
                dropout(np.float64(0.5)),
                "dense(10)",
            ),
            update={"name": "sgd", "learning_rate": 0.25},
        ),
    ]
    assert len({each.digest() for each in roads}) == 1
    assert roads[0] == roads[1] == roads[2]


def test_digest_is_pinned() -> None:
    """Books and duplicates go by this number: if it moves, old records are no longer found."""
    assert Config(layers=["dense(10)"], film=None).digest() == "9cfe298d582c321b"


@pytest.mark.parametrize(
    "field", [f.name for f in dataclasses.fields(Config) if f.name != "layers"]
)
def test_every_field_is_in_the_digest(field: str) -> None:
    config = Config(layers=["dense(10)"])
    other = Config(**FULL)
    if field == "device":
        return  # "gpu" is the only other value and needs no GPU to be named
    changed = config.replace(**{field: getattr(other, field)})
    if getattr(config, field) != getattr(other, field):
        assert changed.digest() != config.digest()


def test_configs_are_frozen_and_replaced() -> None:
    config = Config(layers=["dense(10)"])
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.epochs = 5  # type: ignore[misc]
    assert config.replace(epochs=5).epochs == 5
    assert config.epochs == 3
    with pytest.raises(UsageError, match="epochs must be a whole number of at least 1, got 0"):
        config.replace(epochs=0)


def test_inputs_come_from_the_sizes() -> None:
    config = Config(layers=mlp([784, 10]))
    assert config.inputs == 784
    assert [each["name"] for each in config.layers] == ["dense"]


# Refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"layers": "dense(10)"},
            "layers must be a list such as mlp([784, 100, 10]), got 'dense(10)'",
        ),
        ({"layers": 3}, "layers must be a list such as mlp([784, 100, 10]), got 3"),
        (
            {"layers": []},
            "layers must hold at least one layer, got none; give a list such as "
            "mlp([784, 100, 10])",
        ),
        ({"layers": ["dens(10)"]}, "unknown layer 'dens'; did you mean 'dense'?"),
        ({"update": "sgdd"}, "unknown update rule 'sgdd'; did you mean 'sgd' or 'asgd'?"),
        ({"loss": "mse"}, "unknown loss 'mse'; there is "),
        ({"metric": "acuracy"}, "unknown metric 'acuracy'; did you mean 'accuracy'"),
        ({"data": "mnst"}, "unknown dataset 'mnst'; did you mean 'mnist'"),
        ({"film": "films"}, "unknown recorder 'films'; did you mean 'film'"),
        ({"recorders": ["helth"]}, "unknown recorder 'helth'; did you mean 'health'"),
        ({"batch": 0}, "batch must be a whole number of at least 1 or 'full', got 0"),
        ({"batch": 2.5}, "batch must be a whole number of at least 1 or 'full', got 2.5"),
        ({"batch": "half"}, "batch must be a whole number of at least 1 or 'full', got 'half'"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
        ({"epochs": True}, "epochs must be a whole number of at least 1, got True"),
        ({"eval_batch": 0}, "eval_batch must be a whole number of at least 1, got 0"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
        ({"seed": 1.0}, "seed must be a whole number of at least 0, got 1.0"),
        ({"order_seed": "x"}, "order_seed must be a whole number of at least 0 or None, got 'x'"),
        ({"patience": 0}, "patience must be a whole number of at least 1 or None, got 0"),
        (
            {"valid": 1.0},
            "valid must be the share of the training set kept for validation, in [0, 1), got 1.0",
        ),
        (
            {"valid": "30%"},
            "valid must be the share of the training set kept for validation, in [0, 1), got '30%'",
        ),
        (
            {"valid": float("nan")},
            "valid must be the share of the training set kept for validation, in [0, 1), got nan",
        ),
        (
            {"scale": "255"},
            "scale must be one of 'auto', '/255', '/256', 'standardize', 'none', got '255'",
        ),
        ({"select": "first"}, "select must be one of 'last', 'best', got 'first'"),
        (
            {"class_weight": "auto"},
            "class_weight must be None, 'balanced' or a dict with the weight of each class",
        ),
        (
            {"class_weight": {}},
            "class_weight must be None, 'balanced' or a dict with the weight of each class",
        ),
        ({"class_weight": {"a": 1, "b": -1}}, "class_weight of 'b' must be 0 or above, got -1"),
        (
            {"class_weight": {"a": 1, "b": np.nan}},
            "class_weight of 'b' must be 0 or above, got nan",
        ),
        ({"class_weight": {"a": 1, "b": True}}, "class_weight of 'b' must be 0 or above, got True"),
        (
            {"class_weight": {1: 1, "1": 2}},
            "class_weight must name every class once, got '1' twice; leave one out",
        ),
        ({"class_weight": {"a": 0}}, "class_weight must have a weight above 0, got only zeros"),
        ({"dtype": "float16"}, "dtype must be one of 'float32', 'float64', got 'float16'"),
        ({"device": "cuda"}, "device must be one of 'cpu', 'gpu', got 'cuda'"),
    ],
)
def test_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        Config(**{"layers": ["dense(10)"], **change})
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (
            '{"layers": ["dense(10)"], "epoch": 3}',
            "a config has no field 'epoch'; did you mean 'epochs'?",
        ),
        ("{}", "a config must have the field 'layers', such as"),
        ('{"layers": ', "a config must be JSON text or a path to a JSON file: "),
        ("nowhere/config.json", "a config must be JSON text or a path to a JSON file: "),
        (
            '{"layers": ["dense(10)"], "epochs": 0}',
            "epochs must be a whole number of at least 1, got 0",
        ),
    ],
)
def test_bad_json_is_refused(source: str, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        Config.from_json(source)
    assert str(caught.value).startswith(sentence)


def test_json_that_is_no_object_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "list.json"
    for text in ("[1, 2]", "3", '"layers"'):
        file.write_text(text)
        with pytest.raises(UsageError, match="a config must be a JSON object"):
            Config.from_json(file)
    file.write_bytes(b"\xff\xfe{}")
    with pytest.raises(UsageError, match="a config must be JSON text or a path"):
        Config.from_json(file)


# For MLflow ---------------------------------------------------------------------------------------


def test_flat() -> None:
    flat = Config(**FULL).flat()
    assert flat["layers"].startswith(
        "dropout(rate=0.1) > dense(units=30) > leaky_relu(slope=0.1) > dropout(rate=0.2) > "
    )
    assert flat["activations"] == "leaky_relu(slope=0.1)"
    assert flat["update"] == "compose(clip_norm(limit=1.0), adam(learning_rate=cosine(start=0.01)))"
    assert (flat["data"], flat["metric"], flat["patience"], flat["order_seed"]) == (
        "mnist14(rows=500)",
        "macro_f1",
        2,
        9,
    )
    flat = Config(layers=["dense(10)"], update="momentum(0.1, decay=0.5)").flat()
    assert (flat["update.learning_rate"], flat["update.decay"]) == (0.1, 0.5)
    assert flat["activations"] == "none"
    assert "patience" not in flat
    assert all(isinstance(v, str | int | float) for v in flat.values())
    assert Config(layers=["dense(10)"], data="my data.csv").flat()["data"] == "my data.csv"


# Populations --------------------------------------------------------------------------------------

BASE = Config(
    layers=["dense(5)", "leaky_relu", "dropout(0.5)", "dense(10)"], update="momentum(0.1)", epochs=2
)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 5},
        {"update": "momentum(0.2, decay=0.5)"},
        {"update": "momentum(cosine(0.1))"},
        {"layers": ["dense(5)", "leaky_relu(0.2)", "dropout(0.1)", "dense(10)"]},
    ],
)
def test_scalars_and_seeds_are_not_in_the_shape(change: dict[str, Any]) -> None:
    assert BASE.replace(**change).shape_key() == BASE.shape_key()
    assert BASE.replace(**change).digest() != BASE.digest()


@pytest.mark.parametrize(
    "change",
    [
        {"layers": ["dense(6)", "leaky_relu", "dropout(0.5)", "dense(10)"]},
        {"layers": ["dense(5)", "relu", "dropout(0.5)", "dense(10)"]},
        {"layers": ["dense(5)", "leaky_relu", "dense(10)"]},
        {"layers": ["dense(5, init=glorot)", "leaky_relu", "dropout(0.5)", "dense(10)"]},
        {"update": "nesterov(0.1)"},
        {"update": "compose(momentum(0.1))"},
        {"loss": "squared_error"},
        {"batch": 50},
        {"epochs": 3},
        {"split_seed": 1},
        {"order_seed": 1},
        {"valid": 0.3},
        {"dtype": "float64"},
        {"eval_batch": 500},
        {"data": "mnist14"},
        {"film": None},
        {"metric": "log_loss"},
        {"class_weight": "balanced"},
    ],
)
def test_everything_else_is_in_the_shape(change: dict[str, Any]) -> None:
    assert BASE.replace(**change).shape_key() != BASE.shape_key()
    with pytest.raises(
        UsageError,
        match="members of a population must share everything but scalars and seeds, got 2",
    ):
        stack([BASE, BASE.replace(**change)])


def test_orders_are_own_or_shared() -> None:
    """Which order is a seed like the others; whether each member has its own decides how batches
    are gathered.
    """
    assert (
        BASE.replace(order_seed=1).shape_key()
        == BASE.replace(order_seed=2).shape_key()
        != BASE.shape_key()
    )


def test_stack() -> None:
    members = [BASE, BASE.replace(update="momentum(0.3, decay=0.5)", seed=4)]
    members.append(
        BASE.replace(layers=["dense(5)", "leaky_relu(0.2)", "dropout(0.1)", "dense(10)"])
    )
    stacked = stack(members)
    assert stacked.update == {
        "name": "momentum",
        "learning_rate": [0.1, 0.3, 0.1],
        "decay": [0.9, 0.5, 0.9],
    }
    assert stacked.layers == [
        {"name": "dense", "units": 5},
        {"name": "leaky_relu", "slope": [0.01, 0.01, 0.2]},
        {"name": "dropout", "rate": [0.5, 0.5, 0.1]},
        {"name": "dense", "units": 10},
    ]
    assert BASE.update == {"name": "momentum", "learning_rate": 0.1}


@pytest.mark.parametrize(
    ("film", "says"),
    [
        ("film(formats=[avi])", "formats must be of 'mp4', 'gif' and 'html', got 'avi'"),
        ("film(scaling=log)", "scaling must be 'rank', 'symmetric' or 'root', got 'log'"),
        ("film(show=growth)", "show must be 'weights' or 'change', got 'growth'"),
        ("film(colours=red)", "colours must be 'signed' or 'greys', got 'red'"),
        ("film(layer=-1)", "film: layer must be a whole number of at least 0, got -1"),
        ("film(gap=-1)", "gap must be a whole number of at least 0 pixels, got -1"),
        (
            "film(order=spiral)",
            "order must be 'article', 'digits' or rows of unit numbers, got 'spiral'",
        ),
        ("film(columns=0)", "columns must be a whole number of at least 1, got 0"),
        ("film(zoom=1.5)", "zoom must be a whole number of at least 1, got 1.5"),
        ("film(fps=0)", r"fps must lie in \[0.1, 1000\], got 0"),
        ("film(fps=60, formats=[gif])", r"fps must lie in \[0.1, 50\], got 60"),
    ],
)
def test_a_film_that_cannot_be_made_is_refused_before_the_training(film: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        BASE.replace(film=film)
    with pytest.raises(UsageError, match=says):
        BASE.replace(film=None, recorders=[film])
