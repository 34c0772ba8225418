"""The confusion matrix: which class is taken for which."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.pictures.style import figure, name_ticks, styled

MOST_NUMBERS = 20  # classes up to which each cell shows its number
MOST_NAMES = 40  # classes up to which each row and column shows its name
_LONGEST = 14  # characters of a class's name


def confusion_counts(true: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts the pairs of true and predicted class.

    Parameters
    ----------
    true, predicted : int array (N,)
        Numbers of classes.
    classes : int
        How many there are, K.

    Returns
    -------
    numpy.ndarray
        int (K, K): row true, column predicted.
    """
    cells = np.bincount(true * classes + predicted, minlength=classes * classes)
    return cells.reshape(classes, classes)


def confusion_matrix(counts: np.ndarray, names: Sequence[str]) -> Any:
    """Draws a confusion matrix, coloured by the share of each true class.

    The diagonal is left without colour, so that a rare mistake is seen beside many right answers.

    Parameters
    ----------
    counts : int array (K, K)
        Row true, column predicted.
    names : sequence of str
        The K names of the classes.

    Returns
    -------
    matplotlib.figure.Figure
    """
    classes = len(counts)
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    mistakes = np.where(np.eye(classes, dtype=bool), np.nan, shares)
    side = float(np.clip(2.0 + 0.42 * classes, 4.2, 11.0))
    right = np.trace(counts) / max(1, counts.sum())
    with styled():
        drawn = figure(side + 1.0, side)
        axes = drawn.add_subplot()
        top = max(float(np.nanmax(mistakes, initial=0.0)), 1e-3)
        image = axes.imshow(mistakes, cmap="Oranges", vmin=0.0, vmax=top)
        axes.grid(False)
        axes.set(
            title=f"{right:.2%} right of {counts.sum()}", xlabel="predicted", ylabel="true class"
        )
        _name_classes(axes, names)
        if classes <= MOST_NUMBERS:
            _write_counts(axes, counts, mistakes, top)
        bar = drawn.colorbar(image, ax=axes, shrink=0.8, format=lambda share, _: f"{share:.1%}")
        bar.set_label("share of the true class")
        bar.outline.set_visible(False)
    return drawn


def _name_classes(axes: Any, names: Sequence[str]) -> None:
    if len(names) > MOST_NAMES:
        axes.set_xticks([])
        axes.set_yticks([])
        return
    short = [name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…" for name in names]
    is_long = max(map(len, short)) > 3
    name_ticks(axes.xaxis, short, rotation=90 if is_long else 0)
    name_ticks(axes.yaxis, short)


def _write_counts(axes: Any, counts: np.ndarray, mistakes: np.ndarray, top: float) -> None:
    for (row, column), count in np.ndenumerate(counts):
        if not count:
            continue
        on_diagonal = row == column
        is_dark = not on_diagonal and mistakes[row, column] > 0.6 * top
        axes.text(
            column,
            row,
            str(count),
            ha="center",
            va="center",
            fontsize=9,
            fontweight="bold" if on_diagonal else "normal",
            color="white" if is_dark else "#333333",
            # It has room in its cell.
            in_layout=False,
        )
