"""Reading the labels and targets that users give, and writing labels as they wrote them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.data.labels import Places, read_labels
from harness.errors import UsageError
from harness.model.rows import number_rows
from harness.model.schema import Schema

_LISTED = 10  # classes that a message names


def read_targets(y: Any, rows: int, schema: Schema) -> np.ndarray:
    """The user's y as the positions (N,) of classes, or as the rows (N, K) of a regression."""
    if schema.labels is None:
        targets = regression_targets(y)
    else:
        targets = class_positions(read_labels(y, "y"), schema)
    if len(targets) != rows:
        raise UsageError(
            f"every row of x needs one of y, got {rows} rows and {len(targets)}; "
            f"make them equally long"
        )
    if schema.labels is None and targets.shape[1] != schema.outputs:
        raise UsageError(
            f"y must have {schema.outputs} columns like the network's outputs, got "
            f"{targets.shape[1]}"
        )
    return targets


def regression_targets(y: Any) -> np.ndarray:
    """The targets (N, K) of a regression; a y of one axis is a single column."""
    array = read_labels(y, "y")
    if array.ndim == 1:
        array = array[:, None]
    return number_rows(array, None, "columns", name="y")


def class_positions(y: np.ndarray, schema: Schema) -> np.ndarray:
    """The positions (N,) of labels among the classes.

    Labels are compared by name, so that 3, 3.0 and "3" are the same label.
    """
    # Without any rows NumPy may choose any type.
    if y.ndim != 1 or (y.dtype.kind not in "biufU" and y.size):
        raise UsageError(
            f"labels must be whole numbers or strings of shape (rows,), got {y.dtype} {y.shape}"
        )
    return Places(schema.names).all(
        y, f"labels must be of the classes {listed(schema.names)} (or make a new Model)"
    )


def labels_of(names: tuple[str, ...]) -> np.ndarray | None:
    """The labels of named classes: int64 where all names are whole numbers, else strings.

    None where there are no classes, as in a regression.
    """
    try:
        numbers = np.array([int(name) for name in names], np.int64)
    except (ValueError, OverflowError):
        return np.array(names)
    if not names:
        return None
    # Such a name as "007" is no number that the user wrote.
    if tuple(map(str, numbers)) != names:
        return np.array(names)
    return numbers


def listed(names: Sequence[str]) -> str:
    """The first names of many, for a message."""
    end = ", ..." if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + end
