"""The validation part that is split off: stratified, whole, and the same for the same seed."""

import hashlib

import numpy as np
import pytest
from refusals import refusal

from harness.data import from_arrays, load, split

X = np.arange(24, dtype=np.float32).reshape(6, 4)
Y = np.array([0, 1, 2, 0, 1, 2])


@pytest.mark.parametrize("valid", [0.1, 0.3, 0.57, 0.5])
@pytest.mark.parametrize("rows", [301, 1000])
def test_the_split_is_stratified_and_whole(valid, rows):
    data = load("mnist14", rows=rows)
    train, held = split(data, valid, seed=1)
    assert (train.dtype, held.dtype) == (np.int64, np.int64)
    assert len(held) == round(valid * rows)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, held])), np.arange(rows))
    assert (np.diff(train) > 0).all()
    assert (np.diff(held) > 0).all()
    share = np.bincount(data.y[held], minlength=10) - valid * np.bincount(data.y)
    assert np.abs(share).max() < 1


def test_the_split_by_hand():
    # 7, 5 and 2 rows, a quarter held out: 1.75, 1.25 and 0.5 rows; round(3.5) = 4, so 1 + 1 + 0 and
    # the two largest remainders, 0.75 and 0.5, get one more: 2, 1, 1.
    y = np.repeat([0, 1, 2], [7, 5, 2])
    data = from_arrays("toy", np.ones((14, 1)), y)
    drawn = np.zeros(14)
    for seed in range(200):
        train, held = split(data, 0.25, seed)
        assert np.bincount(y[held]).tolist() == [2, 1, 1]
        assert np.bincount(y[train]).tolist() == [5, 4, 1]
        drawn[held] += 1
    # Every row of a class has the same chance: 2/7, 1/5, 1/2; four standard deviations of 200
    # draws.
    chance = np.repeat([2 / 7, 1 / 5, 1 / 2], [7, 5, 2])
    assert (np.abs(drawn - 200 * chance) < 4 * np.sqrt(200 * chance * (1 - chance))).all()


def test_the_split_depends_on_its_seed_alone():
    data = load("mnist")
    held = split(data, 0.3, seed=7)[1]
    np.random.default_rng(0).random(3)
    np.testing.assert_array_equal(held, split(data, 0.3, seed=7)[1])
    assert len(np.intersect1d(held, split(data, 0.3, seed=8)[1])) == pytest.approx(
        0.3 * 18000, rel=0.05
    )
    # Written down once: another NumPy, machine or version of this code must hold out the same rows.
    expected = "c41d12f5e3b9de18160400690f0352e9e4df9a89e0d7906f11172e8f255c7a56"
    assert hashlib.sha256(held.astype("<i8")).hexdigest() == expected


def test_the_split_of_a_regression():
    data = load("friedman1")
    train, held = split(data, 0.25, seed=1)
    assert (len(train), len(held), len(np.intersect1d(train, held))) == (750, 250, 0)
    assert held.mean() == pytest.approx(499.5, abs=60)


def test_no_validation_part():
    train, held = split(load("mnist14"), 0, seed=1)
    assert (train.tolist(), held.tolist(), held.dtype) == (list(range(2000)), [], np.int64)


def test_a_class_without_rows_is_no_obstacle():
    train, held = split(load("mnist", rows=10), 0.1, seed=1)  # the first ten digits hold no 6
    assert (len(train), len(held)) == (9, 1)


def test_splits_that_cannot_be():
    data = from_arrays("toy", X, Y)
    for valid in (1, 1.5, -0.1, np.nan, "0.3", True, None):
        with refusal("[0, 1)", repr(valid)):
            split(data, valid, seed=1)  # type: ignore[arg-type]
    with refusal("toy", "0 validation and 6 training"):
        split(data, 0.01, seed=1)
    with refusal("toy", "6 validation and 0 training"):
        split(from_arrays("toy", X, Y / 2), 0.95, seed=1)
    with refusal("class '0'", "takes 2"):
        split(data, 0.8, seed=1)
    for seed in (-1, 1.5, "1", None):
        with refusal("seed", repr(seed)):
            split(data, 0.3, seed)  # type: ignore[arg-type]
