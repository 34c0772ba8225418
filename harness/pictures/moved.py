"""How far the units of a film have moved from their first weights."""

import numpy as np

from harness.pictures.levels import together

_POWERS = np.array([10.0**digits for digits in range(23)])


def moved(snapshots: np.ndarray, drawn: list[int]) -> tuple[dict[int, list[float]], bool]:
    """How far each unit has moved from its first weights at each frame.

    Parameters
    ----------
    snapshots : numpy.ndarray
        (T, I, O): the weights at T steps.
    drawn : list of int
        The units that are drawn.

    Returns
    -------
    dict of int to list of float
        Of each drawn unit |w_t - w_0|, divided by |w_0| where no w_0 is 0.
    bool
        Whether it was divided.
    """
    first = snapshots[0]
    with np.errstate(all="ignore"):
        parts = together(len(snapshots), first.size)
        length = np.concatenate([_lengths(snapshots[part] - first) for part in parts])
        length = length.astype(float)
        (at_first,) = _lengths(snapshots[:1])
        is_relative = bool(np.all(at_first[drawn] > 0))
        if is_relative:
            length /= at_first
    length = np.nan_to_num(length, nan=0.0, posinf=1e30)
    return dict(zip(drawn, _rounded(length.T[drawn]).tolist(), strict=True)), is_relative


def _lengths(matrices: np.ndarray) -> np.ndarray:
    """The length of each column (T, O) of matrices (T, I, O)."""
    return np.sqrt(np.einsum("tio,tio->to", matrices, matrices))


def _rounded(numbers: np.ndarray) -> np.ndarray:
    """Numbers from 0 to 1e30 with three digits, or as many as they have before the point."""
    with np.errstate(divide="ignore"):
        digits = 2 - np.floor(np.log10(numbers))
    # A power of ten that is exact, so that the quotient has no further digits.
    powers = _POWERS[np.clip(digits, 0, 22).astype(int)]
    return np.rint(numbers * powers) / powers
