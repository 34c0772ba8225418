"""Whose array is whose, and until when: the four ownership rules of a layer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from harness.engine.chain import layer_of
from harness.engine.contracts import Bind
from harness.testing.alone import LayerAlone, bind_alone
from harness.testing.measures import B, I, different, random_numbers
from harness.testing.suite import Check, Subject, Suite


class _Step(NamedTuple):
    """What one forward and backward leave behind, as copies."""

    y: np.ndarray
    grad_before: np.ndarray  # before backward
    dx: np.ndarray
    grad: np.ndarray


def _nothing(y: np.ndarray) -> None:
    pass


def _step(
    layer: LayerAlone,
    x: np.ndarray,
    dy: np.ndarray,
    between: Callable[[np.ndarray], None] = _nothing,
) -> _Step:
    """A forward, what the caller does with y, and a backward."""
    # What backward leaves out stays NaN, and NaN equals NaN below.
    layer.network.arena.grad[...] = np.nan
    y, backward = layer.train(x.copy())
    y_kept = y.copy()
    between(y)
    grad_before = layer.network.arena.grad.copy()
    dx = np.array(backward(dy.copy()))
    return _Step(y_kept, grad_before, dx, layer.network.arena.grad.copy())


@dataclass(frozen=True)
class _Ownership:
    """Two networks of one product, and what a plain step of the first comes to."""

    product: Bind
    one: LayerAlone
    other: LayerAlone
    x: np.ndarray
    dy: np.ndarray
    expected: _Step

    def step(self, layer: LayerAlone, between: Callable[[np.ndarray], None] = _nothing) -> _Step:
        return _step(layer, self.x, self.dy, between)

    def off(self, step: _Step) -> float:
        """How many elements differ from those of a plain step."""
        return sum(map(different, step, self.expected))

    def overwrite(self, y: np.ndarray) -> None:
        """Does what the layer above may do, where y is declared to be scratch."""
        if self.one.ctx.output_is_scratch:
            y[...] = np.nan


def ownership(suite: Suite, subject: Subject) -> None:
    """The checks of who may write to which array; all are held against one plain step."""
    product = layer_of(subject.spec)
    one = bind_alone(product)
    other = bind_alone(product, seeds=[21])  # other masks, which must not reach the first
    x = random_numbers((B, I))
    dy = random_numbers((B, one.outputs), 2)
    bench = _Ownership(product, one, other, x, dy, expected=_step(one, x, dy))
    suite.run(_CHECKS, bench)


def _writes_to_x(bench: _Ownership) -> float:
    x = bench.x.copy()
    y, backward = bench.one.train(x)
    # After each call, so that a change that is undone later counts as well.
    changed = different(x, bench.x)
    bench.overwrite(y)
    backward(bench.dy.copy())
    changed += different(x, bench.x)
    bench.one.evaluate(x)
    return changed + different(x, bench.x)


def _same_again(bench: _Ownership) -> float:
    return bench.off(bench.step(bench.one))


def _with_y_overwritten(bench: _Ownership) -> float:
    return bench.off(bench.step(bench.one, bench.overwrite))


def _with_x_as_scratch(bench: _Ownership) -> float:
    return bench.off(bench.step(bind_alone(bench.product, input_is_scratch=True)))


def _without_dx(bench: _Ownership) -> float:
    step = bench.step(bind_alone(bench.product, input_needs_grad=False))
    return different(step.y, bench.expected.y) + different(step.grad, bench.expected.grad)


def _with_another_network(bench: _Ownership) -> float:
    """A step in the middle of which another network is trained, and this one evaluated."""

    def between(y: np.ndarray) -> None:
        _, backward = bench.other.train(random_numbers((B, I), 5))
        backward(random_numbers(bench.dy.shape, 6))
        bench.one.evaluate(random_numbers((B, I), 7))

    return bench.off(bench.step(bench.one, between))


def _returned_arrays_change(bench: _Ownership) -> float:
    one = bench.one
    other = bench.other
    y, backward = one.train(bench.x.copy())
    y_kept = y.copy()
    _, backward_of_other = other.train(random_numbers((B, I), 5))
    one.evaluate(random_numbers((B, I), 7))
    changed = different(y_kept, y)
    dx = backward(bench.dy.copy())
    dx_kept = dx.copy()
    backward_of_other(random_numbers(bench.dy.shape, 6))
    one.evaluate(random_numbers((B, I), 8))
    arena = one.network.arena
    # What lies within the arena is written by the update rule.
    inside = [np.shares_memory(a, b) for a in (y, dx) for b in (arena.value, arena.grad)]
    return changed + different(dx_kept, dx) + sum(inside)


def _not_linear(bench: _Ownership) -> float:
    one = bench.one
    wrong = 0.0
    # Powers of 2 scale without rounding: an update rule may scale gradients, and a loss does.
    for factor in (2.0**9, 2.0**-9):
        _, backward = one.train(bench.x.copy())
        dx = backward(bench.dy * factor)
        grad = one.network.arena.grad
        wrong += different(dx / factor, bench.expected.dx)
        wrong += different(grad / factor, bench.expected.grad)
    return wrong


_CHECKS = (
    Check(
        "x is not written",
        "forward and backward must leave x as it is: it belongs to the layer below",
        _writes_to_x,
    ),
    Check(
        "same stream, same result",
        "equal inputs must give equal bits; draw with ctx.random only",
        _same_again,
    ),
    Check(
        "output as scratch",
        "ctx.output_is_scratch = True promises that backward does not read y",
        _with_y_overwritten,
    ),
    Check(
        "input as scratch",
        "with ctx.input_is_scratch the results must be the same",
        _with_x_as_scratch,
    ),
    Check(
        "gradients without dx",
        "without ctx.input_needs_grad the gradients must be the same",
        _without_dx,
    ),
    Check(
        "networks share nothing",
        "two networks of one product must not touch each other; make buffers in bind",
        _with_another_network,
    ),
    Check(
        "returned arrays live",
        "y and dx must keep their values until the layer's next call",
        _returned_arrays_change,
    ),
    Check("backward is linear", "backward(2^k dy) must be exactly 2^k backward(dy)", _not_linear),
)
