"""The points of a search space: spread evenly, in their ranges, the same for every space that
suggests alike.
"""

import math
import warnings
from collections import Counter
from decimal import Decimal

import numpy as np
import pytest
from optuna.distributions import FloatDistribution, IntDistribution

from harness.errors import UsageError
from harness.studies.points import DIMENSIONS, Point, points


def test_every_sixteenth_of_an_axis_has_one_of_sixteen_points():
    for axis in range(DIMENSIONS):
        cells = sorted(int(16 * point._coordinates[axis]) for point in points(16))
        assert cells == list(range(16)), axis


def test_more_points_begin_with_the_same_ones():
    def value(point):
        return point.suggest_float("a", 0, 1), point.suggest_int("b", 0, 1000)

    assert [value(p) for p in points(5)] == [value(p) for p in points(64)][:5]
    assert [p.number for p in points(3)] == [0, 1, 2]


def test_floats_are_uniform_in_themselves_or_in_their_logarithm():
    made = points(64)
    plain = sorted(p.suggest_float("plain", -1, 3) for p in made)
    logs = sorted(math.log10(p.suggest_float("log", 1e-4, 1, log=True)) for p in made)
    # one of 64 in each 64th of the range
    assert all(-1 + 4 * k / 64 <= v <= -1 + 4 * (k + 1) / 64 for k, v in enumerate(plain))
    assert all(
        -4 + 4 * k / 64 - 1e-9 <= v <= -4 + 4 * (k + 1) / 64 + 1e-9 for k, v in enumerate(logs)
    )
    stepped = Counter(p.suggest_float("stepped", 0.1, 0.45, step=0.1) for p in made)
    assert stepped == {0.1: 16, 0.2: 16, 0.3: 16, 0.4: 16}


def test_whole_numbers_and_choices_come_equally_often():
    made = points(64)
    assert Counter(p.suggest_int("plain", 3, 6) for p in made) == {3: 16, 4: 16, 5: 16, 6: 16}
    assert Counter(p.suggest_int("stepped", 10, 45, step=10) for p in made) == {
        10: 16,
        20: 16,
        30: 16,
        40: 16,
    }
    assert Counter(p.suggest_categorical("choice", ["a", None, [3]]) is None for p in made)[
        True
    ] in (21, 22)
    logs = [p.suggest_int("log", 1, 100, log=True) for p in made]
    # log-uniform over [0.5, 100.5]: ln(10.5 / 0.5) / ln(100.5 / 0.5) = 57.4 % are at most 10
    assert (min(logs), sum(v <= 10 for v in logs)) == (1, pytest.approx(0.574 * 64, abs=1.5))
    assert all(isinstance(v, int) for v in logs)


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
def test_floats_lie_where_those_of_optuna_do(of):
    with warnings.catch_warnings(action="ignore"):  # a step that does not divide
        low, high = (lambda d: (d.low, d.high))(FloatDistribution(**of))
    values = [Point(0, [u]).suggest_float("a", **of) for u in (0.0, 0.1234567, 1 - 2**-30)]
    assert all(isinstance(v, float) and low <= v <= high for v in values)
    assert (values[0], values[2]) == pytest.approx((low, high), rel=1e-6)
    if step := of.get("step"):
        assert values == [
            float(Decimal(str(low)) + round((v - low) / step) * Decimal(str(step))) for v in values
        ]
        assert values[2] == high


@pytest.mark.parametrize(
    "of",
    [
        {"low": 1, "high": 1, "log": True},
        {"low": 1, "high": 10**18, "log": True},
        {"low": 0, "high": 10**18},
        {"low": -5, "high": 5, "step": 3},
        {"low": 1.0, "high": 4e1, "step": 10.0},
        {"low": np.int64(1), "high": np.int64(8)},
    ],
)
def test_whole_numbers_lie_where_those_of_optuna_do(of):
    with warnings.catch_warnings(action="ignore"):
        distribution = IntDistribution(**of)
    values = [Point(0, [u]).suggest_int("a", **of) for u in (0.0, 0.3, 1 - 2**-53)]
    assert all(type(v) is int and distribution._contains(v) for v in values)
    assert (values[0], values[2]) == pytest.approx((distribution.low, distribution.high), rel=1e-6)


def test_a_name_keeps_its_value_and_a_space_may_branch():
    first, second = points(2)
    assert first.suggest_float("a", 0, 1) == first.suggest_float("a", 0, 1)
    assert list(first.params) == ["a"]
    assert first.suggest_int("b", 0, 1 << 30) != second.suggest_int("b", 0, 1 << 30)
    assert second.params.keys() == {"b"}


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (
            lambda p: p.suggest_float("a", 2, 1),
            "a must lie between two numbers, the lower one first, got 2 and 1",
        ),
        (lambda p: p.suggest_float("a", 0, math.inf), "a must lie between two numbers"),
        (lambda p: p.suggest_float("a", -1e308, 1e308), "a must lie between two numbers"),
        (lambda p: p.suggest_int("a", 0, math.nan), "a must lie between two numbers"),
        (
            lambda p: p.suggest_int("a", 1.5, 9),
            "a: low, high and step must be whole numbers, got 1.5, 9 and 1",
        ),
        (
            lambda p: p.suggest_int("a", 1, 9, step=2.5),
            "a: low, high and step must be whole numbers, got 1, 9 and 2.5",
        ),
        (
            lambda p: p.suggest_float("a", 0, 1, log=True),
            "a: log=True needs a lower end above 0 and no step, got 0",
        ),
        (lambda p: p.suggest_int("a", 1, 9, step=0), "a: step must be above 0, got 0"),
        (
            lambda p: p.suggest_int("a", 1, 9, step=2, log=True),
            "a: log=True needs a lower end above 0 and no step",
        ),
        (lambda p: p.suggest_categorical("a", []), "a must have at least one choice"),
        (
            lambda p: p.suggest_categorical("a", [math.sin]),
            "a: choices must be texts, numbers.*got <built-in function",
        ),
        (
            lambda p: p.report(1.0, 1),
            "a space that is compared gets a trial with suggest_float.*asks for 'report'",
        ),
        (
            lambda p: [p.suggest_float(str(k), 0, 1) for k in range(65)],
            "a space must suggest at most 64 values",
        ),
    ],
)
def test_what_cannot_be_suggested_is_refused(ask, message):
    with pytest.raises(UsageError, match=message):
        ask(points(1)[0])


@pytest.mark.parametrize("count", [0, 1.5, True, 1 << 15])
def test_points_are_a_whole_number(count):
    with pytest.raises(
        UsageError,
        match=r"points must be a whole number in \[1, 16384\], best a "
        r"power of 2",
    ):
        points(count)
