"""Text from outside, made safe for the place where it is shown: a terminal, Markdown or a
spreadsheet.

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


def printable(text: object) -> str:
    r"""Text for a terminal: what would steer it is spelled, such as an escape sequence or bytes
    that are no text.

    Line feeds and tabs stay. "\x1b[31m" becomes the seven characters ``\x1b[31m``.
    """
    given = str(text)
    if given.isprintable():
        return given
    return "".join(char if _is_harmless(char) else _spelled(char) for char in given)


def encodable(text: str) -> str:
    """Text that can be written as UTF-8: half a character, as a file's name may hold one, becomes
    an escape.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _is_harmless(char: str) -> bool:
    return char.isprintable() or char in _KEPT or unicodedata.category(char) == "Zs"


def _spelled(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def cell(value: object) -> object:
    """A cell of a CSV that a spreadsheet does not take for a formula: text that begins like one
    gets a ' in front.

    Numbers, also those written as text (-0.5), stay as they are. Text that begins with ' and then
    like a formula gets another one, so that two different texts stay different.
    """
    if not isinstance(value, str) or _NUMBER.fullmatch(value) or not _FORMULA.match(value):
        return value
    return f"'{value}"


def to_csv(frame: "pandas.DataFrame", float_format: str | None = None) -> str:
    """A table as CSV without its index; heads and texts as `cell` makes them, floats with all their
    digits.
    """
    safe = frame.set_axis([cell(head) for head in frame.columns], axis=1)
    for position, kind in enumerate(safe.dtypes):
        if kind.kind not in "biufcM":
            safe.isetitem(position, safe.iloc[:, position].map(cell))
    return encodable(safe.to_csv(index=False, float_format=float_format, lineterminator="\n"))


def escape_markdown(text: object) -> str:
    """Text as it is, for a place where Markdown is read: no formatting, no link, no HTML, one
    line.
    """
    line = printable(" ".join(str(text).split()))
    line = re.sub(r"([\\`*_{}\[\]()#+\-.!|~$])", r"\\\1", line)
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def markdown_table(rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table of plain text, its heads first; with room behind each cell, since MLflow
    sets them without.
    """
    table = [[f"{escape_markdown(cell)}&nbsp;&nbsp;" for cell in row] for row in rows]
    lines = [f"| {' | '.join(cells)} |" for cells in table]
    return "\n".join([lines[0], "|" + "---|" * len(table[0]), *lines[1:]])
