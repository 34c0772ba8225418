"""A Dataset put together from parts that are read: tables of features, and targets."""

import math
from typing import Any

import numpy as np

from harness import checks
from harness.data.dataset import Dataset
from harness.data.table import Table, join_texts
from harness.data.targets import Targets
from harness.errors import UsageError

_EXACT_FLOAT32 = 2**24  # Up to here every whole number is a float32.


def assemble(
    name: str,
    table: Table,
    test: Table | None,
    targets: Targets,
    *,
    shape: Any = None,
    missing: str | None = None,
    notes: tuple[str, ...] = (),
) -> Dataset:
    """A Dataset of features and targets that are read.

    Parameters
    ----------
    name
        What the data set is called.
    table
        The features of the training part.
    test
        The features of the test part, or None.
    targets
        The labels of both parts.
    shape
        (rows, cols) of a picture; None takes those of (N, rows, cols) features.
    missing
        "mean" where missing numbers are filled, None where they are refused.
    notes
        What was guessed when the data were read.

    Raises
    ------
    UsageError
        If the parts do not fit together.
    """
    x = table.values
    if x.ndim < 2:
        raise UsageError(
            f"{name}: x must have shape (rows, features), got {x.shape}: use x.reshape(-1, 1) if "
            "it is one feature"
        )
    # Rows that are matrices are pictures.
    if shape is None and x.ndim == 3:
        shape = x.shape[1:]
    texts = table.texts
    x_test = None
    if test is not None:
        x_test = test.values
        if x_test.shape[1:] != x.shape[1:]:
            raise UsageError(
                f"{name}: a test row must look like a training row {x.shape[1:]}, got "
                f"{x_test.shape[1:]}"
            )
        if texts is not None or test.texts is not None:
            joined = join_texts(name, table, test, "test part")
            texts = joined.texts
            x_test = joined.values
    dtype = _exact_type([x] if x_test is None else [x, x_test], are_pixels=shape is not None)
    x = _flat(x, dtype)
    if x_test is not None:
        x_test = _flat(x_test, dtype)
    if shape is not None:
        shape = _picture_shape(name, shape)
    return Dataset(
        name,
        x,
        targets.y,
        targets.classes,
        shape,
        x_test,
        targets.y_test,
        features=table.names,
        texts=texts,
        missing=missing,
        notes=notes,
    )


def _flat(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Rows (N, ...) as (N, I) of a type; no copy where they are that already."""
    return x.astype(dtype, copy=False).reshape(len(x), math.prod(x.shape[1:]))


def _exact_type(parts: list[np.ndarray], are_pixels: bool) -> np.dtype:
    """The smallest of uint8 (only for pixels), float32 and float64 that holds all parts exactly."""
    if all(part.dtype == np.uint8 for part in parts):
        return np.dtype(np.uint8)
    # Both parts get one type, so that both are scaled alike.
    if any(part.dtype.kind == "f" for part in parts):
        return np.result_type(*parts, np.float32)
    low = min((int(part.min()) for part in parts if part.size), default=0)
    high = max((int(part.max()) for part in parts if part.size), default=0)
    # Only pixels become bytes, since bytes are scaled by 255 and shown as grey.
    if are_pixels and low >= 0 and high <= 255:
        return np.dtype(np.uint8)
    if max(-low, high) <= _EXACT_FLOAT32:
        return np.dtype(np.float32)
    return np.dtype(np.float64)


def _picture_shape(name: str, shape: Any) -> tuple[int, int]:
    sides = checks.plain(shape)
    if not isinstance(sides, list) or len(sides) != 2 or not all(map(checks.is_whole, sides)):
        raise UsageError(
            f"{name}: shape must be two whole numbers (rows, cols), got {checks.shown(shape)}"
        )
    return sides[0], sides[1]
