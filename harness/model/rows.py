"""Reading the rows that users give: any table becomes features, as where the network learned."""

import sys
from typing import Any

import numpy as np

from harness.data.reading import read_table
from harness.data.scaling import apply_scale
from harness.data.table import Table
from harness.errors import UsageError
from harness.model.schema import Schema


def read_known_table(x: Any, schema: Schema) -> Table:
    """Raw rows as a table with the columns that the network learned from, where both have names."""
    encoding = schema.fitted.encoding
    texts = () if encoding is None else encoding.text_columns
    # A text that the network has not learned is no feature, so any number of them may come.
    table = read_table(x, "x", sys.maxsize, schema.columns, texts=texts)
    return table.by_name(schema.columns)


def read_features(x: Any, schema: Schema) -> np.ndarray:
    """Raw rows (N, ...) as features (N, I) that are not scaled yet."""
    table = read_known_table(x, schema)
    encoding = schema.fitted.encoding
    if encoding is not None:
        # A single row could be taken for a column.
        if table.values.ndim < 2:
            raise UsageError(
                f"x must have shape (rows, columns), got {table.values.shape}; use x[None] for "
                f"one row"
            )
        return encoding(table)
    _refuse_texts(table)
    return number_rows(table.values, schema.inputs, name=table.what, columns=table.names)


def scale_rows(features: np.ndarray, schema: Schema, dtype: Any) -> np.ndarray:
    """Features (N, I) as the network sees them."""
    shift, divisor = schema.fitted.scaling
    return apply_scale(features, shift, divisor, np.dtype(dtype))


def number_rows(
    x: Any,
    width: int | None,
    unit: str = "features",
    name: str = "x",
    columns: tuple[str, ...] | None = None,
) -> np.ndarray:
    """x as a table (N, width) of finite numbers, whatever their type.

    Parameters
    ----------
    x
        Anything that NumPy reads as an array of two or more axes; further axes are flattened.
    width
        How many numbers a row must have; None for any number.
    unit
        What the numbers of a row are called in a message.
    name
        What x is called in a message.
    columns
        The names of the columns for a message; None where they are counted.

    Raises
    ------
    UsageError
        Where x is no such table.
    """
    array = _array_of_numbers(x, name)
    if array.ndim < 2:
        raise UsageError(
            f"{name} must have shape (rows, {unit}), got {array.shape}; use x[None] "
            f"for a single row"
        )
    flat = array.reshape(len(array), int(np.prod(array.shape[1:])))
    if width is not None and flat.shape[1] != width:
        remedy = "give rows like those it learned from"
        if array.size == width:
            remedy = "use x[None] for a single row"
        raise UsageError(
            f"{name} must have {width} {unit} in each row, got {array.shape}; {remedy}"
        )
    _refuse_not_finite(flat, name, columns)
    return flat


def _array_of_numbers(x: Any, name: str) -> np.ndarray:
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise UsageError(
            f"{name} must be a table of numbers with rows of one length ({error})"
        ) from None
    if array.dtype.kind not in "biuf":
        raise UsageError(
            f"{name} must hold numbers, got {array.dtype}; turn everything else into numbers first"
        )
    return array


def _refuse_not_finite(flat: np.ndarray, name: str, columns: tuple[str, ...] | None) -> None:
    if flat.dtype.kind != "f" or np.isfinite(flat).all():
        return
    row, column = np.argwhere(~np.isfinite(flat))[0]
    place = str(int(column))
    if columns is not None:
        place = repr(columns[column])
    raise UsageError(
        f"{name} must be finite, got {flat[row, column]} in row {row}, column {place}; fill in "
        f"a number"
    )


def _refuse_texts(table: Table) -> None:
    """UsageError where a table holds texts, although the network learned from numbers alone."""
    if table.texts is None:
        return
    place = next(k for k, texts in enumerate(table.texts) if texts)
    column: int | str = place
    if table.names is not None:
        column = table.names[place]
    first = (table.texts[place] or ("",))[0]
    raise UsageError(
        f"{table.what} must hold numbers, as where the network learned, but column "
        f"{column!r} holds "
        f"{first!r}; turn it into numbers"
    )
