"""Which training steps a film keeps: plain integers, decided before training starts."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from harness.checks import whole
from harness.errors import UsageError

FRAMES = 30  # the length of a film when nothing else is asked for


def steps(
    total: int,
    frames: int | None = None,
    every: int | None = None,
    steps: Iterable[int] | None = None,
    spacing: str = "even",
) -> tuple[int, ...]:
    """Return increasing step numbers between 0 and `total`; at most one choice may be given.

    Parameters
    ----------
    total
        The steps of the run; number 0 is before training, and `total` is after the last step.
    frames
        How many steps, 0 and `total` among them; all where there are fewer. 30 without any choice.
    every
        For 0, every, 2 * every and so on; `total` itself only if it is a multiple. The article has
        every=4.
    steps
        The numbers themselves, increasing.
    spacing
        "even" divides the run evenly among the frames; "log" grows geometrically, so that the
        frames are dense at the beginning, where learning is fast.

    Raises
    ------
    UsageError
        If numbers are not whole or out of range, two choices come at once, or the spacing is
        unknown.
    """
    total = _whole("total", total, 1)
    if sum(choice is not None for choice in (frames, every, steps)) > 1:
        raise UsageError(
            "Recorded steps are chosen by one of frames, every and steps, but several came; keep "
            "one."
        )
    if spacing not in ("even", "log"):
        raise UsageError(f"spacing must be 'even' or 'log', got {spacing!r}; choose one of them.")
    if spacing != "even" and (every is not None or steps is not None):
        raise UsageError(f"spacing={spacing!r} goes with frames only; leave it out or give frames.")
    if every is not None:
        return tuple(range(0, total + 1, _whole("every", every, 1)))
    if steps is not None:
        return _listed(steps, total)
    if frames is None:
        frames = FRAMES
    count = min(_whole("frames", frames, 2), total + 1)
    if spacing == "even":
        return _even(count, total)
    return _geometric(count, total)


def _listed(steps: Iterable[int], total: int) -> tuple[int, ...]:
    if isinstance(steps, str) or not isinstance(steps, Iterable):
        raise UsageError(
            f"steps must be a list of step numbers, got {steps!r}; write for example [0, 10, 100]."
        )
    chosen = tuple(_whole("each of steps", step, 0) for step in steps)
    increase = all(a < b for a, b in pairwise(chosen))
    if not chosen or chosen[-1] > total or not increase:
        raise UsageError(
            f"steps must increase and lie in 0..{total}, got {list(chosen)}; correct the list."
        )
    return chosen


def _even(count: int, total: int) -> tuple[int, ...]:
    """Round i * total / (count - 1), in whole numbers, so that it is exact."""
    gaps = count - 1
    return tuple((2 * i * total + gaps) // (2 * gaps) for i in range(count))


def _geometric(count: int, total: int) -> tuple[int, ...]:
    if count == 2:
        return 0, total
    chosen = [0]
    for i in range(count - 1):
        grown = int(total ** (i / (count - 2)) + 0.5)
        # At the start the curve is flatter than 1, 2, 3, and steps must be distinct.
        chosen.append(max(grown, chosen[-1] + 1))
    return tuple(chosen)


def _whole(name: str, value: Any, least: int) -> int:
    return whole(name, value, least, remedy="correct it.")
