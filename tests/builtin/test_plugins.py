"""Everything that is registered passes the conformance suite; and the numbers that the suite cannot
know.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from siblings import quick, tried_each_time

import harness
from harness import registry
from harness.builtin.layers import dense, mlp, residual
from harness.engine.chain import chain
from harness.engine.network import build
from harness.errors import UsageError
from harness.ops import cpu
from harness.testing.conformance import assert_conforms, check
from harness.testing.losses import bind_loss_alone
from harness.testing.samples import KINDS

HOME = Path(harness.__file__).parent
BUILT_IN = [
    e for e in registry.entries() if e.kind in KINDS and Path(e.origin).is_relative_to(HOME)
]

# The same functions once more, on 80-bit floats
EXACT = {
    "identity": lambda z: z,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": lambda z: 1 - 2 / (np.exp(np.clip(2 * z, -5000, 5000)) + 1),
    "relu": lambda z: np.where(z > 0, z, 0),
    "leaky_relu": lambda z: np.where(z > 0, z, np.longdouble("0.01") * z),
}


@pytest.mark.parametrize(
    "entry",
    quick(BUILT_IN, lambda entry: tried_each_time(entry.name)),
    ids=lambda e: f"{e.kind}-{e.name}",
)
def test_conforms(entry: registry.Entry) -> None:
    reference = EXACT.get(entry.name) if entry.kind == "activation" else None
    outcomes = assert_conforms(entry.kind, entry.name, reference=reference)
    assert len(outcomes) >= 3
    names = [each.name for each in outcomes]
    assert len(names) == len(set(names))


# Other arguments than the defaults and the suite's examples
@pytest.mark.parametrize(
    ("kind", "name", "arguments"),
    [
        ("activation", "leaky_relu", {"slope": 0.0}),
        ("activation", "leaky_relu", {"slope": 1.5}),
        ("layer", "dense", {"units": 1}),
        ("layer", "dense", {"units": 5, "bias": False}),
        (
            "layer",
            "dense",
            {"units": 5, "init": "normal(std=0.1, positive=True)", "bias": "constant(0.3)"},
        ),
        ("layer", "dropout", {"rate": 0.0}),
        ("layer", "dropout", {"rate": 0.9}),
        ("layer", "residual", {"layers": ["tanh"]}),
        ("layer", "residual", {"layers": ["dropout(0.5)", "dense(7)"]}),
        ("layer", "residual", {"layers": ["residual(dense(6), tanh)", "dense(5)", "sigmoid"]}),
        (
            "update_rule",
            "compose",
            {"rules": ["weight_decay(0.01)", "clip_value(0.5)", "trace(0.5)", "scale(-0.1)"]},
        ),
        (
            "update_rule",
            "compose",
            {"rules": ["clip_norm(0.1)", "compose(weight_decay(0.1), adam(0.01))"]},
        ),
        ("update_rule", "sgd", {"learning_rate": "cosine(0.1)"}),
        ("update_rule", "momentum", {"decay": 0.0}),
        ("initializer", "he", {"form": "uniform"}),
        ("initializer", "glorot", {"form": "normal"}),
        ("initializer", "normal", {"std": 2.0, "positive": True}),
        ("schedule", "step", {"start": 1.0, "factor": 0.5, "at": [0.2]}),
    ],
)
def test_conforms_with_arguments(kind: str, name: str, arguments: dict[str, Any]) -> None:
    assert_conforms(kind, name, **arguments)


# Activations --------------------------------------------------------------------------------------


def test_the_error_of_a_value_is_reported_in_ulp() -> None:
    for name, exact in EXACT.items():
        found = [o for o in check("activation", name, reference=exact) if o.name.endswith("in ULP")]
        assert len(found) == 1
        assert found[0].number <= (0 if name in ("identity", "relu") else 2)


@pytest.mark.parametrize(
    ("spec", "z", "a"),
    [
        ("identity", [-2.0, 0.0, 3.0], [-2.0, 0.0, 3.0]),
        ("relu", [-2.0, 0.0, 3.0], [0.0, 0.0, 3.0]),
        ("leaky_relu(slope=0.25)", [-2.0, 0.0, 3.0], [-0.5, 0.0, 3.0]),
        ("sigmoid", [-np.inf, 0.0, np.log(3.0)], [0.0, 0.5, 0.75]),
        ("tanh", [-np.inf, 0.0, np.log(2.0)], [-1.0, 0.0, 0.6]),
    ],
)
def test_activation_values(spec: str, z: list[float], a: list[float]) -> None:
    np.testing.assert_allclose(
        registry.make("activation", spec)(np.array(z)), a, rtol=0, atol=1e-15
    )


def test_slope_at_zero_is_zero_for_relu() -> None:
    value, pullback = registry.make("activation", "relu")
    z = np.zeros(1)
    a = np.empty(1)
    da = np.ones(1)
    value(np, z, a)
    pullback(np, z, a, da)
    assert da[0] == 0.0


# Layers -------------------------------------------------------------------------------------------


def network(
    layers: Any, features: int, batch: int, lead: tuple[int, ...] = (), dtype: str = "float64"
) -> Any:
    seeds = list(range(lead[0] if lead else 1))
    made = build(
        layers, features, loss="squared_error", rule="sgd(1.0)", seeds=seeds, lead=lead, batch=batch, eval_batch=batch,
        dtype=dtype, ops=cpu,
    )  # fmt: skip
    made.initialize()
    made.rekey(1)
    return made


class Tap:
    """A layer that passes everything on and remembers what it saw."""

    def __call__(self, ctx: Any, I: int) -> Any:
        def forward(x: np.ndarray, train: bool) -> Any:
            if train:
                self.x = x.copy()

            def backward(dy: np.ndarray) -> np.ndarray:
                self.dy = dy.copy()
                return dy

            return x, backward

        return forward, I


def test_dense_by_hand() -> None:
    """x = (1, 2), W = ((1, 2), (3, 4)), b = (10, 20): y = (1 + 6, 2 + 8) + b = (17, 30)."""
    net = network([dense(2)], 2, 1)
    net.arena.view(net.arena.value, "0/W")[...] = [[1, 2], [3, 4]]
    net.arena.view(net.arena.value, "0/b")[...] = [[10, 20]]
    np.testing.assert_array_equal(net.evaluate(np.array([[1.0, 2.0]])), [[17.0, 30.0]])
    # with t = (16, 32) the gradient is dy = (1, -2): dW = x^T dy = ((1, -2), (2, -4)), db = dy;
    # learning rate 1
    net.step(np.array([[1.0, 2.0]]), np.array([[16.0, 32.0]]), 0.0)
    np.testing.assert_array_equal(net.arena.view(net.arena.value, "0/W"), [[0, 4], [1, 8]])
    np.testing.assert_array_equal(net.arena.view(net.arena.value, "0/b"), [[9, 22]])


def test_dropout_keeps_the_mean_and_masks_the_gradient() -> None:
    tap = Tap()
    n = 40_000
    below = Tap()
    net = network([dense(4, init="constant(1)"), below, "dropout(0.3)", tap], 2, n)
    x = np.ones((n, 2))
    net.step(x, np.zeros((n, 4)), 0.0)
    # below it every value is 2; 3 of 10 are dropped, the others grow to 2 / 0.7
    kept = tap.x != 0.0
    np.testing.assert_allclose(tap.x[kept], 2.0 / 0.7, rtol=1e-15)
    # the share kept of 160,000 draws: mean 0.7, standard deviation sqrt(0.21 / 160000) = 0.0011
    assert abs(kept.mean() - 0.7) < 5 * 0.0012
    assert abs(tap.x.mean() - 2.0) < 0.02
    # the gradient passes where the value passed, with the same factor
    np.testing.assert_array_equal(below.dy == 0.0, ~kept)
    np.testing.assert_allclose(below.dy[kept], tap.dy[kept] / 0.7, rtol=1e-15)


def test_dropout_is_the_identity_in_evaluation() -> None:
    with_it = network([dense(4), "dropout(0.9)"], 3, 5)
    without = network([dense(4)], 3, 5)
    x = np.random.default_rng(0).standard_normal((5, 3))
    np.testing.assert_array_equal(with_it.evaluate(x), without.evaluate(x))


def test_dropout_draws_anew_at_each_step_and_for_each_member() -> None:
    tap = Tap()
    net = network([dense(50, init="constant(1)"), "dropout(0.5)", tap], 2, 8, lead=(2,))
    x = np.ones((8, 2))
    t = np.zeros((2, 8, 50))
    masks = []
    for _ in range(2):
        net.step(x, t, 0.0)
        masks += [tap.x[0] != 0, tap.x[1] != 0]
    for a in range(4):
        for b in range(a):
            assert 0.3 < np.mean(masks[a] != masks[b]) < 0.7


@pytest.mark.parametrize("rate", [1.0, -0.1, 2, True, float("nan")])
def test_dropout_refuses(rate: Any) -> None:
    with pytest.raises(
        UsageError, match=r"rate is the probability to drop and must lie in \[0, 1\)"
    ):
        registry.make("layer", {"name": "dropout", "rate": rate})


@pytest.mark.parametrize("units", [0, -3, 2.5, True])
def test_dense_refuses(units: Any) -> None:
    with pytest.raises(UsageError, match="units must be a whole number of at least 1, got"):
        dense(units)


def test_residual_adds_its_input() -> None:
    x = np.random.default_rng(0).standard_normal((5, 3))
    same = network([residual("tanh")], 3, 5)
    np.testing.assert_array_equal(same.evaluate(x), x + np.tanh(x))
    assert same.arena.slices == {}
    other = network([residual(dense(4), "tanh")], 3, 5)
    assert set(other.arena.slices) == {"0/body/0/W", "0/body/0/b", "0/P"}
    W, b, P = (other.arena.view(other.arena.value, f"0/{k}") for k in ("body/0/W", "body/0/b", "P"))
    np.testing.assert_allclose(other.evaluate(x), x @ P + np.tanh(x @ W + b), rtol=1e-14)
    with pytest.raises(UsageError, match="give at least one layer to go around"):
        residual()


def test_mlp() -> None:
    text = [
        registry.text(each)
        for each in mlp([784, 100, 50, 10], "tanh", kinds=["dense", "residual", "dense"])
    ]
    assert text == [
        "input(units=784)",
        "dense(units=100)",
        "tanh",
        "residual(dense(units=50), tanh)",
        "dense(units=10)",
    ]
    text = [registry.text(each) for each in mlp([4, 3, 2], dropout=(0.2, 0.5), bias=False)]
    assert text[1:4] == ["dropout(rate=0.2)", "dense(units=3, bias=False)", "relu"]
    assert text[4:] == ["dropout(rate=0.5)", "dense(units=2, bias=False)"]
    for sizes in ([784], [784, 0], [784, 2.5], []):
        with pytest.raises(UsageError, match="sizes must be at least two whole numbers above 0"):
            mlp(sizes)
    with pytest.raises(
        UsageError,
        match=r"kinds must name one layer for each size after the first "
        r"\(2\), got 1",
    ):
        mlp([3, 4, 5], kinds=["dense"])


def test_chain_of_chains_is_one_layer() -> None:
    nested = network([chain("dense(4)", "tanh"), "dense(2)"], 3, 5)
    flat = network(["dense(4)", "tanh", "dense(2)"], 3, 5)
    flat.arena.value[...] = nested.arena.value
    x = np.random.default_rng(1).standard_normal((5, 3))
    t = np.ones((5, 2))
    assert nested.step(x, t, 0.0) == flat.step(x, t, 0.0)
    np.testing.assert_array_equal(nested.arena.value, flat.arena.value)


# Losses -------------------------------------------------------------------------------------------


def cross_entropy(y: np.ndarray, t: np.ndarray) -> np.ndarray:
    e = np.exp(np.asarray(y, np.longdouble))
    return -(t * np.log(e / e.sum(axis=-1, keepdims=True))).sum(axis=-1)


def test_losses_against_their_formulas() -> None:
    assert_conforms("loss", "softmax_cross_entropy", reference=cross_entropy)
    assert_conforms("loss", "squared_error", reference=lambda y, t: ((y - t) ** 2).sum(axis=-1) / 2)


def test_cross_entropy_by_hand() -> None:
    """y = (0, log 3): p = (1/4, 3/4). L = (log 4 + log 4/3) / 2; dy = (p - t) / 2."""
    forward, predict = bind_loss_alone("softmax_cross_entropy", batch=2, outputs=2)
    y = np.array([[0.0, math.log(3.0)]] * 2)
    t = np.array([[1.0, 0.0], [0.0, 1.0]])
    values, backward = forward(y, t)
    np.testing.assert_allclose(values, [math.log(4.0), math.log(4.0 / 3.0)], rtol=1e-15)
    np.testing.assert_allclose(backward(), [[-3 / 8, 3 / 8], [1 / 8, -1 / 8]], rtol=1e-15)
    np.testing.assert_allclose(predict(y), [[0.25, 0.75]] * 2, rtol=1e-15)
    with pytest.raises(UsageError, match="needs at least 2 outputs, got 1"):
        bind_loss_alone("softmax_cross_entropy", batch=2, outputs=1)


# Initializers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "mean", "variance"),
    [
        ("zeros", 0.0, 0.0),
        ("constant(0.5)", 0.5, 0.0),
        ("normal", 0.0, 1e-4),
        ("normal(std=0.1)", 0.0, 1e-2),
        # |N(0, 1)| has mean sqrt(2 / pi) and variance 1 - 2 / pi
        ("normal(std=0.01, positive=True)", math.sqrt(2 / math.pi) / 100, (1 - 2 / math.pi) / 1e4),
        ("he", 0.0, 2 / 400),
        ("he(form='uniform')", 0.0, 2 / 400),
        ("glorot", 0.0, 2 / 700),
        ("glorot(form='normal')", 0.0, 2 / 700),
    ],
)
def test_initializer_moments(spec: str, mean: float, variance: float) -> None:
    w = registry.make("initializer", spec)(np.random.default_rng(0), (400, 300), 400, 300)
    # standard errors over 120,000 draws: sigma / 346 of the mean, at most variance * sqrt(2) / 346
    # of the variance
    assert abs(w.mean() - mean) <= 5 * math.sqrt(variance) / 346
    assert abs(w.var() - variance) <= 5 * variance * 1.5 / 346
    if "uniform" in spec or spec == "glorot":
        assert np.abs(w).max() <= math.sqrt(3 * variance)
    if "positive" in spec:
        assert (w > 0).all()


def test_initializers_refuse() -> None:
    with pytest.raises(UsageError, match="normal: std must be a finite number above 0, got 0"):
        registry.make("initializer", "normal(std=0)")
    with pytest.raises(UsageError, match="he: form must be 'normal' or 'uniform', got 'cauchy'"):
        registry.make("initializer", "he(form='cauchy')")


def test_members_start_as_their_seeds_say() -> None:
    nets = [network([dense(4), dense(2)], 3, 1, lead=lead) for lead in ((), (3,))]
    np.testing.assert_array_equal(nets[1].arena.value[0], nets[0].arena.value)
    assert not np.array_equal(nets[1].arena.value[1], nets[0].arena.value)
    first, second = (nets[0].arena.view(nets[0].arena.value, f"{k}/W").ravel()[:8] for k in (0, 1))
    assert not np.array_equal(first, second)  # a stream for each parameter


# Schedules ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "at"),
    [
        ("constant(0.3)", {0.0: 0.3, 0.5: 0.3, 1.0: 0.3}),
        ("linear(0.4)", {0.0: 0.4, 0.25: 0.3, 1.0: 0.0}),
        ("linear(0.1, end=0.5)", {0.0: 0.1, 0.5: 0.3, 1.0: 0.5}),
        ("cosine(0.4)", {0.0: 0.4, 1 / 3: 0.3, 0.5: 0.2, 1.0: 0.0}),
        ("cosine(0.4, end=0.2)", {0.0: 0.4, 0.5: 0.3, 1.0: 0.2}),
        ("step(1.0)", {0.0: 1.0, 0.49: 1.0, 0.5: 0.1, 0.75: 0.01, 1.0: 0.01}),
        ("step(1.0, factor=0.5, at=[0.2])", {0.19: 1.0, 0.2: 0.5, 1.0: 0.5}),
    ],
)
def test_schedule_values(spec: str, at: dict[float, float]) -> None:
    schedule = registry.make("schedule", spec)
    for t, value in at.items():
        assert schedule(t) == pytest.approx(value, abs=1e-15)


def test_step_refuses() -> None:
    with pytest.raises(UsageError, match="fractions of the planned steps between 0 and 1"):
        registry.make("schedule", "step(0.1, at=[10])")


# Metrics ------------------------------------------------------------------------------------------

# Four examples of the classes 0 0 0 1, of which 0 0 1 1 are predicted; class 2 is neither there nor
# predicted
P4 = np.array([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2], [0.2, 0.5, 0.3], [0.1, 0.8, 0.1]])
Y4 = np.array([0, 0, 0, 1])
# and three rows of two targets
V3 = np.array([[1.0, 0.0], [2.0, 2.0], [3.0, 1.0]])
T3 = np.array([[1.0, 1.0], [2.0, 1.0], [6.0, 1.0]])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("accuracy", 3 / 4),
        ("balanced_accuracy", (2 / 3 + 1 / 1) / 2),
        # F1 of class 0: 2*2 / (2*2 + 0 + 1); of class 1: 2*1 / (2*1 + 1 + 0); of class 2: 0
        ("macro_f1", (4 / 5 + 2 / 3 + 0) / 3),
        ("log_loss", -(math.log(0.7) + math.log(0.5) + math.log(0.2) + math.log(0.8)) / 4),
        ("mae", (0 + 1 + 0 + 1 + 3 + 0) / 6),
        ("rmse", math.sqrt((1 + 1 + 9) / 6)),
        # means 3 and 1, squares around them 4 + 1 + 9 and 0
        ("r2", 1 - 11 / 14),
    ],
)
def test_metrics_by_hand(name: str, value: float) -> None:
    score = registry.make("metric", name)
    p, y = (V3, T3) if name in ("mae", "rmse", "r2") else (P4, Y4)
    assert float(score(p, y)) == pytest.approx(value, rel=1e-14)
    np.testing.assert_allclose(score(np.stack([p, p]), y), [value, value], rtol=1e-14)


def test_log_loss_of_certain_errors_is_finite() -> None:
    score = registry.make("metric", "log_loss")
    assert float(score(np.array([[1.0, 0.0]]), np.array([1]))) == pytest.approx(-math.log(1e-15))
