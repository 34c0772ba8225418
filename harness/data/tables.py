"""Tables in files: CSV of any separator, decimal mark and encoding, and Parquet. What is guessed is
said.
"""

import codecs
import csv
import gzip
import itertools
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError, argument, option
from harness.registry.known import suggest

if TYPE_CHECKING:
    from pandas import DataFrame, Series

SUFFIXES = {
    ".csv": "csv",
    ".tsv": "csv",
    ".csv.gz": "csv",
    ".tsv.gz": "csv",
    ".parquet": "parquet",
    ".npz": "npz",
}
_MARKS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "space": " ", "pipe": "|"}
_GUESSED = (",", ";", "\t", "|")
_LINES = 50  # that a guess looks at
_UNKNOWN = "?"


@dataclass(frozen=True)
class Form:
    """How a table is written down, as far as its user says; None is a guess, or what is usual.

    sep        what stands between two cells: a character, or its name (tab, semicolon, space, ...)
    decimal    the decimal mark
    thousands  what groups digits
    encoding   of the text
    """

    sep: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None

    def marks(self) -> tuple[str | None, str, str | None]:
        """sep, decimal and thousands as characters; UsageError where one of them is none or two are
        the same.
        """
        found: dict[str, str | None] = {}
        for name in ("sep", "decimal", "thousands"):
            value = getattr(self, name)
            mark = _MARKS.get(value, value) if isinstance(value, str) else value
            if mark is not None and (
                not isinstance(mark, str) or len(mark) != 1 or mark in '"\n\r\0'
            ):
                raise UsageError(
                    f"{argument(name)} must be one character, such as {option(name, ';')}, or a "
                    f"word for it (tab), "
                    f"got {value!r}"
                )
            found[name] = mark
        decimal = found["decimal"] or "."
        if decimal in (found["sep"], found["thousands"]):
            other = "sep" if decimal == found["sep"] else "thousands"
            raise UsageError(
                f"decimal and {other} must differ, got {decimal!r} for both: say which it is"
            )
        return found["sep"], decimal, found["thousands"]


def kind_of(path: str) -> str | None:
    """The data set that reads a file of this name: csv, parquet, npz; None for any other name."""
    name = Path(path).name.lower()
    return next((kind for suffix, kind in SUFFIXES.items() if name.endswith(suffix)), None)


def is_there(path: str | Path, folder: bool = False) -> bool:
    """Whether there is a file (or a folder) of this name; a name that can be none is of nothing."""
    try:
        place = Path(path).expanduser()
        return place.is_dir() if folder else place.is_file()
    except (OSError, ValueError, RuntimeError):  # too long, a NUL in it, a home that nobody has
        return False


def existing(path: Any, folder: bool = False) -> Path:
    """The path, which must be there."""
    kind = "folder" if folder else "file"
    if not isinstance(path, str | Path):
        raise UsageError(f"the path of a {kind} must be text, got {path!r}: put it in quotes")
    if not is_there(path, folder):
        shown = str(path) if len(str(path)) < 200 else f"{str(path)[:200]}..."
        raise UsageError(f"there is no {kind} {shown!r} in {Path.cwd()}: check the path")
    return Path(path).expanduser().absolute()


@dataclass(frozen=True)
class Frame:
    """A table that has been read.

    table    the columns that are not left out
    numbers  the columns that were asked for as text and hold nothing but numbers, as numbers
    guessed  what was guessed of how it is written, for a reader
    """

    table: "DataFrame"
    numbers: "dict[str, Series]"
    guessed: list[str]


def read_frame(
    path: str,
    form: Form | None = None,
    drop: tuple[str, ...] = (),
    texts: tuple[str, ...] = (),
    must_drop: bool = True,
) -> Frame:
    """The table in a CSV or Parquet file.

    form       how a CSV file is written
    drop       columns to leave out; one that is not there may be several names, joined by commas
    texts      columns that are read as the text that is written, such as that of the labels
    must_drop  whether the columns to leave out must be there

    Raises UsageError unless it can be read and its columns, those left out aside, have names of
    their own.
    """
    file = existing(path)
    is_csv = kind_of(path) != "parquet"
    try:
        read = _Csv(file, str(path), form or Form()) if is_csv else _Parquet(file)
        table = read.frame(texts)
        columns = list(table.columns)
        drop = _dropped(path, drop, columns, must_drop)
        _check_names(path, read.names, columns, drop)
        numbers = read.numbers([name for name in texts if name in columns])
    except UsageError:
        raise
    except MemoryError as error:
        raise UsageError(
            f"{path}: the table does not fit into memory: use fewer rows or columns"
        ) from error
    except ImportError as error:
        raise UsageError(
            f"{path}: reading it needs pandas and pyarrow ({_first_line(error)}): pip install "
            f"pandas pyarrow"
        ) from error
    except UnicodeError as error:
        raise UsageError(
            f"{path}: a table must be text in UTF-8 ({_first_line(error)}): say which encoding it "
            f"has, as in "
            f"{option('encoding', 'latin-1')}, or save it as UTF-8"
        ) from error
    except Exception as error:  # as do pandas, pyarrow, gzip and zlib
        remedy = (
            ": every row needs as many cells as the header"
            if type(error).__name__.startswith("Parser")
            else ""
        )
        raise UsageError(
            f"{path}: cannot be read as a table ({_first_line(error)}){remedy}"
        ) from error
    return Frame(table.drop(columns=list(drop)), numbers, read.guessed)


def _dropped(path: str, drop: tuple[str, ...], columns: list[str], must: bool) -> tuple[str, ...]:
    """The columns to leave out, of those that are there."""
    found: list[str] = []
    for name in drop:
        several = (
            [name]
            if name in columns or not isinstance(name, str)
            else [n.strip() for n in name.split(",")]
        )
        for each in several:
            if each in columns:
                found.append(each)
            elif must:
                raise no_column(path, each, columns)
    return tuple(dict.fromkeys(found))


def no_column(path: str, name: Any, columns: list[str]) -> UsageError:
    """The error for a column that is not there."""
    near = suggest(str(name), columns)
    hint = f"; {near}" if near.startswith("did you mean") else ""
    other = next((mark for mark in _GUESSED if len(columns) == 1 and mark in columns[0]), None)
    if other is not None:
        hint = f"; is {option('sep', other)} what stands between them?"
    return UsageError(
        f"{path}: there is no column {name!r}; the columns are {shown(columns)}{hint}"
    )


def shown(columns: list[str]) -> str:
    """The names of the columns, of many the first."""
    return ", ".join(columns[:20]) + (f", ... ({len(columns)} in all)" if len(columns) > 20 else "")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _check_names(path: str, names: list[str], columns: list[str], drop: tuple[str, ...]) -> None:
    """names: as they are written; columns: as pandas has made them different."""
    named = [
        (k, name, now)
        for k, (name, now) in enumerate(zip(names, columns, strict=True))
        if now not in drop
    ]
    count = Counter(name for _, name, _ in named)
    for k, name, now in named:
        if not name:  # as in a file that pandas has written with its index
            raise UsageError(
                f"{path}: every column needs a name, but column {k} (counted from 0) has none: "
                f"name it, or leave it "
                f"out with {option('drop', [str(now)])}"
            )
        if count[name] > 1:
            raise UsageError(
                f"{path}: the names of the columns must differ, but {name!r} came twice: rename one"
            )


class _Parquet:
    """A Parquet file."""

    def __init__(self, file: Path):
        import pandas

        self.guessed: list[str] = []
        self.table = pandas.read_parquet(file)
        self.table.columns = [str(name) for name in self.table.columns]  # type: ignore[assignment]
        self.names = list(self.table.columns)

    def frame(self, texts: tuple[str, ...]) -> "DataFrame":
        return self.table

    def numbers(self, texts: list[str]) -> "dict[str, Series]":
        return {}


class _Csv:
    """A CSV file: how it is written, and its table."""

    def __init__(self, file: Path, path: str, form: Form):
        self.file = file
        self.guessed: list[str] = []
        self.encoding = form.encoding or self._marked()
        try:
            codecs.lookup(self.encoding)
        except (LookupError, TypeError):
            raise UsageError(
                f"{path}: there is no encoding {form.encoding!r}: give one such as "
                f"{option('encoding', 'latin-1')}"
            ) from None
        self.sep, self.decimal, self.thousands = form.marks()
        head = self._head()
        if self.sep is None:
            self.sep = _guess(head)
            usual = "\t" if ".tsv" in file.name.lower() else ","
            if self.sep != usual:
                self.guessed.append(f"cells are separated by {self.sep!r}")
        self.blanks = _blanks_follow(head, self.sep)
        self.names = [
            str(name)
            for name in self._read(header=None, nrows=1, dtype=str, keep_default_na=False).iloc[0]
        ]

    def _marked(self) -> str:
        """The encoding that the first bytes say, else UTF-8."""
        opener = gzip.open if self.file.suffix.lower() == ".gz" else open
        with opener(self.file, "rb") as stream:
            if stream.read(2) not in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                return "utf-8-sig"
        self.guessed.append("the text is UTF-16")
        return "utf-16"

    def _head(self) -> list[str]:
        """The first lines."""
        if self.file.suffix.lower() == ".gz":
            with gzip.open(self.file, "rt", encoding=self.encoding, newline="") as stream:
                return [line[:100_000] for line in itertools.islice(stream, _LINES)]
        with self.file.open(encoding=self.encoding, newline="") as stream:
            return [line[:100_000] for line in itertools.islice(stream, _LINES)]

    def _read(self, **more: Any) -> "DataFrame":
        import pandas

        # By default rows with a cell too many turn their first column into an index; with
        # index_col=False pandas warns.
        with warnings.catch_warnings():
            warnings.simplefilter("error", pandas.errors.ParserWarning)
            return pandas.read_csv(
                self.file,
                sep=self.sep,
                decimal=self.decimal,
                thousands=self.thousands,
                encoding=self.encoding,
                skipinitialspace=self.blanks,
                index_col=False,
                low_memory="nrows" in more,
                **more,
            )

    def frame(self, texts: tuple[str, ...]) -> "DataFrame":
        """The table; where all else in a column is numbers, "?" is an empty cell, as in the files
        of many archives.
        """
        table = self._read(dtype=dict.fromkeys(texts, str))
        marked = [
            name for name in table.columns if name not in texts and (table[name] == _UNKNOWN).any()
        ]
        if marked:
            again = self._read(usecols=marked, na_values=dict.fromkeys(marked, _UNKNOWN))
            numeric = [name for name in marked if again[name].dtype.kind in "iuf"]
            table[numeric] = again[numeric]
            self.guessed += [f"{_UNKNOWN!r} in {name} is an empty cell" for name in numeric]
        return table

    def numbers(self, texts: list[str]) -> "dict[str, Series]":
        """The columns of texts that hold nothing but numbers, as numbers."""
        from pandas.api import types

        found: dict[str, Series] = {}
        table = self._read(usecols=texts)
        for name in texts:
            column = table[name]
            if types.is_numeric_dtype(column.dtype) and not types.is_bool_dtype(column.dtype):
                found[name] = column
        return found


def _blanks_follow(head: list[str], sep: str) -> bool:
    """Whether a blank belongs to what stands between cells: between all names, or between all cells
    of all rows.
    """
    first, *rows = [cells[1:] for cells in csv.reader(head, delimiter=sep) if cells] or [[]]
    cells = [cell for row in rows[:-1] or rows for cell in row]  # the last one may be cut off
    return any(part and all(cell.startswith(" ") for cell in part) for part in (first, cells))


def _guess(head: list[str]) -> str:
    """What stands between two cells of the first lines: what gives all of them the same number, the
    largest.
    """
    counts: dict[str, int] = {}
    for mark in _GUESSED:
        widths = [len(cells) for cells in csv.reader(head, delimiter=mark) if cells]
        if widths and widths[0] > 1 and set(widths) == {widths[0]}:
            counts[mark] = widths[0]
    if counts:
        return max(counts, key=lambda mark: (counts[mark], -_GUESSED.index(mark)))
    first = head[0] if head else ""
    return next((mark for mark in _GUESSED if mark in first), ",")
