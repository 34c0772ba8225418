"""The timeline of a sweep: when each trial was trained, in as many lanes as ran at once."""

import heapq
from collections.abc import Sequence
from typing import Any, NamedTuple

from harness.pictures.style import AMBER, BLUE, GREY, ORANGE, PINK, figure, styled

_COLORS = {"COMPLETE": BLUE, "PRUNED": AMBER, "DIVERGED": PINK, "FAILED": ORANGE}
_MOST_NUMBERS = 120


class Span(NamedTuple):
    """When a trial was in training.

    Attributes
    ----------
    number : int
        The trial.
    start, end : float
        In seconds since any one moment.
    state : str
        How it ended, such as "COMPLETE".
    """

    number: int
    start: float
    end: float
    state: str


def lanes(spans: Sequence[Span]) -> list[int]:
    """The lane of each span, in the order of `spans`: the lowest one that is free at its start."""
    order = sorted(range(len(spans)), key=lambda place: (spans[place].start, spans[place].number))
    free: list[int] = []
    busy: list[tuple[float, int]] = []  # when a lane is free again
    lane_of = [0] * len(spans)
    used = 0
    for place in order:
        while busy and busy[0][0] <= spans[place].start:
            heapq.heappush(free, heapq.heappop(busy)[1])
        if free:
            lane = heapq.heappop(free)
        else:
            lane = used
            used += 1
        lane_of[place] = lane
        heapq.heappush(busy, (spans[place].end, lane))
    return lane_of


def timeline(spans: Sequence[Span]) -> Any:
    """Draws when each trial was in training.

    Parameters
    ----------
    spans : sequence of Span
        The trials.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.patches import Patch

    lane_of = lanes(spans)
    begin = min((span.start for span in spans), default=0.0)
    height = 1.4 + 0.34 * (max(lane_of, default=0) + 1)
    with styled():
        drawn = figure(9.6, min(12.0, height))
        axes = drawn.add_subplot()
        length = max((span.end for span in spans), default=1.0) - begin
        _add_bars(axes, spans, lane_of, begin)
        for span, lane in zip(spans, lane_of, strict=True):
            width = span.end - span.start
            # A number has room only in a bar of some width.
            if len(spans) <= _MOST_NUMBERS and width > 0.03 * length:
                middle = span.start - begin + width / 2
                axes.text(middle, lane, f"#{span.number}", ha="center", va="center", color="white")
                axes.texts[-1].set_fontsize(8)
        states = [state for state in _COLORS if any(span.state == state for span in spans)]
        marks = [Patch(color=_COLORS[state], label=state.lower()) for state in states]
        axes.set_yticks([])
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.set(title="what was trained when", xlabel="seconds since the first trial began")
        drawn.legend(handles=marks, loc="outside lower center", ncols=len(states) or 1)
    return drawn


def _add_bars(axes: Any, spans: Sequence[Span], lane_of: Sequence[int], begin: float) -> None:
    """A bar for each trial, in the colour of its state; all bars of a lane are one object."""
    for lane in set(lane_of):
        own = [span for span, place in zip(spans, lane_of, strict=True) if place == lane]
        axes.broken_barh(
            [(span.start - begin, span.end - span.start) for span in own],
            (lane - 0.4, 0.8),
            facecolors=[_COLORS.get(span.state, GREY) for span in own],
            edgecolors="white",
            linewidth=0.6,
        )
