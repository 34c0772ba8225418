"""Which training steps a film (or any other recording) keeps: plain integers, decided before
training starts.
"""

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
    """Increasing step numbers between 0 (before training) and `total` (after the last step).

    Give at most one of
      frames  that many steps, 0 and `total` among them; all steps if there are fewer. Without any choice: 30.
              spacing="even" divides the run evenly, "log" grows geometrically: dense where learning
              is fast.
      every   0, every, 2 * every, ... up to `total` (`total` itself only if it is a multiple; the article has every=4).
      steps   the numbers themselves, increasing.
    Errors: UsageError for numbers that are not whole or out of range, for two choices at once, for
    an unknown spacing.
    """
    total = _whole("total", total, 1)
    if sum(choice is not None for choice in (frames, every, steps)) > 1:
        raise UsageError(
            "Recorded steps are chosen by one of frames, every and steps, but several "
            "came; keep one."
        )
    if spacing not in ("even", "log"):
        raise UsageError(f"spacing must be 'even' or 'log', got {spacing!r}; choose one of them.")
    if spacing != "even" and (every is not None or steps is not None):
        raise UsageError(f"spacing={spacing!r} goes with frames only; leave it out or give frames.")
    if every is not None:
        return tuple(range(0, total + 1, _whole("every", every, 1)))
    if steps is not None:
        if isinstance(steps, str) or not isinstance(steps, Iterable):
            raise UsageError(
                f"steps must be a list of step numbers, got {steps!r}; write for "
                f"example [0, 10, 100]."
            )
        chosen = tuple(_whole("each of steps", step, 0) for step in steps)
        if not chosen or chosen[-1] > total or any(b <= a for a, b in pairwise(chosen)):
            raise UsageError(
                f"steps must increase and lie in 0..{total}, got {list(chosen)}; correct the list."
            )
        return chosen
    count = min(_whole("frames", FRAMES if frames is None else frames, 2), total + 1)
    if spacing == "even":
        # Rounds i*total/(count-1)
        return tuple((2 * i * total + count - 1) // (2 * (count - 1)) for i in range(count))
    chosen = (0,)
    for i in range(count - 1):
        grown = int(total ** (i / (count - 2)) + 0.5) if count > 2 else total
        # Whole and distinct: at the start the curve is flatter than 1, 2, 3
        chosen += (max(grown, chosen[-1] + 1),)
    return chosen


def _whole(name: str, value: Any, least: int) -> int:
    return whole(name, value, least, remedy="correct it.")
