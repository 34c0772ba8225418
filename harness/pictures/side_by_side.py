"""One film of several, each with its name above."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from harness import checks
from harness.errors import UsageError
from harness.pictures.tiles import check_film

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

_TITLE = 22  # pixels in height that a name takes
_FONT = 14  # pixels


class _Corner(NamedTuple):
    """The first pixel of a film on the page."""

    top: int
    left: int


def side_by_side(films: Mapping[str, np.ndarray], *, columns: int = 5, gap: int = 12) -> np.ndarray:
    """One film of several on white, each with its name above.

    Films of different length are aligned by relative time: all begin and end together. Names too
    wide for their film are cut.

    Parameters
    ----------
    films
        By name, uint8 (T, H, W).
    columns
        Films to a row.
    gap
        Pixels between films.

    Returns
    -------
    numpy.ndarray
        uint8 (T', H', W'), with as many frames as the longest film.

    Raises
    ------
    UsageError
        Without films, and for wrong arrays or numbers.
    """
    good_columns = checks.is_whole(columns) and columns >= 1
    good_gap = checks.is_whole(gap) and gap >= 0
    if not films or not good_columns or not good_gap:
        raise UsageError(
            f"Side by side takes at least one film, columns >= 1 and gap >= 0, got "
            f"{columns} and {gap}."
        )
    count, height, width = np.max([check_film(film).shape for film in films.values()], axis=0)
    columns = min(columns, len(films))
    step_down = _TITLE + int(height) + gap
    step_right = int(width) + gap
    rows = -(-len(films) // columns)
    corners = [
        _Corner(gap + place // columns * step_down + _TITLE, gap + place % columns * step_right)
        for place in range(len(films))
    ]
    page = _titles(list(films), corners, gap + rows * step_down, gap + columns * step_right, width)
    result = np.repeat(np.asarray(page)[None], count, axis=0)
    for film, corner in zip(films.values(), corners, strict=True):
        length, high, wide = film.shape
        times = _times(length, int(count))
        bottom = corner.top + high
        right = corner.left + wide
        result[:, corner.top : bottom, corner.left : right] = film[times]
    return result


def _titles(
    names: list[str], corners: list[_Corner], height: int, width: int, most: int
) -> "Image":
    """A white page with the names, none wider than `most` pixels."""
    from PIL import Image, ImageDraw, ImageFont  # here, so that importing the package stays quick

    font = ImageFont.load_default(size=_FONT)
    page = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(page)
    for name, corner in zip(names, corners, strict=True):
        text = _cut(name, most, draw, font)
        draw.text((corner.left, corner.top - _TITLE + 2), text, fill=0, font=font)
    return page


def _cut(text: str, most: int, draw: "ImageDraw", font: Any) -> str:
    """As much of a text as has room, with dots where something is left out."""
    while len(text) > 1 and draw.textlength(text, font=font) > most:
        shorter = text.removesuffix("...")[:-1]
        # Of a text this short the dots would be all that is left.
        text = f"{shorter}..." if len(text) > 4 else text[:-1]
    return text


def _times(length: int, count: int) -> np.ndarray:
    """The frame of a film of some length that each of `count` frames shows.

    It is frame round(t * (length - 1) / (count - 1)); one frame alone is shown throughout.
    """
    return (2 * np.arange(count) * (length - 1) + count - 1) // (2 * max(count - 1, 1))
