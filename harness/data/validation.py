"""What a user brings beside the rows to train on: a validation part of one's own, and weights of
the rows.

Classes, the encoding of texts and the scale come from the training part alone, as for a part that
is split off.
"""

import sys
from dataclasses import replace
from typing import Any

import numpy as np

from harness import checks
from harness.data.dataset import Dataset, check_part, same_texts, targets
from harness.data.labels import Places, plain, read_labels
from harness.data.reading import Table, read_table
from harness.errors import UsageError

_PART = "validation part"


def with_validation(source: Dataset, x: Any, y: Any, coded: bool = False) -> Dataset:
    """The data set with a validation part of its own, so that none is split off.

    Parameters
    ----------
    source
        The training part, and perhaps a test part.
    x
        Rows (N, ...) as in `from_arrays`; columns with names are found by them.
    y
        Their labels (N,), of the classes of the training part, or targets (N, O).
    coded
        Whether labels are the places of classes already.

    Raises
    ------
    UsageError
        For rows or labels that do not fit those of the training part.
    """
    if x is None or y is None:
        raise UsageError(f"{source.name}: a {_PART} needs both x and y: give both or neither")
    what = f"{source.name}: x of the {_PART}"
    table = read_table(x, what, sys.maxsize, source.features, texts=source.table([]).text_columns)
    labels = read_labels(y, f"{source.name}: y of the {_PART}")
    return join_validation(source, table, labels, coded)


def join_validation(
    source: Dataset, table: Table, labels: np.ndarray, coded: bool = False
) -> Dataset:
    """The data set with a validation part that is read already: the last rows of x and y."""
    if source.valid_rows:
        raise UsageError(
            f"{source.name}: there is a {_PART} of its own already; leave one of them out"
        )
    y = _places(source, labels, coded)
    table = _flat(source, table.by_name(source.features))
    x = table.values
    texts = source.texts
    if texts is not None or table.texts is not None:
        texts, x = same_texts(source.name, source.table(), table, _PART)
    x = _of_type(source, x)
    check_part(source, f"x of the {_PART}", x, f"y of the {_PART}", y)
    weights = source.weights
    if weights is not None:
        weights = np.concatenate([weights, np.ones(len(y))])
    return replace(
        source,
        x=np.concatenate([source.x, x]),
        y=np.concatenate([source.y, y]),
        texts=texts,
        valid_rows=len(y),
        weights=weights,
    )


def with_weights(source: Dataset, weights: Any) -> Dataset:
    """The data set with a weight for each row of its training part; see
    `training.weights`.
    """
    rows = len(source.y) - source.valid_rows
    found = read_weights(weights, rows)
    return replace(source, weights=np.concatenate([found, np.ones(source.valid_rows)]))


def read_weights(weights: Any, rows: int, name: str = "sample_weight") -> np.ndarray:
    """Weights of rows as an array (rows,) of float64, none below 0."""
    array, missing = plain(weights)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
        missing = missing[:, 0]
    if array.ndim != 1 or len(array) != rows:
        raise UsageError(
            f"{name} must have one weight for each of the {rows} rows, got shape {array.shape}"
        )
    if array.dtype.kind in "iuf":
        fine = ~missing & np.isfinite(array) & (array >= 0)
    else:
        fine = ~missing & np.array(
            [checks.is_finite(weight) and weight >= 0 for weight in array], dtype=bool
        )
    if not fine.all():
        row = int(np.argmin(fine))
        what = "a missing value" if missing[row] else checks.shown(array[row])
        raise UsageError(
            f"{name} must be 0 or above and finite, got {what} in row {row} (counted from 0)"
        )
    found = array.astype(np.float64)
    if not found.sum() > 0:
        raise UsageError(f"{name} must be above 0 for some row, got only zeros")
    return found


def _places(source: Dataset, labels: np.ndarray, coded: bool) -> np.ndarray:
    """Labels as places of the classes, or targets as floats."""
    if source.task == "regression":
        return targets(source.name, f"y of the {_PART}", labels)
    if labels.ndim != 1 or labels.dtype.kind not in "biufU":
        raise UsageError(
            f"{source.name}: labels of the {_PART} must be whole numbers or strings of shape "
            f"(rows,), got "
            f"{labels.dtype} {labels.shape}"
        )
    if coded:
        return labels.astype(np.int64)
    names = ", ".join(source.classes[:10]) + (", ..." if len(source.classes) > 10 else "")
    must = f"{source.name}: labels of the {_PART} must be classes of the training part ({names})"
    return Places(source.classes).all(labels, must, f"row of the {_PART}")


def _flat(source: Dataset, table: Table) -> Table:
    """Rows (N, I) as long as those of the training part."""
    values, features = table.values, source.x.shape[1]
    if values.ndim < 2 or values.shape[0] == 0 or values.size != len(values) * features:
        raise UsageError(
            f"{source.name}: rows of the {_PART} must have {features} features as those of the "
            f"training part, got "
            f"{values.shape}"
        )
    return replace(table, values=values.reshape(len(values), features))


def _of_type(source: Dataset, x: np.ndarray) -> np.ndarray:
    """The values in the type of the training part, which decides the scale, or in a wider one that
    holds them.
    """
    if source.x.dtype == np.uint8:
        if (x != np.clip(np.nan_to_num(x), 0, 255)).any() or (x % 1 != 0).any():
            raise UsageError(
                f"{source.name}: the {_PART} must hold bytes (0 to 255) as the training part does, "
                f"got values from "
                f"{np.nanmin(x):g} to {np.nanmax(x):g}; bring both to one scale"
            )
        return x.astype(np.uint8)
    narrow = x.astype(source.x.dtype)
    return (
        narrow if np.array_equal(narrow, x, equal_nan=x.dtype.kind == "f") else x.astype(np.float64)
    )
