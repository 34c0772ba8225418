"""What every update rule must do."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from harness import registry
from harness.engine.context import Context
from harness.engine.network import Network, build
from harness.ops import cpu
from harness.registry.known import Entry, Spec
from harness.testing.samples import members_of
from harness.testing.suite import (
    ALLOWANCE,
    SEEDS,
    P,
    Suite,
    allocated,
    bad,
    different,
    random_numbers,
)


# Update rules -------------------------------------------------------------------------------------
class _Driven(NamedTuple):
    network: Network
    theta: np.ndarray
    step: Callable[..., None]  # gradient (..., n) or a function of theta; fraction of the run


def _drive(
    rule: Any,
    lead: tuple[int, ...] = (),
    dtype: Any = np.float64,
    seeds: Any = None,
    shape: tuple[int, int] = (7, 5),
) -> _Driven:
    """A network of one matrix and one bias whose gradients are what the caller says."""
    given: dict[str, Any] = {}

    def probe(ctx: Context, width: int) -> Any:
        ctx.param("W", shape, "normal(std=1)")
        ctx.param("b", (1, shape[1]), "normal(std=1)", decay=False)
        y = ctx.empty(2)
        y[...] = 0.0

        def backward(dy: np.ndarray) -> np.ndarray:
            arena = network.arena
            arena.grad[...] = given["g"](arena.value) if callable(given["g"]) else given["g"]
            return dy

        return (lambda x, train: (y, backward)), 2

    seeds, sizes = seeds or SEEDS[: lead[0] if lead else 1], {"batch": 1, "eval_batch": 1}
    network = build(
        [probe],
        2,
        loss="squared_error",
        rule=rule,
        seeds=seeds,
        lead=lead,
        dtype=dtype,
        ops=cpu,
        **sizes,
    )
    network.initialize()
    network.rekey(1)
    x = np.zeros((*lead, 1, 2), dtype)

    def step(g: Any, fraction: float = 0.0) -> None:
        given["g"] = g
        network.step(x, x, fraction)

    return _Driven(network, network.arena.value, step)


def walk(state: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, np.ndarray]]:
    for key, value in state.items():
        if isinstance(value, dict):
            yield from walk(value, f"{prefix}{key}/")
        else:
            yield prefix + key, value


def check_rule(suite: Suite, entry: Entry, spec: Spec, reference: Any) -> None:
    gradients = random_numbers((20, P, 7 * 5 + 5))

    def run(driven: _Driven, which: Any = 0, ks: Iterable[int] = range(10)) -> np.ndarray:
        for k in ks:
            driven.step(gradients[k][which].astype(driven.theta.dtype), k / 20)
        return driven.theta.copy()

    @suite.must(
        "population row equals alone",
        "row p must equal, bit for bit, the same rule alone; see arena.scalar",
    )
    def _() -> float:
        members, ks = members_of("update_rule", spec), range(20)
        together = run(
            _drive(registry.merge("update_rule", members), (P,), np.float32), slice(None), ks
        )
        alone = [run(_drive(members[p], (), np.float32, [SEEDS[p]]), p, ks) for p in range(P)]
        return different(together, np.array(alone))

    @suite.must("saved and restored midway", "all that a rule remembers must be in its named state")
    def _() -> float:
        first, second = _drive(spec), _drive(spec)
        run(first)
        run(second, 1, range(1))  # a composition names some of its state at the first step
        saved = {k: v.copy() for k, v in walk(first.network.rule_state)}
        second.theta[...] = first.theta
        for k, v in walk(second.network.rule_state):
            v[...] = saved[k]
        for each in (first, second):
            each.network.rekey(2)
        return different(run(first, 0, range(10, 20)), run(second, 0, range(10, 20)))

    @suite.must(
        "networks share nothing",
        "two networks of one rule must keep their states apart; make state in init",
    )
    def _() -> float:
        made = registry.make("update_rule", spec)
        expected, one, other = run(_drive(spec)), _drive(made), _drive(made, seeds=[21])
        for k in range(10):
            run(one, 0, [k])
            run(other, 1, [k])
        return different(expected, one.theta)

    @suite.must(
        "update writes u alone",
        "the engine adds u to the parameters; write those in project, after the step",
    )
    def _() -> float:
        made, changed = registry.make("update_rule", spec), [0.0]

        def update(u: np.ndarray, arena: Any, state: dict[str, Any]) -> None:
            kept = arena.value.copy()
            made.update(u, arena, state)
            changed[0] += different(kept, arena.value)

        watched = made._replace(update=update)
        watched.spec = made.spec
        run(_drive(watched))
        return changed[0]

    @suite.must(
        "same stream, same result",
        "equal gradients must give equal bits; draw with arena.random only",
    )
    def _() -> float:
        return different(run(_drive(spec)), run(_drive(spec)))

    @suite.must(
        "shape and dtype of the state",
        "(..., n) in the dtype of the parameters, and scalars (..., 1)",
    )
    def _() -> float:
        wrong = 0
        for lead in ((), (P,)):
            driven = _drive(spec, lead, np.float32)
            run(driven, slice(None) if lead else 0)
            for _, array in walk(driven.network.rule_state):
                wide = (
                    array.shape[-1] != 1 and array.dtype.kind == "f" and array.dtype != np.float32
                )
                wrong += array.shape[: len(lead)] != lead or wide
        return wrong

    @suite.must(
        "finite for gradients of 0, tiny and large", "a step must not divide 0 by 0, or overflow"
    )
    def _() -> float:
        wrong = 0.0
        for dtype in (np.float32, np.float64):
            for size in (0.0, 1e-12, 1e4):
                driven = _drive(spec, (), dtype)
                for k in range(3):
                    driven.step((size * gradients[k, 0]).astype(dtype), k / 20)
                wrong += bad(driven.theta)
        return wrong

    @suite.must(
        "second step allocates nothing", "keep scratch in the state, write with out=", ALLOWANCE
    )
    def _() -> float:
        driven = _drive(spec, (), np.float32, shape=(300, 200))
        g = random_numbers(driven.theta.shape, dtype=np.float32)
        return allocated(lambda: driven.step(g))

    if registry.make("update_rule", spec).evaluate is not None:

        @suite.must(
            "parameters for evaluation",
            "evaluate must keep shape, dtype and rows, give the same when asked again, and leave "
            "theta",
        )
        def _() -> float:
            members, found = members_of("update_rule", spec), []
            merged = registry.merge("update_rule", members)
            together = _drive(merged, (P,), np.float32)
            run(together, slice(None))
            alone = [_drive(members[p], (), np.float32, [SEEDS[p]]) for p in range(P)]
            for p, driven in enumerate(alone):
                run(driven, p)
            for driven in (together, *alone):
                kept, theta = driven.theta.copy(), driven.network.theta or (lambda: None)
                found.append(np.array(theta()))
                if different(found[-1], theta()) + different(kept, driven.theta):
                    return np.inf
            return different(found[0], np.array(found[1:]))

    given = registry.arguments(entry, spec)
    numbers = [
        k for k, v in given.items() if entry.role(k) == "scalar" and isinstance(v, int | float)
    ]
    if numbers:

        @suite.must(
            "scalars may be scheduled",
            "a constant schedule must equal the number; read scalars from the state",
        )
        def _() -> float:
            expected, wrong = run(_drive(spec)), 0.0
            for key in numbers:
                start = float(given[key])
                constant, linear = (
                    {"name": "constant", "value": start},
                    {"name": "linear", "start": start},
                )
                wrong += different(expected, run(_drive({**spec, key: constant})))
                moved = run(_drive({**spec, key: {**linear, "end": start / 2}}))
                wrong += bad(moved) + (key == "learning_rate" and not different(expected, moved))
            return wrong

    if "learning_rate" in numbers:

        @suite.must("learning rate 0 changes nothing", "parameters must stay as they are")
        def idle() -> float:  # three functions of one name in a row of ifs are overloads to mypy
            driven = _drive({**spec, "learning_rate": {"name": "constant", "value": 0.0}})
            return different(driven.theta.copy(), run(driven))

    if "learning_rate" in entry.parameters:

        @suite.must(
            "descends",
            "300 steps must lower a quadratic bowl, relative to its start; mind the sign",
            0.995,
        )
        def descent() -> float:
            driven = _drive(spec)
            away = random_numbers(driven.theta.shape, 8)
            goal = driven.theta + away
            for k in range(300):
                driven.step(lambda theta: theta - goal, k / 300)
            return np.sum((driven.theta - goal) ** 2) / np.sum(away**2)

    if reference is not None:

        @suite.must(
            "1000 steps against the reference",
            "relative to how far the parameters went, in float64",
            1e-9,
        )
        def trajectory() -> float:
            driven, rng = _drive(spec), np.random.default_rng(6)
            theta, memory, worst = driven.theta.copy(), {}, 0.0  # type: ignore[var-annotated]
            start = theta.copy()
            for k in range(1, 1001):
                g = rng.standard_normal(theta.shape) + 0.3 * theta
                driven.step(g, (k - 1) / 1000)
                theta = theta + reference(
                    g.copy(), theta.copy(), k, memory, driven.network.arena.decayed
                )
                gone = max(np.max(np.abs(theta - start)), 1e-300)
                worst = max(worst, np.max(np.abs(theta - driven.theta)) / gone)
            return worst
