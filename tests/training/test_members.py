"""The pieces of a segment apart: members, stopwatch, and what is kept in a process."""

import time

import numpy as np
import pytest

from harness.config import Config
from harness.training.members import Members
from harness.training.recent import Recent
from harness.training.stopwatch import Stopwatch


def configs(*seeds: int, order_seed: int | None = None) -> list[Config]:
    one = Config(layers=["dense(2)"], data="mnist14", order_seed=order_seed, film=None)
    return [one.replace(seed=seed) for seed in seeds]


def test_one_network_has_no_leading_axis() -> None:
    (one,) = configs(3)
    members = Members.of(one)
    assert (members.lead, members.indices, members.order_lead) == ((), [()], ())
    assert members.merged is members.shared is one
    theta = np.arange(4.0)
    assert members.stacked([theta]) is theta
    assert members.listed(theta)[0] is theta
    assert members.returned([theta]) is theta
    assert theta[members.indices[0]].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("seeds", [(5,), (5, 6, 7)])
def test_a_population_has_one_even_of_a_single_member(seeds: tuple[int, ...]) -> None:
    members = Members.of(configs(*seeds))
    size = len(seeds)
    assert members.lead == (size,)
    assert members.indices == [(p,) for p in range(size)]
    thetas = [np.arange(4.0) + p for p in range(size)]
    stacked = members.stacked(thetas)
    assert stacked.shape == (size, 4)
    for index, theta in zip(members.indices, thetas, strict=True):
        np.testing.assert_array_equal(stacked[index], theta)
    assert members.returned(thetas) is thetas
    assert [id(a) for a in members.listed(tuple(thetas))] == [id(a) for a in thetas]


def test_an_order_is_shared_where_its_seed_is() -> None:
    shared = Members.of(configs(1, 2, order_seed=9))
    apart = Members.of(configs(1, 2))
    assert (shared.order_lead, apart.order_lead) == ((), (2,))
    assert shared.order(4, 30).shape == (30,)
    orders = apart.order(4, 30)
    assert orders.shape == (2, 30)
    for row, config in zip(orders, apart.configs, strict=True):
        np.testing.assert_array_equal(row, Members.of(config).order(4, 30))
        assert sorted(row) == list(range(30))
    assert not np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], apart.order(5, 30)[0])


def test_a_stopwatch_counts_a_block_within_a_block_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    waits: list[float] = []
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    watch = Stopwatch(lambda: waits.append(now[0]))
    with watch.measure("train_s"):
        now[0] += 2.0
        with watch.measure("capture_s"):
            now[0] += 0.5
        now[0] += 1.0
    now[0] += 50.0  # between two blocks
    with watch.measure("evaluate_s"):
        now[0] += 0.25
    assert watch.seconds == {"train_s": 3.0, "evaluate_s": 0.25, "capture_s": 0.5}
    assert len(waits) == 6  # the device is waited for at each end of a block


def test_recent_entries_stay() -> None:
    kept: Recent[str, int] = Recent(2)
    kept["a"] = 1
    kept["b"] = 2
    assert kept["a"] == 1
    kept["c"] = 3
    assert dict(kept) == {"a": 1, "c": 3}
    assert kept.pop("b", None) is None
    assert kept.pop("a") == 1
    kept["c"] = 4
    assert list(kept.items()) == [("c", 4)]
