"""The numbers of a comparison: means, spreads, intervals of paired differences, and what a tuning
budget is worth.
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


def spread(values: Sequence[float]) -> float:
    """s = sqrt(sum (x - mean)^2 / (n - 1)), the sample standard deviation; nan for one value"""
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def paired_interval(a: Sequence[float], b: Sequence[float], level: float = 0.95) -> Interval:
    """mean(d) -+ t_{n-1} s_d / sqrt(n), d = a - b: Student's interval of a paired difference

    a and b are values of two arms under the same seeds, so that what the seeds do to both cancels.
    It assumes differences that are roughly normal; with five seeds it is wide, as it should be.
    Reference: Student, Biometrika 6, 1908.
    """
    if len(a) != len(b) or len(a) < 2:
        raise UsageError(
            f"a paired interval needs as many values of both arms, at least 2, got "
            f"{len(a)} and {len(b)}"
        )
    from scipy.stats import t

    d = np.asarray(a, float) - np.asarray(b, float)
    half = float(t.ppf((1 + level) / 2, len(d) - 1)) * spread(d) / math.sqrt(len(d))
    return Interval(float(d.mean()), float(d.mean()) - half, float(d.mean()) + half)


def expected_best(values: Sequence[float], direction: str = "maximize") -> list[float]:
    """E[best of k of them], k = 1 .. n: sum_i v_(i) C(n - i, k - 1) / C(n, k), v_(1) the best

    values are those of n settings tried; the k are drawn without putting back. How good a setting
    is that a tuning of k tries finds: a curve for each arm tells whether their order hangs on the
    budget. References: Dodge, Gururangan, Card, Schwartz and Smith, EMNLP 2019; without putting
    back, Tang, Lee, Xin, Liu, Yu and Lin, ACL 2020.
    """
    ranked, n = sorted(values, reverse=direction == "maximize"), len(values)
    k = np.arange(1, n + 1)
    weight, best = k / n, np.zeros(n)
    for i, v in enumerate(ranked, 1):  # the binomials themselves leave float64 at n = 1030
        best += weight * v
        weight *= np.maximum(n - i - k + 1, 0) / max(n - i, 1)
    return best.tolist()
