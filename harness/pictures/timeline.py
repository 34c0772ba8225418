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
    lane_of = lanes(spans)
    begin = min((span.start for span in spans), default=0.0)
    height = 1.4 + 0.34 * (max(lane_of, default=0) + 1)
    with styled():
        drawn = figure(9.6, min(12.0, height))
        axes = drawn.add_subplot()
        length = max((span.end for span in spans), default=1.0) - begin
        for span, lane in zip(spans, lane_of, strict=True):
            width = span.end - span.start
            color = _COLORS.get(span.state, GREY)
            axes.barh(lane, width, 0.8, span.start - begin, color=color, ec="white", lw=0.6)
            # A number has room only in a bar of some width.
            if len(spans) <= _MOST_NUMBERS and width > 0.03 * length:
                middle = span.start - begin + width / 2
                axes.text(middle, lane, f"#{span.number}", ha="center", va="center", color="white")
                axes.texts[-1].set_fontsize(8)
        states = [state for state in _COLORS if any(span.state == state for span in spans)]
        for state in states:
            axes.barh(0, 0, color=_COLORS[state], label=state.lower())
        axes.set_yticks([])
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.set(title="what was trained when", xlabel="seconds since the first trial began")
        drawn.legend(loc="outside lower center", ncols=len(states) or 1)
    return drawn
