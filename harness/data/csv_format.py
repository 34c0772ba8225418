"""How a CSV file is written: separator, decimal mark, encoding. What is not said is guessed."""

import codecs
import csv
import gzip
import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from harness.errors import UsageError, argument, option

_WORDS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "space": " ", "pipe": "|"}
SEPARATORS = (",", ";", "\t", "|")  # Those that are guessed, the usual ones first.
_LINES = 50  # How many lines a guess looks at.
_LONGEST = 100_000  # How many characters of each of them.


@dataclass(frozen=True)
class Form:
    """How a table is written down, as far as its user says; None is a guess, or what is usual.

    Attributes
    ----------
    sep
        What stands between two cells: a character, or its name (tab, semicolon, space, ...).
    decimal
        The decimal mark.
    thousands
        What groups digits.
    encoding
        The encoding of the text.
    """

    sep: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None

    def in_characters(self) -> "Form":
        """The same with every mark as a character; the decimal mark is "." where none is given.

        Raises
        ------
        UsageError
            If one of them is no character, or two are the same.
        """
        sep = _mark("sep", self.sep)
        decimal = _mark("decimal", self.decimal) or "."
        thousands = _mark("thousands", self.thousands)
        for name, other in (("sep", sep), ("thousands", thousands)):
            if decimal == other:
                raise UsageError(
                    f"decimal and {name} must differ, got {decimal!r} for both: say which it is"
                )
        return replace(self, sep=sep, decimal=decimal, thousands=thousands)


def _mark(name: str, value: Any) -> str | None:
    """The character that a user gives, or a word for it."""
    if value is None:
        return None
    mark = value
    if isinstance(value, str):
        mark = _WORDS.get(value, value)
    # The CSV format itself uses quotes and line ends, and no reader takes a NUL.
    if not isinstance(mark, str) or len(mark) != 1 or mark in '"\n\r\0':
        raise UsageError(
            f"{argument(name)} must be one character, such as {option(name, ';')}, or a word for "
            f"it (tab), got {value!r}"
        )
    return mark


@dataclass(frozen=True)
class Written:
    """How a file is written, said or guessed.

    Attributes
    ----------
    form
        The marks as characters, and the encoding.
    blanks_follow
        Whether a blank after each separator belongs to it.
    guessed
        What was guessed, in words for its user.
    """

    form: Form
    blanks_follow: bool
    guessed: tuple[str, ...]


def how_written(file: Path, path: str, form: Form) -> Written:
    """How a CSV file is written.

    Parameters
    ----------
    file
        The file, perhaps compressed with gzip.
    path
        What to call it in a message.
    form
        What its user says.

    Raises
    ------
    UsageError
        For marks and encodings that cannot be.
    UnicodeError, OSError
        If the file cannot be read so.
    """
    guessed = []
    encoding = form.encoding
    if not encoding:
        encoding = "utf-8-sig"
        if _begins_as_utf_16(file):
            encoding = "utf-16"
            guessed.append("the text is UTF-16")
    try:
        codecs.lookup(encoding)
    except (LookupError, TypeError):
        raise UsageError(
            f"{path}: there is no encoding {form.encoding!r}: give one such as "
            f"{option('encoding', 'latin-1')}"
        ) from None
    marks = form.in_characters()
    head = _head(file, encoding)
    sep = marks.sep
    if sep is None:
        sep = _guess_separator(head)
        usual = "\t" if ".tsv" in file.name.lower() else ","
        if sep != usual:
            guessed.append(f"cells are separated by {sep!r}")
    form = replace(marks, sep=sep, encoding=encoding)
    return Written(form, _blanks_follow(head, sep), tuple(guessed))


def _is_gzipped(file: Path) -> bool:
    return file.suffix.lower() == ".gz"


def _begins_as_utf_16(file: Path) -> bool:
    opener: Any = gzip.open if _is_gzipped(file) else open
    with opener(file, "rb") as stream:
        return stream.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def _open_text(file: Path, encoding: str) -> IO[str]:
    # With newline="" the csv module sees line ends within quotes as they are written.
    if _is_gzipped(file):
        return gzip.open(file, "rt", encoding=encoding, newline="")
    return file.open(encoding=encoding, newline="")


def _head(file: Path, encoding: str) -> list[str]:
    """The first lines."""
    with _open_text(file, encoding) as stream:
        return [line[:_LONGEST] for line in itertools.islice(stream, _LINES)]


def _rows(head: list[str], sep: str) -> list[list[str]]:
    """The cells of the lines that are not empty."""
    return [cells for cells in csv.reader(head, delimiter=sep) if cells]


def _guess_separator(head: list[str]) -> str:
    """The separator that gives all first lines the same number of cells, the largest one."""
    best = ""
    most_cells = 1
    for separator in SEPARATORS:
        widths = [len(cells) for cells in _rows(head, separator)]
        if len(set(widths)) == 1 and widths[0] > most_cells:
            best = separator
            most_cells = widths[0]
    if best:
        return best
    # No separator fits all lines, so the reader refuses some of them; its message needs a guess.
    for separator in SEPARATORS:
        if head and separator in head[0]:
            return separator
    return ","


def _blanks_follow(head: list[str], sep: str) -> bool:
    """Whether a blank follows every separator of the header, or every one of all other rows."""
    rows = [cells[1:] for cells in _rows(head, sep)]
    if not rows:
        return False
    names = rows[0]
    others = rows[1:]
    # The last row that was read may be cut off.
    if len(others) > 1:
        others = others[:-1]
    cells = [cell for row in others for cell in row]
    return _all_begin_with_blank(names) or _all_begin_with_blank(cells)


def _all_begin_with_blank(cells: list[str]) -> bool:
    return bool(cells) and all(cell.startswith(" ") for cell in cells)
