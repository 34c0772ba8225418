"""How weights and activations are distributed, and how that changes while a network learns."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.pictures.style import BLUE, figure, styled

# The shares that the bands of a distribution end at: all but the outer hundredths, the middle.
QUANTILES = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)

_LONGEST = 26  # characters of the name above a panel
_COLUMNS = 4  # panels beside each other at most


def quantiles_of(values: np.ndarray) -> np.ndarray:
    """The `QUANTILES` of all values, (7,)."""
    return np.quantile(values, QUANTILES)


def over_time(
    epochs: Sequence[int], courses: dict[str, np.ndarray], title: str, unit: str = "epoch"
) -> Any:
    """Draws the distribution of some arrays over the epochs as nested bands around the median.

    Parameters
    ----------
    epochs : sequence of int
        When they were measured, T numbers.
    courses : dict of array (T, 7)
        By name, the `QUANTILES` at each of these.
    title : str
        What is drawn.
    unit : str
        What is counted on the axis below.

    Returns
    -------
    matplotlib.figure.Figure
    """
    rows = max(1, -(-len(courses) // _COLUMNS))
    # Rows are about equally long, so that none has a single plot.
    columns = max(1, -(-len(courses) // rows))
    with styled():
        drawn = figure(1.0 + 2.7 * columns, 0.7 + 2.5 * rows)
        drawn.suptitle(title, fontsize=12, fontweight="bold", x=0.01, ha="left")
        for place, (name, course) in enumerate(courses.items()):
            axes = drawn.add_subplot(rows, columns, place + 1)
            for low, alpha in ((0, 0.15), (1, 0.25), (2, 0.4)):
                high = len(QUANTILES) - 1 - low
                axes.fill_between(
                    epochs, course[:, low], course[:, high], color=BLUE, alpha=alpha, linewidth=0
                )
            axes.plot(epochs, course[:, len(QUANTILES) // 2], color=BLUE)
            axes.set_title(_short(name), fontsize=10)
            axes.set_xlabel(unit, fontsize=9)
            axes.tick_params(labelsize=9)
            _whole_ticks(axes)
        drawn.supxlabel(
            "bands: 1 to 99 %, 10 to 90 %, 25 to 75 % of the values; line: their median",
            fontsize=9,
        )
    return drawn


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _whole_ticks(axes: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
