"""Features in a pandas table: columns are found by their names, and read by their types."""

from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from harness.data.columns import Column, Problem, Request, join_columns, read_objects, read_texts
from harness.data.labels import label_name
from harness.data.missing import plain
from harness.data.table import Names, Table, counted, must_have
from harness.errors import UsageError

# Columns of these NumPy types together become one array without a look at each of them.
_UNIFORM = ({"i"}, {"u"}, {"i", "u"}, {"f"}, {"b"})


class _Selected(NamedTuple):
    """The columns that are asked for, and their names; None where they have none of their own."""

    frame: Any
    names: Names


def read_pandas(frame: Any, request: Request) -> Table:
    """A pandas table as a Table.

    Raises
    ------
    UsageError
        For missing columns, for two of one name, and for columns that cannot be features.
    """
    selected = _select(frame, request)
    frame = selected.frame
    _refuse_twins(selected.names, request.what)
    count = frame.shape[1]
    if not count:
        return Table(np.empty((len(frame), 0)), selected.names, what=request.what)
    # A table without names is still asked about by the names that the network learned.
    keys = column_keys(count, request)
    are_texts = [key in request.text_columns for key in keys]
    kinds = {_kind(frame.dtypes.iloc[k]) for k in range(count)}
    if not any(are_texts) and kinds in _UNIFORM:
        return Table(native(frame.to_numpy()), selected.names, what=request.what)
    columns = [
        _read_series(frame.iloc[:, k], request.max_texts, are_texts[k]) for k in range(count)
    ]
    # A network needs every column that it asks for.
    return join_columns(columns, selected.names, request, can_leave_out=request.wanted is None)


def column_keys(count: int, request: Request) -> tuple[str, ...]:
    """What a network calls so many columns: the names that it learned, or their places."""
    if request.wanted is not None and len(request.wanted) == count:
        return tuple(request.wanted)
    return counted(count)


def native(array: np.ndarray) -> np.ndarray:
    """Numbers in this machine's byte order, of a width that NumPy computes with."""
    if array.dtype.kind == "f" and array.dtype.itemsize < 4:
        return array.astype(np.float32)
    if array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8):
        return array.astype(np.float64)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _select(frame: Any, request: Request) -> _Selected:
    """The columns that are asked for, in that order."""
    written = tuple(_column_name(name) for name in frame.columns)
    counted_names = counted(len(written))
    wanted = request.wanted
    has_names = _has_names(frame.columns, written)
    if not has_names and (wanted is None or not set(wanted) <= set(written)):
        # These are pandas' own names, perhaps in another order.
        wanted = counted_names
    if wanted is not None:
        must_have(request.what, written, wanted)
        # Two columns of one name are both kept here, so that they are refused below.
        order = [
            k for name in dict.fromkeys(wanted) for k in range(len(written)) if written[k] == name
        ]
        frame = frame.iloc[:, order]
        written = tuple(written[k] for k in order)
    is_unnamed = not has_names and written == counted_names
    if is_unnamed and tuple(request.wanted or ()) != written:
        return _Selected(frame, None)
    return _Selected(frame, written)


def _column_name(name: Any) -> str:
    """The name of a column as text: a number is written out, a MultiIndex's levels are joined."""
    if isinstance(name, tuple):
        return "/".join(map(str, name))
    return str(name)


def _has_names(columns: Any, written: tuple[str, ...]) -> bool:
    """Whether columns have names of their own, and not those that pandas counts."""
    if set(written) != set(counted(len(written))):
        return True
    return any(isinstance(name, str) for name in columns)


def _refuse_twins(names: Names, what: str) -> None:
    for name, count in Counter(names or ()).items():
        if count > 1:
            raise UsageError(
                f"{what}: the names of the columns must differ, but {name!r} came twice: rename one"
            )


def _kind(dtype: Any) -> str:
    """NumPy's letter for a type; types of pandas' own count as objects."""
    if isinstance(dtype, np.dtype):
        return dtype.kind
    return "O"


def _read_series(column: Any, max_texts: int, is_text: bool) -> Column | Problem:
    """A column of a pandas table; `is_text` says that it holds texts, whatever its type is."""
    import pandas
    from pandas.api import types

    dtype = column.dtype
    if isinstance(dtype, pandas.CategoricalDtype):
        missing = column.isna().to_numpy()
        names = [label_name(value) for value in column[~missing]]
        return read_texts(names, missing, max_texts, is_text=True)
    if is_text:
        return read_objects(plain(column.astype(object)), max_texts, is_text=True)
    is_complex = types.is_complex_dtype(dtype)
    if types.is_bool_dtype(dtype) or (types.is_numeric_dtype(dtype) and not is_complex):
        return Column(column.to_numpy(dtype=np.float64, na_value=np.nan))
    if types.is_datetime64_any_dtype(dtype) or types.is_timedelta64_dtype(dtype):
        return Problem(f"holds dates or times ({_first_value(column)})")
    if isinstance(dtype, pandas.PeriodDtype | pandas.IntervalDtype) or is_complex:
        return Problem(f"holds {dtype} ({_first_value(column)})")
    return read_objects(plain(column.astype(object)), max_texts)


def _first_value(column: Any) -> str:
    known = column[column.notna()]
    if not len(known):
        return "all empty"
    row = int(column.notna().to_numpy().argmax())
    return f"{str(known.iloc[0])!r} in row {row}"
