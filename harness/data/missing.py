"""Which values are missing, and what is put in the place of a missing number: its column's mean.

A value is missing where it is NaN, None, NaT, pandas.NA or masked, or where it is a text that a
conversion has made of one of these.
"""

from typing import Any, NamedTuple

import numpy as np

from harness.errors import UsageError, option

# What types of text make of a missing value: a label of this name has been lost, not written.
LOST = ("nan", "<NA>", "NaT")

_EXACT = 2.0**53  # From here on not every whole number is a float.


class Values(NamedTuple):
    """Values as an array, of one of NumPy's own types or of objects, and which are missing."""

    array: np.ndarray
    missing: np.ndarray


def plain(values: Any) -> Values:
    """Values of any container as an array, and which of them are missing."""
    if isinstance(values, range | set | frozenset):
        values = list(values)
    values = stack_masked(values)
    if isinstance(values, np.ma.MaskedArray):
        inner = plain(values.data)
        return Values(inner.array, inner.missing | np.ma.getmaskarray(values))
    # A column of pandas is recognized by its methods, so that pandas need not be imported.
    if hasattr(values, "isna") and hasattr(values, "to_numpy"):
        missing = np.asarray(values.isna(), dtype=bool)
        inner = plain(values.to_numpy())
        return Values(inner.array, missing | inner.missing)
    array = np.asarray(values)
    if not isinstance(values, np.ndarray) and _has_lost_values(array):
        array = np.array(values, dtype=object)
    # NumPy's texts of variable length can hold a missing value, which only an object can show.
    if array.dtype.kind == "T":
        array = array.astype(object)
    return Values(array, missing_in(array))


def _has_lost_values(array: np.ndarray) -> bool:
    """Whether an array that NumPy made of a list may say less than the list did."""
    # NumPy turns the None and NaN of a list with texts into texts.
    if array.dtype.kind in "US":
        return True
    # It rounds large whole numbers that do not fit one type of whole numbers.
    return array.dtype.kind == "f" and bool((abs(array) >= _EXACT).any())


def stack_masked(values: Any) -> Any:
    """A list of masked rows as one masked array, anything else as it is.

    NumPy alone would take the masked entries for values.
    """
    if not isinstance(values, list | tuple):
        return values
    if not any(isinstance(row, np.ma.MaskedArray) for row in values):
        return values
    return np.ma.stack(values)


def missing_in(array: np.ndarray) -> np.ndarray:
    """Which values of an array are missing, as truth values of its shape."""
    kind = array.dtype.kind
    if kind in "fc":
        return np.isnan(array)
    if kind in "mM":
        return np.isnat(array)
    if kind == "U":
        return np.isin(array, LOST)
    if kind != "O":
        return np.zeros(array.shape, dtype=bool)
    # Importing pandas takes long, and only objects need it.
    import pandas

    lost = [isinstance(value, str) and value in LOST for value in array.ravel()]
    return pandas.isna(array) | np.reshape(np.array(lost, dtype=bool), array.shape)


def mean_of_known(values: np.ndarray, missing: np.ndarray) -> float:
    """The mean of the values (N,) that are not missing."""
    return float(np.mean(values[~missing], dtype=np.float64))


def fill(values: np.ndarray, missing: np.ndarray, mean: float | None) -> np.ndarray:
    """The numbers (N,) with the mean where one is missing; the same array where none is."""
    if not missing.any():
        return values
    # A column has no mean only where missing values are refused, and then none arrives here.
    return np.where(missing, np.float64(mean or 0.0), values)


def refuse_missing(values: np.ndarray, what: str, column: str) -> None:
    """Refuses a missing value in a column (N,) where the network has not learned what to fill in.

    `what` is what to call the table, and `column` is the name of the column.
    """
    missing = missing_in(values)
    if missing.any():
        raise UsageError(
            f"data must be finite, but {what} is nan (missing) in row {int(missing.argmax())}, "
            f"column {column!r} (counted from 0): remove such rows, fill in a number, or say "
            f"{option('missing', 'mean')} when the network is trained"
        )
