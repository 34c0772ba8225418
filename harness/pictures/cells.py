"""Pictures beside each other in one plot, each with its captions, at whole multiples of its size.

A plot for each of them takes ten times as long to lay out and to draw.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from harness.pictures.style import BLACK, DPI, load, styled

_MARGIN = 14  # pixels between pictures, and around all
_TITLE = 34  # pixels in height that the title has
_POINTS = 9  # of the captions
_LINE = 19  # pixels in height that a line of a caption has
_GAP = 6  # pixels between a picture and its captions


class Cell(NamedTuple):
    """One of the pictures.

    Attributes
    ----------
    picture : array (H, W) or (H, W, 3)
        Numbers, which become greys, or colours.
    above, below : str
        Its captions.
    """

    picture: np.ndarray
    above: str
    below: str = ""


def cells(shown: Sequence[Cell], title: str, columns: int, room: int, colour: str = BLACK) -> Any:
    """Draws pictures beside each other.

    Parameters
    ----------
    shown : sequence of Cell
        The pictures in their order.
    title : str
        What stands above all.
    columns : int
        How many stand in a row.
    room : int
        Pixels that a picture has on its longer side.
    colour : str
        That of the captions above the pictures.

    Returns
    -------
    matplotlib.figure.Figure
    """
    load()
    from matplotlib.figure import Figure

    rows = [shown[first : first + columns] for first in range(0, len(shown), columns)]
    width = _MARGIN + (room + _MARGIN) * columns
    height = _TITLE + sum(_height(row, room) for row in rows)
    with styled():
        drawn = Figure((width / DPI, height / DPI))
        # Its data are pixels, from the top left.
        axes = drawn.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
        axes.set_axis_off()
        _write(axes, (_MARGIN, _MARGIN // 2), title, size=12, weight="bold", ha="left")
        top = _TITLE
        for row in rows:
            first = top + _LINE * _lines(cell.above for cell in row) + _GAP
            for column, cell in enumerate(row):
                middle = _MARGIN + (room + _MARGIN) * column + room // 2
                high, wide = _size(cell.picture, room)
                left = middle - wide // 2
                _put(axes, cell.picture, (left, left + wide, first + high, first))
                _write(axes, (middle, first - _GAP), cell.above, va="bottom", color=colour)
                _write(axes, (middle, first + high + _GAP), cell.below)
            top += _height(row, room)
    return drawn


def _lines(captions: Any) -> int:
    return max(len(caption.splitlines()) for caption in captions)


def _height(row: Sequence[Cell], room: int) -> int:
    """How high a row is, in pixels."""
    lines = _lines(cell.above for cell in row) + _lines(cell.below for cell in row)
    high = max(_size(cell.picture, room)[0] for cell in row)
    return high + _LINE * lines + 2 * _GAP + _MARGIN


def _size(picture: np.ndarray, room: int) -> tuple[int, int]:
    """The height and width that a picture is drawn with, in pixels."""
    high, wide = picture.shape[:2]
    zoom: float = room / max(high, wide)
    if zoom > 1:
        # Its pixels are equally large then.
        zoom = math.floor(zoom)
    return round(zoom * high), round(zoom * wide)


def _put(axes: Any, picture: np.ndarray, extent: tuple[int, int, int, int]) -> None:
    from matplotlib.image import AxesImage

    interpolation = "nearest" if extent[1] - extent[0] >= picture.shape[1] else None
    image = AxesImage(axes, cmap="Greys", interpolation=interpolation, extent=extent)
    image.set_data(picture)
    axes.add_image(image)


def _write(axes: Any, at: tuple[int, int], words: str, **look: Any) -> None:
    if words:
        axes.text(*at, words, **{"size": _POINTS, "ha": "center", "va": "top", **look})
