"""What one column of a table holds: numbers, a few different texts, or what cannot be features."""

import datetime
import numbers
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import numpy as np

from harness.data.labels import label_name
from harness.data.missing import Values
from harness.data.table import Names, Table, Texts
from harness.errors import UsageError, option

MOST_TEXTS = 100  # How many different texts a column may have that becomes features.

# A word among so many different numbers, if they are such a share of what differs, is a slip.
_SLIP_NUMBERS = 20
_SLIP_SHARE = 0.5

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


@dataclass(frozen=True)
class Request:
    """What is asked of a table that is read.

    Attributes
    ----------
    what
        What to call the table in a message.
    max_texts
        How many different texts a column may have.
    wanted
        The columns that are asked for, where the table may have more; None for all.
    in_file
        Whether the table comes from a file, whose reader can leave columns out.
    text_columns
        The columns that hold texts whatever these look like, named as in `Table.text_columns`.
    """

    what: str
    max_texts: int = MOST_TEXTS
    wanted: Sequence[str] | None = None
    in_file: bool = False
    text_columns: Collection[str] = ()


@dataclass(frozen=True)
class Column:
    """A column as it was read.

    Attributes
    ----------
    values
        Numbers (N,); in a column of texts, places in them. A missing value is NaN.
    texts
        Its different texts in order, None for a column of numbers.
    """

    values: np.ndarray
    texts: Names = None


@dataclass(frozen=True)
class Problem:
    """Why a column cannot be features; the reason reads on after the name of the column."""

    why: str


Columns = Sequence[Column | Problem]


def read_objects(column: Values, max_texts: int, is_text: bool = False) -> Column | Problem:
    """A column of objects.

    Parameters
    ----------
    column
        The objects (N,), and which of them are missing.
    max_texts
        How many different texts the column may have.
    is_text
        Whether it holds texts, whatever they look like.
    """
    missing = column.missing
    known = column.array[~missing].tolist()
    if is_text:
        return read_texts([label_name(value) for value in known], missing, max_texts, is_text=True)
    if all(_is_number(value) for value in known):
        values = np.full(len(missing), np.nan)
        values[~missing] = [_float(value) for value in known]
        return Column(values)
    # What is neither a number nor a text is shown with its first row.
    for row, value in zip(np.flatnonzero(~missing), known, strict=True):
        if isinstance(value, _DATES):
            return Problem(f"holds dates or times ({str(value)!r} in row {row})")
        if not isinstance(value, str | bytes) and not _is_number(value):
            return Problem(f"holds a {type(value).__name__} in row {row}")
    return read_texts([label_name(value) for value in known], missing, max_texts)


def _is_number(value: Any) -> bool:
    # A Decimal is no Real in Python, though it is a number.
    return isinstance(value, numbers.Real | np.bool_) or type(value).__name__ == "Decimal"


def _float(value: Any) -> float:
    """A number as a float; one that is too large is infinite, which is refused with its row."""
    try:
        return float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf


def read_texts(
    known: list[str], missing: np.ndarray, max_texts: int, is_text: bool = False
) -> Column | Problem:
    """A column of texts, as places in its different ones.

    Parameters
    ----------
    known
        The texts that are not missing, in the order of their rows.
    missing
        Which rows (N,) are missing.
    max_texts
        How many different texts the column may have.
    is_text
        Whether it holds texts, even where all of them look like truth values or dates.
    """
    first_row: dict[str, int] = {}
    for row, text in zip(np.flatnonzero(~missing), known, strict=True):
        first_row.setdefault(text, int(row))
    different = sorted(first_row)
    if not is_text:
        # Truth values that were written as texts are still truth values.
        if different and all(_truth_name(text) in _TRUTH for text in different):
            truths = {text: _TRUTH[_truth_name(text)] for text in different}
            return Column(_numbered(known, missing, truths))
        problem = _not_categories(different, first_row)
        if problem is not None:
            return problem
    if len(different) > max_texts:
        # Where some texts are numbers, a word is what the user has not expected.
        words = (text for text in known if not _NUMBER.fullmatch(text))
        sample = next(words, known[0])
        return Problem(
            f"holds {len(different)} different texts ({sample!r} in row {first_row[sample]}), of "
            f"which {max_texts} at most become features"
        )
    places = {text: float(k) for k, text in enumerate(different)}
    return Column(_numbered(known, missing, places), tuple(different))


def _truth_name(text: str) -> str:
    return text.strip().lower()


def _numbered(known: list[str], missing: np.ndarray, number_of: dict[str, float]) -> np.ndarray:
    """The number of each text that is not missing, NaN elsewhere."""
    values = np.full(len(missing), np.nan)
    values[~missing] = [number_of[text] for text in known]
    return values


def _not_categories(different: list[str], first_row: dict[str, int]) -> Problem | None:
    """What the different texts of a column look like, where they are no categories."""
    if not different:
        return None
    # As categories, dates would be a feature for each day, which no later day shares.
    if all(_DATE.fullmatch(text.strip()) for text in different):
        text = different[0]
        return Problem(f"holds dates ({text!r} in row {first_row[text]})")
    foreign = foreign_number(different)
    if foreign is not None:
        row = first_row[foreign.text]
        return Problem(f"holds {foreign.text!r} in row {row}: say {foreign.remedy}")
    # One word among many numbers would make a feature of each number.
    words = [text for text in different if not _NUMBER.fullmatch(text)]
    count = len(different) - len(words)
    if words and count > _SLIP_NUMBERS and count > _SLIP_SHARE * len(different):
        word = min(words, key=first_row.__getitem__)
        return Problem(
            f"holds numbers, but {word!r} in row {first_row[word]}: correct it, or leave such "
            "cells empty"
        )
    return None


class ForeignNumber(NamedTuple):
    """A number that is written with a comma, and the arguments that would read it."""

    text: str
    remedy: str


def foreign_number(texts: Sequence[str]) -> ForeignNumber | None:
    """The first of the texts with a comma, where all of them are numbers; else None."""
    words = [text for text in texts if not _NUMBER.fullmatch(text)]
    with_comma = [text for text in words if "," in text]
    if not with_comma or not all(_FOREIGN.fullmatch(text) for text in words):
        return None
    remedy = (
        f"{option('decimal', ',')} if it is a decimal comma, "
        f"{option('thousands', ',')} if it groups digits"
    )
    return ForeignNumber(with_comma[0], remedy)


def join_columns(columns: Columns, names: Names, request: Request, can_leave_out: bool) -> Table:
    """The columns side by side.

    Parameters
    ----------
    columns
        The columns as they were read.
    names
        Their names, None where they have none.
    request
        What was asked of the table.
    can_leave_out
        Whether leaving a column out is a way out of a problem with it.

    Raises
    ------
    UsageError
        If some cannot be features; it names them all, so that one correction is enough.
    """
    good = [column for column in columns if isinstance(column, Column)]
    if len(good) < len(columns):
        _refuse(columns, names, request, can_leave_out)
    values = np.empty((0, 0))
    if good:
        values = np.column_stack([column.values for column in good])
    texts: Texts | None = tuple(column.texts for column in good)
    if all(column.texts is None for column in good):
        texts = None
    return Table(values, names, texts, request.what)


def _refuse(columns: Columns, names: Names, request: Request, can_leave_out: bool) -> NoReturn:
    """Refuses a table with all its columns that cannot be features."""
    reasons = []
    bad_names = []
    for k, column in enumerate(columns):
        if isinstance(column, Problem):
            name: int | str = k
            if names is not None:
                name = names[k]
                bad_names.append(name)
            reasons.append(f"column {name!r} {column.why}")
    leave_out = ""
    if can_leave_out:
        leave_out = f", or leave out {_way_to_leave_out(bad_names, request.in_file)}"
    raise UsageError(
        f"{request.what}: features must be numbers or a few different texts, but "
        f"{'; '.join(reasons)} (rows are counted from 0): correct this{leave_out}"
    )


def _way_to_leave_out(names: list[str], in_file: bool) -> str:
    if not names:
        return "such columns"
    if in_file:
        return f"columns with {option('drop', names)}"
    return f"columns, as with x.drop(columns={names})"
