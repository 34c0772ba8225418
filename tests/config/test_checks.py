"""Checks of arguments: numbers of every library are numbers, and equal values give one config, one
digest.
"""

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness import Config, checks, mlp
from harness.builtin.layers import dense
from harness.builtin.updates.sgd_family import sgd
from harness.errors import UsageError
from harness.registry.specs import canonical

WHOLES = [np.int8(7), np.uint64(7), np.int64(7), np.array(7), pd.Series([7])[0]]
REALS = [
    0.25,
    np.float16(0.25),
    np.float32(0.25),
    np.float64(0.25),
    np.longdouble(0.25),
    np.array(0.25),
    Fraction(1, 4),
]


@pytest.mark.parametrize("value", WHOLES)
def test_whole_numbers_of_every_library_come_back_plain(value: Any) -> None:
    assert type(checks.whole("rows", value, 1)) is int
    assert checks.whole("rows", value, 1) == 7


@pytest.mark.parametrize("value", REALS)
def test_numbers_of_every_library_come_back_plain(value: Any) -> None:
    assert type(checks.real("rate", value)) is float
    assert checks.real("rate", value) == 0.25


@pytest.mark.parametrize(
    "value", [True, np.True_, np.array(True), 3.0, np.float32(3), "3", None, [3], np.array([3])]
)
def test_what_is_no_whole_number(value: Any) -> None:
    with pytest.raises(UsageError, match=r"^rows must be a whole number of at least 1, got "):
        checks.whole("rows", value, 1)


@pytest.mark.parametrize(
    "value", [True, np.True_, math.nan, np.inf, np.float32("nan"), "0.1", None, 1j, np.zeros(1)]
)
def test_what_is_no_number(value: Any) -> None:
    with pytest.raises(UsageError, match=r"^rate must be a finite number, got "):
        checks.real("rate", value)


def test_a_class_of_numbers_is_no_number() -> None:
    with pytest.raises(UsageError, match=r"must be a whole number of at least 1, got <class"):
        checks.whole("rows", np.float64, 1)


def test_messages_show_plain_values_that_are_not_too_long() -> None:
    with pytest.raises(
        UsageError,
        match=r"^rows must be a whole number in \[1, 9\], got 12; use "
        r"fewer$",
    ):
        checks.whole("rows", np.int64(12), 1, 9, remedy="use fewer")
    with pytest.raises(UsageError) as error:
        checks.whole("rows", "a\nb" * 10_000)
    assert len(str(error.value)) < 120
    assert "\n" not in str(error.value)


def test_choices_are_of_their_own_type() -> None:
    assert checks.one_of("p", np.int64(2), (1, 2)) == 2
    assert checks.one_of("select", np.str_("last"), ("last", "best")) == "last"
    for wrong in (True, 1.0, "1", np.array([1, 2])):
        with pytest.raises(UsageError, match="p must be one of 1, 2, got "):
            checks.one_of("p", wrong, (1, 2))


def test_plain_leaves_no_type_of_numpy() -> None:
    given = {
        "a": np.arange(3),
        "b": (np.float32(0.5), np.True_, np.str_("x")),
        "c": Path("d/e"),
        "f": range(2),
    }
    assert (
        repr(checks.plain(given))
        == "{'a': [0, 1, 2], 'b': [0.5, True, 'x'], 'c': 'd/e', 'f': [0, 1]}"
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"seed": np.int64(8), "epochs": np.uint8(2), "batch": np.int32(8)}, {"seed": 8, "epochs": 2, "batch": 8}),
        ({"valid": np.float32(0.25), "dtype": np.str_("float64")}, {"valid": 0.25, "dtype": "float64"}),
        ({"valid": 0}, {"valid": 0.0}),
        ({"patience": np.array(3), "order_seed": np.int64(1)}, {"patience": 3, "order_seed": 1}),
        ({"update": sgd(1)}, {"update": sgd(1.0)}),
        ({"update": sgd(np.float64(0.5))}, {"update": "sgd(0.5)"}),
        ({"layers": mlp(np.array([4, 3, 2]))}, {"layers": mlp([4, 3, 2])}),
        ({"layers": mlp([4, np.int64(3), 2], dropout=np.array([0.5, 0.25]))},
         {"layers": mlp([4, 3, 2], dropout=(0.5, 0.25))}),
        ({"layers": mlp(pd.Series([4, 3, 2]))}, {"layers": mlp((4, 3, 2))}),
        ({"layers": [dense(np.int64(100))]}, {"layers": ["dense(100)"]}),
        ({"layers": [{"name": "leaky_relu", "slope": np.float32(0.5)}, "dense(2)"]},
         {"layers": ["leaky_relu(0.5)", "dense(2)"]}),
        ({"class_weight": {np.int64(1): np.float32(2), 0.0: 1}}, {"class_weight": {"0": 1.0, "1": 2.0}}),
        ({"film": {"name": "film", "steps": np.array([0, 3])}}, {"film": "film(steps=[0, 3])"}),
    ],
)  # fmt: skip
def test_equal_values_give_one_config(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = (Config(**{"layers": ["dense(2)"], **fields}) for fields in (one, other))
    assert first == second
    assert first.to_json() == second.to_json()
    assert first.digest() == second.digest()


def test_an_array_as_argument_of_a_plugin_gives_the_spec_of_a_list() -> None:
    assert canonical(
        "dataset", {"name": "csv", "path": Path("a.csv"), "drop": np.array(["a", "b"])}
    ) == {
        "name": "csv",
        "path": "a.csv",
        "drop": ["a", "b"],
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"epochs": True},
        {"batch": np.True_},
        {"seed": 2.0},
        {"valid": True},
        {"valid": np.nan},
        {"patience": 0},
    ],
)
def test_config_refuses_what_is_no_such_number(fields: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"^{next(iter(fields))} must be "):
        Config(layers=["dense(2)"], **fields)
