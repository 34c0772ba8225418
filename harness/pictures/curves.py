"""Learning curves: loss and metric over the epochs, with the best epoch marked."""

import math
from collections.abc import Sequence
from typing import Any

from harness.pictures.style import BLUE, GREY, ORANGE, figure, styled


def learning_curves(
    history: Sequence[dict[str, Any]], metric: str, maximize: bool, title: str = ""
) -> Any:
    """Draws loss and metric over the epochs.

    Parameters
    ----------
    history : sequence of dict
        An entry for each epoch, as `Model.history` has it: "epoch", "train/loss", "valid/loss",
        "valid/<metric>". What is missing is left out.
    metric : str
        The name of the metric, such as "accuracy".
    maximize : bool
        Whether the best value of the metric is the largest.
    title : str
        What stands above.

    Returns
    -------
    matplotlib.figure.Figure
    """
    key = f"valid/{metric}"
    has_metric = any(key in entry for entry in history) and metric != "loss"
    with styled():
        drawn = figure(9.6 if has_metric else 5.6, 3.8)
        columns = 2 if has_metric else 1
        loss = drawn.add_subplot(1, columns, 1)
        _line(loss, history, "train/loss", GREY, "training")
        _line(loss, history, "valid/loss", BLUE, "validation")
        loss.set(title="loss", xlabel="epoch")
        _epoch_ticks(loss)
        if loss.lines:
            loss.legend()
        if has_metric:
            axes = drawn.add_subplot(1, columns, 2)
            _line(axes, history, key, BLUE, "validation")
            axes.set(title=f"validation {metric}", xlabel="epoch")
            _epoch_ticks(axes)
            _mark_best(axes, history, key, maximize)
        if title:
            drawn.suptitle(title, fontsize=11, x=0.01, ha="left")
    return drawn


def _line(axes: Any, history: Sequence[dict[str, Any]], key: str, color: str, label: str) -> None:
    points = [(entry["epoch"], entry[key]) for entry in history if key in entry]
    if not points:
        return
    marker = "o" if len(points) <= 20 else ""
    epochs, values = zip(*points, strict=True)
    axes.plot(epochs, values, color=color, label=label, marker=marker, markersize=4)


def _epoch_ticks(axes: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _mark_best(axes: Any, history: Sequence[dict[str, Any]], key: str, maximize: bool) -> None:
    """Marks the epoch of the best value with a ring and its number."""
    finite = [entry for entry in history if math.isfinite(entry.get(key, math.nan))]
    if not finite:
        return
    choose = max if maximize else min
    best = choose(finite, key=lambda entry: entry[key])
    axes.plot(
        best["epoch"], best[key], "o", markersize=11, markeredgewidth=2, mec=ORANGE, mfc="none"
    )
    # Beside the ring the text would lie across the curve.
    axes.set_title(f"best {best[key]:.4f}, epoch {best['epoch']}", loc="right", color=ORANGE)
