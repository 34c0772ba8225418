"""What every schedule must do."""

from collections.abc import Callable

import numpy as np

from harness import registry
from harness.testing.measures import different, not_finite
from harness.testing.suite import Check, Subject, Suite

_GRID = np.linspace(0.0, 1.0, 101).tolist()

_At = Callable[[float], float]


def schedule(suite: Suite, subject: Subject) -> None:
    """The checks of a schedule."""
    suite.run(_CHECKS, registry.make("schedule", subject.spec))


def _not_finite(at: _At) -> float:
    return not_finite([float(at(t)) for t in _GRID])


def _depends_on_order(at: _At) -> float:
    forwards = [at(t) for t in _GRID]
    # The other way round: a schedule that counts its calls gives itself away.
    backwards = [at(t) for t in reversed(_GRID)]
    return different(forwards, backwards[::-1])


_CHECKS = (
    Check("finite over the run", "at(t) must be a finite number for t in [0, 1]", _not_finite),
    Check(
        "the same whenever asked",
        "at(t) must depend on t alone: a run may be resumed anywhere",
        _depends_on_order,
    ),
)
