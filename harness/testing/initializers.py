"""What every initializer must do."""

from collections.abc import Callable

import numpy as np

from harness import registry
from harness.testing.measures import UNITS, I, different
from harness.testing.suite import Check, Subject, Suite

# From a shape (fan_in, fan_out) and a seed to weights.
_Draw = Callable[[tuple[int, int], int], np.ndarray]

_SHAPE = (40, 30)


def initializer(suite: Suite, subject: Subject) -> None:
    """The checks of an initializer."""
    draw = registry.make("initializer", subject.spec)

    def drawn(shape: tuple[int, int], seed: int) -> np.ndarray:
        return draw(np.random.default_rng(seed), shape, *shape)

    suite.run(_CHECKS, drawn)


def _wrong_arrays(drawn: _Draw) -> int:
    wrong = 0
    for shape in ((I, UNITS), (1, UNITS), _SHAPE):
        w = drawn(shape, 1)
        fits = np.shape(w) == shape and w.dtype == np.float64 and np.isfinite(w).all()
        wrong += not fits
    return wrong


def _differs_again(drawn: _Draw) -> float:
    return different(drawn(_SHAPE, 1), drawn(_SHAPE, 1))


def _ignores_seed(drawn: _Draw) -> bool:
    w = drawn(_SHAPE, 1)
    # Constant weights, such as zeros, need no chance.
    varies = np.ptp(w) > 0
    return varies and not different(w, drawn(_SHAPE, 2))


_CHECKS = (
    Check(
        "finite float64 of the shape",
        "what draw(rng, shape, fan_in, fan_out) must return",
        _wrong_arrays,
    ),
    Check(
        "same seed, same weights",
        "draw from the rng that is given, and from nothing else",
        _differs_again,
    ),
    Check(
        "another seed, other weights",
        "weights that are not constant must depend on the rng",
        _ignores_seed,
    ),
)
