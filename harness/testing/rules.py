"""What every update rule must do."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness import registry
from harness.registry.known import Entry, Spec
from harness.testing.alone import RuleAlone, drive_alone
from harness.testing.measures import (
    ALLOWANCE,
    SEEDS,
    P,
    allocated,
    different,
    not_finite,
    random_numbers,
)
from harness.testing.samples import members_of
from harness.testing.suite import Check, Subject, Suite, has_reference


def walk(state: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of a nested state with their paths: "0/v"."""
    for key, value in state.items():
        if isinstance(value, dict):
            yield from walk(value, f"{prefix}{key}/")
        else:
            yield prefix + key, value


@dataclass(frozen=True)
class _Rule:
    """An update rule, and gradients (step, member, parameter) to drive it with."""

    subject: Subject
    gradients: np.ndarray

    @property
    def spec(self) -> Spec:
        return self.subject.spec

    @property
    def entry(self) -> Entry:
        return self.subject.entry

    def run(
        self, driven: RuleAlone, member: int | slice = 0, steps: Iterable[int] = range(10)
    ) -> np.ndarray:
        """The parameters after these steps, as a copy; slice(None) for all members."""
        for k in steps:
            driven.step(self.gradients[k][member].astype(driven.theta.dtype), k / 20)
        return driven.theta.copy()

    def numbers(self) -> dict[str, float]:
        """The scalars of the rule that are numbers; the others are schedules."""
        return {
            key: value
            for key, value in registry.arguments(self.entry, self.spec).items()
            if self.entry.role(key) == "scalar" and isinstance(value, int | float)
        }


def check_rule(suite: Suite, subject: Subject) -> None:
    """The checks of an update rule."""
    suite.run(_CHECKS, _Rule(subject, random_numbers((20, P, 7 * 5 + 5))))


def _row_differs(bench: _Rule) -> float:
    members = members_of("update_rule", bench.spec)
    steps = range(20)
    merged = registry.merge("update_rule", members)
    together = bench.run(drive_alone(merged, (P,), np.float32), slice(None), steps)
    alone = [
        bench.run(drive_alone(members[p], (), np.float32, [SEEDS[p]]), p, steps) for p in range(P)
    ]
    return different(together, np.array(alone))


def _differs_when_restored(bench: _Rule) -> float:
    first = drive_alone(bench.spec)
    second = drive_alone(bench.spec)
    bench.run(first)
    # A composition names some of its state at the first step only.
    bench.run(second, 1, range(1))
    saved = {path: array.copy() for path, array in walk(first.network.rule_state)}
    second.theta[...] = first.theta
    for path, array in walk(second.network.rule_state):
        array[...] = saved[path]
    # Both draw the same from here on, as they would in the next epoch.
    for driven in (first, second):
        driven.network.rekey(2)
    rest = range(10, 20)
    return different(bench.run(first, 0, rest), bench.run(second, 0, rest))


def _with_another_network(bench: _Rule) -> float:
    product = registry.make("update_rule", bench.spec)
    expected = bench.run(drive_alone(bench.spec))
    one = drive_alone(product)
    other = drive_alone(product, seeds=[21])
    # Step by step in turn, so that state that is shared would mix.
    for k in range(10):
        bench.run(one, 0, [k])
        bench.run(other, 1, [k])
    return different(expected, one.theta)


def _writes_parameters(bench: _Rule) -> float:
    product = registry.make("update_rule", bench.spec)
    changed = 0.0

    def update(u: np.ndarray, arena: Any, state: dict[str, Any]) -> None:
        nonlocal changed
        kept = arena.value.copy()
        product.update(u, arena, state)
        changed += different(kept, arena.value)

    # The same rule under its own spec, with a look at the parameters around each update.
    watched = product._replace(update=update)
    watched.spec = product.spec
    bench.run(drive_alone(watched))
    return changed


def _same_again(bench: _Rule) -> float:
    return different(bench.run(drive_alone(bench.spec)), bench.run(drive_alone(bench.spec)))


def _wrong_state(bench: _Rule) -> int:
    return sum(_wrong_arrays(bench, lead) for lead in ((), (P,)))


def _wrong_arrays(bench: _Rule, lead: tuple[int, ...]) -> int:
    """How many arrays of the state have another dtype, or no axis of members first."""
    driven = drive_alone(bench.spec, lead, np.float32)
    bench.run(driven, slice(None) if lead else 0)
    wrong = 0
    for _, array in walk(driven.network.rule_state):
        # Scalars may be wider: a power of beta would lose digits in float32.
        is_scalar = array.shape[-1] == 1
        is_wide = not is_scalar and array.dtype.kind == "f" and array.dtype != np.float32
        wrong += array.shape[: len(lead)] != lead or is_wide
    return wrong


def _not_finite(bench: _Rule) -> float:
    return sum(
        _not_finite_at(bench, dtype, size)
        for dtype in (np.float32, np.float64)
        for size in (0.0, 1e-12, 1e4)
    )


def _not_finite_at(bench: _Rule, dtype: type, size: float) -> float:
    """How many parameters are not finite after three steps along gradients of a size."""
    driven = drive_alone(bench.spec, (), dtype)
    for k in range(3):
        driven.step((size * bench.gradients[k, 0]).astype(dtype), k / 20)
    return not_finite(driven.theta)


def _bytes_of_a_step(bench: _Rule) -> float:
    # Large enough for an array of all parameters to exceed the allowance.
    shapes = {"W": (300, 200), "b": (1, 200)}
    driven = drive_alone(bench.spec, (), np.float32, shapes=shapes)
    gradient = random_numbers(driven.theta.shape, dtype=np.float32)
    return allocated(lambda: driven.step(gradient))


def _evaluates_other_parameters(bench: _Rule) -> bool:
    return registry.make("update_rule", bench.spec).evaluate is not None


def _evaluated_row_differs(bench: _Rule) -> float:
    members = members_of("update_rule", bench.spec)
    together = drive_alone(registry.merge("update_rule", members), (P,), np.float32)
    bench.run(together, slice(None))
    alone = [drive_alone(members[p], (), np.float32, [SEEDS[p]]) for p in range(P)]
    for p, driven in enumerate(alone):
        bench.run(driven, p)
    copies = []
    for driven in (together, *alone):
        theta = driven.theta.copy()
        # Asked twice: an average must not move because somebody looks.
        evaluated = np.array(driven.evaluated)
        if different(evaluated, driven.evaluated) or different(theta, driven.theta):
            return np.inf
        copies.append(evaluated)
    return different(copies[0], np.array(copies[1:]))


def _has_numbers(bench: _Rule) -> bool:
    return bool(bench.numbers())


def _schedules_differ(bench: _Rule) -> float:
    expected = bench.run(drive_alone(bench.spec))
    wrong = 0.0
    for key, value in bench.numbers().items():
        start = float(value)
        constant = {"name": "constant", "value": start}
        linear = {"name": "linear", "start": start, "end": start / 2}
        wrong += different(expected, bench.run(drive_alone({**bench.spec, key: constant})))
        moved = bench.run(drive_alone({**bench.spec, key: linear}))
        wrong += not_finite(moved)
        # Other scalars, such as a bound that is never met, need not make a difference.
        if key == "learning_rate":
            wrong += not different(expected, moved)
    return wrong


def _learning_rate_is_number(bench: _Rule) -> bool:
    return "learning_rate" in bench.numbers()


def _moves_at_learning_rate_0(bench: _Rule) -> float:
    zero = {"name": "constant", "value": 0.0}
    driven = drive_alone({**bench.spec, "learning_rate": zero})
    start = driven.theta.copy()
    return different(start, bench.run(driven))


def _has_learning_rate(bench: _Rule) -> bool:
    return "learning_rate" in bench.entry.parameters


def _left_of_bowl(bench: _Rule) -> float:
    """What 300 steps leave of the height at which they start, in a bowl |theta - goal|^2."""
    driven = drive_alone(bench.spec)
    away = random_numbers(driven.theta.shape, 8)
    goal = driven.theta + away
    for k in range(300):
        # The gradient of the bowl where the parameters are now.
        driven.step(lambda theta: theta - goal, k / 300)
    return np.sum((driven.theta - goal) ** 2) / np.sum(away**2)


def _distance_from_reference(bench: _Rule) -> float:
    driven = drive_alone(bench.spec)
    decayed = driven.network.arena.decayed
    rng = np.random.default_rng(6)
    theta = driven.theta.copy()
    start = theta.copy()
    memory: dict[str, Any] = {}
    worst = 0.0
    for step in range(1, 1001):
        # Noise, and a pull to 0 that keeps the parameters from wandering off.
        gradient = rng.standard_normal(theta.shape) + 0.3 * theta
        driven.step(gradient, (step - 1) / 1000)
        theta = theta + bench.subject.reference(
            gradient.copy(), theta.copy(), step, memory, decayed
        )
        # Relative, since rules differ in how far they go.
        gone = max(np.max(np.abs(theta - start)), 1e-300)
        worst = max(worst, np.max(np.abs(theta - driven.theta)) / gone)
    return worst


_CHECKS = (
    Check(
        "population row equals alone",
        "row p must equal, bit for bit, the same rule alone; see arena.scalar",
        _row_differs,
    ),
    Check(
        "saved and restored midway",
        "all that a rule remembers must be in its named state",
        _differs_when_restored,
    ),
    Check(
        "networks share nothing",
        "two networks of one rule must keep their states apart; make state in init",
        _with_another_network,
    ),
    Check(
        "update writes u alone",
        "the engine adds u to the parameters; write those in project, after the step",
        _writes_parameters,
    ),
    Check(
        "same stream, same result",
        "equal gradients must give equal bits; draw with arena.random only",
        _same_again,
    ),
    Check(
        "shape and dtype of the state",
        "(..., n) in the dtype of the parameters, and scalars (..., 1)",
        _wrong_state,
    ),
    Check(
        "finite for gradients of 0, tiny and large",
        "a step must not divide 0 by 0, or overflow",
        _not_finite,
    ),
    Check(
        "second step allocates nothing",
        "keep scratch in the state, write with out=",
        _bytes_of_a_step,
        ALLOWANCE,
    ),
    Check(
        "parameters for evaluation",
        "evaluate must keep shape, dtype and rows, give the same when asked again, and leave theta",
        _evaluated_row_differs,
        applies=_evaluates_other_parameters,
    ),
    Check(
        "scalars may be scheduled",
        "a constant schedule must equal the number; read scalars from the state",
        _schedules_differ,
        applies=_has_numbers,
    ),
    Check(
        "learning rate 0 changes nothing",
        "parameters must stay as they are",
        _moves_at_learning_rate_0,
        applies=_learning_rate_is_number,
    ),
    Check(
        "descends",
        "300 steps must lower a quadratic bowl, relative to its start; mind the sign",
        _left_of_bowl,
        0.995,
        applies=_has_learning_rate,
    ),
    Check(
        "1000 steps against the reference",
        "relative to how far the parameters went, in float64",
        _distance_from_reference,
        1e-9,
        applies=has_reference,
    ),
)
