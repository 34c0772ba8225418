"""Data: a data set as training needs it, split and scaled, with targets."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from harness.data import Dataset
from harness.data.fitted import Fitted
from harness.data.scaling import apply_scale
from harness.ops import Array, ops_for


@dataclass(frozen=True, eq=False)
class Data:
    """A data set that is ready for training; x and t are on the device, y is on the host.

    Attributes
    ----------
    source
        The data set as it was read.
    t, y
        Of the training part: target rows (N, O), and labels (N,) or rows (N, O).
    x_valid, t_valid, y_valid
        Of the validation part: features (N, I), and the same.
    fitted
        What the training part has decided, such as the scaling.
    dtype
        Of the features.
    device
        Where they are.
    scaled
        The features (N, I) of the training part; None where they are in `raw` alone.
    raw
        The features (N, I) as bytes, where scaling is a division: a batch of bytes is gathered in
        half the time, and they take a quarter of the memory. Else None.
    weights
        Those (N,) of the training rows as the user gave them; None without.
    """

    source: Dataset
    t: Array
    y: np.ndarray
    x_valid: Array
    t_valid: Array
    y_valid: np.ndarray
    fitted: Fitted
    dtype: np.dtype
    device: str = "cpu"
    scaled: Array | None = None
    raw: Array | None = None
    weights: np.ndarray | None = None

    @property
    def rows(self) -> int:
        """How many rows N the training part has."""
        return len(self.t)

    @property
    def inputs(self) -> int:
        """How many features I there are."""
        return int(self.x_valid.shape[1])

    @cached_property
    def x(self) -> Array:
        """The features (N, I) of the training part, scaled when they are first asked for."""
        return self.first(self.rows)

    def first(self, rows: int) -> Array:
        """Return the features of the first so many rows of the training part."""
        if self.scaled is not None:
            return self.scaled[:rows]
        assert self.raw is not None
        raw = self.raw[:rows]
        if hasattr(raw, "get"):
            raw = raw.get()  # scaling is done on the host
        return ops_for(self.device).asarray(apply_scale(raw, *self.fitted.scaling, self.dtype))
