"""What a network learns to give: y becomes places of classes, or rows of numbers."""

import math
from typing import Any, NamedTuple

import numpy as np

from harness.data.labels import Places, first_names, label_name
from harness.data.task import task_of
from harness.errors import UsageError


class Targets(NamedTuple):
    """Labels of the training part and of the test part as a Dataset holds them.

    Attributes
    ----------
    y
        (N,) int64 places of classes, or (N, O) floats of a regression.
    classes
        The names of the classes, () for a regression.
    y_test
        The same for the test part, None where there is none.
    """

    y: np.ndarray
    classes: tuple[str, ...]
    y_test: np.ndarray | None = None


def targets_of(
    name: str, y: np.ndarray, y_test: np.ndarray | None, task: str, classes: Any
) -> Targets:
    """Labels that `read_labels` has read, as a Dataset holds them.

    Parameters
    ----------
    name
        The name of the data set, for messages.
    y
        The labels of the training part.
    y_test
        The labels of the test part, or None.
    task
        "classification", "regression", or "auto", which decides by the labels.
    classes
        The names of the classes, where labels are places of them already; else None.

    Raises
    ------
    UsageError
        For labels that do not fit the task, and for test labels that are of no class.
    """
    if task_of(name, y, task, classes) == "regression":
        rows = regression_rows(name, "y", y)
        if y_test is not None:
            y_test = regression_rows(name, "y_test", y_test)
        return Targets(rows, (), y_test)
    _check_labels(name, "y", y)
    if y_test is not None:
        _check_labels(name, "y_test", y_test)
    if classes is not None:
        return _given_classes(name, y, y_test, classes)
    # The different labels come sorted, and so the classes have an order that rows do not change.
    known, places = np.unique(y, return_inverse=True)
    names = tuple(label_name(label) for label in known)
    if y_test is not None:
        y_test = test_places(name, names, y_test)
    return Targets(places.astype(np.int64), names, y_test)


def regression_rows(name: str, what: str, y: np.ndarray) -> np.ndarray:
    """Targets of a regression as (N, O) floats; `what` is what to call them in a message."""
    if y.dtype.kind not in "iuf" or y.ndim not in (1, 2):
        raise UsageError(
            f"{name}: {what} must be numbers (rows,) or (rows, targets), got {y.dtype} {y.shape}"
        )
    # Targets of at most 32 bits stay exact as float32; whole numbers may need all of float64.
    dtype: type = np.float64
    if y.dtype.kind == "f" and y.dtype.itemsize <= 4:
        dtype = np.float32
    return y.reshape(len(y), math.prod(y.shape[1:])).astype(dtype, copy=False)


def test_places(name: str, classes: tuple[str, ...], labels: np.ndarray) -> np.ndarray:
    """The places of the labels of a test part among the classes."""
    shown = first_names(classes)
    must = f"{name}: test labels must be classes of the training part ({shown})"
    return Places(classes).all(labels, must, "test row")


def indicator(labels: Any, classes: int, dtype: Any = np.float32) -> np.ndarray:
    """Y[n, k] = 1 if labels[n] == k else 0: labels as rows with a single one.

    The article calls it class.ind.

    Parameters
    ----------
    labels
        (N,) whole numbers in 0..classes-1.
    classes
        How many classes there are.
    dtype
        The type of the rows.

    Returns
    -------
    numpy.ndarray
        (N, classes).

    Raises
    ------
    UsageError
        For labels that are no such numbers.
    """
    labels = np.asarray(labels)
    # An empty list becomes an array of floats, and is accepted as no labels at all.
    if labels.ndim != 1 or (labels.size and labels.dtype.kind not in "iu"):
        raise UsageError(
            f"labels must be whole numbers of shape (rows,), got {labels.dtype} {labels.shape}"
        )
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        raise UsageError(
            f"labels must lie in 0..{classes - 1}, got {labels.min()}..{labels.max()}: check "
            f"labels and classes"
        )
    rows = np.zeros((len(labels), classes), dtype)
    rows[np.arange(len(labels)), labels.astype(np.intp)] = 1
    return rows


def _check_labels(name: str, what: str, labels: np.ndarray) -> None:
    """Refuses what cannot be labels of classes."""
    if labels.ndim != 1:
        raise UsageError(
            f"{name}: labels {what} must have shape (rows,), got {labels.shape}: "
            f"use {what}.argmax(1) if these are indicator rows"
        )
    # Missing labels have been refused when they were read, but not infinite ones.
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        row = int(np.argmin(np.isfinite(labels)))
        raise UsageError(
            f"{name}: every row needs a label, but {what} is {labels[row]} in row {row} (counted "
            "from 0)"
        )


def _given_classes(name: str, y: np.ndarray, y_test: np.ndarray | None, classes: Any) -> Targets:
    """Labels that are places of classes already."""
    names = tuple(str(label) for label in np.asarray(classes).reshape(-1))
    check_places(name, "y", y)
    if y_test is not None:
        check_places(name, "y_test", y_test)
        y_test = y_test.astype(np.int64)
    return Targets(y.astype(np.int64), names, y_test)


def check_places(name: str, what: str, labels: np.ndarray) -> None:
    """Refuses labels that cannot be places of classes; `what` is what to call them."""
    if labels.dtype.kind not in "biu":
        raise UsageError(
            f"{name}: with classes given, {what} must hold their positions, got {labels.dtype}"
        )
