"""A contact sheet: the last frames of several films beside each other, each with its caption."""

import io
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from harness.pictures.cells import Cell, cells

_COLUMNS = 4
_ROOM = 320  # pixels that a picture has on its longer side
_LETTERS = 30  # of a line of a caption, which are as wide as the room of a picture at most
_LINES = 3  # that a line of a caption becomes at most


class Print(NamedTuple):
    """One picture of the sheet.

    Attributes
    ----------
    caption : str
        What stands above it; each of its lines becomes three at most.
    picture : bytes
        A PNG.
    """

    caption: str
    picture: bytes


def contact_sheet(prints: Sequence[Print], title: str) -> Any:
    """Draws pictures beside each other.

    Parameters
    ----------
    prints : sequence of Print
        The pictures in their order.
    title : str
        What stands above all.

    Returns
    -------
    matplotlib.figure.Figure
    """
    shown = [Cell(_native(one.picture), _broken(one.caption)) for one in prints]
    columns = min(_COLUMNS, max(1, len(prints)))
    return cells(shown, title, columns, _ROOM)


def _native(png: bytes) -> np.ndarray:
    """A picture in colours with one pixel for each weight, uint8 (H, W, 3)."""
    from PIL import Image

    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    for zoom in range(min(picture.shape[:2]), 1, -1):
        small = picture[::zoom, ::zoom]
        is_whole = picture.shape[0] % zoom == 0 and picture.shape[1] % zoom == 0
        if is_whole and np.array_equal(small.repeat(zoom, axis=0).repeat(zoom, axis=1), picture):
            return small
    return picture


def _broken(caption: str) -> str:
    lines = []
    for line in caption.splitlines():
        lines += textwrap.wrap(line, _LETTERS, max_lines=_LINES, placeholder="…")
    return "\n".join(lines)
