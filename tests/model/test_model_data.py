"""What a network learns from is what its user gave: going on, weights of rows, validation sets of
one's own.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness import Model, load_model
from harness.builtin.layers import mlp
from harness.data import from_arrays, load, split, with_validation, with_weights
from harness.errors import UsageError
from harness.training.prepare import prepare, resolved


def points(rows: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three clouds in four dimensions, and which cloud."""
    random = np.random.default_rng(seed)
    k = np.arange(rows) % 3
    return random.normal(size=(rows, 4)) + 4 * np.eye(4)[k], k


def clouds(**changes: Any) -> Model:
    fields = {
        "layers": mlp([4, 6, 3]),
        "update": "sgd(0.1)",
        "batch": 10,
        "epochs": 3,
        "eval_batch": 32,
    }
    return Model(**{**fields, **changes})


def same(a: Model, b: Model) -> bool:
    """Whether two models have the same weights, bit for bit."""
    return all(a[name].tobytes() == b[name].tobytes() for name in a.weights)


def course(net: Model) -> list[dict[str, float]]:
    return [{k: v for k, v in epoch.items() if not k.startswith("time/")} for epoch in net.history]


# Going on -----------------------------------------------------------------------------------------


def test_fit_without_data_goes_on_with_the_data_it_had():
    x, y = points()
    named = np.array(["a", "b", "c"])[y]
    again = clouds(layers=["dense(3)"])
    given = clouds(layers=["dense(3)"])
    again.fit(x, named).fit().fit(epochs=1)
    given.fit(x, named).fit(x, named).fit(x, named, epochs=1)
    assert same(again, given)
    assert again.predict(x[:1]).dtype.kind == "U"


def test_fit_goes_on_with_the_data_of_the_last_fit():
    x, y = points()
    other, _ = points(seed=1)
    assert same(
        clouds().fit(x, y).fit(other, y).fit(), clouds().fit(x, y).fit(other, y).fit(other, y)
    )
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
            with pytest.raises(
                UsageError, match="this network learned from data that are not kept; give x and y"
            ):
                ask()
        assert all(np.array_equal(before[name], value) for name, value in net.weights.items())
    assert same(loaded.fit(x, y), fitted.fit())


def test_a_loaded_network_goes_on_with_the_data_set_of_its_config_unless_it_has_changed(
    tmp_path: Path,
):
    file = tmp_path / "three.npz"
    x, y = points()
    np.savez(file, x=x, y=y)
    net = clouds(data=str(file)).fit()
    saved = net.save(tmp_path / "net")
    assert same(load_model(saved).fit(), net.fit())
    np.savez(file, x=2 * x[:100], y=y[:100])
    with pytest.raises(
        UsageError, match="has changed since this network was trained on it; give x and y"
    ):
        load_model(saved).fit()


# Weights of rows ----------------------------------------------------------------------------------

FULL: dict[str, Any] = {
    "batch": "full",
    "valid": 0.0,
    "dtype": "float64",
    "film": None,
    "scale": "none",
}


def close(a: Model, b: Model) -> bool:
    return all(np.allclose(a[name], b[name], rtol=1e-9, atol=1e-12) for name in a.weights)


def test_a_row_of_weight_three_is_three_rows():
    x, y = points(30)
    weights = np.arange(30) % 4
    weighted = clouds(**FULL).fit(x, y, sample_weight=weights)
    assert close(weighted, clouds(**FULL).fit(x.repeat(weights, axis=0), y.repeat(weights)))
    assert close(weighted, clouds(**FULL).fit(x, y, sample_weight=pd.Series(5.0 * weights)))
    assert not close(weighted, clouds(**FULL).fit(x, y))
    assert same(
        weighted.fit(),
        clouds(**FULL).fit(x, y, sample_weight=weights).fit(x, y, sample_weight=weights),
    )


def test_equal_weights_are_none():
    x, y = points(30)
    weighted = clouds(**FULL).fit(x, y, sample_weight=np.full(30, 2.5))
    plain = clouds(**FULL).fit(x, y)
    assert close(weighted, plain)
    assert weighted.history[-1]["train/loss"] == pytest.approx(
        plain.history[-1]["train/loss"], rel=1e-12
    )


def test_weights_go_with_their_rows_into_the_training_part():
    x, y = points(90)
    weights = np.arange(90.0)
    config = clouds(valid=0.3, split_seed=4).config
    source = with_weights(from_arrays("a", x, y), weights)
    np.testing.assert_array_equal(
        prepare(config, source).weights, weights[split(source, 0.3, 4)[0]]
    )


def test_weights_of_a_single_step_are_as_they_are_given():
    x, y = points(8)
    start: dict[str, Any] = {"layers": ["dense(3, init=zeros)"], "update": "sgd(1.0)", **FULL}
    thrice = clouds(**start).partial_fit(x[:1], y[:1], classes=range(3), sample_weight=[3.0])
    once = clouds(**start).partial_fit(x[:1], y[:1], classes=range(3))
    np.testing.assert_allclose(thrice["0/W"], 3.0 * once["0/W"], rtol=1e-12)
    by_class = clouds(class_weight={0: 3, 1: 1, 2: 1}, **start).partial_fit(
        x[:1], y[:1], classes=range(3)
    )
    np.testing.assert_array_equal(by_class["0/W"], thrice["0/W"])


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        (
            [1.0] * 29,
            r"sample_weight must have one weight for each of the 30 rows, got shape "
            r"\(29,\)",
        ),
        (
            np.ones((30, 2)),
            r"sample_weight must have one weight for each of the 30 rows, got shape "
            r"\(30, 2\)",
        ),
        (
            [1.0, -0.5] + [1.0] * 28,
            r"sample_weight must be 0 or above and finite, got -0.5 in row "
            r"1 ",
        ),
        (
            [1.0, 1.0, np.nan] + [1.0] * 27,
            r"sample_weight must be 0 or above and finite, got a missing value in row 2 ",
        ),
        (np.ma.masked_equal([7] + [1] * 29, 7), r"got a missing value in row 0 "),
        ([np.inf] + [1.0] * 29, r"sample_weight must be 0 or above and finite, got inf in row 0 "),
        (["1"] * 30, r"sample_weight must be 0 or above and finite, got '1' in row 0 "),
        ([True] * 30, r"sample_weight must be 0 or above and finite, got True in row 0 "),
        ([0] * 30, r"sample_weight must be above 0 for some row, got only zeros"),
    ],
)
def test_weights_that_are_none_are_refused(weights: Any, sentence: str):
    x, y = points(30)
    for ask in (clouds().fit, clouds().partial_fit):
        given = {} if ask.__name__ == "fit" else {"classes": range(3)}
        with pytest.raises(UsageError, match=sentence):
            ask(x, y, sample_weight=weights, **given)


def test_classes_may_weigh_by_the_labels_of_the_user():
    x, y = points(60)
    named = np.array(["a", "b", "c"])[y]
    by_name = clouds(class_weight={"a": 5, "b": 1, "c": 0}, **FULL).fit(x, named)
    by_number = clouds(class_weight={0: 5, 1.0: 1, np.int64(2): 0}, **FULL).fit(x, y)
    by_row = clouds(**FULL).fit(x, y, sample_weight=np.array([5, 1, 0])[y])
    assert same(by_name, by_number)
    assert close(by_name, by_row)
    with pytest.raises(
        UsageError, match="class_weight must name the classes of data set 'arrays', got '0'"
    ):
        clouds(class_weight={0: 5, 1: 1, 2: 0}).fit(x, named)
    with pytest.raises(UsageError, match="class_weight must name every class, but '2' is missing"):
        clouds(class_weight={0: 5, 1: 1}).partial_fit(x, y, classes=range(3))


# A validation part of one's own -------------------------------------------------------------------


def test_an_own_validation_part_is_measured_and_nothing_is_split_off():
    x, y = points(90)
    xv, yv = points(40, seed=7)
    net = clouds(valid=0.5).fit(x, y, valid=(xv, yv))
    assert same(net, clouds(valid=0.0).fit(x, y, valid=(xv, yv)))
    assert net.history[-1]["valid/accuracy"] == pytest.approx(net.score(xv, yv), abs=1e-12)
    assert net.steps == 3 * 9
    assert course(net.fit()) == course(
        clouds(valid=0.5).fit(x, y, valid=(xv, yv)).fit(x, y, valid=(xv, yv))
    )


def test_an_own_validation_part_stops_early_and_selects():
    x, y = points(90)
    given: dict[str, Any] = {
        "valid": 0.0,
        "patience": 2,
        "select": "best",
        "epochs": 40,
        "update": "sgd(3.0)",
    }
    net = clouds(**given).fit(x, y, valid=(x[:9], (y[:9] + 1) % 3))  # learning makes it worse
    assert net.epoch < 40
    with pytest.raises(UsageError, match="patience needs a validation part"):
        clouds(**given).fit(x, y)


def test_scale_and_classes_come_from_the_training_part():
    x, y = points(60)
    far = 100.0 + 50.0 * points(40, seed=7)[0]
    net = clouds(scale="standardize", valid=0.0).fit(x, y, valid=(far, y[:40]))
    plain = clouds(scale="standardize", valid=0.0).fit(x, y)
    assert same(net, plain)
    np.testing.assert_allclose(net.scaled(x).mean(axis=0), 0.0, atol=1e-6)
    with pytest.raises(
        UsageError,
        match=r"labels of the validation part must be classes of the training part "
        r".*'3' in",
    ):
        clouds().fit(x, y, valid=(x[:3], [0, 1, 3]))


def test_columns_and_texts_of_a_validation_part():
    frame = pd.DataFrame({"size": np.arange(30.0), "colour": ["red", "blue", "green"] * 10})
    y = np.array(["no", "yes", "no"] * 10)
    valid = pd.DataFrame({"more": 0, "colour": ["violet", "blue"], "size": [1.0, 2.0]})
    net = Model(layers=["dense(2)"], batch=10, valid=0.0, film=None).fit(
        frame, y, valid=(valid, ["no", "yes"])
    )
    assert net.history[-1]["valid/accuracy"] == net.score(valid, ["no", "yes"])
    assert same(net, Model(layers=["dense(2)"], batch=10, valid=0.0, film=None).fit(frame, y))


def test_an_own_validation_part_of_a_regression_and_of_a_data_set():
    x, _ = points(60)
    net = clouds(layers=["dense(1)"], loss="squared_error", metric="rmse", scale="none")
    net.fit(x, x.sum(axis=1), valid=(x[:20], x[:20].sum(axis=1)))
    assert net.history[-1]["valid/rmse"] == pytest.approx(
        net.score(x[:20], x[:20].sum(axis=1)), rel=1e-6
    )
    three = from_arrays("a", *points(60))
    four = from_arrays("b", *points(40, seed=1))
    assert course(clouds().fit(three, valid=four)) == course(
        clouds().fit(*points(60), valid=points(40, seed=1))
    )


@pytest.mark.parametrize(
    ("valid", "sentence"),
    [
        (0.2, r"valid must be \(x, y\) or a Dataset; .* Model\(valid=0.2\), got 0.2"),
        ((np.zeros((3, 4)),), r"valid must be \(x, y\) or a Dataset"),
        ((np.zeros((3, 5)), [0, 1, 2]), "rows of the validation part must have 4 features"),
        (
            (np.full((3, 4), np.nan), [0, 1, 2]),
            "x of the validation part is missing .nan. in row 0",
        ),
        (
            (np.zeros((3, 4)), [0, 1]),
            "got 3 rows in x of the validation part and 2 in y of the validation part",
        ),
        ((np.zeros((3, 4)), ["a", None, "b"]), "y of the validation part: every row needs a label"),
        ((None, [0]), "a validation part needs both x and y"),
    ],
)
def test_validation_parts_that_do_not_fit_are_refused(valid: Any, sentence: str):
    with pytest.raises(UsageError, match=sentence):
        clouds().fit(*points(), valid=valid)


def test_targets_and_places_of_a_validation_part_are_those_of_the_training_part(tmp_path: Path):
    x, y = points(60)
    two = from_arrays("two", x, x[:, :2], task="regression")
    with pytest.raises(
        UsageError, match=r"two: y of the validation part must have rows like y \(2,\), got \(1,\)"
    ):
        with_validation(two, x[:9], x[:9, 0])
    archive = tmp_path / "places.npz"
    names = np.array(["r", "s", "t"])
    np.savez(archive, x=x, y=y, classes=names, x_valid=x[:9], y_valid=y[:9])
    assert load(archive).y[60:].tolist() == y[:9].tolist()
    np.savez(archive, x=x, y=y, classes=names, x_valid=x[:9], y_valid=y[:9].astype(float))
    assert load(archive).y[60:].tolist() == y[:9].tolist()
    for wrong in (names[y[:9]], y[:9] + 0.5):
        np.savez(archive, x=x, y=y, classes=names, x_valid=x[:9], y_valid=wrong)
        with pytest.raises(
            UsageError, match="with classes given, y of the validation part must hold their pos"
        ):
            load(archive)


def test_weights_and_validation_go_with_data():
    for given in ({"valid": points(9)}, {"sample_weight": [1.0]}):
        with pytest.raises(
            UsageError, match="goes with the data it belongs to; give x and y, or a Dataset, too"
        ):
            clouds().fit(**given)


# Identity -----------------------------------------------------------------------------------------


def test_a_validation_part_and_weights_are_part_of_the_identity_by_content():
    x, y = points(60)
    source = from_arrays("a", x, y)
    with_part = with_validation(source, x[:9], y[:9])
    digests = [source.digest, with_part.digest, with_validation(source, x[:9], y[1:10]).digest]
    digests += [from_arrays("a", np.concatenate([x, x[:9]]), np.concatenate([y, y[:9]])).digest]
    digests += [
        with_weights(source, np.ones(60)).digest,
        with_weights(source, np.arange(60)).digest,
    ]
    assert len(set(digests)) == len(digests)
    assert with_part.digest == with_validation(from_arrays("b", x, y), x[:9], y[:9]).digest


def write(path: Path, x: np.ndarray, y: np.ndarray) -> str:
    pd.DataFrame(x, columns=list("abcd")).assign(y=np.array(["r", "s", "t"])[y]).to_csv(
        path, index=False
    )
    return str(path)


def test_files_with_a_validation_part(tmp_path: Path):
    x, y = points(60)
    xv, yv = points(30, seed=3)
    train = write(tmp_path / "train.csv", x, y)
    valid = write(tmp_path / "valid.csv", xv, yv)
    spec = {"name": "csv", "path": train, "label": "y", "valid": valid}
    net = clouds(data=spec).fit()
    names = np.array(["r", "s", "t"])
    assert net.history[-1]["valid/accuracy"] == net.score(xv, names[yv])
    config = net.config
    before = resolved(config)
    other_share = resolved(config.replace(valid=0.4, split_seed=5))
    assert before == other_share
    write(tmp_path / "valid.csv", xv, (yv + 1) % 3)
    assert resolved(config) != before
    archive = tmp_path / "three.npz"
    np.savez(archive, x=x, y=y, x_valid=xv, y_valid=yv)
    assert load(str(archive)).valid_rows == 30
    np.savez(archive, x=x, y=y, x_valid=xv)
    with pytest.raises(UsageError, match="a validation part needs both x and y"):
        load(str(archive))
