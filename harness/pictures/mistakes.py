"""The surest mistakes: the examples of which a network was most certain, and wrong."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from harness.pictures.cells import Cell, cells
from harness.pictures.style import ORANGE

SHOWN = 24
_COLUMNS = 8
_ROOM = 140  # pixels that each has on its longer side


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
    head = f"the surest {len(mistakes)} of {total} mistakes" if mistakes else "no mistakes"
    shown = [
        Cell(
            picture,
            f"{names[mistake.true]}, said {names[mistake.predicted]}",
            f"{mistake.probability:.1%} sure",
        )
        for mistake, picture in zip(mistakes, pictures, strict=True)
    ]
    return cells(shown, head, _COLUMNS, _ROOM, colour=ORANGE)
