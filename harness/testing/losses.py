"""What every loss must do."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from harness import registry
from harness.registry.known import Spec
from harness.testing.alone import bind_alone
from harness.testing.measures import (
    ALLOWANCE,
    GRADIENT,
    UNITS,
    B,
    P,
    allocated,
    different,
    not_finite,
    quotient_error,
    random_numbers,
)
from harness.testing.samples import members_of
from harness.testing.suite import Check, Subject, Suite, has_reference


def bind_loss_alone(
    loss: Any,
    lead: tuple[int, ...] = (),
    dtype: Any = np.float64,
    batch: int = B,
    outputs: int = UNITS,
) -> Any:
    """A loss alone: forward(y, t) -> values, backward, and predict(y).

    Parameters
    ----------
    loss
        A spec, a product or a name.
    lead
        () for one network or (P,) for a population.
    dtype
        Of y and t.
    batch, outputs
        The rows B and the columns O of y.
    """
    return registry.make("loss", loss)(
        bind_alone("identity", lead, dtype, batch=batch).ctx, outputs
    )


def _targets(lead: tuple[int, ...], rows: int, dtype: Any = np.float64) -> np.ndarray:
    """Indicator rows, which are good targets for a regression as well."""
    rng = np.random.default_rng(12)
    return np.eye(UNITS, dtype=dtype)[rng.integers(0, UNITS, (*lead, rows))]


@dataclass(frozen=True)
class _Loss:
    """A loss, and outputs and targets (B, UNITS) to try it on."""

    subject: Subject
    y: np.ndarray
    t: np.ndarray

    @property
    def spec(self) -> Spec:
        return self.subject.spec


def check_loss(suite: Suite, subject: Subject) -> None:
    """The checks of a loss."""
    suite.run(_CHECKS, _Loss(subject, random_numbers((B, UNITS)), _targets((), B)))


def _gradient_error(bench: _Loss, lead: tuple[int, ...]) -> float:
    y = random_numbers((*lead, B, UNITS))
    t = _targets(lead, B)
    forward, _ = bind_loss_alone(bench.spec, lead)
    rng = np.random.default_rng(3)
    # An earlier call, of which nothing may be left.
    _, backward = forward(2.0 * y, t[..., ::-1, :])
    backward()
    _, backward = forward(y, t)
    dy = backward().copy()

    def share_of_mean() -> np.ndarray:
        values, _ = forward(y, t)
        return values / B

    directions = [rng.standard_normal(y.shape) for _ in range(5)]
    return max(quotient_error(share_of_mean, y, dy, along) for along in directions)


def _writes_to_y_or_t(bench: _Loss) -> float:
    y = bench.y.copy()
    t = bench.t.copy()
    forward, _ = bind_loss_alone(bench.spec)
    _, backward = forward(y, t)
    backward()
    return different(y, bench.y) + different(t, bench.t)


def _with_another_network(bench: _Loss) -> float:
    # Training and evaluation bind one product twice.
    product = registry.make("loss", bench.spec)
    forward, _ = bind_loss_alone(product)
    forward_of_other, _ = bind_loss_alone(product)
    _, backward = forward(bench.y, bench.t)
    dy = backward().copy()
    values, backward = forward(bench.y, bench.t)
    values_kept = values.copy()
    _, backward_of_other = forward_of_other(2.0 * bench.y, bench.t[::-1])
    backward_of_other()
    return different(values_kept, values) + different(dy, backward())


def _values_by_themselves(bench: _Loss) -> float:
    forward, _ = bind_loss_alone(bench.spec)
    # The first two rows stay, the others are other examples.
    mixed = bench.y.copy()
    mixed[2:] = 3.0
    others = bench.t.copy()
    others[2:] = 2.0 * bench.t[1::-1]
    values, _ = forward(bench.y, bench.t)
    expected = values[:2].copy()
    values, _ = forward(mixed, others)
    return different(expected, values[:2])


def _misses_targets(bench: _Loss) -> float:
    """How many examples are on another target after 500 steps downhill."""
    forward, predict = bind_loss_alone(bench.spec)
    y = bench.y.copy()
    for _ in range(500):
        _, backward = forward(y, bench.t)
        dy = backward()
        # Steps of one length: losses differ in how steep they are.
        y -= 0.05 * dy / (np.max(np.abs(dy), axis=-1, keepdims=True) + 1e-300)
    return np.sum(np.argmax(predict(y), axis=-1) != np.argmax(bench.t, axis=-1))


def _shared_targets_differ(bench: _Loss) -> float:
    forward, _ = bind_loss_alone(bench.spec, (P,))
    y = random_numbers((P, B, UNITS))

    def values_and_dy(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, backward = forward(y, t)
        return values.copy(), backward().copy()

    # The values may be overwritten by the next call, and so are copied.
    shared = values_and_dy(bench.t)
    copied = values_and_dy(np.repeat(bench.t[None], P, axis=0))
    return sum(map(different, shared, copied))


def _row_differs(bench: _Loss) -> float:
    members = members_of("loss", bench.spec)
    y = random_numbers((P, 9, UNITS), dtype=np.float32)
    t = _targets((P,), 9, np.float32)

    def run(loss: Any, lead: tuple[int, ...], y: np.ndarray, t: np.ndarray) -> list[np.ndarray]:
        forward, predict = bind_loss_alone(loss, lead, np.float32, 9)
        values, backward = forward(y, t)
        return [values.copy(), backward().copy(), np.array(predict(y.copy()))]

    # Members differ in their scalars, which the loss must keep apart.
    alone = [run(members[p], (), y[p], t[p]) for p in range(P)]
    together = run(registry.merge("loss", members), (P,), y, t)
    return sum(
        different(of_population, np.array(of_members))
        for of_population, of_members in zip(together, zip(*alone, strict=True), strict=True)
    )


def _overflows(bench: _Loss) -> float:
    forward, predict = bind_loss_alone(bench.spec, (), np.float32)
    # Of both signs, and right and wrong: exp of either would overflow.
    large = (np.sign(bench.y) * 1e4).astype(np.float32)
    values, backward = forward(large, bench.t.astype(np.float32))
    return not_finite(values, backward(), predict(large))


def _shape_or_dtype_is_wrong(bench: _Loss) -> int:
    forward, predict = bind_loss_alone(bench.spec, (), np.float32)
    y = bench.y.astype(np.float32)
    values, backward = forward(y, bench.t.astype(np.float32))
    arrays = [(values, (B,)), (backward(), y.shape), (predict(y), y.shape)]
    return sum(array.shape != shape or array.dtype != np.float32 for array, shape in arrays)


def _bytes_of_a_step(bench: _Loss) -> float:
    # An array of a column alone is larger than the allowance.
    rows = 40_000
    forward, predict = bind_loss_alone(bench.spec, (), np.float32, rows)
    y = random_numbers((rows, UNITS), dtype=np.float32)
    t = _targets((), rows, np.float32)

    def step() -> None:
        _, backward = forward(y, t)
        backward()
        predict(y)

    return allocated(step)


def _error_against_reference(bench: _Loss) -> float:
    forward, _ = bind_loss_alone(bench.spec)
    values, _ = forward(bench.y, bench.t)
    exact = np.asarray(bench.subject.reference(bench.y, bench.t))
    return np.max(np.abs(values - exact) / (1.0 + np.abs(exact)))


_GRADIENT = "must be that of the mean over the batch"

_CHECKS = (
    Check("gradient", _GRADIENT, partial(_gradient_error, lead=()), GRADIENT),
    Check("gradient in a population", _GRADIENT, partial(_gradient_error, lead=(P,)), GRADIENT),
    Check(
        "y and t are not written",
        "y belongs to the last layer and t to the data",
        _writes_to_y_or_t,
    ),
    Check(
        "networks share nothing",
        "two networks of one product must not touch each other; make buffers in bind",
        _with_another_network,
    ),
    Check(
        "each example by itself",
        "the value of an example must depend on its own row alone",
        _values_by_themselves,
    ),
    Check(
        "downhill to the targets",
        "500 small steps along -dy must bring predict(y) to t; mind the signs",
        _misses_targets,
    ),
    Check(
        "targets that members share",
        "t (B, O) with y (P, B, O) must be the same as a copy for each member",
        _shared_targets_differ,
    ),
    Check(
        "population row equals alone",
        "row p must equal, bit for bit, the same loss alone",
        _row_differs,
    ),
    Check("finite at large outputs in float32", "for y = +-1e4; shift before exp", _overflows),
    Check(
        "shape and dtype are kept",
        "values (..., B), dy and predictions (..., B, O) in the dtype of y",
        _shape_or_dtype_is_wrong,
    ),
    Check(
        "second step allocates nothing",
        "take buffers from ctx.empty once, write with out=",
        _bytes_of_a_step,
        ALLOWANCE,
    ),
    Check(
        "values against the reference",
        "relative to 1 + |value|, in float64",
        _error_against_reference,
        1e-12,
        applies=has_reference,
    ),
)
