"""The one way in for features: arrays, lists and tables of any types become a Table."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from harness.data.columns import MOST_TEXTS, Request, join_columns, read_objects
from harness.data.frames import column_keys, native, read_pandas
from harness.data.missing import Values, plain, stack_masked
from harness.data.table import Table
from harness.errors import UsageError


def read_table(
    x: Any,
    what: str,
    max_texts: int = MOST_TEXTS,
    wanted: Sequence[str] | None = None,
    in_file: bool = False,
    texts: Collection[str] = (),
) -> Table:
    """Features in any form as a Table, in which a missing value is NaN.

    Whoever fits an encoding decides what becomes of missing values.

    Parameters
    ----------
    x
        Numbers (N, ...), perhaps masked; lists, in which None is a missing value; a table (pandas,
        or what turns into one).
    what
        What to call it in a message.
    max_texts
        How many different texts a column may have.
    wanted
        The columns that are asked for, where the table may have more.
    in_file
        Whether the table comes from a file, whose reader can leave columns out.
    texts
        The columns that hold texts whatever these look like, named as in `Table.text_columns`. What
        a column is has been decided where the network learned, not by the few rows of a later
        table.

    Raises
    ------
    UsageError
        For what can be no feature.
    """
    if isinstance(x, Table):
        return x
    request = Request(what, max_texts, wanted, in_file, texts)
    # Tables of polars and pyarrow turn into one of pandas.
    if not hasattr(x, "iloc") and hasattr(x, "columns") and hasattr(x, "to_pandas"):
        x = x.to_pandas()
    if hasattr(x, "iloc") and hasattr(x, "columns"):
        return read_pandas(x, request)
    x = stack_masked(x)
    array = _as_array(x, what)
    if array.dtype.kind == "O" and array.ndim == 2:
        return _read_columns(x, array, request)
    if array.dtype.kind == "O" and array.ndim < 2:
        raise UsageError(
            f"{what} must be rows of numbers and texts, or a table (pandas.DataFrame), got "
            f"{type(x).__name__} of shape {array.shape}: give one row as table.iloc[[0]] or "
            "[[1.0, 2.0]]"
        )
    if array.dtype.kind not in "biuf":
        raise UsageError(
            f"{what} must hold numbers, got {array.dtype}: turn everything else into numbers "
            "first, or give a table (pandas.DataFrame), whose columns of texts are encoded"
        )
    array = native(array)
    if np.ma.is_masked(x):
        # Whole numbers have no NaN, so a masked one needs a float type that holds the others.
        numbers = array.astype(np.result_type(array, np.float32))
        array = np.where(np.ma.getmaskarray(x), np.nan, numbers)
    return Table(array, what=what)


def _as_array(x: Any, what: str) -> np.ndarray:
    """Features as an array, of objects where a list holds texts."""
    if isinstance(x, np.ma.MaskedArray):
        return x.data
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise UsageError(
            f"{what} must be a table of numbers with rows of one length ({error})"
        ) from error
    # In a list of numbers and texts NumPy turns the numbers into texts, too.
    is_list = not isinstance(x, np.ndarray) and not hasattr(x, "dtype")
    if is_list and array.dtype.kind in "UST":
        return np.array(x, dtype=object)
    return array


def _read_columns(x: Any, array: np.ndarray, request: Request) -> Table:
    """Rows (N, C) of objects, read column by column; `x` is what the array was made of."""
    masked = np.zeros(array.shape, dtype=bool)
    if isinstance(x, np.ma.MaskedArray):
        masked = np.ma.getmaskarray(x)
    keys = column_keys(array.shape[1], request)
    columns = []
    for k, key in enumerate(keys):
        values, missing = plain(array[:, k])
        is_text = key in request.text_columns
        column = Values(values, missing | masked[:, k])
        columns.append(read_objects(column, request.max_texts, is_text=is_text))
    return join_columns(columns, None, request, can_leave_out=True)
