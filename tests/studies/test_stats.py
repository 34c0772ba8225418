"""Numbers of a comparison, against values worked by hand."""

import math

import numpy as np
import pytest
from scipy.stats import ttest_rel

from harness.errors import UsageError
from harness.studies.statistics import expected_best, paired_interval, sample_std


def test_std_by_hand():
    # Deviations 2.25 + .25 + .25 + 2.25, over 3
    assert sample_std([1.0, 2.0, 3.0, 4.0]) == pytest.approx(math.sqrt(5 / 3))
    assert math.isnan(sample_std([1.0]))


def test_paired_interval_by_hand():
    # d = 1, 2, 3: mean 2, s = 1, t_{2, 0.975} = 4.302653, half width 4.302653 / sqrt(3) = 2.484138
    mean, low, high = paired_interval([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert (mean, low, high) == pytest.approx((2.0, 2 - 2.484138, 2 + 2.484138), abs=1e-6)
    assert paired_interval([2.0, 4.0, 6.0], [1.0, 2.0, 3.0], level=0.5).low > low


@pytest.mark.parametrize(("seeds", "level"), [(2, 0.95), (5, 0.99), (30, 0.95)])
def test_the_interval_is_that_of_the_paired_t_test(seeds: int, level: float) -> None:
    a, b = np.random.default_rng(seeds).normal(0.9, 0.01, (2, seeds))
    theirs = ttest_rel(a, b).confidence_interval(level)
    ours = paired_interval(a, b, level)
    assert ours[1:] == pytest.approx((theirs.low, theirs.high), rel=1e-9)


def test_a_constant_difference_has_no_width():
    assert paired_interval([1.5, 2.5], [1.0, 2.0]) == (0.5, 0.5, 0.5)


def test_unequal_lengths_are_refused():
    with pytest.raises(UsageError, match="as many values of both arms, at least 2, got 2 and 1"):
        paired_interval([1.0, 2.0], [1.0])


def test_the_expected_best_by_hand():
    # of 1, 2, 3: one is 2 on average; of the pairs 12, 13, 23 the best are 2, 3, 3
    assert expected_best([2.0, 3.0, 1.0]) == pytest.approx([2, 8 / 3, 3])
    assert expected_best([2.0, 3.0, 1.0], "minimize") == pytest.approx([2, 4 / 3, 1])
    assert expected_best([5.0]) == [5.0]


def test_the_expected_best_of_very_many():
    # of 1, 2 ... n, k without putting back: k (n + 1) / (k + 1); 3000 over 1500 is no float
    curve = expected_best([float(v) for v in range(1, 3001)])
    assert curve == pytest.approx([k * 3001 / (k + 1) for k in range(1, 3001)])
