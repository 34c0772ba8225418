"""Weights -> grey levels 0..255, each pixel of a frame from its weight: by rank, or on a fixed
symmetric scale.
"""

from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from harness import checks
from harness.errors import UsageError

# Standard deviations: a normal quantile of -2.5 or less is black, of 2.5 or more is white
CLIP = 2.5
FAST_FROM = 10_000  # weights: smaller frames are sorted, there the exact ranks cost nothing
LEVELS = 65_536


def rank_grey(w: np.ndarray) -> np.ndarray:
    """grey = 127.5 + 127.5 * clip(qnorm((i - 1/2) / n), -2.5, 2.5) / 2.5, i = rank of w, found by
    counting.

    w (n,) float -> uint8 (n,). Every frame then has the same histogram, so nothing flickers (the
    article's device, with i - 1/2 because its qnorm is infinite at 0 and 1). Equal weights share
    their mean rank, so all-equal weights are mid grey and the result does not depend on the order
    of the weights. Small frames, and those that counting cannot resolve, are sorted instead.
    """
    w = _tame(w)
    ranks = ranks_by_counting(w) if w.size >= FAST_FROM else None
    twice, group = ranks or ranks_by_sorting(w)
    return _table(w.size)[twice][group]


def rank_grey_exact(w: np.ndarray) -> np.ndarray:
    """The same as `rank_grey`, with exact ranks by sorting: its slow twin."""
    w = _tame(w)
    twice, group = ranks_by_sorting(w)
    return _table(w.size)[twice][group]


def ranks_by_sorting(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """2 * (rank - 1/2) of each distinct weight (k,), and which of them each weight is (n,). w (n,)
    finite.

    Equal weights have their mean rank, so the doubled numbers are whole, 1..2n-1. Worked: counts 1,
    2, 1 hold the ranks 1 | 2 3 | 4, the means are 1, 2.5, 4; minus 1/2 and doubled: 1, 4, 7.
    """
    _, group, counts = np.unique(w, return_inverse=True, return_counts=True)
    return 2 * np.cumsum(counts) - counts, group


def ranks_by_counting(w: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The same over 65,536 equal steps from min to max, whose weights count as equal: its fast
    twin.

    Off by at most half the number of weights in a step: of 78,400 ranks by 7 if they are normal, by
    27 after the article's training, which makes outliers; one grey level. None if outliers squeeze
    more than 1/256 of the weights into one step, or all weights are nearly equal: so it is never
    off by more than n / 512 ranks.
    """
    low, high = float(w.min()), float(w.max())
    if not high - low > 1e-30:  # then 65535 / (high - low) would not be a float32
        return None
    group = ((w - low) * ((LEVELS - 1) / (high - low))).astype(np.uint16)
    counts = np.bincount(group, minlength=LEVELS)
    return None if counts.max() > w.size // 256 else (2 * np.cumsum(counts) - counts, group)


def symmetric_grey(w: np.ndarray, limit: float) -> np.ndarray:
    """grey = 127.5 + 127.5 * clip(w / limit, -1, 1): zero is mid grey in every frame. w (n,) ->
    uint8 (n,).
    """
    wide = np.float64(limit)  # divides in float64: no limit is too small for it
    return np.rint(127.5 + 127.5 * (np.clip(_tame(w), -wide, wide) / wide)).astype(np.uint8)


def symmetric_limit(snapshots: np.ndarray) -> float:
    """The 99.9 % quantile of all |w| in a film, so that one pixel cannot take the contrast from the
    rest; 1 if 0.
    """
    size = np.abs(_tame(snapshots)).ravel()
    at = int(0.999 * (size.size - 1))
    return float(np.partition(size, at)[at]) or 1.0


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
    """`w`, with NaN as 0 and infinities as huge numbers, so that a film of a network that diverged
    can be drawn.
    """
    huge = float(np.finfo(w.dtype).max) / 4
    if w.size and -huge < w.min() and w.max() < huge:  # false for NaN
        return w
    return np.clip(np.nan_to_num(w, nan=0.0), -huge, huge)


def scaler(
    scaling: str, limit: float | None, snapshots: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """The function w -> grey by name, "rank" or "symmetric". Errors: UsageError for another name or
    a wrong limit.
    """
    if scaling not in ("rank", "symmetric"):
        raise UsageError(
            f"scaling must be 'rank' or 'symmetric', got {scaling!r}; choose one of them."
        )
    if limit is not None and not (scaling == "symmetric" and checks.is_finite(limit) and limit > 0):
        raise UsageError(
            f"limit must be positive and goes with scaling='symmetric', got {limit!r} "
            f"and {scaling!r}."
        )
    if scaling == "rank":
        return rank_grey
    fixed = symmetric_limit(snapshots) if limit is None else limit
    return lambda w: symmetric_grey(w, fixed)
