"""What objects show in a notebook: tables, pictures and films as pieces of HTML.

Every text is escaped, since names come from users.
"""

import base64
from collections.abc import Sequence
from html import escape
from typing import Any

from harness.pictures import style

_LINE = "border-bottom: 1px solid #ccc; padding: 0.2em 0.9em 0.2em 0; text-align: left;"
_HEIGHT = 700  # of the player of a film, in pixels


def paragraph(text: str, strong: bool = False) -> str:
    """A sentence; a strong one is a verdict."""
    if strong:
        return f"<p><strong>{escape(text)}</strong></p>"
    return f"<p>{escape(text)}</p>"


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table with a row of heads."""
    head = "".join(f'<th style="{_LINE}">{escape(str(text))}</th>' for text in heads)
    lines = [f"<tr>{head}</tr>"]
    for row in rows:
        cells = "".join(f'<td style="{_LINE}">{escape(str(cell))}</td>' for cell in row)
        lines.append(f"<tr>{cells}</tr>")
    return f'<table style="border-collapse: collapse;">{"".join(lines)}</table>'


def picture(figure: Any, caption: str) -> str:
    """A figure of matplotlib as an image that the HTML holds itself."""
    data = base64.b64encode(style.png(figure)).decode()
    look = "max-width: 100%; margin: 0.8em 0;"
    return f'<img alt="{escape(caption)}" style="{look}" src="data:image/png;base64,{data}">'


class ShownFilm:
    """A film of weights that a notebook shows: a page that plays it.

    Parameters
    ----------
    page : bytes
        The page.
    still : bytes
        Its last frame, a PNG, for where no page is played.
    title : str
        What it shows.
    """

    def __init__(self, page: bytes, still: bytes, title: str) -> None:
        self._page = page
        self._still = still
        self._title = title

    def __repr__(self) -> str:
        """In a line; a notebook plays it."""
        return f"<Film of {self._title}; film(PATH) writes it to a file>"

    def _repr_html_(self) -> str:
        # What the page runs stays within its frame.
        return (
            f'<iframe title="{escape(self._title)}" sandbox="allow-scripts" width="100%" '
            f'height="{_HEIGHT}" style="border: 0; background: white;" '
            f'srcdoc="{escape(self._page.decode())}"></iframe>'
        )

    def _repr_png_(self) -> bytes:
        return self._still
