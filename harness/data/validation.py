"""A validation part that a user brings, in place of one that is split off.

Classes, the encoding of texts and the scale come from the training part alone, as for a part that
is split off.
"""

import sys
from dataclasses import replace
from typing import Any

import numpy as np

from harness.data.dataset import Dataset
from harness.data.dataset_checks import check_part
from harness.data.labels import Places, first_names, read_labels
from harness.data.reading import read_table
from harness.data.table import Table, join_texts
from harness.data.targets import check_places, regression_rows
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
    # A table without rows still knows which of its columns hold texts.
    texts = source.table([]).text_columns
    table = read_table(x, what, sys.maxsize, source.features, texts=texts)
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
    y = _targets(source, labels, coded)
    table = _flat(source, table.by_name(source.features))
    x = table.values
    texts = source.texts
    if texts is not None or table.texts is not None:
        joined = join_texts(source.name, source.table(), table, _PART)
        texts = joined.texts
        x = joined.values
    x = _of_type(source, x)
    check_part(source, f"x of the {_PART}", x, f"y of the {_PART}", y)
    # The part is only measured, and there each row counts once.
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


def _targets(source: Dataset, labels: np.ndarray, coded: bool) -> np.ndarray:
    """Labels as places of the classes, or targets as floats."""
    what = f"y of the {_PART}"
    if source.task == "regression":
        rows = regression_rows(source.name, what, labels)
        if rows.shape[1] != source.y.shape[1]:
            raise UsageError(
                f"{source.name}: {what} must have rows like y {source.y.shape[1:]}, got "
                f"{rows.shape[1:]}"
            )
        return rows
    if labels.ndim != 1:
        raise UsageError(
            f"{source.name}: labels of the {_PART} must be whole numbers or strings of shape "
            f"(rows,), got {labels.dtype} {labels.shape}"
        )
    if coded:
        # Places that came through a table may be floats; a fraction would be cut off.
        if labels.dtype.kind != "f" or (labels % 1).any():
            check_places(source.name, what, labels)
        return labels.astype(np.int64)
    shown = first_names(source.classes)
    must = f"{source.name}: labels of the {_PART} must be classes of the training part ({shown})"
    return Places(source.classes).all(labels, must, f"row of the {_PART}")


def _flat(source: Dataset, table: Table) -> Table:
    """Rows (N, I) as long as those of the training part."""
    values = table.values
    features = source.x.shape[1]
    if values.ndim < 2 or values.shape[0] == 0 or values.size != len(values) * features:
        raise UsageError(
            f"{source.name}: rows of the {_PART} must have {features} features as those of the "
            f"training part, got {values.shape}"
        )
    return replace(table, values=values.reshape(len(values), features))


def _of_type(source: Dataset, x: np.ndarray) -> np.ndarray:
    """The values in the type of the training part, or in a wider one where that is not exact.

    The type decides the scale, so bytes must stay bytes.
    """
    if source.x.dtype == np.uint8:
        if (x != np.clip(np.nan_to_num(x), 0, 255)).any() or (x % 1 != 0).any():
            raise UsageError(
                f"{source.name}: the {_PART} must hold bytes (0 to 255) as the training part does, "
                f"got values from {np.nanmin(x):g} to {np.nanmax(x):g}; bring both to one scale"
            )
        return x.astype(np.uint8)
    narrow = x.astype(source.x.dtype)
    if np.array_equal(narrow, x, equal_nan=x.dtype.kind == "f"):
        return narrow
    return x.astype(np.float64)
