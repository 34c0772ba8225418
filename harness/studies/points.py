"""The points that a comparison tunes each arm at: spread evenly, and known before anything trains.

A point has a coordinate in [0, 1) for each suggestion of a search space. A sampler of Optuna gives
coordinate k to suggestion k, so that two spaces that suggest the same things in the same order get
the same values, and a space may use all that Optuna's trial offers.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from harness import checks
from harness.errors import UsageError

DIMENSIONS = 64  # suggestions in one space at most
MOST = 1 << 14  # points of one space at most


def coordinates(count: int) -> list[list[float]]:
    """The first `count` points of a scrambled Sobol sequence.

    More points begin with the same ones. Every 2^m points fall into the 2^m equal parts of each
    axis, one into each.

    Parameters
    ----------
    count : int
        From 1 to 16384, best a power of 2.

    Returns
    -------
    list of list of float
        `count` points of 64 coordinates in [0, 1).

    References
    ----------
    Sobol, USSR Computational Mathematics and Mathematical Physics 7, 1967; scrambled as in
    Matousek, Journal of Complexity 14, 1998.
    """
    from scipy.stats import qmc

    count = checks.whole("points", count, 1, MOST, otherwise=", best a power of 2")
    sequence = qmc.Sobol(DIMENSIONS, scramble=True, rng=0)
    table = sequence.random_base2((count - 1).bit_length())
    return table[:count].tolist()


def trials_at(points: list[list[float]]) -> Iterator[Any]:
    """Optuna's trials of a study that is nowhere kept: trial k suggests values at point k.

    Parameters
    ----------
    points : list of list of float
        The coordinates of each point.
    """
    import optuna

    class PointSampler(optuna.samplers.BaseSampler):
        """Answers suggestion k of trial n with coordinate k of point n."""

        def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
            return {}

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
            return {}

        def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
            point = points[trial.number]
            # The number of params so far is the index of this suggestion.
            suggestion = len(trial.params)
            if suggestion >= len(point):
                raise UsageError(
                    f"a space must suggest at most {len(point)} values where it is compared; "
                    "fix some of them"
                )
            return value_at(point[suggestion], distribution)

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=PointSampler())
    for _ in points:
        yield study.ask()


def value_at(coordinate: float, distribution: Any) -> Any:
    """The value of a distribution at a coordinate.

    Parameters
    ----------
    coordinate : float
        In [0, 1).
    distribution : optuna.distributions.BaseDistribution
        Its range. Floats are uniform, uniform in their logarithm, or one of low, low + step, ...;
        whole numbers come equally often, or are rounded from what is uniform in its logarithm; so
        are choices.
    """
    from optuna.distributions import CategoricalDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(coordinate * len(distribution.choices))]
    if isinstance(distribution, IntDistribution):
        return _whole_number_at(coordinate, distribution)
    return _float_at(coordinate, distribution)


def _whole_number_at(coordinate: float, distribution: Any) -> int:
    low: int = distribution.low
    high: int = distribution.high
    step: int = distribution.step
    if distribution.log:
        value = round((low - 0.5) * ((high + 0.5) / (low - 0.5)) ** coordinate)
    else:
        value = low + step * int(coordinate * ((high - low) // step + 1))
    return min(max(value, low), high)


def _float_at(coordinate: float, distribution: Any) -> float:
    low: float = distribution.low
    high: float = distribution.high
    if distribution.step is not None:
        # In decimals, as Optuna does it: 0.3, and not 0.30000000000000004.
        start = Decimal(str(low))
        step = Decimal(str(distribution.step))
        steps = int((Decimal(str(high)) - start) // step)
        value = float(start + step * int(coordinate * (steps + 1)))
    elif distribution.log:
        value = low * (high / low) ** coordinate
    else:
        value = low + (high - low) * coordinate
    return min(max(value, low), high)
