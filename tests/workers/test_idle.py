"""The time that workers had no work because the driver was busy."""

from types import SimpleNamespace
from typing import Any

import pytest

from harness.studies.limits import say_if_limited
from harness.workers.idle import IdleTime


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_workers_are_idle_while_the_driver_is_busy_and_has_more_work() -> None:
    clock = Clock()
    idle = IdleTime(clock)
    assert idle.sent(2) == 0
    assert idle.sent(2) == 0
    idle.back()
    clock.now += 3
    assert idle.sent(2) == 3


def test_a_driver_that_waits_keeps_nobody_from_work() -> None:
    clock = Clock()
    idle = IdleTime(clock)
    idle.sent(2)
    with idle.waiting():
        clock.now += 5
    clock.now += 1
    assert idle.sent(2) == 1


def test_jobs_that_wait_at_a_worker_are_no_negative_idleness() -> None:
    clock = Clock()
    idle = IdleTime(clock)
    for _ in range(4):
        idle.sent(2)
    clock.now += 5
    assert idle.sent(2) == 0


@pytest.mark.parametrize(("idle", "count"), [(1.9, 0), (2.1, 1)])
def test_a_sentence_says_so_above_a_tenth(idle: float, count: int) -> None:
    said: list[str] = []
    sitting: Any = SimpleNamespace(
        shipped={"idle": idle}, progress=SimpleNamespace(say=said.append)
    )
    pool: Any = SimpleNamespace(workers=2)
    say_if_limited(sitting, pool, 10.0)
    assert len(said) == count
