"""Text from outside, made safe for where it is shown: a terminal, Markdown or a spreadsheet.

A name of a run, a column of a table or the words of an exception can hold anything. Whatever shows
them goes through one of these functions. (A page of HTML uses `html.escape`.)
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas

_KEPT = "\n\t"  # what a terminal may be sent beside what can be read
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|~$])")


def printable(text: object) -> str:
    r"""Return text for a terminal, in which what would steer it is spelled out.

    This holds for an escape sequence, of which "\x1b[31m" becomes the seven characters
    ``\x1b[31m``, and for bytes that are no text. Line feeds and tabs stay.
    """
    shown = str(text)
    # Most text has nothing to spell, and needs no look at each of its characters.
    if shown.isprintable():
        return shown
    return "".join(map(_spelled_if_harmful, shown))


def _spelled_if_harmful(char: str) -> str:
    if char.isprintable() or char in _KEPT or unicodedata.category(char) == "Zs":
        return char
    return char.encode("unicode_escape").decode("ascii")


def encodable(text: str) -> str:
    """Return text that can be written as UTF-8.

    Half a character, as a file's name may hold one, becomes an escape.
    """
    # Nearly all texts are, and a sweep reads hundreds of thousands of them when it goes on.
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def cell(value: object) -> object:
    """Return a cell of a CSV that a spreadsheet does not take for a formula.

    Text that begins like a formula gets a ' in front. Numbers, also those written as text (-0.5),
    stay as they are. Text that begins with ' and then like a formula gets another one, so that two
    different texts stay different.
    """
    if not isinstance(value, str) or _NUMBER.fullmatch(value) or not _FORMULA.match(value):
        return value
    return f"'{value}"


def to_csv(frame: "pandas.DataFrame", float_format: str | None = None) -> str:
    """Return a table as CSV without its index.

    Parameters
    ----------
    frame
        Its heads and texts become what `cell` makes of them.
    float_format
        Such as "%.3f"; None for all digits.
    """
    safe = frame.set_axis([cell(head) for head in frame.columns], axis=1)
    for position, dtype in enumerate(safe.dtypes):
        # Numbers, truth values and dates are no text.
        if dtype.kind not in "biufcM":
            safe.isetitem(position, safe.iloc[:, position].map(cell))
    return encodable(safe.to_csv(index=False, float_format=float_format, lineterminator="\n"))


def escape_markdown(text: object) -> str:
    """Return text as it is for where Markdown is read: one line, no formatting, link or HTML."""
    line = printable(" ".join(str(text).split()))
    line = _MARKDOWN.sub(r"\\\1", line)
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class Markdown(str):
    """Text that is Markdown already, and is not escaped once more."""


def markdown_table(rows: Iterable[Iterable[object]]) -> str:
    """Return a Markdown table; the first of the rows are its heads.

    Its cells are plain text, which is escaped, or `Markdown`.
    """
    # MLflow sets columns without any room between them.
    table = [[f"{_markdown(cell)}&nbsp;&nbsp;" for cell in row] for row in rows]
    lines = [f"| {' | '.join(cells)} |" for cells in table]
    return "\n".join([lines[0], "|" + "---|" * len(table[0]), *lines[1:]])


def _markdown(cell: object) -> str:
    return cell if isinstance(cell, Markdown) else escape_markdown(cell)


def markdown_lines(lines: Iterable[str]) -> str:
    """Return lines to be typed, as a block that Markdown shows as it is; "" for no lines."""
    # A line must not end the block: none begins with a fence, since all begin with a program.
    shown = [printable(" ".join(line.split())) for line in lines]
    return "\n".join(["```", *shown, "```"]) if shown else ""


# The folders of an absolute path, up to its last part. "/255" and "loss / accuracy" are none.
_FOLDERS = re.compile(r"(?<![\w.])/(?:[^/\s'\",()=][^/'\",()=]*/)+")


def without_folders(text: str) -> str:
    """A text with each absolute path in it cut to its last part, which names nobody's machine."""
    return _FOLDERS.sub("", text)
