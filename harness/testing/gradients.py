"""The gradients of a layer, held against difference quotients."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from harness.registry.known import Spec
from harness.testing.alone import LayerAlone, bind_alone
from harness.testing.measures import (
    GRADIENT,
    STEP,
    B,
    I,
    P,
    not_finite,
    quotient_error,
    random_numbers,
)
from harness.testing.suite import Check, Subject, Suite


class _Situation(NamedTuple):
    """In which network and at which inputs gradients are checked."""

    words: str
    lead: tuple[int, ...]
    extreme: bool


_SITUATIONS = (
    _Situation("", (), False),
    _Situation(" in a population", (P,), False),
    _Situation(" at extreme inputs", (), True),
)


@dataclass(frozen=True)
class _Gradient:
    """One array that y depends on, and what backward says of it.

    `array` is the input or a parameter, which the layer reads where it lies; `gradient` is that of
    sum(y * dy).
    """

    name: str
    layer: LayerAlone
    x: np.ndarray
    dy: np.ndarray
    array: np.ndarray
    gradient: np.ndarray
    rng: np.random.Generator  # one for all arrays of a layer
    extreme: bool


def check_gradients(suite: Suite, subject: Subject) -> None:
    """The checks of a layer's gradients."""
    for situation in _SITUATIONS:
        for each in _gradients(subject.spec, situation):
            check = Check(
                f"gradient of {each.name}{situation.words}",
                "must be the derivative of sum(y * dy); written, not added",
                _error_along_directions,
                GRADIENT,
            )
            suite.add(check, each)
    suite.run(_CHECKS, subject)


def _gradients(spec: Spec, situation: _Situation) -> Iterator[_Gradient]:
    """The gradients of the input and of all parameters after one forward and backward."""
    lead = situation.lead
    layer = bind_alone(spec, lead)
    arena = layer.network.arena
    rng = np.random.default_rng(3)  # of the directions
    x = random_numbers((*lead, B, I), 1, situation.extreme)
    dy = random_numbers((*lead, B, layer.outputs), 2)
    # An earlier call, of which nothing may be left.
    _, backward = layer.train(random_numbers(x.shape, 4))
    backward(random_numbers(dy.shape, 5))
    # What backward adds to, or leaves out, stays NaN.
    arena.grad[...] = np.nan
    _, backward = layer.train(x)
    dx = np.array(backward(dy.copy()))
    # The checks run the layer again, and so may write over its gradients.
    grad = arena.grad.copy()
    yield _Gradient("x", layer, x, dy, x, dx, rng, situation.extreme)
    for path in arena.slices:
        array = arena.view(arena.value, path)
        gradient = arena.view(grad, path)
        name = path.removeprefix("0/")
        yield _Gradient(name, layer, x, dy, array, gradient, rng, situation.extreme)


def _error_along_directions(each: _Gradient) -> float:
    """The worst error along three random directions, each of which involves all entries at once."""
    # At extreme inputs steps are in proportion, so that none crosses a kink at 0.
    size = np.abs(each.array) if each.extreme else 1.0
    directions = [size * each.rng.standard_normal(each.array.shape) for _ in range(3)]

    def weighted() -> np.ndarray:
        y, _ = each.layer.train(each.x)
        return y * each.dy

    return max(quotient_error(weighted, each.array, each.gradient, along) for along in directions)


def _slope_at_zero(subject: Subject) -> float:
    """How far dx at 0 lies outside of the difference quotients of its two sides."""
    layer = bind_alone(subject.spec, features=3)
    x = random_numbers((B, 3))

    def output_at(value: float) -> np.ndarray:
        x[0, 1] = value
        y, _ = layer.train(x)
        return y.copy()

    left = output_at(-STEP)
    right = output_at(STEP)
    middle = output_at(0.0)
    low, high = np.sort([(middle - left) / STEP, (right - middle) / STEP], axis=0)
    slopes = np.empty_like(middle)
    for index in np.ndindex(middle.shape):
        dy = np.zeros_like(middle)
        dy[index] = 1.0
        _, backward = layer.train(x)
        slopes[index] = backward(dy)[0, 1]
    return np.max(np.maximum(low - slopes, slopes - high) / (1.0 + np.abs(low) + np.abs(high)))


def _not_finite_at_zero(subject: Subject) -> float:
    layer = bind_alone(subject.spec)
    y, backward = layer.train(np.zeros((B, I)))
    wrong = not_finite(y)
    dx = backward(random_numbers(y.shape))
    return wrong + not_finite(dx, layer.network.arena.grad)


_CHECKS = (
    Check(
        "gradient at 0 from both sides",
        "at a kink a slope must lie between those of its two sides",
        _slope_at_zero,
        1e-4,
    ),
    Check(
        "finite where all inputs are 0",
        "y, dx and gradients must be finite for x = 0",
        _not_finite_at_zero,
    ),
)
