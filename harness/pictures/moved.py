"""How far the units of a film have moved from their first weights."""

import numpy as np


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
    with np.errstate(all="ignore"):
        length = np.stack([np.linalg.norm(one - snapshots[0], axis=0) for one in snapshots])
        first = np.linalg.norm(snapshots[0], axis=0)
        is_relative = bool(np.all(first[drawn] > 0))
        if is_relative:
            length = length / first
    length = np.nan_to_num(length, nan=0.0, posinf=1e30)
    return {
        unit: [float(f"{value:.3g}") for value in length[:, unit].tolist()] for unit in drawn
    }, is_relative
