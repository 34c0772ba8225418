"""The decision boundary of a network with two features."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from harness.pictures.style import CYCLE, figure, styled

_SIDE = 200  # points of the grid along each feature
_MOST_POINTS = 2000


def decision_boundary(
    probabilities_of: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
    names: Sequence[str],
    features: Sequence[str],
) -> Any:
    """Draws which class a network gives to each point of the plane, and the examples over it.

    Parameters
    ----------
    probabilities_of : callable
        Rows (N, 2) -> the probabilities of the classes (N, K).
    x : array (N, 2)
        The examples.
    y : int array (N,)
        The numbers of their classes.
    names : sequence of str
        The names of the K classes.
    features : sequence of str
        The names of the two features.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.colors import to_rgb

    low = x.min(axis=0)
    high = x.max(axis=0)
    margin = 0.08 * np.maximum(high - low, 1e-9)
    across = np.linspace(low[0] - margin[0], high[0] + margin[0], _SIDE)
    up = np.linspace(low[1] - margin[1], high[1] + margin[1], _SIDE)
    grid = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2).astype(x.dtype)
    probabilities = probabilities_of(grid)
    colors = np.array([to_rgb(CYCLE[k % len(CYCLE)]) for k in range(len(names))])
    first = probabilities.argmax(axis=1)
    # The surer the network is, the stronger the colour; the boundary itself stays white.
    sureness = (probabilities.max(axis=1) - 1 / len(names)) / (1 - 1 / len(names))
    strength = 0.45 * np.clip(sureness, 0, 1)[:, None]
    picture = (1 - strength) + strength * colors[first]
    rows = np.unique(np.linspace(0, len(x) - 1, _MOST_POINTS).astype(int))
    with styled():
        drawn = figure(6.2, 5.2)
        axes = drawn.add_subplot()
        extent = (across[0], across[-1], up[0], up[-1])
        axes.imshow(picture.reshape(_SIDE, _SIDE, 3), extent=extent, origin="lower", aspect="auto")
        for number, name in enumerate(names):
            own = rows[y[rows] == number]
            axes.plot(
                *x[own].T,
                "o",
                color=CYCLE[number % len(CYCLE)],
                markersize=4,
                markeredgecolor="white",
                markeredgewidth=0.5,
                label=name,
            )
        axes.grid(False)
        axes.set(title="decision boundary", xlabel=features[0], ylabel=features[1])
        drawn.legend(loc="outside right upper", title="class")
    return drawn
