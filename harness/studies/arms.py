"""What can be said of one arm of a comparison."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.studies.statistics import Interval, paired_interval, sample_std

LEVEL = 0.95  # the probability with which all intervals of a comparison hold together

Values = Sequence[float | None]


class Verdict(StrEnum):
    """What the interval of an arm says of it, beside the first arm."""

    BETTER = "better"
    WORSE = "worse"
    OPEN = "open"


@dataclass(frozen=True, kw_only=True)
class ArmSummary:
    """One arm of a comparison in numbers.

    Attributes
    ----------
    name : str
        The arm.
    mean, std, min, max : float or None
        Of the values over the seeds; std is nan for a single value. None where no network has one.
    trained : int
        Networks that have a value.
    networks : int
        Networks in all, one for each seed.
    difference : Interval or None
        The mean difference to the first arm under the same seeds; None for the first arm, and
        where fewer than two seeds have a value in both arms.
    verdict : Verdict or None
        None where nothing can be said: without a difference, or where a network came to no end.
    note : str
        The setting that the arm was tuned to, and what there is to say of its networks.
    """

    name: str
    mean: float | None
    std: float | None
    min: float | None
    max: float | None
    trained: int
    networks: int
    difference: Interval | None
    verdict: Verdict | None
    note: str


def summary_of(
    name: str, values: Values, first: Values | None, level: float, maximize: bool, note: str
) -> ArmSummary:
    """One arm in numbers.

    Parameters
    ----------
    name : str
        The arm.
    values : sequence of n floats or None
        Its value for each seed; None where a network diverged or failed.
    first : sequence of n floats or None, or None
        The values of the first arm; None if this is the first arm.
    level : float
        The probability with which the interval holds the true difference.
    maximize : bool
        Whether greater values are better.
    note : str
        What there is to say of the arm in words.
    """
    known = [value for value in values if value is not None]
    mean = std = difference = verdict = None
    if known:
        mean = statistics.fmean(known)
        std = sample_std(known)
    if first is not None:
        pairs = _pairs(values, first)
        if len(pairs) > 1:
            difference = paired_interval([a for a, _ in pairs], [b for _, b in pairs], level)
            # Networks that came to no end have no place in a mean, so nothing follows from it.
            if len(pairs) == len(values):
                verdict = _verdict(difference, len(pairs), level, maximize)
    return ArmSummary(
        name=name,
        mean=mean,
        std=std,
        min=min(known, default=None),
        max=max(known, default=None),
        trained=len(known),
        networks=len(values),
        difference=difference,
        verdict=verdict,
        note=note,
    )


def _pairs(values: Values, first: Values) -> list[tuple[float, float]]:
    """The values of both arms under the seeds where both have one."""
    pairs = zip(values, first, strict=True)
    return [(a, b) for a, b in pairs if a is not None and b is not None]


def _verdict(difference: Interval, pairs: int, level: float, maximize: bool) -> Verdict:
    """What an interval says: better or worse where it leaves 0 out, else nothing for sure."""
    # Differences that are all equal, as coarse values can be by chance, have no deviation to go by.
    # Then the sign test decides: n of one sign have a probability of 2 / 2^n.
    are_equal = math.isclose(difference.low, difference.high, rel_tol=1e-9)
    if are_equal and 2 / 2**pairs > 1 - level:
        return Verdict.OPEN
    is_greater = difference.low > 0
    is_less = difference.high < 0
    if not (is_greater or is_less):
        return Verdict.OPEN
    if is_greater == maximize:
        return Verdict.BETTER
    return Verdict.WORSE
