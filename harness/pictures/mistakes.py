"""The surest mistakes: the examples of which a network was most certain, and wrong."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from harness.pictures.style import BLACK, ORANGE, figure, plain, styled

SHOWN = 24
_COLUMNS = 8


class Mistake(NamedTuple):
    """A wrong answer.

    Attributes
    ----------
    row : int
        The number of the example in its part.
    true, predicted : int
        The numbers of the classes.
    probability : float
        That of the predicted class.
    """

    row: int
    true: int
    predicted: int
    probability: float


def surest_mistakes(
    probabilities: np.ndarray, true: np.ndarray, most: int = SHOWN
) -> list[Mistake]:
    """The wrong answers of the highest probability, the surest first.

    Parameters
    ----------
    probabilities : array (N, K)
        Those of the classes.
    true : int array (N,)
        The numbers of the right classes.
    most : int
        How many at most.
    """
    predicted = probabilities.argmax(axis=1)
    sureness = probabilities[np.arange(len(true)), predicted]
    wrong = np.flatnonzero(predicted != true)
    # The order is that of the rows where two are equally sure.
    order = wrong[np.argsort(-sureness[wrong], kind="stable")][:most]
    return [
        Mistake(int(row), int(true[row]), int(predicted[row]), float(sureness[row]))
        for row in order
    ]


def mistakes_as_pictures(
    mistakes: Sequence[Mistake], pictures: np.ndarray, names: Sequence[str], total: int
) -> Any:
    """Draws wrong answers as the pictures that they were given for.

    Parameters
    ----------
    mistakes : sequence of Mistake
        Those that are shown.
    pictures : array (len(mistakes), H, W)
        Their examples.
    names : sequence of str
        The names of the classes.
    total : int
        How many mistakes there are in all.

    Returns
    -------
    matplotlib.figure.Figure
    """
    rows = max(1, -(-len(mistakes) // _COLUMNS))
    with styled():
        drawn = figure(9.6, 0.7 + 1.55 * rows)
        head = f"the surest {len(mistakes)} of {total} mistakes" if mistakes else "no mistakes"
        drawn.suptitle(head, fontsize=12, fontweight="bold", x=0.01, ha="left")
        for place, (mistake, picture) in enumerate(zip(mistakes, pictures, strict=True)):
            axes = drawn.add_subplot(rows, _COLUMNS, place + 1)
            axes.imshow(picture, cmap="Greys", interpolation="nearest")
            plain(axes)
            axes.set_title(
                f"{names[mistake.true]}, said {names[mistake.predicted]}",
                fontsize=9,
                color=ORANGE,
                fontweight="normal",
                loc="center",
            )
            axes.set_xlabel(f"{mistake.probability:.1%} sure", fontsize=9, color=BLACK)
    return drawn
