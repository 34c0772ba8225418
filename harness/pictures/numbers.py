"""Where the numbers of a logarithmic axis stand: few of them, and none upon another."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.ticker import Locator, MaxNLocator

MOST = 4  # numbers on an axis on which fewer than two powers of ten are in sight

_BETWEEN = ((1, 2, 3, 5), (1, 2, 5), (1, 3))  # what powers of ten are multiplied with
# The size of a digit as a part of the size of its font, and the room between two numbers.
_WIDE = 0.65
_HIGH = 1.2
_ROOM = 0.8


class Numbers(Locator):
    """Places on a logarithmic axis at which to write numbers as "%g" has them.

    They are powers of ten, where two of these are in sight; else 2, 3 and 5 times these; on an
    axis that is shorter than that, round numbers that are equally far from each other.
    """

    def __call__(self) -> Any:
        """The places that are in sight."""
        axis: Any = self.axis
        return self.tick_values(*axis.get_view_interval())

    def tick_values(self, vmin: float, vmax: float) -> Any:
        """The places from one number to another."""
        places = np.empty(0)
        for candidate in _candidates(*sorted((vmin, vmax))):
            if len(candidate) < 2:
                continue
            places = candidate
            if self._is_legible(places, vmin, vmax):
                return places
        # No two numbers fit, so one has to do.
        return places[:1]

    def _is_legible(self, places: np.ndarray, vmin: float, vmax: float) -> bool:
        """Whether numbers at these places are different, and none touches the next one."""
        words = [f"{place:g}" for place in places]
        if len(set(words)) < len(words):
            return False
        axis: Any = self.axis
        is_x = axis.axis_name == "x"
        box = axis.axes.bbox
        long = box.width if is_x else box.height
        points = long * 72 / axis.get_figure(root=True).dpi
        font: float = axis.get_major_ticks(1)[0].label1.get_fontsize()
        at = points * (np.log(places) - np.log(vmin)) / (np.log(vmax) - np.log(vmin))
        sizes = [font * (_WIDE * len(text) if is_x else _HIGH) for text in words]
        # Each has half of its size on either side of its place.
        return all(
            abs(second - first) > sum(pair) / 2 + _ROOM * font
            for (first, second), pair in zip(pairwise(at), pairwise(sizes), strict=True)
        )


def _candidates(low: float, high: float) -> Iterator[np.ndarray]:
    """Places to choose from, what says most first."""
    if not 0 < low < high < np.inf:
        return
    first = int(np.floor(np.log10(low)))
    last = int(np.ceil(np.log10(high)))
    powers = 10.0 ** np.arange(first, last + 1)
    seen = powers[(powers >= low) & (powers <= high)]
    if len(seen) >= 2:
        for stride in range(1, len(seen)):
            yield seen[::stride]
    for factors in _BETWEEN:
        numbers = _within(np.outer(powers, factors).ravel(), low, high)
        if len(numbers) <= MOST:
            yield numbers
    for count in range(MOST + 1, 0, -1):
        evenly = np.asarray(MaxNLocator(count, steps=(1, 2, 2.5, 5, 10)).tick_values(low, high))
        numbers = _within(evenly, low, high)
        if len(numbers) <= MOST:
            yield numbers
            yield numbers[::2]


def _within(places: np.ndarray, low: float, high: float) -> np.ndarray:
    """The places between two others, without these: half of a number there would hang out."""
    return places[(places > low) & (places < high)]
