"""A film with a caption below: step, epoch and accuracy, whose curve is running along."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from harness.pictures.story import Curve, Story
from harness.pictures.tiles import check_film, enlarge

if TYPE_CHECKING:
    from PIL.Image import Image

# A film that is shown by itself has at least so many pixels on its longer side.
LARGE = 600

_BAR = 96  # pixels in height of all that is below the film
_MARGIN = 16  # pixels around the film and its bar
_FONT = 16  # pixels
_BASE = _BAR - 38  # pixels from the top of the bar to the line below the curve
_ROW = 12  # pixels that a row of a matrix is high at least, so that a name stands beside it
_MOST_ROWS = 60  # rows that are made so high; a film of more would be higher than a screen
_LOWEST = 9  # pixels of a row below which no name can be read
_LONGEST = 24  # letters of a name
_FINE = 3  # how much larger than it is shown the curve is drawn

_Point = tuple[float, float]


class _Inks(NamedTuple):
    """The colours of a bar."""

    page: tuple[int, int, int]
    text: tuple[int, int, int]
    line: tuple[int, int, int]


_LIGHT = _Inks((255, 255, 255), (27, 27, 27), (205, 205, 205))
_DARK = _Inks((0, 0, 0), (236, 236, 236), (80, 80, 80))


def large_zoom(height: int, width: int) -> int:
    """The factor that makes a film large.

    It is even: H.264 has one value of colour for four pixels, which then belong to one weight.
    """
    factor = -(-(LARGE - 2 * _MARGIN) // max(height, width))
    return max(2, factor + factor % 2)


def captioned(
    frames: np.ndarray, story: Story, zoom: int, features: Sequence[str] = ()
) -> np.ndarray:
    """A film, enlarged, with its caption and curve below.

    Parameters
    ----------
    frames
        uint8 (T, H, W), which gets a black bar, or (T, H, W, 3), which gets a white one.
    story
        What is written there.
    zoom
        Every pixel of the film becomes zoom x zoom.
    features
        Of a matrix the names of its rows, which stand beside them where a row is as high as a
        letter. Up to 60 rows are made that high.

    Returns
    -------
    numpy.ndarray
        uint8 (T, H', W', 3).
    """
    check_film(frames)
    inks = _LIGHT
    if frames.ndim == 3:
        inks = _DARK
        frames = frames[..., None]
    rows = frames.shape[1]
    high = max(zoom, _ROW) if features and rows <= _MOST_ROWS else zoom
    names = _names(features[:rows], high, inks)
    left = _MARGIN + names.shape[1]
    height = high * rows
    width = zoom * frames.shape[2]
    shape = (len(frames), height + _MARGIN + _BAR, left + width + _MARGIN, 3)
    # The three parts of the colour of a page are equal.
    pages = np.full(shape, inks.page[0], np.uint8)
    pages[:, _MARGIN : _MARGIN + len(names), _MARGIN:left] = names
    # A grey is written into all three channels.
    onto = pages[:, _MARGIN : _MARGIN + height, left : left + width]
    enlarge(np.broadcast_to(frames, (*frames.shape[:3], 3)), high, zoom, onto)
    plots: dict[int, Image] = {}
    for number, page in enumerate(pages):
        page[_MARGIN + height :] = _bar(page.shape[1], story, number, inks, plots)
    return pages


def _names(features: Sequence[str], high: int, inks: _Inks) -> np.ndarray:
    """The names of rows below each other, (rows * high, W, 3); W is even, and 0 without names."""
    from PIL import Image, ImageDraw, ImageFont

    if not features or high < _LOWEST:
        return np.empty((0, 0, 3), np.uint8)
    font = ImageFont.load_default(size=min(14, high))
    longest = _LONGEST - 1
    names = [name if len(name) <= _LONGEST else f"{name[:longest]}…" for name in features]
    width = 8 + max(math.ceil(font.getlength(name)) for name in names)
    image = Image.new("RGB", (width + width % 2, high * len(names)), inks.page)
    draw = ImageDraw.Draw(image)
    for row, name in enumerate(names):
        middle = (image.width - 8, high * row + high // 2)
        draw.text(middle, name, fill=inks.text, font=font, anchor="rm")
    return np.asarray(image)


def _bar(
    width: int, story: Story, frame: int, inks: _Inks, plots: dict[int, "Image"]
) -> np.ndarray:
    """The bar below one frame, (_BAR, width, 3).

    `plots` has those that were drawn before, by how many points of the curve are known.
    """
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (width, _BAR), inks.page)
    draw = ImageDraw.Draw(image)
    if story.curve is not None and story.curve.values:
        known = story.measured(story.steps[frame])
        if known not in plots:
            plots[known] = _plot(width, story, known, inks)
        image.paste(plots[known], (0, 0))
        draw.line([(_MARGIN, _BASE), (width - _MARGIN, _BASE)], fill=inks.line, width=1)
    font = ImageFont.load_default(size=_FONT)
    draw.text((_MARGIN, _BAR - 30), story.caption(frame), fill=inks.text, font=font)
    return np.asarray(image)


def _plot(width: int, story: Story, count: int, inks: _Inks) -> "Image":
    """The whole curve in pale, and so many points of it that are known on top."""
    from PIL import Image, ImageDraw

    assert story.curve is not None
    # It is drawn larger and made smaller, so that slanting lines are smooth.
    image = Image.new("RGB", (_FINE * width, _FINE * _BASE), inks.page)
    draw = ImageDraw.Draw(image)
    points = _points(story.curve, width, story.steps[-1])
    known = points[:count]
    if len(points) > 1:
        draw.line(points, fill=inks.line, width=2 * _FINE, joint="curve")
    if len(known) > 1:
        draw.line(known, fill=inks.text, width=2 * _FINE, joint="curve")
    if known:
        x, y = known[-1]
        size = 4 * _FINE
        draw.ellipse([x - size, y - size, x + size, y + size], fill=inks.text)
    return image.reduce(_FINE)


def _points(curve: Curve, width: int, last_step: int) -> list[_Point]:
    """Where the points of a curve are in the enlarged plot above a bar of some width."""
    low = min(curve.values)
    span = (max(curve.values) - low) or 1.0
    wide = width - 2 * _MARGIN - 8
    return [
        (
            _FINE * (_MARGIN + 4 + wide * step / max(last_step, 1)),
            _FINE * (_BASE - 6 - 40 * (value - low) / span),
        )
        for step, value in zip(curve.steps, curve.values, strict=True)
    ]
