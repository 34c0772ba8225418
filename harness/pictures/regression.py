"""A regression: what was predicted against what is true."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.pictures.style import BLUE, GREY, figure, styled

MOST_POINTS = 5000  # a scatter of more is a blot
_MOST_TARGETS = 6


def predicted_against_true(
    true: np.ndarray, predicted: np.ndarray, names: Sequence[str] | None = None
) -> Any:
    """Draws predicted values over true ones, a panel for each of the first six targets.

    Parameters
    ----------
    true, predicted : array (N, K)
        Values in the units of the targets.
    names : sequence of str or None
        The names of the K targets.

    Returns
    -------
    matplotlib.figure.Figure
    """
    targets = min(_MOST_TARGETS, true.shape[1])
    # Evenly chosen rows, so that the same network gives the same picture.
    rows = np.unique(np.linspace(0, len(true) - 1, MOST_POINTS).astype(int))
    columns = min(3, targets)
    lines = -(-targets // columns)
    with styled():
        drawn = figure(1.0 + 3.6 * columns, 0.6 + 3.4 * lines)
        for target in range(targets):
            axes = drawn.add_subplot(lines, columns, target + 1)
            x = true[rows, target]
            y = predicted[rows, target]
            ends = [min(x.min(), y.min()), max(x.max(), y.max())]
            axes.plot(ends, ends, color=GREY, linewidth=1, linestyle="--")
            alpha = float(np.clip(300 / len(rows), 0.15, 0.8))
            axes.plot(x, y, ".", color=BLUE, alpha=alpha, markersize=4)
            error = np.sqrt(np.mean((true[:, target] - predicted[:, target]) ** 2))
            name = names[target] if names else f"target {target}"
            axes.set_title(f"{name}, root mean squared error {error:.3g}", fontsize=10)
            axes.set(xlabel="true", ylabel="predicted")
            axes.set_aspect("equal", adjustable="box")
    return drawn
