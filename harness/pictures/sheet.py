"""The pages of a film of several networks: titles, films, captions, and the curves of all below."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from harness.pictures.story import Curve, Story
from harness.pictures.style import CYCLE
from harness.pictures.tiles import enlarge

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

_MARGIN = 24  # pixels around all, and between films
_TITLE = 12  # pixels in height that a title takes beside its lines
_TITLE_LINE = 18  # pixels in height that a line of a title takes
_TITLE_LINES = 2  # at most; names of trials often begin alike
_CAPTION = 28  # pixels in height that a caption takes
_CURVES = 92  # pixels in height that the curves have
_FOOT = 34  # pixels in height below the curves
_FONT = 15  # pixels
_STEP_FONT = 17  # pixels
_NARROWEST = 190  # pixels that a caption needs
_FINE = 3  # how much larger than they are shown curves are drawn
_SWATCH = 18  # pixels that the colour before a title is wide

# The seventh is black, as is a text.
_INKS = CYCLE[:6]

_PAGE = "#ffffff"
_TEXT = "#1b1b1b"
_SOFT = "#6a6a6a"
_LINE = "#cdcdcd"


class Shot(NamedTuple):
    """One network of a sheet.

    Attributes
    ----------
    name : str
        What stands above it.
    story : Story
        Its steps and its curve.
    picture : numpy.ndarray
        uint8 (T, H, W, 3): its own frames.
    zoom : int
        Every pixel of them becomes zoom x zoom.
    times : sequence of int
        Which of them each page shows.
    """

    name: str
    story: Story
    picture: np.ndarray
    zoom: int
    times: Sequence[int]


class Sheet:
    """Draws the pages of a film.

    Parameters
    ----------
    shots : sequence of Shot
        The networks.
    columns : int
        How many stand beside each other.
    end : int
        The step at which the axis of the curves ends.

    Attributes
    ----------
    size : tuple of int
        The height and width of a page in pixels.
    """

    def __init__(self, shots: Sequence[Shot], columns: int, end: int) -> None:
        self._shots = shots
        self._columns = min(columns, len(shots))
        self._end = max(end, 1)
        self._high = max(shot.zoom * shot.picture.shape[1] for shot in shots)
        self._wide = max(_NARROWEST, *(shot.zoom * shot.picture.shape[2] for shot in shots))
        rows = -(-len(shots) // self._columns)
        self._names = [self._lines_of(shot.name) for shot in shots]
        self._title = _TITLE + _TITLE_LINE * max(len(lines) for lines in self._names)
        self._row = self._title + self._high + _CAPTION + _MARGIN // 2
        width = _MARGIN + self._columns * (self._wide + _MARGIN)
        self._top_of_curves = _MARGIN // 2 + rows * self._row
        height = self._top_of_curves + _CURVES + _FOOT
        # With one value of colour for four pixels both sides have to be even.
        self.size = (height + height % 2, width + width % 2)
        self._ranges = _ranges([shot.story.curve for shot in shots])
        self._blank = self._titles()

    def pages(self, steps: Sequence[int]) -> np.ndarray:
        """The pages for some steps, uint8 (T, H, W, 3).

        Parameters
        ----------
        steps
            The step of each page; its number is that by which each network knows its own frame.
        """
        pages: np.ndarray = np.empty((len(steps), *self.size, 3), np.uint8)
        pages[...] = self._blank
        for place, shot in enumerate(self._shots):
            top, left = self._corner(place)
            large = shot.picture[list(shot.times)]
            height = shot.zoom * large.shape[1]
            width = shot.zoom * large.shape[2]
            onto = pages[:, top : top + height, left : left + width]
            enlarge(large, shot.zoom, shot.zoom, onto)
        plots: dict[tuple[int, ...], np.ndarray] = {}
        for page, step in zip(pages, steps, strict=True):
            self._write(page, step, plots)
        return pages

    def _write(self, page: np.ndarray, step: int, plots: dict[tuple[int, ...], np.ndarray]) -> None:
        """Draws onto a page what is told of a step.

        `plots` has those that were drawn before, by how many points of each curve are known.
        """
        from PIL import Image, ImageDraw

        font = _font(_FONT)
        for place, shot in enumerate(self._shots):
            top, left = self._corner(place)
            below = top + shot.zoom * shot.picture.shape[1] + 6
            image = Image.new("RGB", (self._wide, _CAPTION), _PAGE)
            draw = ImageDraw.Draw(image)
            text = _cut(_caption(shot.story, step), self._wide, draw, font)
            draw.text((0, 0), text, fill=_SOFT, font=font)
            page[below : below + _CAPTION, left : left + self._wide] = np.asarray(image)
        known = tuple(shot.story.measured(step) for shot in self._shots)
        if known not in plots:
            plots[known] = np.asarray(self._plot(known))
        base = self._top_of_curves + _CURVES
        page[self._top_of_curves : base] = plots[known]
        foot = Image.fromarray(page[base:])
        draw = ImageDraw.Draw(foot)
        x = self._x(step)
        draw.line([(x, 0), (x, 5)], fill=_TEXT, width=2)
        draw.text((_MARGIN, 7), f"step {step:,}", fill=_TEXT, font=_font(_STEP_FONT))
        page[base:] = np.asarray(foot)

    def _corner(self, place: int) -> tuple[int, int]:
        """The first row and column of a film."""
        top = _MARGIN // 2 + place // self._columns * self._row + self._title
        return top, _MARGIN + place % self._columns * (self._wide + _MARGIN)

    @property
    def _indent(self) -> int:
        """How far a title is from the left of its film, where a swatch of its colour stands."""
        return _SWATCH + 8 if len(self._shots) > 1 else 0

    def _lines_of(self, name: str) -> list[str]:
        """The lines of a title."""
        from PIL import Image, ImageDraw

        draw = ImageDraw.Draw(Image.new("RGB", (1, 1)))
        return _wrapped(name, self._wide - self._indent, draw, _font(_FONT))

    def _titles(self) -> np.ndarray:
        """A page with all that stays."""
        from PIL import Image, ImageDraw

        height, width = self.size
        image = Image.new("RGB", (width, height), _PAGE)
        draw = ImageDraw.Draw(image)
        font = _font(_FONT)
        for place in range(len(self._shots)):
            top, left = self._corner(place)
            lines = self._names[place]
            first = top - 7 - _TITLE_LINE * len(lines)
            if self._indent:
                middle = first + 10
                _draw_line(draw, [(left, middle), (left + _SWATCH, middle)], place, 4)
            for number, line in enumerate(lines):
                line_at = (left + self._indent, first + _TITLE_LINE * number)
                draw.text(line_at, line, fill=_TEXT, font=font)
        base = self._top_of_curves + _CURVES
        draw.line([(_MARGIN, base), (width - _MARGIN, base)], fill=_LINE, width=1)
        self._draw_measure(draw)
        return np.asarray(image).copy()

    def _draw_measure(self, draw: "ImageDraw") -> None:
        """The name of what the curves show, where it is the same for all."""
        if len(self._ranges) != 1:
            return
        ((name, (low, high)),) = self._ranges.items()
        text = f"{name} {low:.3g} to {high:.3g}"
        font = _font(_FONT)
        left = self.size[1] - _MARGIN - draw.textlength(text, font=font)
        draw.text((left, self._top_of_curves + _CURVES + 8), text, fill=_SOFT, font=font)

    def _plot(self, counts: tuple[int, ...]) -> "Image":
        """The curves in pale, and on top so many points of each that are known."""
        from PIL import Image, ImageDraw

        # It is drawn larger and made smaller, so that slanting lines are smooth.
        image = Image.new("RGB", (_FINE * self.size[1], _FINE * _CURVES), _PAGE)
        draw = ImageDraw.Draw(image)
        ends = []
        for shot in self._shots:
            points = self._points(shot.story.curve)
            if len(points) > 1:
                draw.line(points, fill=_LINE, width=2 * _FINE, joint="curve")
        for place, (shot, count) in enumerate(zip(self._shots, counts, strict=True)):
            known = self._points(shot.story.curve)[:count]
            if known:
                _draw_line(draw, known, place, 2 * _FINE)
                ends.append((place, known[-1]))
        size = 5 * _FINE
        for place, (x, y) in ends:
            colour = _INKS[place % len(_INKS)]
            box = [x - size, y - size, x + size, y + size]
            draw.ellipse(box, fill=colour, outline=_PAGE, width=_FINE)
        return image.reduce(_FINE)

    def _points(self, curve: Curve | None) -> list[tuple[float, float]]:
        """Where the points of a curve are in the enlarged plot."""
        if curve is None or not curve.values:
            return []
        low, high = self._ranges[curve.name]
        span = (high - low) or 1.0
        return [
            (_FINE * self._x(step), _FINE * (_CURVES - 8 - (_CURVES - 20) * (value - low) / span))
            for step, value in zip(curve.steps, curve.values, strict=True)
        ]

    def _x(self, step: int) -> float:
        return _MARGIN + 4 + (self.size[1] - 2 * _MARGIN - 8) * step / self._end


def _ranges(curves: Sequence[Curve | None]) -> dict[str, tuple[float, float]]:
    """The smallest and the largest value of each measure: curves of one measure share an axis."""
    ranges: dict[str, tuple[float, float]] = {}
    for curve in curves:
        if curve is None or not curve.values:
            continue
        low, high = ranges.get(curve.name, (curve.values[0], curve.values[0]))
        ranges[curve.name] = (min(low, *curve.values), max(high, *curve.values))
    return ranges


def _caption(story: Story, step: int) -> str:
    """How a network stands at a step, and whether it has ended before."""
    last = story.steps[-1]
    words = story.standing(min(step, last))
    if step > last:
        words.append("ended")
    return " · ".join(words)


def _draw_line(
    draw: "ImageDraw", points: Sequence[tuple[float, float]], place: int, width: int
) -> None:
    """A line in the colour of a network; from the seventh on, where colours end, it is dashed."""
    colour = _INKS[place % len(_INKS)]
    if place < len(_INKS):
        draw.line(list(points), fill=colour, width=width, joint="curve")
        return
    dash = 3 * width + 2 * width * (place // len(_INKS) - 1)
    for (x0, y0), (x1, y1) in pairwise(points):
        length = float(np.hypot(x1 - x0, y1 - y0)) or 1.0
        for begin in np.arange(0, length, 2 * dash):
            end = min(begin + dash, length)
            a = begin / length
            b = end / length
            draw.line(
                [
                    (x0 + a * (x1 - x0), y0 + a * (y1 - y0)),
                    (x0 + b * (x1 - x0), y0 + b * (y1 - y0)),
                ],
                fill=colour,
                width=width,
            )


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size=size)


def _wrapped(text: str, most: float, draw: "ImageDraw", font: Any) -> list[str]:
    """A text in as few lines as it needs, broken between words; the last one may be cut."""
    words = text.split()
    lines: list[str] = []
    while words and len(lines) < _TITLE_LINES - 1:
        count = 1
        while (
            count < len(words) and draw.textlength(" ".join(words[: count + 1]), font=font) <= most
        ):
            count += 1
        lines.append(_cut(" ".join(words[:count]), most, draw, font))
        words = words[count:]
    if words or not lines:
        lines.append(_cut(" ".join(words), most, draw, font))
    return lines


def _cut(text: str, most: float, draw: "ImageDraw", font: Any) -> str:
    """As much of a text as has room, with dots where something is left out."""
    while len(text) > 1 and draw.textlength(text, font=font) > most:
        shorter = text.removesuffix("...")[:-1]
        # Of a text this short the dots would be all that is left.
        text = f"{shorter}..." if len(text) > 4 else text[:-1]
    return text
