"""Features as people have them: arrays, lists and tables of any types become one table of numbers
and texts.
"""

import datetime
import numbers
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.data.labels import joined, label_name, plain
from harness.errors import UsageError, option
from harness.registry.known import suggest

MOST_TEXTS = 100  # different texts of a column that becomes features
# So many different numbers, and such a share of what differs, and words are a slip
_NUMBERS, _SHARE = 20, 0.5

_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_FOREIGN = re.compile(r"\s*[+-]?\d[\d.,' \u00a0]*\s*")
_MONTH = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}([-/.]\d{1,2})?([T ].*)?"
    r"|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}([T ].*)?"
    r"|\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?[ap]m)?"
    rf"|(\d{{1,2}}\.?[- ])?{_MONTH}[- ](\d{{1,2}},? )?\d{{2,4}}",
    re.IGNORECASE,
)
_TRUTH = {"true": 1.0, "false": 0.0}
_DATES = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)

# For each column its different texts in order, None for numbers
Texts = tuple[tuple[str, ...] | None, ...]


@dataclass(frozen=True)
class Table:
    """Rows of features before they are encoded.

    values   (N, ...) numbers; a hole is NaN. In a column of texts a number is a place in its texts.
    names    of the columns, None where they have none
    texts    for each column its different texts, None for one of numbers; None where there are only numbers
    what     what to call it in a message
    """

    values: np.ndarray
    names: tuple[str, ...] | None = None
    texts: Texts | None = None
    what: str = "x"

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The columns of texts: their names, or their places as text where they have none."""
        names = self.names or tuple(map(str, range(len(self.texts or ()))))
        return tuple(
            name for name, texts in zip(names, self.texts or (), strict=False) if texts is not None
        )

    def by_name(self, wanted: tuple[str, ...] | None) -> "Table":
        """The columns in the order of `wanted`, others left out; as it is where one of both has no
        names.
        """
        if wanted is None or self.names is None or wanted == self.names:
            return self
        _must_have(self.what, self.names, wanted)
        order = [self.names.index(name) for name in wanted]
        texts = None if self.texts is None else tuple(self.texts[k] for k in order)
        return Table(self.values[:, order], wanted, texts, self.what)


def _counted(count: int) -> tuple[str, ...]:
    """The names that pandas gives to columns without names."""
    return tuple(map(str, range(count)))


def _keys(count: int, wanted: Sequence[str] | None) -> Sequence[str]:
    """What a network calls so many columns: the names that it learned, or their places."""
    return wanted if wanted is not None and len(wanted) == count else _counted(count)


def _must_have(what: str, names: Sequence[str], wanted: Sequence[str]) -> None:
    for name in wanted:
        if name not in names:
            raise UsageError(
                f"{what} must have the columns that the network learned from, but {name!r} is "
                f"missing; "
                f"{suggest(name, tuple(names))}"
            )


@dataclass(frozen=True)
class _Problem:
    """Why a column cannot be features."""

    why: str


def read_table(
    x: Any,
    what: str,
    most: int = MOST_TEXTS,
    wanted: Sequence[str] | None = None,
    in_file: bool = False,
    texts: Collection[str] = (),
) -> Table:
    """Features in any form as a Table.

    x        numbers (N, ...), perhaps masked; lists, in which None is a hole; a table (pandas, or what turns into one)
    what     what to call it in a message
    most     different texts that a column may have
    wanted   the columns that are asked for, where the table may have more
    in_file  whether the table comes from a file, whose reader can leave columns out
    texts    the columns that hold texts whatever these look like, as `Table.text_columns` names them: what a column is
             has been decided where the network learned, not by the few rows that are asked about

    Raises UsageError for what can be no feature. Holes are left as NaN: who fits an encoding
    decides on them.
    """
    if not hasattr(x, "iloc") and hasattr(x, "columns") and hasattr(x, "to_pandas"):
        x = x.to_pandas()  # of polars or pyarrow
    if hasattr(x, "iloc") and hasattr(x, "columns"):
        return _frame(x, what, most, wanted, in_file, texts)
    if isinstance(x, Table):
        return x
    x = joined(x)
    try:
        array = np.asarray(x) if not isinstance(x, np.ma.MaskedArray) else x.data
    except ValueError as error:
        raise UsageError(
            f"{what} must be a table of numbers with rows of one length ({error})"
        ) from error
    if array.dtype.kind in "UST" and not isinstance(x, np.ndarray) and not hasattr(x, "dtype"):
        array = np.array(x, dtype=object)
    if array.dtype.kind == "O" and array.ndim == 2:
        missing = (
            np.ma.getmaskarray(x)
            if isinstance(x, np.ma.MaskedArray)
            else np.zeros(array.shape, dtype=bool)
        )
        keys = _keys(array.shape[1], wanted)
        columns = []
        for k in range(array.shape[1]):
            values, holes = plain(array[:, k])
            columns.append(_objects(values, holes | missing[:, k], most, keys[k] in texts))
        return _together(columns, None, what)
    if array.dtype.kind == "O" and array.ndim < 2:
        raise UsageError(
            f"{what} must be rows of numbers and texts, or a table (pandas.DataFrame), got "
            f"{type(x).__name__} of shape "
            f"{array.shape}: give one row as table.iloc[[0]] or [[1.0, 2.0]]"
        )
    if array.dtype.kind not in "biuf":
        raise UsageError(
            f"{what} must hold numbers, got {array.dtype}: turn everything else into numbers "
            f"first, or give a table "
            "(pandas.DataFrame), whose columns of texts are encoded"
        )
    masked = np.ma.getmaskarray(x) if isinstance(x, np.ma.MaskedArray) else None
    array = _native(array)
    if masked is not None and masked.any():
        array = np.where(masked, np.nan, array.astype(np.result_type(array, np.float32)))
    return Table(array, what=what)


def _native(array: np.ndarray) -> np.ndarray:
    """Numbers in this machine's byte order, of a width that NumPy computes with."""
    if array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8):
        return array.astype(np.float32 if array.dtype.itemsize < 4 else np.float64)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _name(name: Any) -> str:
    """The name of a column as text: a number is written out, the levels of a MultiIndex are
    joined.
    """
    return "/".join(map(str, name)) if isinstance(name, tuple) else str(name)


def _frame(
    frame: Any,
    what: str,
    most: int,
    wanted: Sequence[str] | None,
    in_file: bool,
    known: Collection[str],
) -> Table:
    """A pandas table, column by column. known: its columns of texts, whatever these look like."""
    written = tuple(map(_name, frame.columns))
    counted = _counted(frame.shape[1])
    own = set(written) != set(counted) or any(isinstance(name, str) for name in frame.columns)
    asked = wanted if own or set(wanted or ()) <= set(written) else None
    if asked is None and not own:
        asked = counted  # pandas' own names, perhaps in another order
    if asked is not None:
        _must_have(what, written, asked)
        order = [
            k for name in dict.fromkeys(asked) for k, each in enumerate(written) if each == name
        ]
        frame = frame.iloc[:, order]
        written = tuple(written[k] for k in order)
    unnamed = not own and written == counted and tuple(wanted or ()) != written
    names = None if unnamed else written
    if names is not None:
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise UsageError(
                f"{what}: the names of the columns must differ, but {twice[0]!r} came "
                f"twice: rename one"
            )
    always = [key in known for key in _keys(frame.shape[1], wanted)]
    types = [frame.dtypes.iloc[k] for k in range(frame.shape[1])]
    kinds = {type_.kind if isinstance(type_, np.dtype) else "O" for type_ in types}
    if not any(always) and kinds and (kinds <= {"i", "u"} or kinds == {"f"} or kinds == {"b"}):
        return Table(_native(frame.to_numpy()), names, what=what)
    columns = [_series(frame.iloc[:, k], most, always[k]) for k in range(frame.shape[1])]
    if not columns:
        return Table(np.empty((len(frame), 0)), names, what=what)
    return _together(columns, names, what, in_file, wanted is not None)


def _series(
    column: Any, most: int, always: bool = False
) -> "tuple[np.ndarray, tuple[str, ...] | None] | _Problem":
    """A column of a pandas table: numbers, or places in its texts; or why it can be neither.
    always: its texts.
    """
    import pandas
    from pandas.api import types

    dtype = column.dtype
    if isinstance(dtype, pandas.CategoricalDtype):
        missing = column.isna().to_numpy()
        return _texts([label_name(value) for value in column[~missing]], missing, most, always=True)
    if always:
        return _objects(*plain(column.astype(object)), most, always=True)
    if types.is_bool_dtype(dtype) or (
        types.is_numeric_dtype(dtype) and not types.is_complex_dtype(dtype)
    ):
        return column.to_numpy(dtype=np.float64, na_value=np.nan), None
    if types.is_datetime64_any_dtype(dtype) or types.is_timedelta64_dtype(dtype):
        return _Problem(f"holds dates or times ({_first(column)})")
    if isinstance(dtype, pandas.PeriodDtype | pandas.IntervalDtype) or types.is_complex_dtype(
        dtype
    ):
        return _Problem(f"holds {dtype} ({_first(column)})")
    return _objects(*plain(column.astype(object)), most)


def _first(column: Any) -> str:
    there = column[column.notna()]
    return (
        f"{str(there.iloc[0])!r} in row {int(column.notna().to_numpy().argmax())}"
        if len(there)
        else "all empty"
    )


def _objects(
    values: np.ndarray, missing: np.ndarray, most: int, always: bool = False
) -> "tuple[np.ndarray, tuple[str, ...] | None] | _Problem":
    """A column of objects (N,); always: it holds texts, whatever they look like."""
    there = values[~missing].tolist()
    if always:
        return _texts([label_name(value) for value in there], missing, most, always=True)
    if all(
        isinstance(value, numbers.Real | np.bool_) or type(value).__name__ == "Decimal"
        for value in there
    ):
        found = np.full(len(values), np.nan)
        found[~missing] = [_float(value) for value in there]
        return found, None
    rows = np.flatnonzero(~missing)
    for row, value in zip(rows, there, strict=True):
        if isinstance(value, _DATES):
            return _Problem(f"holds dates or times ({str(value)!r} in row {row})")
        if (
            not isinstance(value, str | bytes | numbers.Real | np.bool_)
            and type(value).__name__ != "Decimal"
        ):
            return _Problem(f"holds a {type(value).__name__} in row {row}")
    return _texts([label_name(value) for value in there], missing, most)


def _float(value: Any) -> float:
    """A number as a float; one that is too large for that is infinite, which is refused with its
    row.
    """
    try:
        return float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf


def _texts(
    there: list[str], missing: np.ndarray, most: int, always: bool = False
) -> "tuple[np.ndarray, tuple[str, ...] | None] | _Problem":
    """A column's texts, those that are there: places in the different ones; always: whatever they
    look like.
    """
    found, rows = np.full(len(missing), np.nan), np.flatnonzero(~missing)
    first: dict[str, int] = {}
    for row, text in zip(rows, there, strict=True):
        first.setdefault(text, int(row))
    known = sorted(first)
    if not always and known and {text.strip().lower() for text in known} <= set(_TRUTH):
        found[rows] = [_TRUTH[text.strip().lower()] for text in there]
        return found, None
    problem = None if always else _odd(known, first)
    if problem is None and len(known) > most:
        # where some are numbers, a word is what its user has not expected
        sample = next((text for text in there if not _NUMBER.fullmatch(text)), there[0])
        problem = _Problem(
            f"holds {len(known)} different texts ({sample!r} in row {first[sample]}), of which "
            f"{most} at most become "
            "features"
        )
    if problem is not None:
        return problem
    place = {text: k for k, text in enumerate(known)}
    found[rows] = [place[text] for text in there]
    return found, tuple(known)


def _odd(known: list[str], first: dict[str, int]) -> "_Problem | None":
    """What the different texts of a column look like, where they are no categories."""
    if not known:
        return None
    if all(_DATE.fullmatch(text.strip()) for text in known):
        return _Problem(f"holds dates ({known[0]!r} in row {first[known[0]]})")
    foreign = foreign_numbers(known)
    if foreign is not None:
        text, ways = foreign
        return _Problem(f"holds {text!r} in row {first[text]}: say {ways}")
    words = [text for text in known if not _NUMBER.fullmatch(text)]
    count = len(known) - len(words)
    if words and count > _NUMBERS and count > _SHARE * len(known):
        word = min(words, key=first.__getitem__)
        return _Problem(
            f"holds numbers, but {word!r} in row {first[word]}: correct it, or leave "
            f"such cells empty"
        )
    return None


def foreign_numbers(texts: Sequence[str]) -> tuple[str, str] | None:
    """One of the texts, and what to say, where they are numbers with commas; None where they are
    anything else.
    """
    words = [text for text in texts if not _NUMBER.fullmatch(text)]
    commas = [text for text in words if "," in text]
    if not commas or not all(_FOREIGN.fullmatch(text) for text in words):
        return None
    ways = f"{option('decimal', ',')} if it is a decimal comma, {option('thousands', ',')} if it groups digits"
    return commas[0], ways


def _together(
    columns: list[Any],
    names: tuple[str, ...] | None,
    what: str,
    in_file: bool = False,
    needed: bool = False,
) -> Table:
    """The columns side by side; UsageError with all that cannot be features. needed: none can be
    left out.
    """

    def shown(k: int) -> str:
        return f"column {k}" if names is None else f"column {names[k]!r}"

    bad = [(k, column.why) for k, column in enumerate(columns) if isinstance(column, _Problem)]
    if bad:
        reasons = "; ".join(f"{shown(k)} {why}" for k, why in bad)
        out = "such columns"
        if names is not None:
            left = [names[k] for k, _ in bad]
            out = (
                f"columns with {option('drop', left)}"
                if in_file
                else f"columns, as with x.drop(columns={left})"
            )
        out = "" if needed else f", or leave out {out}"
        raise UsageError(
            f"{what}: features must be numbers or a few different texts, but {reasons} (rows are "
            f"counted from 0): "
            f"correct this{out}"
        )
    texts: Texts = tuple(known for _, known in columns)
    values = np.column_stack([values for values, _ in columns]) if columns else np.empty((0, 0))
    return Table(values, names, None if all(known is None for known in texts) else texts, what)
