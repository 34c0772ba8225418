"""A network taken apart for one example: the values after each layer, and its answer."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from harness.pictures.style import BLUE, GREY, ORANGE, figure, name_ticks, plain, styled

_MOST_BARS = 20
_ABREAST = 4  # panels in a row
_WIDTH = 9.6  # inches of a row
_HEIGHT = 3.4
_LETTERS = 18  # of a name


class Stage(NamedTuple):
    """What a layer makes of the example.

    Attributes
    ----------
    name : str
        The layer as a spec.
    values : array (O,)
        Its outputs.
    """

    name: str
    values: np.ndarray


def taken_apart(
    picture: np.ndarray | None,
    stages: Sequence[Stage],
    probabilities: np.ndarray,
    names: Sequence[str],
    true: int,
) -> Any:
    """Draws what each layer makes of one example, from its picture to the probabilities.

    Parameters
    ----------
    picture : array (H, W) or None
        The example; None where its features are no picture.
    stages : sequence of Stage
        The layers in their order, without those that change nothing.
    probabilities : array (K,)
        The answer.
    names : sequence of str
        The names of the K classes.
    true : int
        The number of the right class.

    Returns
    -------
    matplotlib.figure.Figure
    """
    first = int(picture is not None)
    panels = first + len(stages) + 1
    rows = -(-panels // _ABREAST)
    columns = -(-panels // rows)
    with styled():
        drawn = figure(_WIDTH, _HEIGHT * rows)
        grid = drawn.add_gridspec(rows, columns)
        if picture is not None:
            axes = drawn.add_subplot(grid[0, 0])
            axes.imshow(picture, cmap="Greys", interpolation="nearest")
            plain(axes)
            axes.set_title(f"a {_short(names[true])}")
        for place, stage in enumerate(stages, first):
            _values(drawn.add_subplot(grid[divmod(place, columns)]), stage)
        # The answer fills the last row.
        row, column = divmod(panels - 1, columns)
        _answer(drawn.add_subplot(grid[row, column:]), probabilities, names, true)
    return drawn


def _values(axes: Any, stage: Stage) -> None:
    """The outputs of a layer as a block of cells, purple above zero and orange below."""
    count = len(stage.values)
    columns = max(1, round(np.sqrt(count / 2.0)))
    rows = -(-count // columns)
    cells = np.full(rows * columns, np.nan)
    cells[:count] = stage.values
    reach = max(float(np.max(np.abs(stage.values))), 1e-12)
    axes.imshow(cells.reshape(rows, columns), cmap="PuOr", vmin=-reach, vmax=reach)
    plain(axes)
    axes.set_title(_short(stage.name))
    axes.set_xlabel(f"{count} values\n{stage.values.min():.2g} to {stage.values.max():.2g}")


def _short(name: str) -> str:
    return name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…"


def _answer(axes: Any, probabilities: np.ndarray, names: Sequence[str], true: int) -> None:
    """The probabilities as bars: the right class blue, a wrong first one orange."""
    shown = np.arange(len(probabilities))
    if len(shown) > _MOST_BARS:
        surest = np.argsort(-probabilities, kind="stable")[:_MOST_BARS]
        shown = np.unique(np.append(surest, true))
    predicted = int(probabilities.argmax())
    colors = []
    for number in shown.tolist():
        color = GREY
        if number == predicted:
            color = ORANGE
        if number == true:
            color = BLUE
        colors.append(color)
    axes.barh(range(len(shown)), probabilities[shown], color=colors)
    name_ticks(axes.yaxis, [_short(names[number]) for number in shown.tolist()])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.grid(axis="y", visible=False)
    axes.set_title(f"says {_short(names[predicted])}")
    axes.set_xlabel("probability")
