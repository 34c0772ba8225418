"""Weights -> grey levels 0..255: by rank within a frame, or on a scale fixed for the film."""

from collections.abc import Callable
from functools import lru_cache, partial
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from harness import checks
from harness.errors import UsageError

# In standard deviations: a normal quantile of -2.5 or less is black, of 2.5 or more is white.
CLIP = 2.5

# From so many weights on counting is quicker; below, the exact ranks by sorting cost nothing.
FAST_FROM = 10_000

SCALINGS = ("rank", "symmetric", "root")

LEVELS = 65_536  # steps from the smallest to the largest weight


class Ranks(NamedTuple):
    """The ranks of n weights, of which k are distinct.

    Attributes
    ----------
    twice
        (k,) 2 * (rank - 1/2) of each distinct weight. Equal weights share their mean rank, so
        these are whole numbers, 1..2n-1.
    group
        (n,) which of them each weight is.
    """

    twice: np.ndarray
    group: np.ndarray


def rank_grey(w: np.ndarray) -> np.ndarray:
    """grey = 127.5 + 127.5 * clip(qnorm((i - 1/2) / n), -2.5, 2.5) / 2.5, i = rank of w

    Every frame then has the same histogram, so nothing flickers (the article's device, with
    i - 1/2 because its qnorm is infinite at 0 and 1). Equal weights share their mean rank, so
    all-equal weights are mid grey and the result does not depend on the order of the weights.
    Ranks are found by counting; small frames, and those that counting cannot resolve, are sorted.

    Parameters
    ----------
    w
        (n,) float.

    Returns
    -------
    numpy.ndarray
        uint8 (n,).
    """
    w = _tame(w)
    ranks = None
    if w.size >= FAST_FROM:
        ranks = ranks_by_counting(w)
    return _grey(ranks or ranks_by_sorting(w))


def rank_grey_exact(w: np.ndarray) -> np.ndarray:
    """The same as `rank_grey`, with exact ranks by sorting: its slow twin."""
    return _grey(ranks_by_sorting(_tame(w)))


def ranks_by_sorting(w: np.ndarray) -> Ranks:
    """The exact ranks of finite weights (n,).

    Worked: counts 1, 2, 1 hold the ranks 1 | 2 3 | 4, the means are 1, 2.5, 4; minus 1/2 and
    doubled: 1, 4, 7.
    """
    _, group, counts = np.unique(w, return_inverse=True, return_counts=True)
    return Ranks(2 * np.cumsum(counts) - counts, group)


def ranks_by_counting(w: np.ndarray) -> Ranks | None:
    """The ranks of finite weights (n,) over 65,536 equal steps: the fast twin of sorting.

    Weights within a step count as equal. A rank is off by at most half the number of weights in a
    step: of 78,400 ranks by 7 if they are normal, by 27 after the article's training, which makes
    outliers; one grey level.

    Returns
    -------
    Ranks or None
        None if outliers squeeze more than 1/256 of the weights into one step, or all weights are
        nearly equal: so a rank is never off by more than n / 512.
    """
    low = float(w.min())
    high = float(w.max())
    # Below this 65535 / (high - low) would not be a float32.
    if not high - low > 1e-30:
        return None
    group = ((w - low) * ((LEVELS - 1) / (high - low))).astype(np.uint16)
    counts = np.bincount(group, minlength=LEVELS)
    if counts.max() > w.size // 256:
        return None
    return Ranks(2 * np.cumsum(counts) - counts, group)


def symmetric_grey(w: np.ndarray, limit: float) -> np.ndarray:
    """grey = 127.5 + 127.5 * clip(w / limit, -1, 1): zero is mid grey in every frame

    Parameters
    ----------
    w
        (n,) float.
    limit
        The size of a weight that is white or black.

    Returns
    -------
    numpy.ndarray
        uint8 (n,).
    """
    # A NumPy scalar makes NumPy divide in float64, for which no limit is too small.
    wide = np.float64(limit)
    return np.rint(127.5 + 127.5 * (np.clip(_tame(w), -wide, wide) / wide)).astype(np.uint8)


def root_grey(w: np.ndarray, limit: float) -> np.ndarray:
    """grey = 127.5 + 127.5 * sign(w) * sqrt(min(|w| / limit, 1)): small weights show as well

    Changes of weights have long tails. On this scale a tenth of the largest is a third of the way
    to black or white, so that the first steps of a film are not empty.

    Parameters
    ----------
    w
        (n,) float.
    limit
        The size of a weight that is white or black.

    Returns
    -------
    numpy.ndarray
        uint8 (n,).
    """
    # Between these nothing overflows in single precision.
    limit = min(max(limit, 1e-34), 1e34)
    ratio = np.clip(_tame(w), -limit, limit)
    ratio *= 127.5**2 / limit
    # A number divided by the root of its size is its root with its sign, which NumPy would copy in
    # twice the time. Of 0 there is no quotient.
    root = np.abs(ratio)
    root += 1e-30
    np.sqrt(root, out=root)
    np.divide(ratio, root, out=root)
    # To whole numbers it is cut, so that the half which 127.5 lacks of 128 rounds it.
    root += 128
    return root.astype(np.uint8)


def symmetric_limit(snapshots: np.ndarray, share: float = 0.999) -> float:
    """The size that this share of all |w| stay below; 1 where that is 0.

    A single outlier, which may be one pixel, cannot take the contrast from the rest.
    """
    size = np.abs(_tame(snapshots)).ravel()
    place = int(share * (size.size - 1))
    return float(np.partition(size, place)[place]) or 1.0


def scaler(scaling: str, limit: float | None) -> Callable[[np.ndarray], np.ndarray]:
    """The function that makes greys of the weights (n,) of a frame.

    Parameters
    ----------
    scaling
        "rank", "symmetric" or "root".
    limit
        That of `symmetric_grey` and `root_grey`, such as `scale_limit`; None with "rank".

    Raises
    ------
    UsageError
        For another name, or a limit that is not positive or goes with ranks.
    """
    check_scale(scaling, limit)
    if limit is None:
        return rank_grey
    if scaling == "root":
        return partial(root_grey, limit=limit)
    return partial(symmetric_grey, limit=limit)


def check_scale(scaling: str, limit: float | None = None) -> None:
    """Refuses another name, and a limit that is not positive or goes with ranks."""
    if scaling not in SCALINGS:
        raise UsageError(
            f"scaling must be 'rank', 'symmetric' or 'root', got {scaling!r}; choose one of them."
        )
    fits = scaling != "rank" and checks.is_finite(limit) and limit is not None and limit > 0
    if limit is not None and not fits:
        raise UsageError(
            f"limit must be positive and goes with scaling='symmetric' or 'root', got {limit!r} "
            f"and {scaling!r}."
        )


def scale_limit(scaling: str, snapshots: np.ndarray) -> float:
    """The limit of a scale that has one, for all weights of a film, (T, n).

    With "symmetric" 99.9 % of all |w| stay below it, with "root" 99.5 % of those of the last frame,
    to which a change mostly grows.
    """
    check_scale(scaling)
    if scaling == "root":
        return symmetric_limit(snapshots[-1], 0.995)
    return symmetric_limit(snapshots)


def _grey(ranks: Ranks) -> np.ndarray:
    return _table(ranks.group.size)[ranks.twice][ranks.group]


@lru_cache(maxsize=4)
def _table(n: int) -> np.ndarray:
    """uint8 (2n + 1,): the grey of twice (rank - 1/2) = 0..2n.

    No quantile is computed: grey g begins where qnorm(p) * 127.5 / CLIP + 127.5 = g - 1/2, so the
    255 borders in p are values of the distribution function, and the table counts the borders below
    each p.
    """
    normal = NormalDist()
    borders = [normal.cdf((g - 128) * CLIP / 127.5) for g in range(1, 256)]
    table = np.searchsorted(borders, np.arange(2 * n + 1) / (2 * n), side="right").astype(np.uint8)
    table.flags.writeable = False  # shared by every film in the process
    return table


def _tame(w: np.ndarray) -> np.ndarray:
    """The weights, with NaN as 0 and infinities as huge numbers.

    So the film of a network that diverged can be drawn.
    """
    huge = float(np.finfo(w.dtype).max) / 4
    # Both comparisons are false where there is a NaN.
    if w.size and -huge < w.min() and w.max() < huge:
        return w
    return np.clip(np.nan_to_num(w, nan=0.0), -huge, huge)
