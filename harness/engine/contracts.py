"""The types by which layers and update rules talk to the engine."""

from collections import namedtuple
from collections.abc import Callable
from typing import TYPE_CHECKING

from harness.ops import Array

if TYPE_CHECKING:
    from harness.engine.context import Context


Backward = Callable[[Array], Array]  # dy (..., B, O) -> dx (..., B, I)


# X (..., B, I), train -> y (..., B, O), backward
Forward = Callable[[Array, bool], tuple[Array, Backward]]


Bind = Callable[["Context", int], tuple[Forward, int]]  # ctx, I -> forward, O


class Rule(namedtuple("Rule", "init update project evaluate", defaults=(None, None))):
    """An update rule: init(arena) -> named state; update(u, arena, state): gradient in, update out,
    in place.
    """
