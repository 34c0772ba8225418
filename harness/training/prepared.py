"""Data: a data set as training needs it, split and scaled, with targets."""

from typing import Any, NamedTuple

import numpy as np

from harness.data import Dataset, Fitted


class Data(NamedTuple):
    """A data set ready for training: scaled, split, on the device. x (N, I), t (N, O) rows, y
    labels or rows on the host.
    """

    source: Dataset
    x: Any
    t: Any
    y: np.ndarray
    x_valid: Any
    t_valid: Any
    y_valid: np.ndarray
    fitted: Fitted
    # X as bytes, where scaling is a division: a batch of bytes is gathered in half the time
    raw: Any = None
    weights: np.ndarray | None = None  # (N,) of the training rows, as the user gave them
