"""Labels as people have them: what is missing is refused, and what one label is is decided once.

A label is its name, the text as it was written. It is also a number where every name writes back
from a number, so that 1, 1.0 and "1" find each other, and "01" and "1" do not.
"""

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.errors import UsageError

# What types of text make of a missing value: a label of this name has been lost, not written
LOST = ("nan", "<NA>", "NaT")

_EXACT = 2.0**53  # from here on not every whole number is a float


def plain(values: Any) -> tuple[np.ndarray, np.ndarray]:
    """Values of any container as an array, and which of them are missing.

    Missing are NaN, None, NaT, pandas.NA, what is masked, and a text that is what one of them is
    turned into. The array has one of NumPy's own types, or it holds objects.
    """
    if isinstance(values, range | set | frozenset):
        values = list(values)
    values = joined(values)
    if isinstance(values, np.ma.MaskedArray):
        array, missing = plain(values.data)
        return array, missing | np.ma.getmaskarray(values)
    if hasattr(values, "isna") and hasattr(values, "to_numpy"):  # of pandas, without importing it
        missing = np.asarray(values.isna(), dtype=bool)
        array, more = plain(values.to_numpy())
        return array, missing | more
    array = np.asarray(values)
    if array.dtype.kind in "US" and not isinstance(values, np.ndarray):
        # A list, in which NumPy has made texts of None and NaN
        array = np.array(values, dtype=object)
    if (
        array.dtype.kind == "f"
        and not isinstance(values, np.ndarray)
        and (abs(array) >= _EXACT).any()
    ):
        # A list, whose large whole numbers NumPy has rounded
        array = np.array(values, dtype=object)
    if array.dtype.kind == "T":
        array = array.astype(object)
    return array, _missing(array)


def joined(values: Any) -> Any:
    """A list of masked rows as one masked array: NumPy would take what is masked for values. All
    else as it is.
    """
    if isinstance(values, list | tuple) and any(
        isinstance(row, np.ma.MaskedArray) for row in values
    ):
        return np.ma.stack(values)
    return values


def _missing(array: np.ndarray) -> np.ndarray:
    """Which values of an array are missing."""
    if array.dtype.kind in "fc":
        return np.isnan(array)
    if array.dtype.kind in "mM":
        return np.isnat(array)
    if array.dtype.kind == "U":
        return np.isin(array, LOST)
    if array.dtype.kind != "O":
        return np.zeros(array.shape, dtype=bool)
    import pandas

    lost = [isinstance(value, str) and value in LOST for value in array.ravel()]
    return pandas.isna(array) | np.reshape(np.array(lost, dtype=bool), array.shape)


def read_labels(y: Any, what: str) -> np.ndarray:
    """Labels as a plain array (N,), or targets (N, O): numbers, truth values or strings.

    Raises UsageError for what is missing, with its first row, and for what can be no label.
    """
    array, missing = plain(y)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
        missing = missing[:, 0]
    if missing.any():
        row = int(np.argwhere(missing)[0][0])
        refuse_missing(what, row, np.atleast_2d(array[row]).ravel()[0])
    if array.dtype.kind == "O":
        array = _of_one_type(array, what)
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "backslashreplace")
    if array.dtype.kind not in "biufU":
        raise UsageError(
            f"{what}: labels must be whole numbers, truth values or strings, got {array.dtype}: "
            f"turn them into one "
            "of these"
        )
    return array


def refuse_missing(what: str, row: int, value: Any = "") -> None:
    """Raises the UsageError for a label that is missing."""
    shown = f" ({value})" if str(value) in ("None", *LOST) else ""
    raise UsageError(
        f"{what}: every row needs a label, but it is missing{shown} in row {row} (counted from 0): "
        f"remove such rows or "
        "fill in the label"
    )


def _of_one_type(array: np.ndarray, what: str) -> np.ndarray:
    """Objects -> truth values, numbers, or the names of labels of several types."""
    values = array.ravel().tolist()
    truths = sum(isinstance(value, bool | np.bool_) for value in values)
    if truths == len(values):
        return array.astype(bool)
    if not truths and all(isinstance(value, numbers.Real) for value in values):
        whole = all(isinstance(value, numbers.Integral) for value in values)
        found = np.array(values) if whole else np.array([float(value) for value in values])
        if found.dtype.kind in ("iu" if whole else "f"):
            return found.reshape(array.shape)
    for row, value in enumerate(values):
        if not isinstance(value, str | bytes | numbers.Real | np.bool_):
            raise UsageError(
                f"{what}: labels must be whole numbers, truth values or strings, got "
                f"{type(value).__name__} in row "
                f"{row} (counted from 0): turn it into one of them"
            )
    return np.array([label_name(value) for value in values], dtype=np.str_).reshape(array.shape)


def label_name(value: Any) -> str:
    """A label's name: 2.0 and 2 are "2", text is its own name."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, float | np.floating) and value % 1 == 0:
        return str(int(value))
    return str(value)


def number_of(name: str) -> float | None:
    """The number that a name writes, where writing it back gives the same text; else None."""
    try:
        number = float(name)
    except ValueError:
        return None
    if not math.isfinite(number):
        return None
    whole = number % 1 == 0
    same = name == repr(number) or (whole and name == str(int(number)))
    return number if same else None


def in_order(names: Sequence[str]) -> tuple[str, ...]:
    """Names of classes in their order: of the numbers where all are numbers, else of the text."""
    values = {name: number_of(name) for name in names}
    if all(value is not None for value in values.values()):
        return tuple(sorted(values, key=lambda name: (values[name], name)))
    return tuple(sorted(values))


class Places:
    """Where a label stands among the names of classes: by its name, or by its value where all names
    are numbers.
    """

    def __init__(self, names: Sequence[str]):
        self.by_name = {name: k for k, name in enumerate(names)}
        values = [number_of(name) for name in names]
        self.by_value: dict[float | None, int] = {}
        if None not in values and len(set(values)) == len(values):
            self.by_value = {value: k for k, value in enumerate(values)}

    def of(self, label: Any) -> int | None:
        """The place of a label, None where it is of no class."""
        name = label_name(label)
        if name in self.by_name:
            return self.by_name[name]
        return self.by_value.get(number_of(name))

    def all(self, labels: np.ndarray, must: str, row_name: str = "row") -> np.ndarray:
        """The places (N,) of labels (N,); UsageError, which begins with what must hold, for the
        first unknown one.
        """
        seen, first, back = np.unique(labels, return_index=True, return_inverse=True)
        found = [self.of(label) for label in seen]
        unknown = sorted(
            (int(row), label)
            for row, label, place in zip(first, seen, found, strict=True)
            if place is None
        )
        if unknown:
            row, label = unknown[0]
            raise UsageError(
                f"{must}, got {label_name(label)!r} in {row_name} {row} (counted from 0)"
            )
        return np.array(found, dtype=np.int64)[back]
