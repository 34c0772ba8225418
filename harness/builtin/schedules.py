"""The built-in schedules: at(fraction of the planned steps, in [0, 1]) -> number.

Any scalar of an update rule may be one.

Step k of n is taken at fraction k / n, so the first at 0 and the last just before 1. at(0) and
at(1) are exactly the numbers that were given for start and end.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from harness import checks
from harness.errors import UsageError
from harness.registry.decorators import schedule
from harness.registry.known import Scalar
from harness.registry.products import make

At = Callable[[float], float]


def _numbers(name: str, above: float = -math.inf, **given: Any) -> None:
    """UsageError unless all are finite numbers above a bound."""
    for key, value in given.items():
        bound = f" above {above:g}" if above > -math.inf else ""
        checks.real(
            f"{name}: {key}",
            value,
            lambda number: number > above,
            f"must be a finite number{bound}",
        )


def _fraction(name: str, key: str, value: Any) -> None:
    must = "must be a fraction of the planned steps between 0 and 1"
    checks.real(f"{name}: {key}", value, lambda fraction: 0 < fraction < 1, must)


def _fractions(name: str, at: Any) -> list[float]:
    """`at` as a list, a single fraction too."""
    fractions = list(at) if isinstance(at, list | tuple) else [at]
    fits = all(checks.is_real(fraction) and 0 < fraction < 1 for fraction in fractions)
    if not fits or any(later <= earlier for earlier, later in pairwise(fractions)):
        raise UsageError(
            f"{name}: at must be increasing fractions of the planned steps between 0 "
            f"and 1, got {at!r}"
        )
    return fractions


def _between(start: float, end: float, share: float) -> float:
    """From start at share 0 to end at share 1, exact at both."""
    # Each half is measured from its own end, where rounding would otherwise show.
    if share < 0.5:
        return start + (end - start) * share
    return end - (end - start) * (1.0 - share)


def _inner(value: Any) -> At:
    """A number or a schedule as a schedule."""
    if checks.is_real(value):
        return constant(value)
    return make("schedule", value)


@schedule()
def constant(value: float) -> At:
    """s(t) = value"""
    _numbers("constant", value=value)
    return lambda t: value


@schedule()
def linear(start: float, end: float = 0.0) -> At:
    """s(t) = start + (end - start) * t

    A ramp, up or down.
    """
    _numbers("linear", start=start, end=end)
    return lambda t: _between(start, end, t)


@schedule()
def polynomial(start: float, end: float = 0.0, power: float = 1.0) -> At:
    """s(t) = end + (start - end) * (1 - t)^power

    power=1, PyTorch's default, is linear.
    """
    _numbers("polynomial", start=start, end=end)
    _numbers("polynomial", 0.0, power=power)
    return lambda t: _between(end, start, (1.0 - t) ** power)


@schedule()
def exponential(start: float, end: float) -> At:
    """s(t) = start * (end / start)^t

    The same factor at every step; both above 0.
    PyTorch gives the factor of an epoch.
    """
    _numbers("exponential", 0.0, start=start, end=end)

    def at(t: float) -> float:
        if t >= 1.0:  # exactly, whatever the power rounds to
            return end
        return start * (end / start) ** t

    return at


@schedule()
def inverse_sqrt(start: float, timescale: float = 0.1) -> At:
    """s(t) = start / sqrt(1 + t / timescale)

    warmup(inverse_sqrt(start, w / (1 - w)), w) is the schedule of Vaswani et al., Attention is all
    you need, 2017.
    """
    _numbers("inverse_sqrt", start=start)
    _numbers("inverse_sqrt", 0.0, timescale=timescale)
    return lambda t: start / math.sqrt(1.0 + t / timescale)


@schedule()
def cosine(start: float, end: float = 0.0, cycles: int = 1, stretch: float = 1.0) -> At:
    """s(t) = end + (start - end) * (1 + cos(pi t')) / 2, t' the share of the present cycle

    cycles: how often it begins at start; each cycle is `stretch` times as long as the one before
    (T_mult of PyTorch's CosineAnnealingWarmRestarts).
    Reference: Loshchilov and Hutter, SGDR, ICLR 2017.
    """
    _numbers("cosine", start=start, end=end)
    _numbers("cosine", 0.0, stretch=stretch)
    checks.whole("cosine: cycles", cycles, 1)

    def fall(t: float) -> float:
        return _between(start, end, (1.0 - math.cos(math.pi * t)) / 2.0)

    lengths = [stretch**k for k in range(cycles)]
    bounds = [sum(lengths[:k]) / sum(lengths) for k in range(1, cycles)]
    return _sequence([fall] * cycles, bounds)


@schedule()
def step(start: float, factor: float = 0.1, at: tuple[float, ...] = (0.5, 0.75)) -> At:
    """s(t) = start * factor^(how many of `at` lie at or before t)

    `at` are fractions of the planned steps.
    """
    _numbers("step", start=start, factor=factor)
    bounds = _fractions("step", at)
    return lambda t: start * factor ** sum(t >= bound for bound in bounds)


@schedule()
def piecewise(*parts: Scalar, at: Any = None) -> At:
    """s(t) = parts[k] from at[k - 1] to at[k]

    Parts are numbers, or schedules that each run over their own part.
    piecewise(0.1, 0.01, at=[0.8]), piecewise(linear(0.0, 0.5), cosine(0.5), at=[0.1]).
    Without `at` all parts have one length; `at` are fractions of the planned steps, one fewer than
    parts.
    """
    if not parts:
        raise UsageError(
            "piecewise: give at least one part, such as piecewise(0.1, 0.01, at=[0.8])"
        )
    if at is None:
        bounds = [k / len(parts) for k in range(1, len(parts))]
    else:
        bounds = _fractions("piecewise", at)
    if len(bounds) != len(parts) - 1:
        raise UsageError(
            f"piecewise: at must have one fraction fewer than there are parts "
            f"({len(parts)}), got {at!r}"
        )
    return _sequence([_inner(part) for part in parts], bounds)


def _sequence(parts: list[At], bounds: list[float]) -> At:
    """Each part from its bound to the next, as if it were a run of its own."""
    # A part begins at its bound: the part before never sees its own end.
    ends = [0.0, *bounds, 1.0]

    def at(t: float) -> float:
        k = sum(t >= bound for bound in bounds)
        return parts[k]((t - ends[k]) / (ends[k + 1] - ends[k]))

    return at


@schedule()
def warmup(after: Scalar, share: float = 0.1, start: float = 0.0) -> At:
    """s(t) = a line from start to after(0) up to t = share, then after((t - share) / (1 - share))

    after: a number or a schedule, such as warmup(cosine(0.5)), which then runs over what is left.
    A start of 0 makes the first step an empty one.
    Reference: Goyal et al., Accurate, large minibatch SGD, 2017.
    """
    _numbers("warmup", start=start)
    _fraction("warmup", "share", share)
    inner = _inner(after)
    first = inner(0.0)  # where the line has to arrive
    return _sequence([lambda t: _between(start, first, t), inner], [share])


@schedule()
def one_cycle(
    peak: float, pct_start: float = 0.3, div_factor: float = 25.0, final_div_factor: float = 1e4
) -> At:
    """s(t) = half a cosine from low up to peak at t = pct_start, then another down

    It ends at low / final_div_factor.
    low = peak / div_factor.
    Names and defaults as in PyTorch's OneCycleLR, of which this is the learning rate; give the
    momentum a schedule of its own, such as piecewise(linear(0.95, 0.85), linear(0.85, 0.95),
    at=[0.3]).
    Reference: Smith and Topin, Super-convergence, 2018.
    """
    _numbers("one_cycle", peak=peak)
    _numbers("one_cycle", 0.0, div_factor=div_factor, final_div_factor=final_div_factor)
    _fraction("one_cycle", "pct_start", pct_start)
    low = peak / div_factor
    return _sequence([cosine(low, peak), cosine(peak, low / final_div_factor)], [pct_start])
