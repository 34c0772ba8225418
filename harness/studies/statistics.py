"""The numbers of a comparison.

Standard deviations, intervals of paired differences, and what a tuning budget is worth.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from harness.errors import UsageError


class Interval(NamedTuple):
    """A mean with its confidence interval."""

    mean: float
    low: float
    high: float


def sample_std(values: Sequence[float]) -> float:
    """s = sqrt(sum (x - mean)^2 / (n - 1)), the sample standard deviation; nan for one value"""
    if len(values) < 2:
        return math.nan
    return float(np.std(values, ddof=1))


def paired_interval(a: Sequence[float], b: Sequence[float], level: float = 0.95) -> Interval:
    """mean(d) -+ t_{n-1} s_d / sqrt(n), d = a - b: Student's interval of a paired difference

    a and b are values of two arms under the same seeds, so that what the seeds do to both cancels.
    It assumes differences that are roughly normal; with five seeds it is wide, as it should be.

    Parameters
    ----------
    a, b : sequences of n floats, n at least 2
        The values of the two arms, in the order of the seeds.
    level : float
        The probability with which the interval holds the true difference.

    References
    ----------
    Student, Biometrika 6, 1908.
    """
    if len(a) != len(b) or len(a) < 2:
        raise UsageError(
            "a paired interval needs as many values of both arms, at least 2, "
            f"got {len(a)} and {len(b)}"
        )
    # scipy.stats, which has the test itself, takes a second to import.
    from scipy.special import stdtrit

    differences = np.subtract(a, b)
    mean = float(differences.mean())
    if np.ptp(differences) == 0:
        return Interval(mean, mean, mean)
    half = (
        float(stdtrit(len(a) - 1, (1 + level) / 2))
        * sample_std(differences.tolist())
        / math.sqrt(len(a))
    )
    return Interval(mean, mean - half, mean + half)


def expected_best(values: Sequence[float], direction: str = "maximize") -> list[float]:
    """E[best of k of them], k = 1 .. n: sum_i v_(i) C(n - i, k - 1) / C(n, k), v_(1) the best

    How good a setting is that a tuning of k tries finds: a curve for each arm tells whether their
    order hangs on the budget.

    Parameters
    ----------
    values : sequence of n floats
        The values of n settings that were tried; the k are drawn from them without putting back.
    direction : str
        "maximize" or "minimize".

    References
    ----------
    Dodge, Gururangan, Card, Schwartz and Smith, EMNLP 2019; without putting back, Tang, Lee, Xin,
    Liu, Yu and Lin, ACL 2020.
    """
    n = len(values)
    ranked = sorted(values, reverse=direction == "maximize")
    k = np.arange(1, n + 1)
    best = np.zeros(n)
    # The weights are built up by a recursion, because the binomials leave float64 at n = 1030.
    weight = k / n
    for i, value in enumerate(ranked, 1):
        best += weight * value
        weight *= np.maximum(n - i - k + 1, 0) / max(n - i, 1)
    return best.tolist()
