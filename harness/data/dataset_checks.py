"""What must hold of a Dataset: each check raises one sentence in which the data set is named."""

from typing import TYPE_CHECKING

import numpy as np

from harness.data.labels import first_names
from harness.errors import UsageError, option

if TYPE_CHECKING:
    from harness.data.dataset import Dataset


def check_dataset(data: "Dataset") -> None:
    """Raises UsageError unless every statement of Dataset's docstring holds."""
    # The arrays come first, since all other checks take their shapes for granted.
    check_part(data, "x", data.x, "y", data.y)
    _check_test_part(data)
    _check_shape(data)
    _check_rows(data)
    _check_columns(data)
    if data.classes:
        _check_classes(data)


def check_part(data: "Dataset", name_x: str, x: np.ndarray, name_y: str, y: np.ndarray) -> None:
    """Checks the features and labels of one part.

    Parameters
    ----------
    data
        The data set, which has the classes and the names of the columns.
    name_x, name_y
        What to call the two arrays in a message.
    x
        Features (rows, I).
    y
        Labels (rows,) or targets (rows, O).

    Raises
    ------
    UsageError
        Unless they are what Dataset's docstring says.
    """
    name = data.name
    if x.ndim != 2 or x.dtype not in (np.uint8, np.float32, np.float64):
        raise UsageError(
            f"{name}: {name_x} must be (rows, features) of uint8, float32 or float64, got "
            f"{x.dtype} {x.shape}"
        )
    if x.size == 0:
        raise UsageError(
            f"{name}: {name_x} must have at least one row and one feature, got shape {x.shape}"
        )
    _check_form_of_labels(data, name_y, y)
    if len(x) != len(y):
        raise UsageError(
            f"{name}: every row needs one label, got {len(x)} rows in {name_x} and "
            f"{len(y)} in {name_y}"
        )
    if x.dtype != np.uint8:
        _check_finite_features(data, name_x, x)
    if data.classes:
        _check_range(data, name_y, y)
    else:
        _check_finite_targets(data, name_y, y)


def _check_form_of_labels(data: "Dataset", name_y: str, y: np.ndarray) -> None:
    if data.classes:
        fits = y.ndim == 1 and y.dtype == np.int64
        must = "(rows,) of int64"
    else:
        fits = y.ndim == 2 and y.shape[1] > 0 and y.dtype in (np.float32, np.float64)
        must = "(rows, targets) of float32 or float64"
    if not fits:
        raise UsageError(f"{data.name}: {name_y} must be {must}, got {y.dtype} {y.shape}")


def _check_range(data: "Dataset", name_y: str, y: np.ndarray) -> None:
    count = len(data.classes)
    if y.min() >= 0 and y.max() < count:
        return
    row = int(np.argmax((y < 0) | (y >= count)))
    raise UsageError(
        f"{data.name}: labels of {count} classes must lie in 0..{count - 1}, "
        f"got {y[row]} in row {row} of {name_y} (counted from 0)"
    )


def _check_finite_features(data: "Dataset", what: str, x: np.ndarray) -> None:
    """Refuses infinite features, and missing ones unless they are filled later."""
    fine = np.isfinite(x)
    if data.missing is not None:
        fine |= np.isnan(x)
    if fine.all():
        return
    row, k = (int(place) for place in np.argwhere(~fine)[0])
    column = f"column {k}"
    # The number of names has not been checked yet.
    if data.features and k < len(data.features):
        column = f"column {data.features[k]!r}"
    remedy = "remove such rows or fill in a number"
    if np.isnan(x[row, k]):
        remedy = f"remove such rows, fill in a number, or say {option('missing', 'mean')}"
    raise _not_finite(data, what, x[row, k], row, column, remedy)


def _check_finite_targets(data: "Dataset", what: str, y: np.ndarray) -> None:
    fine = np.isfinite(y)
    if fine.all():
        return
    row, k = (int(place) for place in np.argwhere(~fine)[0])
    remedy = "remove such rows or fill in a number"
    raise _not_finite(data, what, y[row, k], row, f"column {k}", remedy)


def _not_finite(
    data: "Dataset", what: str, value: np.floating, row: int, column: str, remedy: str
) -> UsageError:
    shown = "missing (nan)" if np.isnan(value) else str(value)
    return UsageError(
        f"{data.name}: data must be finite, but {what} is {shown} in row {row}, {column} (counted "
        f"from 0): {remedy}"
    )


def _check_test_part(data: "Dataset") -> None:
    name = data.name
    if data.x_test is None and data.y_test is None:
        return
    if data.x_test is None or data.y_test is None:
        raise UsageError(f"{name}: a test part needs both x_test and y_test: give both or neither")
    check_part(data, "x_test", data.x_test, "y_test", data.y_test)
    if data.x_test.shape[1] != data.x.shape[1]:
        raise UsageError(
            f"{name}: the test part must have the {data.x.shape[1]} features of the training "
            f"part, got {data.x_test.shape[1]}"
        )
    if data.y_test.shape[1:] != data.y.shape[1:]:
        raise UsageError(
            f"{name}: y_test must have rows like y {data.y.shape[1:]}, got {data.y_test.shape[1:]}"
        )


def _check_shape(data: "Dataset") -> None:
    if data.shape is None:
        return
    if min(data.shape) < 1 or data.shape[0] * data.shape[1] != data.x.shape[1]:
        raise UsageError(
            f"{data.name}: shape {data.shape} must have as many pixels as x has features, "
            f"{data.x.shape[1]}"
        )


def _check_rows(data: "Dataset") -> None:
    """Checks what is said of the rows: a validation part, and weights."""
    rows = len(data.y)
    if not 0 <= data.valid_rows < rows:
        raise UsageError(
            f"{data.name}: valid_rows must leave rows to train on, got {data.valid_rows} of {rows}"
        )
    if data.weights is not None and data.weights.shape != (rows,):
        raise UsageError(
            f"{data.name}: weights must be one for each of {rows} rows, got {data.weights.shape}"
        )


def _check_columns(data: "Dataset") -> None:
    """Checks what is said of the columns: missing values, texts, and names."""
    columns = data.x.shape[1]
    if data.missing not in (None, "mean"):
        raise UsageError(f'{data.name}: missing must be "mean" or None, got {data.missing!r}')
    if data.texts is not None and len(data.texts) != columns:
        raise UsageError(
            f"{data.name}: {columns} columns need texts, or None, for each, got {len(data.texts)}"
        )
    if data.features is not None and len(data.features) != columns:
        raise UsageError(
            f"{data.name}: {columns} features need as many names, got {len(data.features)}"
        )


def _check_classes(data: "Dataset") -> None:
    if len(set(data.classes)) != len(data.classes):
        raise UsageError(
            f"{data.name}: the names of the classes must differ, got {first_names(data.classes)}"
        )
    # A network that always gives the only class would be right, and would have learned nothing.
    if data.y.min() == data.y.max():
        only = data.classes[int(data.y[0])]
        raise UsageError(
            f"{data.name}: classification needs at least two classes, but every label is {only!r}"
        )
