"""What every activation must do."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness import registry
from harness.testing.measures import STEP, different, random_numbers
from harness.testing.suite import Check, Measurement, Subject, Suite, has_reference

# Where kinks, saturation and overflow of activations live, besides ordinary numbers.
POINTS = [0.0, 1e-8, 0.5, 1.0, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 20.0, 1e3]


@dataclass(frozen=True)
class _Elementwise:
    """An activation as functions of z, and the inputs to try it on."""

    subject: Subject
    pair: registry.Activation
    special: np.ndarray
    ordinary: np.ndarray

    def value(self, z: np.ndarray) -> np.ndarray:
        """f(z)"""
        value, _ = self.pair
        # What is left out stays NaN.
        out = np.full_like(z, np.nan)
        value(np, z.copy(), out)
        return out

    def slope(self, z: np.ndarray) -> np.ndarray:
        """f'(z), by the pullback of ones."""
        _, pullback = self.pair
        da = np.ones_like(z)
        pullback(np, z.copy(), self.value(z), da)
        return da


def elementwise(suite: Suite, subject: Subject) -> None:
    """The checks of an activation as a function of numbers."""
    bench = _Elementwise(
        subject,
        registry.make("activation", subject.spec),
        special=np.array([[-p for p in POINTS], POINTS]),
        ordinary=3.0 * random_numbers((4, 12)),
    )
    suite.run(_CHECKS, bench)


def _slope_at_ordinary_inputs(bench: _Elementwise) -> Measurement:
    everywhere = np.linspace(-21.3, 21.3, 1701)  # 0.025 apart: where a piece of its own may hide
    return _slope_error(bench, np.concatenate([bench.ordinary.ravel(), everywhere]))


def _slope_at_special_inputs(bench: _Elementwise) -> Measurement:
    return _slope_error(bench, bench.special.ravel())


def _slope_error(bench: _Elementwise, z: np.ndarray) -> Measurement:
    """How far slopes lie outside of the one-sided difference quotients.

    The two quotients agree where f is smooth; at a kink any slope between them is right.
    """
    h = STEP * np.maximum(np.abs(z), 1.0)
    # Nearer to 0 than the step, a step in proportion does not cross a kink at 0.
    h = np.where(np.abs(z) < 1e-6, np.maximum(np.abs(z) / 4, 1e-9), h)
    middle = bench.value(z)
    slope = bench.slope(z)

    def one_sided(h: np.ndarray) -> np.ndarray:
        """A difference quotient of second order."""
        return (4 * bench.value(z + h) - bench.value(z + 2 * h) - 3 * middle) / (2 * h)

    # What rounding of f, and a step that is not exactly h, may add to a quotient.
    rounding = 8 * np.finfo(np.float64).eps * (np.abs(middle) + 1e-3) / h
    sides = one_sided(-h), one_sided(h)
    low = np.minimum(*sides)
    high = np.maximum(*sides)
    beyond = np.maximum(low - slope, slope - high) - rounding
    error = np.maximum(beyond, 0.0) / (1.0 + np.abs(low) + np.abs(high))
    # A slope of NaN would win no comparison, and so would pass.
    error = np.where(np.isfinite(slope), error, np.inf)
    worst = int(np.argmax(error))
    right = f"{low[worst]:.6g}"
    if not np.isclose(low[worst], high[worst], 1e-4, 1e-6, equal_nan=True):
        right += f" to {high[worst]:.6g}"
    note = f"at z = {z[worst]:.6g} it is {slope[worst]:.6g} and should be {right}"
    return Measurement(error[worst], note)


def _each_element_by_itself(bench: _Elementwise) -> float:
    z = bench.ordinary
    # The same numbers at other places of another shape.
    order = np.random.default_rng(4).permutation(z.size)
    mixed = z.reshape(-1)[order].reshape(6, 8)
    return different(bench.value(z).reshape(-1)[order], bench.value(mixed).reshape(-1))


def _is_expression(bench: _Elementwise) -> bool:
    return bench.subject.entry.options["spelling"] == "expression"


def _traced_against_plain(bench: _Elementwise) -> float:
    """The expression as it was traced against the same one evaluated on an array."""
    entry = bench.subject.entry
    z = np.concatenate([bench.special.ravel(), bench.ordinary.ravel()])
    arguments = registry.arguments(entry, bench.subject.spec)
    traced = bench.value(z)
    # A copy: an expression may write to its argument.
    returned = entry.factory(z.copy(), **arguments)
    # It may return its slope beside its value.
    value = returned[0] if isinstance(returned, tuple) else returned
    plain = np.asarray(value, dtype=z.dtype)
    error = np.abs(traced - plain) / (1.0 + np.abs(plain))
    both_nan = (traced != traced) & (plain != plain)
    return np.max(np.where((traced == plain) | both_nan, 0.0, error))


def _writes_to_z(bench: _Elementwise) -> float:
    value, _ = bench.pair
    z = bench.ordinary.copy()
    value(np, z, np.empty_like(z))
    return different(z, bench.ordinary)


def _float32_against_float64(bench: _Elementwise) -> float:
    large = [-1e4, -100.0, 100.0, 1e4]
    z = np.concatenate([bench.special.ravel(), large, bench.ordinary.ravel()]).astype(np.float32)

    def error_of(function: Callable[[np.ndarray], np.ndarray]) -> float:
        wide = function(z.astype(np.float64))
        narrow = function(z).astype(np.float64)
        # z itself is rounded: where f is near 0 beside a large z, that is what shows.
        size = np.maximum(np.maximum(np.abs(wide), np.abs(z)), 1.0)
        error = np.abs(wide - narrow) / size
        # Beyond lies what float32 cannot hold.
        return np.max(error[np.abs(wide) < 3e38])

    return np.max([error_of(bench.value), error_of(bench.slope)])


def _ulps_from_reference(bench: _Elementwise) -> float:
    z = np.concatenate([bench.special.ravel(), bench.ordinary.ravel(), np.linspace(-8, 8, 1601)])
    # More digits than float64 has, so that the reference does not round by itself.
    exact = np.asarray(bench.subject.reference(z.astype(np.longdouble)))
    ulp = np.spacing(np.maximum(np.abs(exact), 1.0).astype(np.float64))
    return np.max(np.abs(bench.value(z) - exact) / ulp)


_SLOPE = (
    "the pullback must multiply da by the slope of value; at a kink by one between those of its "
    "two sides"
)

_CHECKS = (
    Check("slope at ordinary inputs", _SLOPE, _slope_at_ordinary_inputs, 1e-6),
    Check("slope at 0, tiny, round and large inputs", _SLOPE, _slope_at_special_inputs, 1e-5),
    Check(
        "elementwise",
        "an element of f(z) must depend on that element of z alone; otherwise it is a layer",
        _each_element_by_itself,
    ),
    Check(
        "expression as on arrays",
        "f(z) of an array must be what tracing made of it, without chance",
        _traced_against_plain,
        1e-12,
        applies=_is_expression,
    ),
    Check("value does not write z", "value(xp, z, out) must leave z as it is", _writes_to_z),
    Check(
        "float32 agrees with float64",
        "also at large inputs, where a careless formula overflows",
        _float32_against_float64,
        1e-5,
    ),
    Check(
        "value against the reference, in ULP",
        "units in the last place of max(|f|, 1), float64",
        _ulps_from_reference,
        4,
        applies=has_reference,
    ),
)
