"""Draws the axes of a figure in a fifth of the time: grids, ticks, and what is written beside them.

matplotlib makes five objects for each tick, measures each of their texts several times to lay a
figure out, and draws them one by one. Here one tick of an axis stands for all of them: its lines
are drawn at all places at once, and each text is measured once. The pixels are the same.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.ticker import NullLocator
from matplotlib.transforms import Bbox


@contextlib.contextmanager
def quick_axes(drawn: Any) -> Iterator[None]:
    """While this lasts, a figure draws its axes quickly; afterwards it is as it was.

    Parameters
    ----------
    drawn : matplotlib.figure.Figure
        The figure. Axes with numbers above them are left as they are, and so are those whose
        numbers have a common factor.
    """
    scales: list[Scale] = []
    try:
        for axes in drawn.axes:
            shown = [axis for axis in (axes.xaxis, axes.yaxis) if axis.get_visible()]
            # What is drawn first is seen below, so that all of them are drawn by us, or none.
            if axes.axison and all(map(_is_plain, shown)):
                for axis in shown:
                    scales.append(Scale(axis))
                    axes.add_artist(scales[-1])
        yield
    finally:
        for scale in scales:
            scale.give_back()


def _is_plain(axis: Any) -> bool:
    """Whether nothing but its ticks and its label belongs to an axis, and no title stands on it."""
    if axis.axes.name != "rectilinear":
        return False
    if axis.axis_name == "x" and axis.get_label_position() != "bottom":
        return False
    if axis.axis_name == "x" and axis.get_ticks_position() not in ("bottom", "default"):
        return False
    formatter = axis.get_major_formatter()
    formatter.format_ticks(axis.get_majorticklocs())
    return not formatter.get_offset()


class _Ticks(NamedTuple):
    """Ticks of one kind.

    Attributes
    ----------
    tick : matplotlib.axis.Tick
        The one that stands for all.
    places : array (T,)
        Where they are in data.
    words : list of str
        What is written at each.
    """

    tick: Any
    places: np.ndarray
    words: list[str]


class Scale(Artist):
    """What an axis of matplotlib draws, drawn with one of its ticks.

    Parameters
    ----------
    axis : matplotlib.axis.Axis
        The axis, which is not seen until `give_back`.
    """

    def __init__(self, axis: Any) -> None:
        super().__init__()
        self._axis = axis
        self._is_x = axis.axis_name == "x"
        # Of the numbers of a tick the first one stands at the first of these sides.
        self._sides = ("bottom", "top") if self._is_x else ("left", "right")
        # By text and what is written, where the text is around the point that it stands at.
        self._around: dict[tuple[int, str], np.ndarray] = {}
        self._lines: list[tuple[Any, Any]] = []
        self.set_zorder(axis.get_zorder())
        self.set_clip_on(False)
        axis.set_visible(False)

    def give_back(self) -> None:
        """Lets the axis draw itself again."""
        for line, data in self._lines:
            line.set_data(data)
        self._axis.set_visible(True)
        self.remove()

    def get_tightbbox(self, renderer: Any = None) -> Any:
        """What a layout has to leave room for."""
        groups = self._ticks()
        numbers = self._boxes(groups, renderer)
        boxes = [box for side in numbers.values() for box in side]
        for side in numbers:
            spine = self._axis.axes.spines.get(side)
            if spine is not None and spine.get_visible():
                boxes.append(self._spine_box(side, groups))
        label = self._axis.label
        if label.get_visible():
            self._put_label(groups, numbers)
            box = label.get_window_extent(renderer)
            # The axes cannot become longer for it, so its length does not count.
            if self._is_x and box.width > 0:
                box = Bbox.from_bounds((box.x0 + box.x1) / 2 - 0.5, box.y0, 1.0, box.height)
            if not self._is_x and box.height > 0:
                box = Bbox.from_bounds(box.x0, (box.y0 + box.y1) / 2 - 0.5, box.width, 1.0)
            boxes.append(box)
        # An empty text is a point.
        boxes = [box for box in boxes if box.width or box.height]
        return Bbox.union(boxes) if boxes else None

    get_window_extent = get_tightbbox

    def draw(self, renderer: Any) -> None:
        """Draws it."""
        groups = self._ticks()
        for group in groups:
            self._draw_lines(group, renderer)
            for text in (group.tick.label1, group.tick.label2):
                if text.get_visible():
                    for place, words in zip(group.places, group.words, strict=True):
                        self._put(text, place, words)
                        text.draw(renderer)
        self._put_label(groups, self._boxes(groups, renderer))
        self._axis.label.draw(renderer)
        self.stale = False

    # Ticks ----------------------------------------------------------------------------------------

    def _ticks(self) -> list[_Ticks]:
        """The ticks that are in sight: those of the axis, and the smaller ones between them."""
        axis = self._axis
        kinds = [
            (axis.major, axis.get_majorticklocs, axis.get_major_ticks),
            (axis.minor, axis.get_minorticklocs, axis.get_minor_ticks),
        ]
        groups = []
        for ticker, locate, ticks in kinds:
            if isinstance(ticker.locator, NullLocator):
                continue
            places = np.asarray(locate(), float)
            if not len(places):
                continue
            words = ticker.formatter.format_ticks(places)
            seen = np.flatnonzero(self._in_sight(places))
            groups.append(_Ticks(ticks(1)[0], places[seen], [words[place] for place in seen]))
        return groups

    def _in_sight(self, places: np.ndarray) -> Any:
        transform = self._axis.get_transform()
        low, high = sorted(transform.transform(np.sort(self._axis.get_view_interval())))
        # As wide as matplotlib lets a tick be beside the end.
        more = 1e-10 * (high - low)
        with np.errstate(all="ignore"):
            at = transform.transform(places)
        return (at >= low - more) & (at <= high + more)

    def _draw_lines(self, group: _Ticks, renderer: Any) -> None:
        tick = group.tick
        count = len(group.places)
        for line in (tick.gridline, tick.tick1line, tick.tick2line):
            if not line.get_visible():
                continue
            before = line.get_data(orig=True)
            self._lines.append((line, before))
            if line is tick.gridline:
                # Between two lines is a gap.
                along: Any = np.repeat(group.places, 3)
                along[2::3] = np.nan
                across: Any = np.tile([0.0, 1.0, np.nan], count)
            else:
                along = group.places
                across = np.full(count, before[1 if self._is_x else 0][0])
            line.set_data((along, across) if self._is_x else (across, along))
            line.draw(renderer)
            line.set_data(before)

    def _put(self, text: Any, place: float, words: str) -> None:
        if self._is_x:
            text.set_x(place)
        else:
            text.set_y(place)
        text.set_text(words)

    # What is written ------------------------------------------------------------------------------

    def _boxes(self, groups: list[_Ticks], renderer: Any) -> dict[str, list[Any]]:
        """Where the numbers at the two sides of the axes are, in pixels."""
        boxes: dict[str, list[Any]] = {side: [] for side in self._sides}
        for group in groups:
            texts = (group.tick.label1, group.tick.label2)
            for side, text in zip(self._sides, texts, strict=True):
                if not text.get_visible() or not len(group.places):
                    continue
                points = np.tile(np.asarray(text.get_position(), float), (len(group.places), 1))
                points[:, 0 if self._is_x else 1] = group.places
                at = text.get_transform().transform(points)
                for point, place, words in zip(at, group.places, group.words, strict=True):
                    around = self._size(text, place, words, renderer)
                    boxes[side].append(Bbox(around + point))
        return boxes

    def _size(self, text: Any, place: float, words: str, renderer: Any) -> np.ndarray:
        key = (id(text), words)
        if key not in self._around:
            self._put(text, place, words)
            box = text.get_window_extent(renderer).get_points()
            self._around[key] = box - text.get_transform().transform(text.get_position())
        return self._around[key]

    def _spine_box(self, side: str, groups: list[_Ticks]) -> Any:
        """Where the line at a side of the axes is, with the marks that stand out from it."""
        axes = self._axis.axes
        x0, y0, x1, y1 = axes.spines.get(side, axes).get_window_extent().extents
        out = 0.0
        for group in groups:
            mark = group.tick.tick1line if side == self._sides[0] else group.tick.tick2line
            if side in axes.spines and mark.get_visible() and len(group.places):
                out = max(out, self._pixels(group.tick.get_tick_padding()))
        if side == "bottom":
            y0 -= out
        elif side == "top":
            y1 += out
        elif side == "left":
            x0 -= out
        else:
            x1 += out
        return Bbox.from_extents(x0, y0, x1, y1)

    def _pixels(self, points: float) -> Any:
        return points * self._axis.get_figure(root=True).dpi / 72

    def _put_label(self, groups: list[_Ticks], numbers: dict[str, list[Any]]) -> None:
        """Puts the name of the axis beside what is written at its ticks."""
        label = self._axis.label
        side = self._axis.get_label_position()
        pad = self._pixels(self._axis.labelpad)
        box = Bbox.union([*numbers[side], self._spine_box(side, groups)])
        x, y = label.get_position()
        if side == "bottom":
            y = box.y0 - pad
        elif side == "top":
            y = box.y1 + pad
        elif side == "left":
            x = box.x0 - pad
        else:
            x = box.x1 + pad
        label.set_position((x, y))
