"""Snapshots of weights -> levels: what a film shows of them, on its scale, pixel by pixel."""

from typing import Any

import numpy as np

from harness.errors import UsageError
from harness.pictures.grey import scale_limit, scaler

_TOGETHER = 65_536  # numbers of frames that are calculated at once


def levels(
    snapshots: np.ndarray, index: np.ndarray, show: str, scaling: str, limit: float | None = None
) -> np.ndarray:
    """The levels of a film before they have colours.

    Parameters
    ----------
    snapshots
        (T, I, O).
    index
        (H, W): which weight stands at each pixel; see `tiles.index_of`.
    show, scaling, limit
        See `frames`.

    Returns
    -------
    numpy.ndarray
        uint8 (T, H, W), 0 where no weight is.
    """
    if limit is None and scaling != "rank":
        limit = limit_of(snapshots, index, show, scaling)
    grey = scaler(scaling, limit)
    drawn = np.flatnonzero(index >= 0)
    places = index.ravel()[drawn]
    # Where no pixel is left out the copy is a straight one.
    pixels: Any = slice(None) if len(drawn) == index.size else drawn
    # Ranks are those within a frame.
    size = _TOGETHER if scaling == "rank" else index.size
    film = np.zeros((len(snapshots), index.size), np.uint8)
    for part in together(len(snapshots), size):
        numbers = shown(snapshots[part], show, snapshots[0])
        # All places are within, so nothing is clipped, and not to look takes half the time.
        weights = numbers.reshape(len(numbers), -1).take(places, axis=1, mode="clip")
        film[part, pixels] = grey(weights.ravel()).reshape(weights.shape)
    return film.reshape(len(snapshots), *index.shape)


def together(count: int, size: int) -> list[slice]:
    """The parts of a film that are calculated at once; of large frames each is one.

    A call of NumPy takes longer than the numbers of a small frame.

    Parameters
    ----------
    count
        How many frames it has.
    size
        How many numbers a frame has.
    """
    most = max(1, _TOGETHER // size)
    return [slice(begin, begin + most) for begin in range(0, count, most)]


def limit_of(snapshots: np.ndarray, index: np.ndarray, show: str, scaling: str) -> float:
    """Where the scale of a film ends that is "symmetric" or "root"; see `levels`.

    It is that of what the film shows.
    """
    # With "root" the last frame decides.
    counted = snapshots[-1:] if scaling == "root" else snapshots
    numbers = shown(counted, show, snapshots[0])
    places = index[index >= 0]
    return scale_limit(scaling, numbers.reshape(len(numbers), -1).take(places, axis=1, mode="clip"))


def shown(snapshots: np.ndarray, show: str, first: np.ndarray) -> np.ndarray:
    """The numbers (T, I, O) that a film shows: the weights, or what they have changed by.

    Parameters
    ----------
    snapshots
        (T, I, O).
    show
        "weights" or "change".
    first
        (I, O): the weights of the first frame of the film.
    """
    if show not in ("weights", "change"):
        raise UsageError(f"show must be 'weights' or 'change', got {show!r}; choose one of them.")
    if show == "weights":
        return snapshots
    # A network that diverged has infinite weights, whose difference is no number.
    with np.errstate(invalid="ignore", over="ignore"):
        return snapshots - first
