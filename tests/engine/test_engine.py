"""The engine: parameters in one arena, gradients through whole networks, streams, populations,
nothing allocated.
"""

import re
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from harness import registry
from harness.engine.context import Context
from harness.engine.network import Network, build
from harness.errors import UsageError
from harness.ops import cpu, debug, ops_for, stream
from harness.registry import known


def network(
    layers: Any,
    features: int,
    lead: tuple[int, ...] = (),
    batch: int = 6,
    dtype: Any = np.float64,
    seeds: Any = None,
    **kw: Any,
) -> Network:
    defaults = {"loss": "squared_error", "rule": "sgd(1.0)", "eval_batch": batch, "ops": cpu}
    seeds = seeds or list(range(1, 1 + (lead[0] if lead else 1)))
    net = build(
        layers, features, seeds=seeds, lead=lead, batch=batch, dtype=dtype, **{**defaults, **kw}
    )
    net.initialize()
    net.rekey(1)
    return net


def rows(*shape: int, seed: int = 0, dtype: Any = np.float64) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


class Tap:
    """A layer that passes everything on and counts its backward calls."""

    def __init__(self) -> None:
        self.calls = 0
        self.contexts = list[Context]()

    def __call__(self, ctx: Context, I: int) -> Any:
        self.contexts.append(ctx)

        def forward(x: np.ndarray, train: bool) -> Any:
            def backward(dy: np.ndarray) -> np.ndarray:
                self.calls += 1
                return dy

            return x, backward

        return forward, I


# One step by hand ---------------------------------------------------------------------------------


def test_one_step_by_hand() -> None:
    """2-1-2 with relu and softmax cross-entropy, two examples, learning rate 1/2.

    x = (1, 2), (3, -2); W1 = (1, 1)^T, b1 = 1:  z = 4, 2 -> h = 4, 2
    W2 = (0, 0), b2 = (0, 0):                    y = 0, so p = (1/2, 1/2), loss = log 2
    t = (1, 0), (0, 1):                          dy = (p - t) / 2 = (-1, 1) / 4, (1, -1) / 4
    dW2 = h^T dy = (4 * -1 + 2 * 1, 4 * 1 - 2 * 1) / 4 = (-1/2, 1/2);  db2 = (0, 0)
    dh = dy W2^T = 0, so the first layer stays in this step.
    """
    net = network(
        ["dense(1)", "relu", "dense(2)"], 2, batch=2, loss="softmax_cross_entropy", rule="sgd(0.5)"
    )
    view = {k: net.arena.view(net.arena.value, k) for k in net.arena.slices}
    view["0/W"][...] = 1.0
    view["0/b"][...] = 1.0
    view["2/W"][...] = 0.0
    view["2/b"][...] = 0.0
    x = np.array([[1.0, 2.0], [3.0, -2.0]])
    t = np.eye(2)
    assert net.step(x, t, 0.0) == pytest.approx(np.log(2.0), rel=1e-15)
    np.testing.assert_array_equal(view["2/W"], [[0.25, -0.25]])
    np.testing.assert_array_equal(view["2/b"], [[0.0, 0.0]])
    np.testing.assert_array_equal(view["0/W"], [[1.0], [1.0]])
    # The next step: y = h W2 = (1, -1), (1/2, -1/2), p = 1 / (1 + exp(-2)) and 1 / (1 + exp(-1))
    p = 1 / (1 + np.exp(-2.0))
    q = 1 / (1 + np.exp(-1.0))
    assert net.step(x, t, 0.0) == pytest.approx(-(np.log(p) + np.log(1 - q)) / 2, rel=1e-14)
    # dy = (p - 1, 1 - p) / 2, (q, -q) / 2; dh = dy W2^T = (p - 1) / 4, q / 4, both units alive
    dh = np.array([p - 1, q]) / 4
    np.testing.assert_allclose(view["0/W"][:, 0], 1.0 - 0.5 * x.T @ dh, rtol=1e-14)
    np.testing.assert_allclose(view["0/b"], 1.0 - 0.5 * dh.sum(), rtol=1e-14)


# Gradients of whole networks ----------------------------------------------------------------------

NETS = {
    "mlp": ["dense(5)", "relu", "dense(3)"],
    "activation first": ["tanh", "dense(3)"],
    "activation last": ["dense(5)", "tanh", "dense(3)", "sigmoid"],
    "two activations": ["dense(5)", "sigmoid", "tanh", "dense(3)"],
    "dropout first": ["dropout(0.3)", "dense(5)", "leaky_relu(0.1)", "dropout(0.5)", "dense(3)"],
    "dropout between": ["dense(5)", "dropout(0.3)", "tanh", "dropout(0.3)", "relu", "dense(3)"],
    "residual first": ["residual(dense(5), tanh)", "dense(3)"],
    "residual around activation": [
        "dense(5)",
        "residual(tanh)",
        "residual(sigmoid, dense(5))",
        "tanh",
        "dense(3)",
    ],
    "residual after activation": [
        "dense(5)",
        "tanh",
        "residual(tanh, dense(4))",
        "residual(dropout(0.2))",
        "dense(3)",
    ],
    "nested": ["residual(residual(dense(5), tanh), sigmoid)", "residual(dense(3))"],
}


@pytest.fixture
def trashing() -> Iterator[str]:
    """An activation that makes use of what the contract allows: after its pullback z and a are
    gone.
    """

    @registry.activation("trashing", inplace=True)
    def trashing() -> Any:
        def value(xp: Any, z: np.ndarray, out: np.ndarray) -> None:
            xp.tanh(z, out=out)

        def pullback(xp: Any, z: np.ndarray, a: np.ndarray, da: np.ndarray) -> None:
            xp.multiply(da, 1.0 - xp.tanh(z) * a, out=da)
            z[...] = a[...] = np.nan

        return value, pullback

    yield "trashing"
    del known.registered["activation", "trashing"]


@pytest.mark.parametrize("lead", [(), (2,)], ids=["alone", "population"])
@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("loss", ["squared_error", "softmax_cross_entropy"])
def test_gradient_of_a_network(name: str, lead: tuple[int, ...], loss: str) -> None:
    """The first step of sgd(1) is minus the gradient; against central differences along random
    directions.
    """
    against_differences(NETS[name], lead, loss)


@pytest.mark.parametrize("name", NETS)
def test_activations_may_trash_their_arrays(name: str, trashing: str) -> None:
    layers = [
        re.sub(r"tanh|sigmoid|^relu|leaky_relu\(0.1\)", trashing, each) for each in NETS[name]
    ]
    assert layers != NETS[name]
    against_differences(layers, (), "squared_error")


def against_differences(layers: list[str], lead: tuple[int, ...], loss: str) -> None:
    net = network(layers, 4, lead, loss=loss)
    value = net.arena.value
    x = rows(*lead, 6, 4)
    t = np.eye(3)[np.arange(6) % 3] * np.ones((*lead, 1, 1))
    value += 0.1 * rows(*value.shape)
    start = value.copy()

    def loss_at(theta: np.ndarray) -> Any:
        value[...] = theta
        net.rekey(1)
        return np.array(net.step(x, t, 0.0))

    loss_at(start)
    gradient = start - value
    for seed in range(3):
        v = rows(*value.shape, seed=seed)
        numeric = (loss_at(start + 1e-6 * v) - loss_at(start - 1e-6 * v)) / 2e-6
        np.testing.assert_allclose(np.sum(gradient * v, axis=-1), numeric, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", NETS)
def test_data_are_not_written(name: str) -> None:
    net = network(NETS[name], 4)
    x = rows(6, 4)
    t = rows(6, 3)
    x.flags.writeable = t.flags.writeable = False
    net.step(x, t, 0.0)
    net.evaluate(x)


def test_no_gradient_below_the_first_trained_layer() -> None:
    below = Tap()
    above = Tap()
    net = network([below, "dropout(0.1)", "dense(5)", above, "dense(3)"], 4)
    net.step(rows(6, 4), rows(6, 3), 0.0)
    assert (below.calls, above.calls) == (0, 1)
    assert [each.input_needs_grad for each in below.contexts + above.contexts] == [False] * 3 + [
        True
    ] * 3
    second = Tap()  # at "1", and the first parameters belong to "10"
    net = network(["identity", second, *["identity"] * 8, "dense(3)"], 4)
    net.step(rows(6, 4), rows(6, 3), 0.0)
    assert second.calls == 0
    inner = Tap()
    net = network(["dense(5)", "residual(tanh)", "tanh", inner], 4)
    net.step(rows(6, 4), rows(6, 5), 0.0)
    assert inner.calls == 1


# The arena ----------------------------------------------------------------------------------------


def test_decayed_parameters_come_first() -> None:
    net = network(["dense(5)", "tanh", "residual(dense(2))"], 4, (3,))
    where = {k: (s.start, s.stop, shape) for k, (s, shape) in net.arena.slices.items()}
    assert where == {
        "0/W": (0, 20, (4, 5)),
        "2/body/0/W": (20, 30, (5, 2)),
        "2/P": (30, 40, (5, 2)),
        "0/b": (40, 45, (1, 5)),
        "2/body/0/b": (45, 47, (1, 2)),
    }
    assert net.arena.decayed == 40
    assert net.arena.value.shape == net.arena.grad.shape == (3, 47)
    W = net.arena.view(net.arena.value, "0/W")
    assert W.shape == (3, 4, 5)
    assert np.shares_memory(W, net.arena.value)


def test_a_parameter_name_may_come_once() -> None:
    def twice(ctx: Context, I: int) -> Any:
        ctx.param("W", (I, 2), "he")
        ctx.param("W", (I, 2), "he")

    with pytest.raises(
        UsageError, match="parameter names within a layer must differ, '0/W' came twice; rename one"
    ):
        network([twice], 3)


def test_one_product_may_stand_twice() -> None:
    layer = registry.make("layer", "dense(4)")
    net = network([layer, "tanh", layer], 4)
    assert set(net.arena.slices) == {"0/W", "0/b", "2/W", "2/b"}
    assert not np.array_equal(*(net.arena.view(net.arena.value, k) for k in ("0/W", "2/W")))


def test_state_is_one_for_training_and_evaluation() -> None:
    """A layer that counts its training calls, and a member each."""

    def counting(ctx: Context, I: int) -> Any:
        count = ctx.state("count", (1, 1), init=10.0)

        def forward(x: np.ndarray, train: bool) -> Any:
            if train:
                np.add(count, 1.0, out=count)
            return x, lambda dy: dy

        return forward, I

    net = network([counting, "dense(3)"], 4, (2,), dtype=np.float32)
    net.step(rows(2, 6, 4, dtype=np.float32), rows(2, 6, 3, dtype=np.float32), 0.0)
    net.evaluate(rows(6, 4, dtype=np.float32))
    assert list(net.layer_state) == ["0/count"]
    assert net.layer_state["0/count"].dtype == np.float32
    np.testing.assert_array_equal(net.layer_state["0/count"], np.full((2, 1, 1), 11.0))


def test_scalars_have_one_shape() -> None:
    seen: list[np.ndarray] = []

    def asks(ctx: Context, I: int) -> Any:
        seen.append(ctx.scalar([0.1, 0.2, 0.3] if ctx.lead else 0.1))
        seen.append(ctx.scalar(0.5))
        return (lambda x, train: (x, lambda dy: dy)), I

    network([asks, "dense(2)"], 3, (3,), dtype=np.float32)
    network([asks, "dense(2)"], 3, dtype=np.float32)
    assert {s.dtype for s in seen} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(seen[0], np.float32([[[0.1]], [[0.2]], [[0.3]]]))
    np.testing.assert_array_equal(seen[1], np.full((3, 1, 1), 0.5))
    assert seen[-1].shape == seen[-2].shape == (1, 1)


# Streams ------------------------------------------------------------------------------------------


def draws(net: Network, tap: Any, epoch: int) -> np.ndarray:
    net.rekey(epoch)
    net.step(np.ones((6, 4)), np.zeros((*net.arena.value.shape[:-1], 6, 4)), 0.0)
    return tap.seen.copy()


class Noise:
    """A layer that draws numbers and shows them."""

    def __call__(self, ctx: Context, I: int) -> Any:
        fill = ctx.random("noise")
        u = ctx.empty(I)
        unused = ctx.param("unused", (1, 1), "zeros")

        def backward(dy: np.ndarray) -> np.ndarray:
            unused.grad[...] = 0.0
            return dy

        def forward(x: np.ndarray, train: bool) -> Any:
            fill(u)
            if train:
                self.seen = u
            return x * np.ones_like(u), backward

        return forward, I


def test_streams_are_keyed_by_seed_purpose_and_epoch() -> None:
    one = Noise()
    other = Noise()
    net = network([one, "dense(4)"], 4, seeds=[5])
    first = draws(net, one, 1)
    assert (first >= 0).all()
    assert (first < 1).all()
    assert not np.array_equal(first, draws(net, one, 2))
    np.testing.assert_array_equal(first, draws(net, one, 1))  # whatever was drawn before
    longer = network([one, "dense(4)", other, "dropout(0.5)", "dense(4)"], 4, seeds=[5])
    np.testing.assert_array_equal(first, draws(longer, one, 1))  # whoever else draws
    assert not np.array_equal(one.seen, other.seen)
    assert not np.array_equal(first, draws(network([one, "dense(4)"], 4, seeds=[6]), one, 1))
    crowd = draws(network([one, "dense(4)"], 4, (3,), seeds=[9, 5, 6]), one, 1)
    np.testing.assert_array_equal(crowd[1], first)


def test_evaluation_does_not_move_the_streams() -> None:
    found = []
    for peek in (False, True):
        net = network(["dense(5)", "dropout(0.5)", "dense(3)"], 4)
        for _ in range(3):
            net.step(rows(6, 4), rows(6, 3), 0.0)
            if peek:
                net.evaluate(rows(6, 4))
        found.append(net.arena.value.copy())
    np.testing.assert_array_equal(*found)


def test_stream_is_a_pure_function() -> None:
    state = [
        stream(*key).generate_state(4).tolist()
        for key in ((1, "a", 0), (1, "a", 0), (1, "a", 1), (1, "b", 0), (2, "a", 0))
    ]
    assert state[0] == state[1]
    assert len({tuple(s) for s in state}) == 4
    # pinned: another number here would change every result ever recorded
    assert stream(0, "order", 1).generate_state(2).tolist() == [3553386245, 3129743554]


# Populations --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(784, 100, 10), (33, 5, 2), (7, 1, 3)], ids=str)
def test_a_row_equals_the_network_alone(size: tuple[int, int, int]) -> None:
    """At the sizes where BLAS takes other paths: wide, narrow, one unit; with an own and with a
    shared batch.
    """
    features, hidden, outputs = size
    layers = [
        f"dense({hidden})",
        "relu",
        "dropout(0.2)",
        f"residual(dense({hidden}), tanh)",
        f"dense({outputs})",
    ]
    options = {
        "loss": "softmax_cross_entropy",
        "rule": "adam(0.01)",
        "dtype": np.float32,
        "batch": 50,
        "eval_batch": 30,
    }
    for shared in (False, True):
        together = network(layers, features, (3,), **options)
        x = rows(3, 4, 50, features, dtype=np.float32)
        unseen = rows(30, features, dtype=np.float32)
        t = np.eye(outputs, dtype=np.float32)[np.arange(3 * 4 * 50).reshape(3, 4, 50) % outputs]
        if shared:
            x[1:] = x[0]
            t[1:] = t[0]
        losses = [
            together.step(*((x[0, k], t[0, k]) if shared else (x[:, k], t[:, k])), 0.0).copy()
            for k in range(4)
        ]
        seen = together.evaluate(unseen).copy()
        for p in range(3):
            alone = network(layers, features, seeds=[p + 1], **options)
            assert [float(alone.step(x[p, k], t[p, k], 0.0)) for k in range(4)] == [
                float(each[p]) for each in losses
            ]
            np.testing.assert_array_equal(alone.arena.value, together.arena.value[p])
            np.testing.assert_array_equal(alone.evaluate(unseen), seen[p])


def test_a_population_of_one_is_the_network_alone() -> None:
    layers = ["dense(5)", "tanh", "dropout(0.5)", "dense(3)"]
    one = network(layers, 4, (1,))
    alone = network(layers, 4)
    x = rows(6, 4)
    t = rows(6, 3)
    assert one.step(x[None], t[None], 0.0)[0] == alone.step(x, t, 0.0)
    np.testing.assert_array_equal(one.arena.value[0], alone.arena.value)


# Cost ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lead", [(), (3,)], ids=["alone", "population"])
@pytest.mark.parametrize(
    "rule", ["sgd", "compose(clip_norm(1.0), weight_decay(0.001), adam(0.001))"]
)
def test_a_step_allocates_no_array(lead: tuple[int, ...], rule: str) -> None:
    """The smallest buffer of a step has 100 x 200 x 4 bytes; NumPy itself takes up to 8192 x 4 for
    a while.
    """
    layers = [
        "dropout(0.1)",
        "dense(300)",
        "relu",
        "dropout(0.5)",
        "residual(dense(300), tanh)",
        "sigmoid",
        "dense(200)",
    ]
    net = network(
        layers, 400, lead, batch=100, loss="softmax_cross_entropy", rule=rule, dtype=np.float32
    )
    x = rows(*lead, 100, 400, dtype=np.float32)
    t = np.eye(200, dtype=np.float32)[:100] * np.ones((*lead, 1, 1), np.float32)
    for _ in range(2):
        net.step(x, t, 0.0)
    tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        with debug.paused():
            net.step(x, t, 0.0)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 2_000
    assert peak - before < 8192 * 4 + 10_000


# Operations ---------------------------------------------------------------------------------------


def test_gather_takes_rows_for_each_member() -> None:
    data = np.arange(12, dtype=np.uint8).reshape(4, 3)
    index = np.array([[3, 0], [1, 1]])
    out = np.empty((2, 2, 3), np.uint8)
    cpu.gather(data, index, out)
    np.testing.assert_array_equal(out, [[[9, 10, 11], [0, 1, 2]], [[3, 4, 5], [3, 4, 5]]])


def test_gather_needs_no_copy() -> None:
    data = np.ones((500, 300))
    index = np.arange(200)
    out = np.empty((200, 300))
    tracemalloc.start()
    try:
        cpu.gather(data, index, out)
        assert tracemalloc.get_traced_memory()[1] < out.nbytes / 10
    finally:
        tracemalloc.stop()


def test_unknown_device() -> None:
    with pytest.raises(UsageError, match="device must be 'cpu' or 'gpu', got 'tpu'"):
        ops_for("tpu")
