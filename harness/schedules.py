"""The built-in schedules: at(fraction of the planned steps, in [0, 1]) -> number. Any scalar of an update rule may be one."""

import math
from collections.abc import Callable

from harness.errors import UsageError
from harness.registry import schedule

At = Callable[[float], float]


@schedule()
def constant(value: float) -> At:
    """s(t) = value"""
    return lambda t: value


@schedule()
def linear(start: float, end: float = 0.0) -> At:
    """s(t) = start + (end - start) * t"""
    return lambda t: start + (end - start) * t


@schedule()
def cosine(start: float, end: float = 0.0) -> At:
    """s(t) = end + (start - end) * (1 + cos(pi t)) / 2

    Reference: Loshchilov and Hutter, ICLR 2017 (without restarts).
    """
    return lambda t: end + (start - end) * (1.0 + math.cos(math.pi * t)) / 2.0


@schedule()
def step(start: float, factor: float = 0.1, at: tuple[float, ...] = (0.5, 0.75)) -> At:
    """s(t) = start * factor^(how many of `at` lie at or before t); `at` are fractions of the planned steps"""
    if not all(0 < a < 1 for a in at):
        raise UsageError(f"step: at must be fractions of the planned steps between 0 and 1, got {at!r}")
    return lambda t: start * factor ** sum(t >= a for a in at)
