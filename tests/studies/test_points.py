"""The points of a search space: spread evenly, in their ranges, the same for every space that
suggests alike.
"""

import math
import warnings
from collections import Counter
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from harness import Config, UsageError, compare, mlp
from harness.studies.points import DIMENSIONS, coordinates, trials_at, value_at


def made(count: int) -> list[Any]:
    return list(trials_at(coordinates(count)))


def test_every_sixteenth_of_an_axis_has_one_of_sixteen_points() -> None:
    for axis in range(DIMENSIONS):
        cells = sorted(int(16 * point[axis]) for point in coordinates(16))
        assert cells == list(range(16)), axis


def test_more_points_begin_with_the_same_ones() -> None:
    def value(trial: Any) -> tuple[float, int]:
        return trial.suggest_float("a", 0, 1), trial.suggest_int("b", 0, 1000)

    assert [value(trial) for trial in made(5)] == [value(trial) for trial in made(64)][:5]
    assert [trial.number for trial in made(3)] == [0, 1, 2]


def test_suggestion_k_gets_coordinate_k() -> None:
    points = coordinates(2)
    for point, trial in zip(points, made(2), strict=True):
        assert trial.suggest_float("first", 0, 1) == point[0]
        assert trial.suggest_float("first", 0, 1) == point[0]  # a name keeps its value
        # A range of one value is a suggestion too, though Optuna asks no sampler about it.
        assert trial.suggest_int("fixed", 3, 3) == 3
        assert trial.suggest_float("third", 0, 10) == 10 * point[2]
        assert list(trial.params) == ["first", "fixed", "third"]


def test_floats_are_uniform_in_themselves_or_in_their_logarithm() -> None:
    points = [point[0] for point in coordinates(64)]
    plain = sorted(value_at(u, FloatDistribution(-1, 3)) for u in points)
    logs = sorted(math.log10(value_at(u, FloatDistribution(1e-4, 1, log=True))) for u in points)
    # one of 64 in each 64th of the range
    for k, (value, logarithm) in enumerate(zip(plain, logs, strict=True)):
        assert -1 + 4 * k / 64 <= value <= -1 + 4 * (k + 1) / 64
        assert -4 + 4 * k / 64 - 1e-9 <= logarithm <= -4 + 4 * (k + 1) / 64 + 1e-9
    stepped = Counter(value_at(u, FloatDistribution(0.1, 0.4, step=0.1)) for u in points)
    assert stepped == {0.1: 16, 0.2: 16, 0.3: 16, 0.4: 16}


def test_whole_numbers_and_choices_come_equally_often() -> None:
    points = [point[1] for point in coordinates(64)]
    assert Counter(value_at(u, IntDistribution(3, 6)) for u in points) == dict.fromkeys(
        (3, 4, 5, 6), 16
    )
    stepped = Counter(value_at(u, IntDistribution(10, 40, step=10)) for u in points)
    assert stepped == {10: 16, 20: 16, 30: 16, 40: 16}
    choices = CategoricalDistribution(["a", None, "c"])
    assert Counter(value_at(u, choices) for u in points)[None] in (21, 22)
    logs = [value_at(u, IntDistribution(1, 100, log=True)) for u in points]
    # log-uniform over [0.5, 100.5]: ln(10.5 / 0.5) / ln(100.5 / 0.5) = 57.4 % are at most 10
    assert (min(logs), sum(v <= 10 for v in logs)) == (1, pytest.approx(0.574 * 64, abs=1.5))
    assert all(isinstance(value, int) for value in logs)


@pytest.mark.parametrize(
    "of",
    [
        {"low": -1, "high": 3},
        {"low": 2, "high": 2},
        {"low": 1e-300, "high": 1e300, "log": True},
        {"low": 0.1, "high": 0.45, "step": 0.1},
        {"low": 1e6, "high": 1e6 + 1, "step": 1e-7},
        {"low": 0, "high": 1, "step": 2},
    ],
)
def test_floats_lie_within_their_range(of: dict[str, Any]) -> None:
    with warnings.catch_warnings(action="ignore"):  # a step that does not divide
        distribution = FloatDistribution(**of)
    low = distribution.low
    high = distribution.high
    values = [value_at(u, distribution) for u in (0.0, 0.1234567, 1 - 2**-30)]
    assert all(isinstance(value, float) and low <= value <= high for value in values)
    assert (values[0], values[2]) == pytest.approx((low, high), rel=1e-6)
    if step := of.get("step"):
        start = Decimal(str(low))
        steps = [round((value - low) / step) for value in values]
        assert values == [float(start + count * Decimal(str(step))) for count in steps]
        assert values[2] == high


@pytest.mark.parametrize(
    "of",
    [
        {"low": 1, "high": 1, "log": True},
        {"low": 1, "high": 10**18, "log": True},
        {"low": 0, "high": 10**18},
        {"low": -5, "high": 5, "step": 3},
        {"low": np.int64(1), "high": np.int64(8)},
    ],
)
def test_whole_numbers_lie_within_their_range(of: dict[str, Any]) -> None:
    with warnings.catch_warnings(action="ignore"):
        distribution = IntDistribution(**of)
    values = [value_at(u, distribution) for u in (0.0, 0.3, 1 - 2**-53)]
    steps = [(value - distribution.low) / distribution.step for value in values]
    assert steps == [int(step) for step in steps]
    assert distribution.low <= min(values) <= max(values) <= distribution.high
    assert (values[0], values[2]) == pytest.approx((distribution.low, distribution.high), rel=1e-6)


def test_a_space_may_suggest_64_values() -> None:
    (trial,) = made(1)
    for k in range(DIMENSIONS):
        trial.suggest_float(str(k), 0, 1)
    with pytest.raises(UsageError, match="a space must suggest at most 64 values"):
        trial.suggest_float("another", 0, 1)


def test_a_space_that_is_compared_may_use_all_of_a_trial(root: Any) -> None:
    def space(trial: Any) -> Config:
        trial.set_user_attr("note", "whatever a sweep may do")
        rate = trial.suggest_float("rate", 0.01, 0.5, log=True)
        trial.report(0.0, 1)
        assert not trial.should_prune()
        return Config(
            data="mnist14(rows=200)",
            layers=mlp([196, 10]),
            update=f"sgd({rate})",
            epochs=1,
            film=None,
        )

    result = compare("all of a trial", {"tuned": space}, points=2, seeds=1)
    assert len(result.tuning["tuned"]) == 2
    assert 0.01 <= result.settings["tuned"]["rate"] <= 0.5


@pytest.mark.parametrize("choices", [[math.sin], [{1, 2}]])
def test_choices_must_be_json(choices: list[Any], root: Any) -> None:
    def space(trial: Any) -> Config:
        trial.suggest_categorical("choice", choices)
        return Config(data="mnist14(rows=200)", layers=mlp([196, 10]), epochs=1, film=None)

    with pytest.raises(UsageError, match="choice: choices must be texts, numbers, True, False"):
        compare("no json", {"tuned": space}, points=2, seeds=1)


@pytest.mark.parametrize("count", [0, 1.5, True, 1 << 15])
def test_points_are_a_whole_number(count: Any) -> None:
    sentence = r"points must be a whole number in \[1, 16384\], best a power of 2"
    with pytest.raises(UsageError, match=sentence):
        coordinates(count)
