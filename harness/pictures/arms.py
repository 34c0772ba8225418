"""Plots of a comparison: curves with bands over seeds, differences with their intervals, seeds."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from harness.pictures.style import BLUE, CYCLE, GREEN, GREY, ORANGE, figure, name_ticks, styled

# How lines of one colour are told apart once there are more arms than colours.
_DASHES = ("-", "--", ":", "-.")


class Difference(NamedTuple):
    """The mean difference of an arm to the first one, with its interval.

    Attributes
    ----------
    name : str
        The arm.
    mean, low, high : float
        The difference, and where its interval begins and ends.
    verdict : str
        "better", "worse" or "open"; "" where nothing is said.
    """

    name: str
    mean: float
    low: float
    high: float
    verdict: str


def mean_curves(curves: Mapping[str, np.ndarray], metric: str) -> Any:
    """Draws the mean curve of each arm over the epochs, with a band over its seeds.

    Parameters
    ----------
    curves : dict of array (seeds, epochs)
        The metric of each network of an arm after each epoch; nan where it has none.
    metric : str
        What the curves are.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.ticker import MaxNLocator

    with styled():
        drawn = figure(8.4, 4.6)
        axes = drawn.add_subplot()
        for place, (name, values) in enumerate(curves.items()):
            epochs = np.arange(1, values.shape[1] + 1)
            # Where a network has come to no value the mean has none either.
            mean = values.mean(axis=0)
            color = CYCLE[place % len(CYCLE)]
            dash = _DASHES[place // len(CYCLE) % len(_DASHES)]
            axes.fill_between(
                epochs, values.min(axis=0), values.max(axis=0), color=color, alpha=0.15, linewidth=0
            )
            axes.plot(epochs, mean, dash, color=color, label=name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(title=f"{metric} after each epoch", xlabel="epoch")
        drawn.legend(loc="outside right upper")
        drawn.supxlabel("line: mean over the seeds; band: lowest to highest seed", fontsize=9)
    return drawn


def difference_intervals(
    differences: Sequence[Difference], first: str, metric: str, scope: str
) -> Any:
    """Draws the difference of each arm to the first one, with its interval and the verdict.

    Parameters
    ----------
    differences : sequence of Difference
        One for each arm but the first.
    first : str
        The arm that all others are compared with.
    metric : str
        What the values are.
    scope : str
        What the intervals speak of, in a sentence.

    Returns
    -------
    matplotlib.figure.Figure
    """
    import textwrap

    colors = {"better": GREEN, "worse": ORANGE}
    with styled():
        drawn = figure(8.4, 1.9 + 0.5 * len(differences))
        axes = drawn.add_subplot()
        axes.axvline(0, color=GREY, linewidth=1.2)
        for place, arm in enumerate(differences):
            color = colors.get(arm.verdict, BLUE)
            axes.plot([arm.low, arm.high], [place, place], color=color, linewidth=3)
            axes.plot(arm.mean, place, "o", color=color, markersize=8)
            axes.annotate(
                f"{arm.mean:+.4f}  {arm.verdict}",
                (arm.mean, place),
                xytext=(0, 9),
                textcoords="offset points",
                ha="center",
                color=color,
                fontsize=10,
                # The line at zero may lie behind it.
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
            )
        name_ticks(axes.yaxis, [arm.name for arm in differences])
        axes.set_ylim(len(differences) - 0.4, -0.75)
        axes.grid(axis="y", visible=False)
        axes.set(title=f"{metric}: difference to {first}")
        axes.set_xlabel("\n".join(textwrap.wrap(scope, 100)), fontsize=9)
    return drawn


def seed_points(values: Mapping[str, Sequence[float | None]], metric: str) -> Any:
    """Draws each network of each arm as a point, and the mean of the arm as a line.

    Parameters
    ----------
    values : dict of sequence
        The values of an arm in the order of the seeds; None where a network has none.
    metric : str
        What the values are.

    Returns
    -------
    matplotlib.figure.Figure
    """
    with styled():
        drawn = figure(8.4, 1.2 + 0.42 * len(values))
        axes = drawn.add_subplot()
        for place, arm in enumerate(values):
            known = [value for value in values[arm] if value is not None]
            axes.plot(known, [place] * len(known), "o", color=BLUE, alpha=0.6, markersize=7)
            if len(known) == len(values[arm]) and known:
                mean = float(np.mean(known))
                axes.plot([mean, mean], [place - 0.3, place + 0.3], color=ORANGE, linewidth=2.5)
        name_ticks(axes.yaxis, list(values))
        axes.set_ylim(len(values) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)
        axes.set(title=f"{metric} of each seed", xlabel="points: networks; line: mean of the arm")
        axes.xaxis.label.set_fontsize(9)
    return drawn


def tuning_curves(curves: Mapping[str, Sequence[float]], metric: str) -> Any:
    """Draws what a tuning of k points is expected to find, for each arm that was tuned.

    Parameters
    ----------
    curves : dict of sequence
        The expected best value of 1, 2, ... points.
    metric : str
        What the values are.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.ticker import MaxNLocator

    with styled():
        drawn = figure(8.4, 4.2)
        axes = drawn.add_subplot()
        for place, (name, values) in enumerate(curves.items()):
            color = CYCLE[place % len(CYCLE)]
            axes.plot(range(1, len(values) + 1), values, "o-", color=color, ms=4, label=name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(title=f"expected best {metric} of so many points", xlabel="points tried")
        drawn.legend(loc="outside right upper")
    return drawn
