"""Update rules against slow references by the book, by hand, and where they refuse."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from harness import Scalar, registry
from harness.builtin.updates.adaptive import adam
from harness.builtin.updates.elementwise import elementwise
from harness.builtin.updates.ingredients import clip_norm, clip_value, compose, scale, weight_decay
from harness.builtin.updates.sgd_family import momentum, sgd
from harness.engine.contracts import Rule
from harness.engine.network import build
from harness.errors import PluginError, UsageError
from harness.expressions.backend import BACKENDS, using
from harness.ops import cpu
from harness.registry import known
from harness.testing.alone import drive_alone
from harness.testing.conformance import assert_conforms

Memory = dict[str, Any]

# References: u(g, theta, step, memory, decayed), written from the papers and not from harness/updat


def sgd_reference(
    g: Any, theta: Any, step: int, memory: Memory, decayed: int, learning_rate: float = 0.1
) -> Any:
    return -learning_rate * g


def momentum_reference(g: Any, theta: Any, step: int, memory: Memory, decayed: int) -> Any:
    memory["v"] = 0.9 * memory.get("v", 0.0) + g
    return -0.1 * memory["v"]


def nesterov_reference(g: Any, theta: Any, step: int, memory: Memory, decayed: int) -> Any:
    memory["v"] = 0.9 * memory.get("v", 0.0) + g
    return -0.1 * (g + 0.9 * memory["v"])


def adam_reference(
    g: Any, theta: Any, step: int, memory: Memory, decayed: int,
    learning_rate: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8,
) -> Any:  # fmt: skip
    m = memory["m"] = beta1 * memory.get("m", 0.0) + (1 - beta1) * g
    v = memory["v"] = beta2 * memory.get("v", 0.0) + (1 - beta2) * g**2
    return -learning_rate * (m / (1 - beta1**step)) / (np.sqrt(v / (1 - beta2**step)) + eps)


def only_decayed(theta: Any, decayed: int) -> Any:
    return np.where(np.arange(len(theta)) < decayed, theta, 0.0)


def adamw_reference(g: Any, theta: Any, step: int, memory: Memory, decayed: int) -> Any:
    return adam_reference(g, theta, step, memory, decayed) - 1e-3 * 0.01 * only_decayed(
        theta, decayed
    )


def clipped(g: Any, limit: float) -> Any:
    norm = math.sqrt(math.fsum(g * g))
    return g if norm <= limit else g * (limit / norm)


def clip_norm_reference(g: Any, theta: Any, step: int, memory: Memory, decayed: int) -> Any:
    return clipped(g, 1.0)


def clip_value_reference(g: Any, theta: Any, step: int, memory: Memory, decayed: int) -> Any:
    return np.array([min(max(each, -1.0), 1.0) for each in g])


def weight_decay_reference(g: Any, theta: Any, step: int, memory: Memory, decayed: int) -> Any:
    return g + 1e-4 * only_decayed(theta, decayed)


def trace_reference(g: Any, theta: Any, step: int, memory: Memory, decayed: int) -> Any:
    memory["v"] = 0.9 * memory.get("v", 0.0) + g
    return memory["v"]


# ingredients climb on their own, so these go down with a last factor
def downhill(reference: Any, factor: float = -0.01) -> Any:
    return lambda g, theta, step, memory, decayed: (
        factor * reference(g, theta, step, memory, decayed)
    )


def recipe_reference(g: Any, theta: Any, step: int, memory: Memory, decayed: int) -> Any:
    return adam_reference(
        clipped(g, 0.5) + 0.1 * only_decayed(theta, decayed), theta, step, memory, decayed, 0.01
    )


@pytest.mark.parametrize(
    ("rule", "reference"),
    [
        ("sgd", sgd_reference),
        ("momentum", momentum_reference),
        ("nesterov", nesterov_reference),
        ("adam", adam_reference),
        ("adamw", adamw_reference),
    ],
)
def test_thousand_steps(rule: str, reference: Any) -> None:
    names = [each.name for each in assert_conforms("update_rule", rule, reference=reference)]
    assert "1000 steps against the reference" in names


@pytest.mark.parametrize(
    ("rules", "reference"),
    [
        (["clip_norm", "scale(-0.01)"], downhill(clip_norm_reference)),
        (["clip_value", "scale(-0.01)"], downhill(clip_value_reference)),
        (["weight_decay", "scale(-0.01)"], downhill(weight_decay_reference)),
        (["trace", "scale(-0.01)"], downhill(trace_reference)),
        (["clip_norm(0.5)", "weight_decay(0.1)", "adam(0.01)"], recipe_reference),
    ],
)
def test_thousand_steps_of_compositions(rules: list[str], reference: Any) -> None:
    assert_conforms("update_rule", "compose", rules=rules, reference=reference)


@pytest.mark.parametrize(
    "rule", ["adam", "adam(learning_rate=0.01, beta1=0.5, beta2=0.9999, eps=0.001)"]
)
def test_float32_stays_near_float64(rule: str) -> None:
    """1000 steps in float32: the bias corrections must not lose digits (1 - 0.9999^1 is 1e-4)."""
    wide = drive_alone(rule)
    narrow = drive_alone(rule, (), np.float32)
    rng = np.random.default_rng(0)
    start = wide.theta.copy()
    narrow.theta[...] = start
    for k in range(1000):
        g = rng.standard_normal(start.shape).astype(np.float32)
        wide.step(g.astype(np.float64), k / 1000)
        narrow.step(g, k / 1000)
    assert np.max(np.abs(wide.theta - narrow.theta)) / np.max(np.abs(wide.theta - start)) < 2e-4


# By hand ------------------------------------------------------------------------------------------


def path(rule: Any, gradients: list[float], start: float = 1.0) -> list[float]:
    """Where every parameter goes from `start` for these gradients, one of each kind: a weight."""
    driven = drive_alone(rule)
    driven.theta[...] = start
    found = []
    for k, g in enumerate(gradients):
        driven.step(np.full(driven.theta.shape, g), k / len(gradients))
        found.append(float(driven.theta[0]))
    return found


def test_sgd_by_hand() -> None:
    assert path(sgd(0.5), [1.0, 2.0, -4.0]) == [0.5, -0.5, 1.5]


def test_momentum_by_hand() -> None:
    """decay 1/2, learning rate 1/4: v = 1, 2.5, 5.25."""
    assert path(momentum(0.25, 0.5), [1.0, 2.0, 4.0]) == [0.75, 0.125, -1.1875]


def test_nesterov_by_hand() -> None:
    """g + v / 2 = 1.5, 3.25 with v = 1, 2.5."""
    assert path("nesterov(0.25, decay=0.5)", [1.0, 2.0]) == [0.625, -0.1875]


def test_first_step_of_adam_is_the_sign() -> None:
    assert path(adam(0.125), [3.0]) == [pytest.approx(0.875, abs=1e-8)]
    assert path(adam(0.125), [-1e-3]) == [pytest.approx(1.125, abs=1e-5)]


def test_clip_norm_leaves_short_gradients_exactly() -> None:
    driven = drive_alone(compose(clip_norm(2.0), scale(-1.0)))
    g = np.zeros(driven.theta.shape)
    g[:2] = 1.2, -1.6  # exactly of norm 2
    driven.theta[...] = 0.0
    driven.step(g)
    np.testing.assert_array_equal(driven.theta, -g)
    driven.theta[...] = 0.0
    driven.step(10.0 * g)
    np.testing.assert_allclose(driven.theta, -g, rtol=1e-15)


def test_decay_spares_biases() -> None:
    for rule in (
        compose(weight_decay(0.5), sgd(1.0)),
        "adamw(learning_rate=1.0, weight_decay=0.5)",
    ):
        driven = drive_alone(rule)
        driven.theta[...] = 1.0
        driven.step(np.zeros(driven.theta.shape))
        np.testing.assert_array_equal(driven.theta[:35], 0.5)  # W (7, 5)
        np.testing.assert_array_equal(driven.theta[35:], 1.0)  # b (1, 5)


def test_clip_value_is_elementwise() -> None:
    driven = drive_alone(compose(clip_value(0.25), scale(1.0)))
    driven.theta[...] = 0.0
    g = np.linspace(-1, 1, driven.theta.size)
    driven.step(g)
    np.testing.assert_array_equal(driven.theta, np.clip(g, -0.25, 0.25))


# Schedules and members ----------------------------------------------------------------------------


def test_scheduled_learning_rate() -> None:
    # fractions 0, 1/4, 1/2, 3/4 of a run: 1, 0.75, 0.5, 0.25
    assert path("sgd(linear(1.0))", [1.0] * 4, 0.0) == [-1.0, -1.75, -2.25, -2.5]
    assert path(sgd(lambda t: 1.0 - t), [1.0] * 4, 0.0) == [-1.0, -1.75, -2.25, -2.5]


def test_schedule_inside_a_composition() -> None:
    rule = {
        "name": "compose",
        "rules": ["clip_norm(1e9)", {"name": "sgd", "learning_rate": "step(1.0, at=[0.5])"}],
    }
    np.testing.assert_allclose(path(rule, [1.0] * 4, 0.0), [-1.0, -2.0, -2.1, -2.2])


def test_members_with_numbers_and_schedules_of_their_own() -> None:
    specs = [{"name": "sgd", "learning_rate": r} for r in (0.5, "linear(1.0)", "constant(0.25)")]
    merged = registry.merge("update_rule", [registry.canonical("update_rule", s) for s in specs])
    driven = drive_alone(merged, (3,))
    driven.theta[...] = 0.0
    for k in range(2):
        driven.step(np.ones(driven.theta.shape), k / 2)
    np.testing.assert_array_equal(driven.theta[:, 0], [-1.0, -1.5, -0.5])


def test_state_has_names() -> None:
    driven = drive_alone("compose(clip_norm(1.0), momentum(0.5))", (2,))
    driven.step(np.ones(driven.theta.shape))
    state = driven.network.rule_state
    assert set(state) == {"0", "1", "step"}
    assert set(state["1"]) == {"v", "learning_rate", "decay", "step"}
    np.testing.assert_array_equal(state["1"]["learning_rate"], [[0.5], [0.5]])
    np.testing.assert_array_equal(state["step"], [[1.0], [1.0]])
    assert state["1"]["step"] is state["step"]


@pytest.fixture
def clipping_average() -> Iterator[None]:
    """A registered rule with both optional closures: steps of -g within [-1/2, 1/2], evaluated at
    half their sum.
    """

    @registry.update_rule("clipping_average")
    def factory() -> Rule:
        def update(u: Any, arena: Any, state: Any) -> None:
            np.negative(u, out=u)

        def project(arena: Any, state: Any) -> None:
            np.clip(arena.value, -0.5, 0.5, out=arena.value)
            state["mean"] += arena.value / 2

        return Rule(
            lambda arena: {"mean": arena.zeros()},
            update,
            project,
            lambda arena, state: state["mean"],
        )

    yield
    del known.registered["update_rule", "clipping_average"]


@pytest.mark.usefixtures("clipping_average")
@pytest.mark.parametrize("rule", ["clipping_average", "compose(clip_norm(1e9), clipping_average)"])
def test_project_and_evaluate(rule: str) -> None:
    driven = drive_alone(rule)
    driven.theta[...] = 0.0
    for _ in range(2):
        driven.step(np.full(driven.theta.shape, 0.3))
    np.testing.assert_array_equal(driven.theta, -0.5)  # -0.3, then -0.6 and back
    assert driven.network.theta is not None
    np.testing.assert_allclose(driven.network.theta(), (-0.3 - 0.5) / 2)


@pytest.mark.parametrize("kernels", BACKENDS)
@pytest.mark.parametrize("lead", [(), (2,)])
@pytest.mark.parametrize("rule", ["growing", "compose(clip_norm(1e9), growing)"])
def test_scalars_of_a_formula_follow_what_they_were(
    rule: str, lead: tuple[int, ...], kernels: str
) -> None:
    """The step is as large as the sum of all rates so far: r, 2 r, 3 r."""

    @registry.update_rule("growing")
    def growing(rate: Scalar = 0.5) -> Rule:
        def before(arena: Any, state: Any) -> None:
            state["total"] += state["rate"]

        def evaluate(arena: Any, state: Any) -> Any:
            return arena.value - state["total"].astype(arena.value.dtype)

        def step(g: Any, *, total: Any) -> Any:
            return -total * g

        return elementwise(step, before=before, evaluate=evaluate, rate=rate, total=0.0)

    with using(kernels):
        driven = drive_alone(rule, lead=lead, dtype=np.float32)
        driven.theta[...] = 0.0
        for _ in range(3):
            driven.step(np.ones(driven.theta.shape, np.float32))
        np.testing.assert_array_equal(driven.theta, -3.0)  # -0.5 - 1 - 1.5
        np.testing.assert_array_equal(driven.network.theta(), -4.5)


def test_a_scalar_that_is_replaced_and_not_set_is_refused() -> None:
    def before(arena: Any, state: Any) -> None:
        state["total"] = state["total"] + 1

    @registry.update_rule("replacing")
    def replacing() -> Rule:
        return elementwise(lambda g, *, total: -total * g, before=before, total=0.0)

    for rule in ("replacing", "compose(clip_norm(1.0), replacing)"):
        driven = drive_alone(rule)
        with pytest.raises(PluginError, match=r"write state\['total'\]\[\.\.\.\] = "):
            driven.step(np.ones(driven.theta.shape))


@pytest.mark.parametrize(
    ("formula", "scalars", "sentence"),
    [
        (lambda g, v, *, rate: (g, v), {"rate": 1.0, "v": 2.0}, "got v for an array and a scalar"),
        (lambda g, step, *, rate: (g, step), {"rate": 1.0}, "got step for an array and a scalar"),
        (lambda g, *, decays: decays * g, {"decays": 1.0}, "got decays for an array and a scalar"),
        (lambda g, *, rate, decay: g, {"rate": 1.0}, r"got none for decay; write .*decay=\.\.\."),
    ],
)
def test_a_name_is_for_one_thing_and_each_scalar_is_given(
    formula: Any, scalars: Any, sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        elementwise(formula, **scalars)


@pytest.mark.parametrize("rule", ["schedule_free_sgd", "schedule_free_adamw", "lookahead"])
def test_a_rule_that_averages_its_own_steps_is_the_last(rule: str) -> None:
    with pytest.raises(UsageError, match=f"compose: {rule} keeps .* must be the last rule, got sc"):
        compose(rule, "scale(0.5)")
    compose("clip_norm(1.0)", rule)
    compose("ema", "sgd")


@pytest.mark.usefixtures("clipping_average")
def test_two_averages_are_refused() -> None:
    with pytest.raises(UsageError, match="at most one rule may keep other parameters"):
        compose("clipping_average", "clipping_average")


# Refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("sgd(0)", "sgd: learning_rate must be above 0, got 0"),
        ("sgd(-0.1)", "sgd: learning_rate must be above 0, got -0.1"),
        (
            {"name": "sgd", "learning_rate": float("nan")},
            "sgd: learning_rate must be finite and above 0, got nan",
        ),
        (
            {"name": "sgd", "learning_rate": float("inf")},
            "sgd: learning_rate must be finite and above 0, got inf",
        ),
        (
            {"name": "sgd", "learning_rate": True},
            "sgd: learning_rate must be a number above 0, or a schedule, got True",
        ),
        ("momentum(0.1, decay=1.0)", r"momentum: decay must be in \[0, 1\), got 1.0"),
        ("nesterov(0.1, decay=-0.5)", r"nesterov: decay must be in \[0, 1\), got -0.5"),
        ("adam(beta2=1.0)", r"adam: beta2 must be in \[0, 1\), got 1.0"),
        ("adam(eps=0.0)", "adam: eps must be above 0, got 0.0"),
        ("adamw(weight_decay=-1.0)", "adamw: weight_decay must be 0 or above, got -1.0"),
        ("weight_decay(-1.0)", "weight_decay: rate must be 0 or above, got -1.0"),
        ("clip_norm(0.0)", "clip_norm: limit must be above 0, got 0.0"),
        ("clip_value(0.0)", "clip_value: limit must be above 0, got 0.0"),
        ("scale(0)", "scale: factor must be a number other than 0, got 0"),
        ("compose()", "compose: give at least one rule"),
        ("sgd(learnin_rate=2)", "has no argument 'learnin_rate'; did you mean 'learning_rate'"),
        ("sgdd", "unknown update rule 'sgdd'; did you mean 'sgd' or 'asgd'"),
        ("sgd(cosin(0.1))", "unknown schedule 'cosin'; did you mean 'cosine'"),
    ],
)
def test_refused(spec: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        registry.make("update_rule", spec)


def test_one_member_is_refused_too() -> None:
    with pytest.raises(UsageError, match=r"learning_rate must be above 0, got -1\.0"):
        registry.make("update_rule", {"name": "sgd", "learning_rate": [0.1, -1.0]})


def test_frozen_parameters_are_apart() -> None:
    """A parameter with train=False is in no rule's arena and never moves."""

    def layer(ctx: Any, I: int) -> Any:
        W, _ = ctx.param("W", (I, 2), "normal(std=1)", train=False)
        b, db = ctx.param("b", (1, 2), "zeros")
        y = ctx.empty(2)

        def forward(x: Any, train: bool) -> Any:
            np.add(x @ W, b, out=y)

            def backward(dy: Any) -> Any:
                db[...] = dy.sum(axis=-2, keepdims=True)
                return dy

            return y, backward

        return forward, 2

    net = build(
        [layer],
        3,
        loss="squared_error",
        rule="sgd(1.0)",
        seeds=[0],
        lead=(),
        batch=1,
        eval_batch=1,
        dtype="float64",
        ops=cpu,
    )
    net.initialize()
    assert list(net.arena.slices) == ["0/b"]
    W = net.frozen["0/W"].copy()
    assert np.ptp(W) > 0
    x = np.ones((1, 3))
    net.step(x, x @ W - [[1.0, 2.0]], 0.0)  # t = x W - (1, 2): dy = (1, 2)
    np.testing.assert_array_equal(net.frozen["0/W"], W)
    np.testing.assert_allclose(net.arena.value, [-1.0, -2.0], rtol=1e-15)
