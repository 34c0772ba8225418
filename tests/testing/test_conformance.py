"""The conformance suite can fail: each planted bug is caught by the check whose name says what is
wrong.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import registry
from harness.engine.contracts import Rule
from harness.errors import UsageError
from harness.ops import debug
from harness.registry.known import Scalar
from harness.testing.conformance import assert_conforms, check, check_module
from harness.testing.suite import Outcome

BUGS: dict[str, tuple[str, Callable[..., Any], str]] = {}


def planted(kind: str, caught_by: str) -> Callable[..., Any]:
    """A bug of one kind, and the name of the check that must catch it."""

    def note(factory: Callable[..., Any]) -> Callable[..., Any]:
        BUGS[factory.__name__] = (kind, factory, caught_by)
        return factory

    return note


def failures(outcomes: list[Outcome]) -> list[str]:
    return [each.name for each in outcomes if not each.ok]


def register(kind: str, factory: Callable[..., Any]) -> None:
    written_out = kind == "activation" and not inspect.signature(factory).parameters
    options: dict[str, Any] = {"inplace": True} if written_out else {}
    getattr(registry, kind)(factory.__name__, **options)(factory)


# Activations: (value, pullback) -------------------------------------------------------------------


@planted("activation", "slope at ordinary inputs")
def wrong_sign():
    def value(xp, z, out):
        xp.tanh(z, out=out)

    def pullback(xp, z, a, da):
        xp.multiply(a, a, out=a)
        xp.subtract(a, 1.0, out=a)  # a^2 - 1
        xp.multiply(da, a, out=da)

    return value, pullback


@planted("activation", "slope at 0, tiny, round and large inputs")
def steep_at_zero():
    def value(xp, z, out):
        xp.maximum(z, 0.0, out=out)

    def pullback(xp, z, a, da):
        xp.multiply(da, np.where(z == 0, 2.0, z > 0), out=da)

    return value, pullback


@planted("activation", "slope at 0, tiny, round and large inputs")
def wrong_beyond_six():
    def value(xp, z, out):
        xp.clip(z, 0.0, 6.0, out=out)

    def pullback(xp, z, a, da):  # forgets the upper kink
        xp.multiply(da, z > 0, out=da)

    return value, pullback


@planted("activation", "slope at ordinary inputs")
def another_piece_between_8_and_19():
    def pullback(xp, z, a, da):
        xp.multiply(da, xp.where((z > 8.1) & (z < 18.9), 0.5, 1.0 - a * a), out=da)

    return lambda xp, z, out: xp.tanh(z, out=out), pullback


@planted("activation", "expression as on arrays")
def asks_what_z_is(z):
    return z * 2.0 if isinstance(z, np.ndarray) else z * 3.0


@planted("activation", "expression as on arrays")
def chance_in_the_expression(z):
    return z + np.random.default_rng().standard_normal()


@planted("activation", "float32 agrees with float64")
def overflows():
    def value(xp, z, out):
        xp.log(1.0 + xp.exp(z), out=out)  # infinite above 88 in float32

    def pullback(xp, z, a, da):
        xp.divide(da, 1.0 + xp.exp(-z), out=da)

    return value, pullback


@planted("activation", "value does not write z")
def writes_z():
    def value(xp, z, out):
        xp.tanh(z, out=z)
        xp.copyto(out, z)

    def pullback(xp, z, a, da):
        xp.multiply(da, 1.0 - a * a, out=da)

    return value, pullback


@planted("activation", "elementwise")
def over_the_row():
    def value(xp, z, out):
        xp.subtract(z, z.max(axis=-1, keepdims=True), out=out)

    def pullback(xp, z, a, da):
        pass

    return value, pullback


@planted("activation", "backward is linear")
def clips_the_gradient():
    def value(xp, z, out):
        xp.copyto(out, z)

    def pullback(xp, z, a, da):
        xp.clip(da, -5.0, 5.0, out=da)

    return value, pullback


# Layers: bind(ctx, I) -> (forward, O) -------------------------------------------------------------


def linear_layer(units, *, transpose=True, add=False):
    """y = x @ W + b, right with these options and wrong with others."""

    def bind(ctx, I):
        W, dW = ctx.param("W", (I, units), "he")
        b, db = ctx.param("b", (1, units), "zeros", decay=False)
        y = ctx.empty(units)
        dx = ctx.empty(I)
        xp = ctx.xp

        def forward(x, train):
            xp.add(xp.matmul(x, W, out=y), b, out=y)

            def backward(dy):
                if add:
                    dW[...] += x.swapaxes(-1, -2) @ dy
                else:
                    xp.matmul(x.swapaxes(-1, -2), dy, out=dW)
                db[...] = dy.sum(axis=-2, keepdims=True)
                return xp.matmul(dy, W.swapaxes(-1, -2) if transpose else W, out=dx)

            return y, backward

        return forward, units

    return bind


@planted("layer", "gradient of x")
def transposed_weights(units: int = 7):
    return linear_layer(units, transpose=False)


@planted("layer", "gradient of x")
def wrong_axis():
    def bind(ctx, I):
        y = ctx.empty(I)

        def forward(x, train):
            np.subtract(x, x.mean(axis=-1, keepdims=True), out=y)
            return y, lambda dy: dy - dy.mean(axis=-2, keepdims=True)

        return forward, I

    return bind


@planted("layer", "gradient of W")
def adds_gradients(units: int):
    return linear_layer(units, add=True)


@planted("layer", "gradient of x")
def mask_not_in_backward(rate: Scalar = 0.5):
    def bind(ctx, I):
        fill = ctx.random("mask")
        y = ctx.empty(I)
        m = ctx.empty(I)
        keep = ctx.empty(I, bool)
        drop = ctx.scalar(rate)
        gain = 1 / (1 - drop)

        def forward(x, train):
            if not train:
                return x, None
            fill(m)
            np.greater_equal(m, drop, out=keep)
            np.multiply(keep, gain, out=m)
            return np.multiply(x, m, out=y), lambda dy: np.multiply(dy, gain, out=dy)

        return forward, I

    return bind


@planted("layer", "evaluation changes nothing")
def drops_in_evaluation(rate: Scalar = 0.5):
    def bind(ctx, I):
        fill = ctx.random("mask")
        y = ctx.empty(I)
        m = ctx.empty(I)
        drop = ctx.scalar(rate)

        def forward(x, train):
            fill(m)
            np.greater_equal(m, drop, out=m)
            return np.multiply(x, m, out=y), lambda dy: np.multiply(dy, m, out=dy)

        return forward, I

    return bind


@planted("layer", "same stream, same result")
def hidden_randomness():
    rng = np.random.default_rng(0)

    def bind(ctx, I):
        y = ctx.empty(I)

        def forward(x, train):
            np.add(x, rng.standard_normal(x.shape) if train else 0.0, out=y)
            return y, lambda dy: dy

        return forward, I

    return bind


@planted("layer", "shape and dtype are kept")
def float64_leak():
    def bind(ctx, I):
        factor = np.float64(2.0)  # a NumPy scalar promotes, a Python number would not
        return (lambda x, train: (x * factor, lambda dy: dy * factor)), I

    return bind


@planted("layer", "x is not written")
def writes_x():
    def bind(ctx, I):
        y = ctx.empty(I)

        def forward(x, train):
            np.multiply(x, 2.0, out=x)
            np.copyto(y, x)
            return y, lambda dy: np.multiply(dy, 2.0, out=dy)

        return forward, I

    return bind


_buffers: dict[Any, np.ndarray] = {}


@planted("layer", "returned arrays live")
def buffer_reused_too_early():
    def bind(ctx, I):
        # One for all layers of this size
        y = _buffers.setdefault((ctx.lead, ctx.batch, I, ctx.dtype), ctx.empty(I))

        def forward(x, train):
            return np.multiply(x, 2.0, out=y), lambda dy: np.multiply(dy, 2.0, out=dy)

        return forward, I

    return bind


@planted("layer", "networks share nothing")
def state_shared_between_networks():
    seen: dict[str, np.ndarray] = {}  # made once for the product, not once for each network

    def bind(ctx, I):
        y = ctx.empty(I)

        def forward(x, train):
            seen["x"] = x
            return np.multiply(x, x, out=y), lambda dy: np.multiply(dy, 2.0 * seen["x"], out=dy)

        return forward, I

    return bind


@planted("layer", "population row equals alone")
def sees_its_neighbour():
    def bind(ctx, I):
        y = ctx.empty(I)

        def forward(x, train):
            np.copyto(y, x)
            if y.ndim == 3:
                y[1:] += 0.01 * x[:-1] if x.ndim == 3 else 0.0
            return y, lambda dy: dy

        return forward, I

    return bind


@planted("layer", "evaluation takes each example by itself")
def batch_statistics_in_evaluation():
    def bind(ctx, I):
        y = ctx.empty(I)

        def forward(x, train):
            np.subtract(x, x.mean(axis=-2, keepdims=True), out=y)
            return y, lambda dy: np.subtract(dy, dy.mean(axis=-2, keepdims=True), out=dy)

        return forward, I

    return bind


def doubling(forward_into, backward_into=lambda dy, dx, x: np.multiply(dy, 2.0, out=dx)):
    """y = 2 x, if nothing else is asked for."""

    def bind(ctx, I):
        y = ctx.empty(I)
        dx = ctx.empty(I)
        seen = [None]

        def forward(x, train):
            seen[0] = x
            forward_into(x, y, train)
            return y, lambda dy: backward_into(dy, dx, seen[0])

        return forward, I

    return bind


@planted("layer", "gradient of x")
def remembers_the_first_x():
    def bind(ctx, I):
        y = ctx.empty(I)
        dx = ctx.empty(I)
        first = []

        def forward(x, train):
            if not first:
                first.append(x.copy())
            np.multiply(x, x, out=y)
            return y, lambda dy: np.multiply(2.0 * dy, first[0], out=dx)

        return forward, I

    return bind


@planted("layer", "training differs by chance or state")
def another_factor_in_evaluation():
    return doubling(lambda x, y, train: np.multiply(x, 2.0 if train else 1.0, out=y))


@planted("layer", "training differs by chance or state")
def the_same_mask_every_time():
    def mask(x, train=True):
        return (
            2.0 * (np.random.default_rng(0).random(x.shape[-2:]) < 0.5)
            if train
            else np.ones(x.shape[-2:])
        )

    return doubling(
        lambda x, y, train: np.multiply(x, mask(x, train).astype(x.dtype), out=y),
        lambda dy, dx, x: np.multiply(dy, mask(x).astype(x.dtype), out=dx),
    )


@planted("layer", "what it remembers is state")
def running_mean_in_the_factory():
    kept = {"mean": 0.0}

    def forward(x, y, train):
        mean = x.mean(axis=-2, keepdims=True)
        np.subtract(x, mean if train else kept["mean"], out=y)
        if train:
            kept["mean"] = 0.9 * kept["mean"] + 0.1 * mean

    return doubling(
        forward, lambda dy, dx, x: np.subtract(dy, dy.mean(axis=-2, keepdims=True), out=dx)
    )


@planted("layer", "training writes its state alone")
def clips_its_weights():
    def bind(ctx, I):
        s, ds = ctx.param("s", (1, I), "constant(3)")
        y = ctx.empty(I)
        dx = ctx.empty(I)

        def forward(x, train):
            np.minimum(s, 1.0, out=s)
            np.multiply(x, s, out=y)

            def backward(dy):
                np.sum(dy * x, axis=-2, out=ds, keepdims=True)
                return np.multiply(dy, s, out=dx)

            return y, backward

        return forward, I

    return bind


@planted("layer", "finite where all inputs are 0")
def divides_zero_by_zero():
    def bind(ctx, I):
        y = ctx.empty(I)

        def forward(x, train):
            size = np.sqrt((x * x).sum(axis=-1, keepdims=True))
            np.divide(x, size, out=y)

            def backward(dy):
                return (dy - y * (y * dy).sum(axis=-1, keepdims=True)) / size

            return y, backward

        return forward, I

    return bind


@planted("layer", "output as scratch")
def promises_too_much():
    def bind(ctx, I):
        y = ctx.empty(I)
        ctx.output_is_scratch = True  # but its backward reads y

        def forward(x, train):
            return np.tanh(x, out=y), lambda dy: dy * (1.0 - y * y)

        return forward, I

    return bind


@planted("layer", "second step allocates nothing")
def allocates():
    def bind(ctx, I):
        return (lambda x, train: (x * 2.0, lambda dy: dy * 2.0)), I

    return bind


@planted("layer", "gradients without dx")
def needs_dx():
    """Its weights' gradient is scaled only when somebody below wants dx."""

    def bind(ctx, I):
        s, ds = ctx.param("s", (1, I), "zeros")
        y = ctx.empty(I)
        factor = 1.0 if ctx.input_needs_grad else 2.0

        def forward(x, train):
            np.multiply(x, 1.0 + s, out=y)

            def backward(dy):
                ds[...] = (factor * x * dy).sum(axis=-2, keepdims=True)
                return dy * (1.0 + s)

            return y, backward

        return forward, I

    return bind


# Update rules -------------------------------------------------------------------------------------


@planted("update_rule", "descends")
def climbs(learning_rate: Scalar = 0.1):
    def update(u, arena, state):
        np.multiply(u, state["learning_rate"], out=u)  # the minus is missing

    return Rule(lambda arena: {"learning_rate": arena.scalar(learning_rate)}, update)


@planted("update_rule", "networks share nothing")
def velocity_in_the_factory(learning_rate: Scalar = 0.1):
    velocity: dict[str, np.ndarray] = {}

    def init(arena):
        velocity.setdefault("v", arena.zeros())
        return {"v": velocity["v"], "learning_rate": arena.scalar(learning_rate)}

    def update(u, arena, state):
        v = state["v"]
        np.multiply(v, 0.9, out=v)
        np.add(v, u, out=v)
        np.multiply(v, -state["learning_rate"], out=u)

    return Rule(init, update)


@planted("update_rule", "saved and restored midway")
def counts_for_itself(learning_rate: Scalar = 0.1):
    def init(arena):
        count = arena.zeros()[..., :1]
        steps[id(arena)] = count  # not among the named state
        return {"learning_rate": arena.scalar(learning_rate)}

    def update(u, arena, state):
        steps[id(arena)] += 1
        np.multiply(u, -state["learning_rate"] / steps[id(arena)], out=u)

    steps: dict[int, np.ndarray] = {}
    return Rule(init, update)


@planted("update_rule", "scalars may be scheduled")
def reads_the_number_once(learning_rate: Scalar = 0.1):
    def init(arena):
        rate = arena.scalar(learning_rate)
        return {"learning_rate": rate, "factor": -rate}

    def update(u, arena, state):
        np.multiply(u, state["factor"], out=u)

    return Rule(init, update)


@planted("update_rule", "population row equals alone")
def clips_the_whole_population(limit: Scalar = 1.0):
    def update(u, arena, state):
        np.multiply(u, np.minimum(1.0, state["limit"] / np.sqrt(np.sum(u * u))), out=u)

    return Rule(lambda arena: {"limit": arena.scalar(limit)}, update)


@planted("update_rule", "update writes u alone")
def writes_the_parameters(learning_rate: Scalar = 0.1):
    def update(u, arena, state):
        arena.value -= state["learning_rate"] * u
        u[...] = 0.0

    return Rule(lambda arena: {"learning_rate": arena.scalar(learning_rate)}, update)


@planted("update_rule", "parameters for evaluation")
def averages_when_asked(learning_rate: Scalar = 0.1):
    """Its mean is updated by whoever looks, and not by the step."""
    inner = registry.make("update_rule", {"name": "sgd", "learning_rate": learning_rate})

    def evaluate(arena, state):
        state["mean"] += 0.1 * (arena.value - state["mean"])
        return state["mean"]

    return Rule(
        lambda arena: {**inner.init(arena), "mean": arena.zeros()}, inner.update, None, evaluate
    )


@planted("update_rule", "shape and dtype of the state")
def wide_state(learning_rate: Scalar = 0.1):
    def init(arena):
        return {"v": np.zeros(arena.value.shape), "learning_rate": arena.scalar(learning_rate)}

    def update(u, arena, state):
        state["v"][...] = u
        np.multiply(u, -state["learning_rate"], out=u)

    return Rule(init, update)


@planted("update_rule", "finite for gradients of 0, tiny and large")
def divides_by_the_norm(learning_rate: Scalar = 0.1):
    def update(u, arena, state):
        norm = np.sqrt(np.sum(u * u, axis=-1, keepdims=True))
        np.multiply(u, -state["learning_rate"] / norm, out=u)

    return Rule(lambda arena: {"learning_rate": arena.scalar(learning_rate)}, update)


# Losses: bind(ctx, O) -> (forward, predict) -------------------------------------------------------


def quadratic(scale):
    """(y - t)^2 / 2, summed over the outputs; its gradient is the difference times scale(ctx)."""

    def bind(ctx, O):
        diff = ctx.empty(O)
        values = ctx.empty(1)[..., 0]

        def forward(y, t):
            np.subtract(y, t, out=diff)
            np.sum(diff * diff / 2, axis=-1, out=values)
            return values, lambda: np.multiply(diff, scale(ctx), out=diff)

        return forward, lambda y: y

    return bind


@planted("loss", "gradient")
def missing_mean():
    return quadratic(lambda ctx: 1.0)


@planted("loss", "gradient")
def missing_half():
    return quadratic(lambda ctx: 2.0 / ctx.batch)


@planted("loss", "finite at large outputs in float32")
def softmax_not_shifted():
    def bind(ctx, O):
        def forward(y, t):
            e = np.exp(y)
            p = e / e.sum(axis=-1, keepdims=True)
            return -(t * np.log(p)).sum(axis=-1), lambda: (p - t) / y.dtype.type(ctx.batch)

        return forward, lambda y: np.exp(y) / np.exp(y).sum(axis=-1, keepdims=True)

    return bind


@planted("loss", "y and t are not written")
def writes_y():
    def bind(ctx, O):
        def forward(y, t):
            np.subtract(y, t, out=y)
            return (y * y / 2).sum(axis=-1), lambda: y / ctx.batch

        return forward, lambda y: y

    return bind


@planted("loss", "each example by itself")
def centred_over_the_batch():
    def bind(ctx, O):
        def forward(y, t):
            d = y - y.mean(axis=-2, keepdims=True) - t
            return (d * d / 2).sum(
                axis=-1
            ), lambda: (d - d.mean(axis=-2, keepdims=True)) / ctx.batch

        return forward, lambda y: y

    return bind


@planted("loss", "each example by itself")
def weighs_within_the_batch():
    def bind(ctx, O):
        def forward(y, t):
            weight = t.sum(axis=-1, keepdims=True)
            weight = weight / weight.mean(axis=-2, keepdims=True)
            return (weight * (y - t) ** 2 / 2).sum(axis=-1), lambda: weight * (y - t) / ctx.batch

        return forward, lambda y: y

    return bind


@planted("loss", "downhill to the targets")
def uphill():
    """Value and gradient agree, and both have the wrong sign."""

    def bind(ctx, O):
        return lambda y, t: (
            -((y - t) ** 2 / 2).sum(axis=-1),
            lambda: (t - y) / ctx.batch,
        ), lambda y: y

    return bind


@planted("loss", "downhill to the targets")
def predicts_the_opposite():
    bind_right = quadratic(lambda ctx: 1.0 / ctx.batch)
    return lambda ctx, O: (bind_right(ctx, O)[0], lambda y: np.negative(y, out=y))


@planted("loss", "gradient")
def remembers_the_first_targets():
    def bind(ctx, O):
        first = []

        def forward(y, t):
            first.append(t.copy())
            return ((y - t) ** 2 / 2).sum(axis=-1), lambda: (y - first[0]) / ctx.batch

        return forward, lambda y: y

    return bind


@planted("loss", "targets that members share")
def wants_targets_for_each_member():
    def bind(ctx, O):
        def forward(y, t):
            d = y - t if y.ndim == 2 else np.stack([y[p] - t[p] for p in range(len(y))])
            return (d * d / 2).sum(axis=-1), lambda: d / ctx.batch

        return forward, lambda y: y

    return bind


# Initializers, schedules, metrics -----------------------------------------------------------------


@planted("initializer", "same seed, same weights")
def global_generator():
    rng = np.random.default_rng(0)
    return lambda _, shape, fan_in, fan_out: rng.standard_normal(shape)


@planted("initializer", "another seed, other weights")
def one_draw_for_all():
    return lambda rng, shape, fan_in, fan_out: np.random.default_rng(0).standard_normal(shape)


@planted("initializer", "finite float64 of the shape")
def transposed_shape():
    return lambda rng, shape, fan_in, fan_out: rng.standard_normal(shape[::-1])


@planted("schedule", "finite over the run")
def divides_by_what_is_left(start: float = 1.0):
    return lambda t: start / (1.0 - t) if t < 1.0 else float("inf")


@planted("schedule", "the same whenever asked")
def remembers(start: float = 1.0):
    asked: list[float] = []

    def at(t):
        asked.append(t)
        return start * 0.99 ** len(asked)

    return at


@planted("metric", "direction")
def error_said_to_be_good():
    return lambda p, y: np.mean(np.argmax(p, axis=-1) != y, axis=-1)


@planted("metric", "population row equals alone")
def over_all_members():
    return lambda p, y: np.mean(np.argmax(p, axis=-1) == y)


@planted("metric", "order of the examples")
def weighs_the_first_more():
    def score(p, y):
        weights = np.linspace(2.0, 0.0, len(y))
        return np.mean((np.argmax(p, axis=-1) == y) * weights, axis=-1)

    return score


@pytest.mark.parametrize("bug", BUGS)
def test_planted_bug_is_caught_by_name(bug: str) -> None:
    kind, factory, caught_by = BUGS[bug]
    register(kind, factory)
    outcomes = check(kind, bug)
    found = "\n".join(map(str, outcomes))
    # with HARNESS_DEBUG what is written at all is told first
    assert caught_by in failures(outcomes) or (debug.on and "output array is read-only" in found), (
        found
    )


def test_there_are_bugs_of_every_kind() -> None:
    assert {kind for kind, _, _ in BUGS.values()} == {
        *("activation", "layer", "update_rule", "loss", "initializer", "schedule", "metric")
    }
    assert len(BUGS) >= 12


def adam_by_the_paper(g, theta, step, memory, decayed):
    """Kingma and Ba, algorithm 1, with the defaults."""
    m = memory["m"] = 0.9 * memory.get("m", 0.0) + 0.1 * g
    v = memory["v"] = 0.999 * memory.get("v", 0.0) + 0.001 * g**2
    return -1e-3 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)


def adam_without_bias_correction(learning_rate: Scalar = 1e-3):
    def init(arena):
        return {
            "m": arena.zeros(),
            "v": arena.zeros(),
            "learning_rate": arena.scalar(learning_rate),
        }

    def update(u, arena, state):
        m = state["m"]
        v = state["v"]
        m[...] = 0.9 * m + 0.1 * u
        v[...] = 0.999 * v + 0.001 * u * u
        u[...] = -state["learning_rate"] * m / (np.sqrt(v) + 1e-8)

    return Rule(init, update)


def test_missing_bias_correction_is_caught_by_the_reference() -> None:
    register("update_rule", adam_without_bias_correction)
    outcomes = check("update_rule", "adam_without_bias_correction", reference=adam_by_the_paper)
    assert "1000 steps against the reference" in failures(outcomes)
    assert "descends" not in failures(outcomes)  # which is why a reference is needed


def test_good_twins_pass() -> None:
    """The machinery around the bugs is right where no bug is asked for."""

    def right_linear(units: int):
        return linear_layer(units)

    def right_quadratic():
        return quadratic(lambda ctx: 1.0 / ctx.batch)

    register("layer", right_linear)
    register("loss", right_quadratic)
    allowed = {"second step allocates nothing"}  # the twins are short, not fast
    assert set(failures(check("layer", "right_linear"))) <= allowed
    assert set(failures(check("loss", "right_quadratic"))) <= allowed


# The suite itself ---------------------------------------------------------------------------------


def test_a_plugin_that_raises_is_a_failed_line() -> None:
    def broken():
        def bind(ctx, I):
            return (lambda x, train: (x @ np.zeros((3, 3)), None)), I

        return bind

    register("layer", broken)
    outcomes = check("layer", "broken")
    failed = [each for each in outcomes if not each.ok]
    assert failed
    assert "ValueError at test_conformance.py:" in failed[0].raised
    assert [each.name for each in failed].count("runs") == 1  # one line of one error
    with pytest.raises(AssertionError, match="layer broken:\nFAIL  runs"):
        assert_conforms("layer", "broken")


def test_a_line_says_number_and_limit() -> None:
    assert str(Outcome("x is not written", True, 0.0, 0.0, "told")) == "ok    x is not written"
    bad = Outcome("gradient of x", False, 0.52, 1e-6, "must be the derivative")
    assert str(bad) == "FAIL  gradient of x: 0.52, at most 1e-06 expected; must be the derivative"


def test_arguments_without_example_are_asked_for() -> None:
    def puzzling(shape):
        return linear_layer(shape)

    register("layer", puzzling)
    with pytest.raises(UsageError, match="no example for argument 'shape' of layer puzzling"):
        check("layer", "puzzling")
    assert "gradient of W" in [each.name for each in check("layer", "puzzling", shape=4)]


def test_unknown_kinds_and_names() -> None:
    with pytest.raises(UsageError, match="the suite checks activation, layer"):
        check("sampler", "film")
    with pytest.raises(UsageError, match="did you mean 'dense'"):
        check("layer", "dens")


def test_check_module(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import numpy as np\n"
        "from harness.registry import metric, schedule\n"
        "@schedule()\ndef halves(start: float = 1.0):\n    return lambda t: start * 0.5**t\n"
        "@metric()\ndef wrongly():\n    return lambda p, y: np.mean(np.argmax(p, axis=-1) != y, "
        "axis=-1)\n"
    )
    found = check_module(file)
    assert list(found) == ["schedule halves", "metric wrongly"]
    assert failures(found["schedule halves"]) == []
    assert failures(found["metric wrongly"]) == ["direction"]
    empty = tmp_path / "empty.py"
    empty.write_text("x = 1\n")
    with pytest.raises(UsageError, match="must register something to check"):
        check_module(empty)


def test_check_module_takes_modules_and_their_names() -> None:
    from harness.builtin import schedules

    by_name = check_module("harness.builtin.schedules")
    assert "schedule cosine" in by_name
    assert list(check_module(schedules)) == list(by_name)


def test_an_ascending_rule_is_caught_though_its_rate_is_no_scalar(tmp_path: Path) -> None:
    file = tmp_path / "upward.py"
    file.write_text(
        "from harness import Rule, update_rule\n\n\n"
        '@update_rule("upward")\n'
        "def upward(learning_rate=0.1):\n"
        '    """u = +learning_rate * g, with the wrong sign"""\n'
        "    def update(u, arena, state):\n"
        "        u *= learning_rate\n\n"
        "    return Rule(lambda arena: {}, update)\n"
    )
    (outcomes,) = check_module(file).values()
    assert [o.name for o in outcomes if not o.ok] == ["descends"]
