"""HARNESS_DEBUG=1: each breach of the ownership rules, silent without it, is told; a clean network
keeps its bits.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from siblings import quick

from harness import registry
from harness.engine.contracts import Rule
from harness.engine.network import Network, build
from harness.errors import PluginError
from harness.ops import cpu, debug, guards


@pytest.fixture(autouse=True)
def switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debug, "on", False)


def rows(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def network(
    layers: list[Any], lead: tuple[int, ...] = (), dtype: Any = np.float64, **kw: Any
) -> Network:
    seeds = list(range(1, 1 + (lead[0] if lead else 1)))
    said = {"loss": "squared_error", "rule": "momentum(0.1)", **kw}
    net = build(
        layers, 4, seeds=seeds, lead=lead, batch=6, eval_batch=6, dtype=dtype, ops=cpu, **said
    )
    net.initialize()
    net.rekey(1)
    return net


def train(
    layers: list[Any], lead: tuple[int, ...] = (), dtype: Any = np.float64, **kw: Any
) -> list[bytes]:
    """Three steps and an evaluation each: the bits of losses, outputs, parameters and state."""
    net = network(layers, lead, dtype, **kw)
    found = []
    with np.errstate(all="ignore"):
        for k in range(3):
            x = rows(*lead, 6, 4, seed=k).astype(dtype)
            t = rows(*lead, 6, net.outputs, seed=9).astype(dtype)
            found.append(net.step(x, t, 0.0).tobytes())
            found += [net.evaluate(x).tobytes(), net.arena.value.tobytes()]
            found += [a.tobytes() for a in net.layer_state.values()]
    return found


# Clean networks -----------------------------------------------------------------------------------

LAYERS = [
    ["dense(5)", "tanh", "dense(3)"],
    ["relu", "dense(5)", "sigmoid", "sigmoid", "dense(3)"],
    ["dropout(0.2)", "dense(5)", "gelu", "gaussian_noise", "dense(3)"],
    ["dense(5)", "batch_norm", "silu", "residual(dense(5), tanh)", "dense(3)"],
    ["glu(5)", "layer_norm", "highway(dense(5), softplus)", "prelu", "maxout(3)"],
    ["frozen(dense(5), relu)", "crelu", "scale", "rms_norm", "dropconnect(3)"],
    ["dense(5)", "selu", "alpha_dropout(0.1)", "swiglu(4)", "residual(dense(3), mish)", "dense(3)"],
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lead", [(), (2,)], ids=["alone", "population"])
@pytest.mark.parametrize(
    "layers", quick(LAYERS, LAYERS[2:5:2]), ids=[layers[0] for layers in LAYERS]
)
def test_a_clean_network_keeps_its_bits(
    layers: list[str], lead: Any, dtype: Any, monkeypatch: Any
) -> None:
    plain = train(layers, lead, dtype)
    monkeypatch.setattr(debug, "on", True)
    assert train(layers, lead, dtype) == plain


def test_without_it_nothing_is_wrapped() -> None:
    def bind(ctx: Any, I: int) -> Any: ...

    buffer = np.ones(3)
    assert guards.guard("layer", "mine", bind) is bind
    assert guards.gradients(bind, None) is bind
    assert debug.read_only(buffer) is buffer
    assert debug.dead(buffer).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("value", "expected"), [("1", "True"), ("0", "False"), ("", "False"), (None, "False")]
)
def test_the_variable_switches_it(value: str | None, expected: str) -> None:
    env = {k: v for k, v in os.environ.items() if k != "HARNESS_DEBUG"} | (
        {"HARNESS_DEBUG": value} if value else {}
    )
    script = "from harness.ops import debug; print(debug.on)"
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == expected


# Planted bugs
# ---------------------------------------------------------------------------------------------------------
# Layers y = s x, or about that, with one learned number s

BUGS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {}


def planted(error: type[Exception], message: str) -> Callable[..., Any]:
    def note(factory: Callable[[], Any]) -> Callable[[], Any]:
        BUGS[factory.__name__] = factory, error, message
        return factory

    return note


def scaling(forward_into: Callable[..., None], backward_into: Callable[..., None]) -> Any:
    """A layer from forward_into(x, s, y) and backward_into(dy, x, s, ds, dx)."""

    def bind(ctx: Any, I: int) -> Any:
        (s, ds), y, dx, seen = (
            ctx.param("s", (1, I), "constant(1)"),
            ctx.empty(I),
            ctx.empty(I),
            [None],
        )

        def backward(dy: Any) -> Any:
            backward_into(dy, seen[0], s, ds, dx)
            return dx

        def forward(x: Any, train: bool) -> Any:
            seen[0] = x
            forward_into(x, s, y)
            return y, backward

        return forward, I

    return bind


def right_forward(x: Any, s: Any, y: Any) -> None:
    np.multiply(x, s, out=y)


def right_backward(dy: Any, x: Any, s: Any, ds: Any, dx: Any) -> None:
    np.add.reduce(np.multiply(dy, x, out=dx), axis=-2, out=ds, keepdims=True)
    np.multiply(dy, s, out=dx)


@planted(PluginError, "forward of layer planted_writes_x at '1' must not write x")
def writes_x():
    def forward(x, s, y):
        x *= 2.0
        right_forward(x, s, y)

    return scaling(forward, right_backward)


@planted(ValueError, "read-only")
def writes_its_parameter():
    def forward(x, s, y):
        np.clip(s, -2.0, 2.0, out=s)
        right_forward(x, s, y)

    return scaling(forward, right_backward)


@planted(PluginError, "gradient of '1/s'")
def adds_to_its_gradient():
    def backward(dy, x, s, ds, dx):
        ds += np.sum(dy * x, axis=-2, keepdims=True)
        np.multiply(dy, s, out=dx)

    return scaling(right_forward, backward)


@planted(PluginError, "gradient of '1/s'")
def leaves_its_gradient_out():
    return scaling(right_forward, lambda dy, x, s, ds, dx: np.multiply(dy, s, out=dx))


@planted(PluginError, "gradient of '1/s'")
def reads_dy_after_giving_it_away():
    def bind(ctx, I):
        (s, ds), inner = ctx.param("s", (1, I), "zeros"), registry.make("layer", "dense(4)")
        below, O = inner(ctx.child("inner"), I)
        y = ctx.empty(O)

        def forward(x, train):
            z, back = below(x, train)

            def backward(dy):
                dx = back(dy)
                np.add.reduce(dy, axis=-2, out=ds, keepdims=True)  # dense happens to leave dy alone
                return dx

            return np.add(z, s, out=y), backward

        return forward, O

    return bind


@planted(PluginError, "y of layer planted_reads_its_last_y at '1'")
def reads_its_last_y():
    written = set()  # one y in training, another in evaluation

    def forward(x, s, y):
        keep = y.copy() if id(y) in written else 0.0 * x
        written.add(id(y))
        np.add(x * s, 0.5 * keep, out=y)

    return scaling(forward, right_backward)


@planted(PluginError, "y of layer planted_reads_what_nobody_wrote at '1'")
def reads_what_nobody_wrote():
    def forward(x, s, y):
        y *= 0.0
        y += x * s

    return scaling(forward, right_backward)


@planted(PluginError, "gradient of '1/s'")
def reads_z_after_the_pullback():
    value, pullback = registry.make("activation", "softsign")

    def backward(dy, x, s, ds, dx):
        z = x * s
        a = np.empty_like(x)
        value(np, z, a)
        np.copyto(dx, dy)
        pullback(np, z, a, dx)
        np.add.reduce(dx * (z / s), axis=-2, out=ds, keepdims=True)

    return scaling(lambda x, s, y: value(np, x * s, y), backward)


def asking(question: Callable[[Any], Any]) -> Any:
    def forward(x, s, y):
        question(x * s)
        right_forward(x, s, y)

    return scaling(forward, right_backward)


@planted(PluginError, "asked an array for __bool__")
def asks_for_truth():
    return asking(lambda x: 1 if (x > 0).any() else 0)


@planted(PluginError, "asked an array for __float__")
def asks_for_a_number():
    return asking(lambda x: float(np.sum(x)))


@planted(PluginError, "asked an array for __float__")
def asks_for_an_element():
    return asking(lambda x: max(0.0, float(x[0, 0])))


@planted(PluginError, "asked an array for item")
def asks_for_an_item():
    return asking(lambda x: x.max().item())


@planted(PluginError, "asked an array for tolist")
def asks_for_a_list():
    return asking(lambda x: x.tolist())


@pytest.mark.parametrize("bug", BUGS)
def test_planted_bug_is_told(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    factory, error, message = BUGS[bug]
    name = f"planted_{bug}"
    registry.layer(name)(factory)
    train(["dense(4)", name, "dense(3)"])  # in silence
    monkeypatch.setattr(debug, "on", True)
    with pytest.raises(error, match=message):
        train(["dense(4)", name, "dense(3)"])


def test_scaling_is_right_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    registry.layer("right_scaling")(lambda: scaling(right_forward, right_backward))
    plain = train(["dense(4)", "right_scaling", "dense(3)"])
    monkeypatch.setattr(debug, "on", True)
    assert train(["dense(4)", "right_scaling", "dense(3)"]) == plain


def test_an_activation_that_keeps_z_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def keeps_z():
        kept = []

        def value(xp, z, out):
            xp.tanh(z, out=out)
            if kept:
                xp.add(out, 0.1 * kept[-1], out=out)

        def pullback(xp, z, a, da):
            xp.multiply(da, 1.0 - a * a, out=da)
            kept.append(z)

        return value, pullback

    registry.activation("planted_keeps_z", inplace=True)(keeps_z)
    for on in (False, True):
        monkeypatch.setattr(debug, "on", on)
        value, pullback = registry.make("activation", "planted_keeps_z")
        z = rows(6, 4)
        a = np.empty((6, 4))
        value(np, z, a)
        pullback(np, z, a, np.ones((6, 4)))
        assert np.isnan(z).all() == np.isnan(a).all() == on
        if on:
            with pytest.raises(PluginError, match="the value of activation planted_keeps_z"):
                value(np, rows(6, 4, seed=1), a)
        else:
            value(np, rows(6, 4, seed=1), a)


def test_an_activation_that_writes_z_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def writes_z():
        def value(xp, z, out):
            xp.tanh(z, out=z)
            xp.copyto(out, z)

        return value, lambda xp, z, a, da: xp.multiply(da, 1.0 - a * a, out=da)

    registry.activation("planted_writes_z", inplace=True)(writes_z)
    monkeypatch.setattr(debug, "on", True)
    with pytest.raises(ValueError, match="read-only"):
        train(["dense(4)", "planted_writes_z", "dense(3)"])


def test_x_that_is_no_scratch_is_read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debug, "on", True)
    registry.layer("writes_the_data")(BUGS["writes_x"][0])
    with pytest.raises(ValueError, match="read-only"):
        train(["writes_the_data", "dense(3)"])


@pytest.mark.parametrize("which", [0, 1], ids=["y", "t"])
def test_a_loss_that_writes_what_it_is_given_is_told(
    which: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless():
        def bind(ctx, O):
            dy = ctx.empty(O)
            values = ctx.empty(1)[..., 0]

            def forward(*given):
                given[which][...] *= 1.0
                np.subtract(*given, out=dy)
                np.add.reduce(dy * dy, axis=-1, out=values)
                return values, lambda: np.multiply(dy, 2.0 / ctx.batch, out=dy)

            return forward, lambda y: y

        return bind

    name = f"careless_{which}"
    registry.loss(name)(careless)
    train(["dense(3)"], loss=name)
    monkeypatch.setattr(debug, "on", True)
    with pytest.raises(ValueError, match="read-only"):
        train(["dense(3)"], loss=name)


def test_arrays_that_come_out_are_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debug, "on", True)
    net = network(["dense(4)", "batch_norm", "tanh", "dropout(0.1)"])
    assert type(net.evaluate(rows(6, 4))) is np.ndarray
    assert type(net.step(rows(6, 4), rows(6, 4), 0.0)) in (np.ndarray, np.float64)
    assert {type(a) for a in (net.arena.value, net.arena.grad, *net.layer_state.values())} == {
        np.ndarray
    }


# How it tells its NaN from others -----------------------------------------------------------------


def test_a_network_that_diverges_is_not_accused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debug, "on", True)
    net = network(["dense(4)", "tanh", "dense(3)"])
    net.arena.value[...] = np.inf
    with np.errstate(all="ignore"):
        assert np.isnan(net.step(rows(6, 4), rows(6, 3), 0.0))
    assert np.isnan(net.arena.value).any()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64, bool])
def test_dead_memory(dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debug, "on", True)
    whole = np.ones((4, 6), dtype)
    debug.dead(whole[:, ::2])
    floating = np.dtype(dtype).kind == "f"
    assert np.isnan(whole[:, ::2]).all() == floating
    assert (whole[:, 1::2] == 1).all()
    told = whole.dtype in (np.float32, np.float64)
    for a in (whole, -whole, whole * 2.0 + 1.0) if told else ():
        with pytest.raises(PluginError, match="HARNESS_DEBUG"):
            debug.alive(a, "a")
    debug.alive(np.full(3, np.nan, dtype) if floating else whole, "a")


def test_paused_looks_at_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debug, "on", True)
    with debug.paused():
        assert debug.dead(np.ones(2)).tolist() == [1.0, 1.0]
    assert np.isnan(debug.dead(np.ones(2))).all()


# Update rules, predictions, metrics ---------------------------------------------------------------

RULES = [
    "adamw(0.1)",
    "compose(clip_norm(1.0), nesterov(0.1))",
    "compose(radam(0.1), max_norm(1.0), ema(0.9))",
    "lamb",
    "muon",
    "rprop",
    "schedule_free_adamw",
    "compose(gradient_noise, sgd(linear(0.1)), lookahead(2))",
]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("lead", [(), (3,)])
def test_a_clean_rule_keeps_its_bits_and_its_state(rule: str, lead: Any, monkeypatch: Any) -> None:
    def states(net: Network) -> list[Any]:
        found: list[Any] = []

        def walk(state: dict[str, Any]) -> None:
            for key, value in state.items():
                found.append(
                    (key, type(value), None if isinstance(value, dict) else value.tobytes())
                )
                walk(value) if isinstance(value, dict) else None

        walk(net.rule_state)
        return found

    def run() -> list[Any]:
        net = network(["dense(5)", "tanh", "dense(3)"], lead, rule=rule)
        found = []
        for k in range(5):
            net.step(rows(*lead, 6, 4, seed=k), rows(*lead, 6, 3, seed=9), k / 5)
            found.append(net.arena.value.tobytes())
        return [*found, net.theta().tobytes() if net.theta else None, *states(net)]

    expected = run()
    monkeypatch.setattr(debug, "on", True)
    assert run() == expected


def stepping(update: Callable[..., None], **more: Any) -> Any:
    return Rule(lambda arena: {"left": np.full_like(arena.value, 0.5)}, update, **more)


def writes_theta():
    def update(u, arena, state):
        arena.value -= u

    return stepping(update)


def asks_for_the_norm():
    def update(u, arena, state):
        if np.sum(u * u) > 1.0:
            u *= 0.5

    return stepping(update)


def asks_its_state():
    return stepping(lambda u, arena, state: np.multiply(u, -float(state["left"][..., 0]), out=u))


def hands_on_dead_memory():
    return stepping(lambda u, arena, state: debug.dead(u))


def evaluates_by_writing():
    return stepping(
        lambda u, arena, state: None,
        evaluate=lambda arena, state: np.negative(arena.value, arena.value),
    )


@pytest.mark.parametrize(
    ("factory", "error", "message"),
    [
        (writes_theta, ValueError, "output array is read-only"),
        (asks_for_the_norm, PluginError, "asked an array for __bool__"),
        (asks_its_state, PluginError, "asked an array for __float__"),
        (
            hands_on_dead_memory,
            PluginError,
            "u of update rule hands_on_dead_memory must not come from dead memory",
        ),
        (evaluates_by_writing, ValueError, "read-only"),
    ],
)
def test_a_careless_rule_is_told(
    factory: Any, error: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run() -> None:
        registry.update_rule(factory.__name__)(factory)
        net = network(["dense(3)"], rule=factory.__name__)
        net.step(rows(6, 4), rows(6, 3), 0.0)
        if net.theta:
            net.theta()

    registry.load_entry_points()
    run()  # nobody sees it
    monkeypatch.setattr(debug, "on", True)
    with pytest.raises(error, match=message):
        run()


def test_predictions_and_metrics_are_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    def asking():
        def bind(ctx, O):
            made = registry.make("loss", "squared_error")(ctx, O)
            return made[0], lambda y: y if y[0, 0] > 0 else -y

        return bind

    def writing():
        return lambda p, y: np.subtract(p, 1.0, out=p).mean(axis=(-1, -2))

    registry.load_entry_points()
    registry.loss("asking")(asking)
    registry.metric("writing")(writing)
    network(["dense(3)"], loss="asking").predict(rows(6, 3))
    registry.make("metric", "writing")(rows(6, 3), np.zeros(6))
    monkeypatch.setattr(debug, "on", True)
    with pytest.raises(PluginError, match="asked an array for __bool__"):
        network(["dense(3)"], loss="asking").predict(rows(6, 3))
    mine = rows(6, 3)
    with pytest.raises(ValueError, match="read-only"):
        registry.make("metric", "writing")(mine, np.zeros(6))
    mine[...] = 0.0  # and stays ours to write
