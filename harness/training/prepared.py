"""Data: a data set as training needs it, split and scaled, with targets."""

from typing import NamedTuple

import numpy as np

from harness.data import Dataset
from harness.data.fitted import Fitted
from harness.ops import Array


class Data(NamedTuple):
    """A data set that is ready for training; x and t are on the device, y is on the host.

    Attributes
    ----------
    source
        The data set as it was read.
    x, t, y
        The training part: features (N, I), target rows (N, O), and labels (N,) or rows (N, O).
    x_valid, t_valid, y_valid
        The same of the validation part.
    fitted
        What the training part has decided, such as the scaling.
    raw
        The features (N, I) as bytes, where scaling is a division; a batch of bytes is gathered in
        half the time. Else None.
    weights
        Those (N,) of the training rows as the user gave them; None without.
    """

    source: Dataset
    x: Array
    t: Array
    y: np.ndarray
    x_valid: Array
    t_valid: Array
    y_valid: np.ndarray
    fitted: Fitted
    raw: Array | None = None
    weights: np.ndarray | None = None
