"""The types by which layers, losses and update rules talk to the engine.

Axes: `...` is (P,) for a population or () for one network; B batch, I features in, O features out,
n all parameters.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.ops import Array

if TYPE_CHECKING:
    from harness.engine.arena import Arena
    from harness.engine.context import Context

# A layer: dy (..., B, O) -> dx (..., B, I); x (..., B, I), train -> y (..., B, O), backward; and
# ctx, I -> forward, O
Backward = Callable[[Array], Array]
Forward = Callable[[Array, bool], tuple[Array, Backward]]
Bind = Callable[["Context", int], tuple[Forward, int]]

# A loss: outputs y (..., B, O), targets t -> values (..., B), a function that returns dy; outputs
# -> predictions, in place; and ctx, O -> forward, predict
LossForward = Callable[[Array, Array], tuple[Array, Callable[[], Array]]]
Predict = Callable[[Array], Array]
BindLoss = Callable[["Context", int], tuple[LossForward, Predict]]


class _RuleParts(NamedTuple):
    init: Callable[["Arena"], dict[str, Any]]
    update: Callable[[Array, "Arena", dict[str, Any]], Any]
    project: Callable[["Arena", dict[str, Any]], Any] | None = None
    evaluate: Callable[["Arena", dict[str, Any]], Array] | None = None
    fuse: Callable[["Arena", dict[str, Any]], Callable[[Array], None]] | None = None


# A subclass, since a named tuple itself has no room for the spec that the registry notes on it.
class Rule(_RuleParts):
    """An update rule.

    Attributes
    ----------
    init
        init(arena) -> named state, made once.
    update
        update(u, arena, state): u (..., n) is the gradient on the way in and the update on the way
        out, in place.
    project
        project(arena, state) changes the parameters after each update; None for nothing.
    evaluate
        evaluate(arena, state) -> the parameters (..., n) to evaluate with; None where they are
        those that are trained.
    fuse
        fuse(arena, state) -> step(u), which does what `update` does, and adds the update to the
        parameters in the same pass; None where `update` and an addition do it.
    formula
        What it was made of, where that was a formula.
    """

    formula: Any = None
