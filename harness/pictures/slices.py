"""Optuna's plots of values over parameters, made comparable and legible.

Each of them has its own axis of values and gives its trials colours by their own numbers; of names
it writes as many beside each other as there are.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

_LONGEST = 14  # letters of a name at a tick
_LETTERS = 0.65  # of the size of its font that a letter is wide
_TICKS = 4  # at most on an axis of numbers


def tidy(figures: Sequence[Any]) -> None:
    """Gives several figures of slices one axis of values and one scale of colours.

    Parameters
    ----------
    figures : sequence of matplotlib.figure.Figure
        Optuna's, one for each row.
    """
    slices = [axes for figure in figures for axes in figure.axes if _is_slice(axes)]
    # What is infeasible is grey and has no numbers.
    points = [
        points
        for axes in slices
        for points in axes.collections
        if points.get_array() is not None and len(points.get_array())
    ]
    numbers = np.concatenate([np.asarray(each.get_array()) for each in points])
    for each in points:
        each.set_clim(numbers.min(), numbers.max())
    limits = np.array([axes.get_ylim() for axes in slices])
    for axes in slices:
        axes.set_ylim(limits.min(), limits.max())
        _legible(axes)


def _is_slice(axes: Any) -> bool:
    return axes.get_label() != "<colorbar>"


def _legible(axes: Any) -> None:
    """Keeps what is written below the axes apart."""
    from matplotlib.category import StrCategoryFormatter
    from matplotlib.ticker import FixedFormatter, FixedLocator

    axis = axes.xaxis
    formatter = axis.get_major_formatter()
    if axis.get_scale() != "linear":
        return
    if not isinstance(formatter, StrCategoryFormatter):
        axes.locator_params(axis="x", nbins=_TICKS - 1)
        return
    places = axis.get_majorticklocs()
    # Optuna writes them as Python does.
    names = [_short(name.strip("'")) for name in formatter.format_ticks(places)]
    axis.set_major_locator(FixedLocator(places))
    axis.set_major_formatter(FixedFormatter(names))
    ticks = axis.get_major_ticks(len(names))
    letters = sum(map(len, names)) + len(names)
    points = axes.bbox.width * 72 / axes.get_figure(root=True).dpi
    if letters * _LETTERS * ticks[0].label1.get_fontsize() > points:
        for tick in ticks:
            tick.label1.set(rotation=30, ha="right", rotation_mode="anchor")


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
