"""Labels as people have them: a missing one is refused, and two spellings of one label are matched.

A label is its name, the text as it was written. It is also a number where every name writes back
from a number, so that 1, 1.0 and "1" find each other, and "01" and "1" do not.
"""

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.data.missing import LOST, plain
from harness.errors import UsageError

_SHOWN = 10  # names of classes in a message


def read_labels(y: Any, what: str) -> np.ndarray:
    """Labels as a plain array (N,), or targets (N, O): numbers, truth values or strings.

    Parameters
    ----------
    y
        Labels (N,) or (N, 1), or targets (N, O), in any container.
    what
        What to call them in a message.

    Raises
    ------
    UsageError
        For a missing label, with its first row, and for what cannot be a label.
    """
    array, missing = plain(y)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
        missing = missing[:, 0]
    if missing.any():
        row = int(np.argwhere(missing)[0][0])
        _refuse_missing(what, row, np.atleast_2d(array[row]).ravel()[0])
    if array.dtype.kind == "O":
        array = _of_one_type(array, what)
    # Bytes are texts whose encoding is not known, so no byte may be lost or refused.
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "backslashreplace")
    if array.dtype.kind not in "biufU":
        raise UsageError(
            f"{what}: labels must be whole numbers, truth values or strings, got {array.dtype}: "
            "turn them into one of these"
        )
    return array


def _refuse_missing(what: str, row: int, value: Any) -> None:
    shown = ""
    if str(value) in ("None", *LOST):
        shown = f" ({value})"
    raise UsageError(
        f"{what}: every row needs a label, but it is missing{shown} in row {row} (counted from 0): "
        "remove such rows or fill in the label"
    )


def _of_one_type(array: np.ndarray, what: str) -> np.ndarray:
    """Objects as truth values, as numbers, or as the names of labels of several types."""
    values = array.ravel().tolist()
    truths = sum(isinstance(value, bool | np.bool_) for value in values)
    if truths == len(values):
        return array.astype(bool)
    # A truth value among numbers is a label of another type: True is not the label 1.
    if truths == 0:
        found = _as_numbers(values)
        if found is not None:
            return found.reshape(array.shape)
    for row, value in enumerate(values):
        if not isinstance(value, str | bytes | numbers.Real | np.bool_):
            raise UsageError(
                f"{what}: labels must be whole numbers, truth values or strings, got "
                f"{type(value).__name__} in row {row} (counted from 0): turn it into one of them"
            )
    return np.array([label_name(value) for value in values], dtype=np.str_).reshape(array.shape)


def _as_numbers(values: list[Any]) -> np.ndarray | None:
    """Values as numbers of a type of NumPy's own, None where they are not or where none fits."""
    if all(isinstance(value, numbers.Integral) for value in values):
        whole = np.array(values)
        # Whole numbers beyond 64 bits would be rounded, so they are told apart by their names.
        if whole.dtype.kind in "iu":
            return whole
        return None
    if all(isinstance(value, numbers.Real) for value in values):
        return np.array([float(value) for value in values])
    return None


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
    spellings = [repr(number)]
    if number % 1 == 0:
        spellings.append(str(int(number)))
    if name not in spellings:
        return None
    return number


def in_order(names: Sequence[str]) -> tuple[str, ...]:
    """Names of classes in their order: of the numbers where all are numbers, else of the text."""
    values = {name: number_of(name) for name in names}
    if None in values.values():
        return tuple(sorted(values))
    # 1.0 and 1 are two names of one value, and then the text decides.
    return tuple(sorted(values, key=lambda name: (values[name], name)))


def first_names(names: Sequence[str]) -> str:
    """The names of classes for a message; of many, the first ones."""
    shown = ", ".join(names[:_SHOWN])
    if len(names) > _SHOWN:
        shown += ", ..."
    return shown


class Places:
    """The place of a label among the names of classes.

    A label is found by its name, and by its value where all names are numbers.

    Parameters
    ----------
    names
        The names of the classes, in order.
    """

    def __init__(self, names: Sequence[str]):
        self.by_name = {name: k for k, name in enumerate(names)}
        values = [number_of(name) for name in names]
        self.by_value: dict[float | None, int] = {}
        # Where 1 and 1.0 are two classes, a value would not say which one is meant.
        if None not in values and len(set(values)) == len(values):
            self.by_value = {value: k for k, value in enumerate(values)}

    def of(self, label: Any) -> int | None:
        """The place of a label, None where it is of no class."""
        name = label_name(label)
        if name in self.by_name:
            return self.by_name[name]
        return self.by_value.get(number_of(name))

    def all(self, labels: np.ndarray, must: str, row_name: str = "row") -> np.ndarray:
        """The places (N,) of labels (N,).

        Parameters
        ----------
        labels
            Labels (N,).
        must
            What must hold of them; it begins the message.
        row_name
            What to call a row in the message.

        Raises
        ------
        UsageError
            For the first label that is of no class.
        """
        # Each different label is looked up once, however many rows there are.
        different, first_rows, back = np.unique(labels, return_index=True, return_inverse=True)
        places = [self.of(label) for label in different]
        unknown = [row for row, place in zip(first_rows, places, strict=True) if place is None]
        if unknown:
            row = int(min(unknown))
            raise UsageError(
                f"{must}, got {label_name(labels[row])!r} in {row_name} {row} (counted from 0)"
            )
        return np.array(places, dtype=np.int64)[back]
