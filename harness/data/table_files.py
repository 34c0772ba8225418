"""The table in a CSV or Parquet file, as pandas reads it, with its columns checked."""

import contextlib
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data.csv_format import SEPARATORS, Form, how_written
from harness.data.paths import existing, first_line, kind_of
from harness.errors import UsageError, option
from harness.registry.known import suggest

if TYPE_CHECKING:
    from pandas import DataFrame, Series

_UNKNOWN = "?"  # What many archives write for an empty cell.
_SHOWN = 20  # names of columns in a message


@dataclass(frozen=True)
class Frame:
    """A table that has been read.

    Attributes
    ----------
    table
        The columns that are not left out.
    numbers
        The columns that were asked for as text and hold nothing but numbers, as numbers.
    guessed
        What was guessed of how it is written, in words for its user.
    """

    table: "DataFrame"
    numbers: "dict[str, Series]"
    guessed: tuple[str, ...]


def read_frame(
    path: str,
    form: Form | None = None,
    drop: tuple[str, ...] = (),
    texts: tuple[str, ...] = (),
    must_drop: bool = True,
) -> Frame:
    """The table in a CSV or Parquet file.

    Parameters
    ----------
    path
        The file.
    form
        How a CSV file is written.
    drop
        Columns to leave out; one that is not there may be several names, joined by commas.
    texts
        Columns that are read as the text that is written, such as that of the labels.
    must_drop
        Whether the columns to leave out must be there.

    Raises
    ------
    UsageError
        Unless the file can be read and its columns, those left out aside, have names of their own.
    """
    file = existing(path)
    with _errors_in_words(path):
        reader: _Csv | _Parquet
        if kind_of(path) == "parquet":
            reader = _Parquet(file)
        else:
            reader = _Csv(file, str(path), form or Form())
        table = reader.table(texts)
        columns = list(table.columns)
        dropped = _dropped(path, drop, columns, must_drop)
        _check_names(path, reader.names, columns, dropped)
        numbers = reader.numbers([name for name in texts if name in columns])
    return Frame(table.drop(columns=dropped), numbers, reader.guessed)


@contextlib.contextmanager
def _errors_in_words(path: str) -> Iterator[None]:
    """Turns whatever reading a file raises into a UsageError that says what to do."""
    try:
        yield
    except UsageError:
        raise
    except MemoryError as error:
        raise UsageError(
            f"{path}: the table does not fit into memory: use fewer rows or columns"
        ) from error
    except ImportError as error:
        raise UsageError(
            f"{path}: reading it needs pandas and pyarrow ({first_line(error)}): pip install "
            f"pandas pyarrow"
        ) from error
    except UnicodeError as error:
        raise UsageError(
            f"{path}: a table must be text in UTF-8 ({first_line(error)}): say which encoding it "
            f"has, as in {option('encoding', 'latin-1')}, or save it as UTF-8"
        ) from error
    except Exception as error:
        # Of a damaged file pandas, pyarrow, gzip and zlib each raise errors of their own.
        remedy = ""
        if type(error).__name__.startswith("Parser"):
            remedy = ": every row needs as many cells as the header"
        raise UsageError(
            f"{path}: cannot be read as a table ({first_line(error)}){remedy}"
        ) from error


def _dropped(path: str, drop: tuple[str, ...], columns: list[str], must_drop: bool) -> list[str]:
    """The columns to leave out, of those that are there."""
    dropped = []
    for text in drop:
        for name in _names_in(text, columns):
            if name in columns:
                dropped.append(name)
            elif must_drop:
                raise no_column(path, name, columns)
    return list(dict.fromkeys(dropped))


def _names_in(text: Any, columns: list[str]) -> list[Any]:
    """The names of columns that a text joins by commas, unless a column has the whole name."""
    if text in columns or not isinstance(text, str):
        return [text]
    return [name.strip() for name in text.split(",")]


def no_column(path: str, name: Any, columns: list[str]) -> UsageError:
    """The error for a column that is not there."""
    shown = first_columns(columns)
    hint = _hint(name, columns)
    return UsageError(f"{path}: there is no column {name!r}; the columns are {shown}{hint}")


def _hint(name: Any, columns: list[str]) -> str:
    """What may be wrong where a column is not there."""
    # A table of a single column may have been read with the wrong separator.
    if len(columns) == 1:
        for separator in SEPARATORS:
            if separator in columns[0]:
                return f"; is {option('sep', separator)} what stands between them?"
    near = suggest(str(name), columns)
    if near.startswith("did you mean"):
        return f"; {near}"
    return ""


def first_columns(columns: list[str]) -> str:
    """The names of columns for a message; of many, the first ones."""
    shown = ", ".join(columns[:_SHOWN])
    if len(columns) > _SHOWN:
        shown += f", ... ({len(columns)} in all)"
    return shown


def _check_names(path: str, names: list[str], columns: list[str], dropped: list[str]) -> None:
    """Refuses columns without a name and two of one name.

    Parameters
    ----------
    path
        The file, for messages.
    names
        The names as they are written.
    columns
        The names that pandas has made of them, which differ.
    dropped
        The columns that are left out.
    """
    both = list(zip(names, columns, strict=True))
    count = Counter(name for name, column in both if column not in dropped)
    for k, (name, column) in enumerate(both):
        if column in dropped:
            continue
        # The index that pandas writes into a file has no name.
        if not name:
            raise UsageError(
                f"{path}: every column needs a name, but column {k} (counted from 0) has none: "
                f"name it, or leave it out with {option('drop', [str(column)])}"
            )
        if count[name] > 1:
            raise UsageError(
                f"{path}: the names of the columns must differ, but {name!r} came twice: rename one"
            )


class _Parquet:
    """A Parquet file: its columns have types, so nothing is guessed and no text is a number."""

    def __init__(self, file: Path):
        import pandas

        self.guessed: tuple[str, ...] = ()
        self._table = pandas.read_parquet(file)
        self.names = [str(name) for name in self._table.columns]
        self._table.columns = self.names  # type: ignore[assignment]

    def table(self, texts: tuple[str, ...]) -> "DataFrame":
        return self._table

    def numbers(self, texts: list[str]) -> "dict[str, Series]":
        return {}


def _exact_numbers(version: str) -> dict[str, Any]:
    """What makes pandas read each number as the float nearest to what is written.

    pandas 3.1 and later do so by themselves. Without it, the data set would have another digest
    there than with an older pandas.
    """
    major, minor = version.split(".")[:2]
    if (int(major), int(minor)) >= (3, 1):
        return {}
    return {"float_precision": "round_trip"}


class _Csv:
    """A CSV file."""

    def __init__(self, file: Path, path: str, form: Form):
        self._file = file
        self._written = how_written(file, path, form)
        self.guessed = self._written.guessed
        # pandas would rename columns of one name, so the header is read as a row of texts.
        header = self._read(header=None, nrows=1, dtype=str, keep_default_na=False)
        self.names = [str(name) for name in header.iloc[0]]

    def _read(self, **options: Any) -> "DataFrame":
        import pandas

        form = self._written.form
        # By default rows with a cell too many turn their first column into an index; with
        # index_col=False pandas warns.
        with warnings.catch_warnings():
            warnings.simplefilter("error", pandas.errors.ParserWarning)
            return pandas.read_csv(
                self._file,
                sep=form.sep,
                decimal=form.decimal,
                thousands=form.thousands,
                encoding=form.encoding,
                skipinitialspace=self._written.blanks_follow,
                index_col=False,
                # In pieces, a column could get another type in each of them.
                low_memory="nrows" in options,
                **_exact_numbers(pandas.__version__),
                **options,
            )

    def table(self, texts: tuple[str, ...]) -> "DataFrame":
        """The table; among numbers "?" is an empty cell, as in the files of many archives."""
        table = self._read(dtype=dict.fromkeys(texts, str))
        marked = [
            name for name in table.columns if name not in texts and (table[name] == _UNKNOWN).any()
        ]
        if marked:
            again = self._read(usecols=marked, na_values=dict.fromkeys(marked, _UNKNOWN))
            numeric = [name for name in marked if again[name].dtype.kind in "iuf"]
            table[numeric] = again[numeric]
            notes = [f"{_UNKNOWN!r} in {name} is an empty cell" for name in numeric]
            self.guessed = (*self.guessed, *notes)
        return table

    def numbers(self, texts: list[str]) -> "dict[str, Series]":
        """The columns of texts that hold nothing but numbers, as numbers."""
        from pandas.api import types

        numbers = {}
        # pandas decides again, this time without being told that these are texts.
        table = self._read(usecols=texts)
        for name in texts:
            column = table[name]
            if types.is_numeric_dtype(column.dtype) and not types.is_bool_dtype(column.dtype):
                numbers[name] = column
        return numbers
