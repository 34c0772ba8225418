"""Weights of rows that a user brings: they are checked, and go with the rows of a data set."""

from dataclasses import replace
from typing import Any

import numpy as np

from harness import checks
from harness.data.dataset import Dataset
from harness.data.missing import plain
from harness.errors import UsageError


def with_weights(source: Dataset, weights: Any) -> Dataset:
    """The data set with a weight for each row of its training part.

    A row of weight 3 counts in the loss as three rows do. The rows of a validation part of its own
    count once each.

    Parameters
    ----------
    source
        The data set.
    weights
        One number for each row of the training part, none below 0.

    Raises
    ------
    UsageError
        For weights that are no such numbers, and where all are 0.
    """
    weights = read_weights(weights, len(source.y) - source.valid_rows)
    return replace(source, weights=np.concatenate([weights, np.ones(source.valid_rows)]))


def read_weights(weights: Any, rows: int, name: str = "sample_weight") -> np.ndarray:
    """Weights of rows as an array (rows,) of float64, none below 0.

    Parameters
    ----------
    weights
        Numbers (rows,) or (rows, 1) in any container.
    rows
        How many rows there are.
    name
        What to call the weights in a message.

    Raises
    ------
    UsageError
        For weights that are no such numbers, and where all are 0.
    """
    array, missing = plain(weights)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
        missing = missing[:, 0]
    if array.ndim != 1 or len(array) != rows:
        raise UsageError(
            f"{name} must have one weight for each of the {rows} rows, got shape {array.shape}"
        )
    fine = ~missing & _are_weights(array)
    if not fine.all():
        row = int(np.argmin(fine))
        shown = "a missing value" if missing[row] else checks.shown(array[row])
        raise UsageError(
            f"{name} must be 0 or above and finite, got {shown} in row {row} (counted from 0)"
        )
    floats = array.astype(np.float64)
    # The weights are divided by their mean, so it must not be 0.
    if not floats.sum() > 0:
        raise UsageError(f"{name} must be above 0 for some row, got only zeros")
    return floats


def _are_weights(array: np.ndarray) -> np.ndarray:
    """Which values of an array of any type are finite numbers of at least 0."""
    if array.dtype.kind in "iuf":
        return np.isfinite(array) & (array >= 0)
    # Objects may be numbers of any type, or no numbers at all.
    return np.array([checks.is_finite(value) and value >= 0 for value in array], dtype=bool)
