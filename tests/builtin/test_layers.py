"""The built-in layers: options, PyTorch as a second opinion, statistics of noise, running
statistics, frozen parts.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from siblings import quick

from harness import registry
from harness.builtin.layers import mlp
from harness.engine.network import Network, build
from harness.errors import UsageError
from harness.model import Model
from harness.ops import cpu
from harness.testing.alone import LayerAlone, bind_alone
from harness.testing.conformance import assert_conforms

B = 8
I = 6


def rows(*shape: int, seed: int = 0, dtype: Any = np.float64) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def bound(
    layer: Any,
    features: int = I,
    batch: int = B,
    dtype: Any = np.float64,
    lead: tuple[int, ...] = (),
) -> LayerAlone:
    """A layer alone, whose streams and state go on from one forward to the next."""
    alone = bind_alone(layer, lead, dtype, features, batch)
    alone.network.rekey(1)
    return alone


def network(layers: Any, features: int = I, batch: int = B, **options: Any) -> Network:
    settings = {
        "loss": "squared_error",
        "rule": "sgd(0.1)",
        "seeds": [1],
        "lead": (),
        "dtype": np.float64,
    }
    net = build(layers, features, batch=batch, eval_batch=batch, ops=cpu, **{**settings, **options})
    net.initialize()
    net.rekey(1)
    return net


# The suite with other options (test_plugins.py runs it on the defaults) ---------------------------

OPTIONS: dict[str, list[dict[str, Any]]] = {
    "alpha_dropout": [{"rate": 0.1}],
    "batch_norm": [{"affine": False}, {"eps": 0.1, "momentum": 0.7}],
    "dropconnect": [{"units": 5, "rate": 0.2, "bias": False}],
    "frozen": [
        {"layers": ["batch_norm", "dense(5)", "prelu"]},
        {"layers": ["frozen(dense(5))", "dropout(0.2)"]},
        {"layers": ["tanh"]},
    ],
    "gaussian_noise": [{"std": 2.0}],
    "glu": [
        {"units": 5, "gate": g, "bias": b}
        for g, b in (("identity", False), ("leaky_relu(0.3)", "zeros"))
    ],
    "highway": [
        {"layers": ["dense(7)", "dropout(0.3)", "batch_norm"], "bias": "constant(2)"},
        {"layers": ["tanh"]},
    ],
    "layer_norm": [{"elementwise_affine": False}, {"bias": False, "eps": 0.1}],
    "maxout": [{"units": 5, "pieces": p, "bias": False} for p in (1, 3)],
    "prelu": [{"per_feature": True, "init": -0.5}],
    "residual": [{"layers": ["layer_norm", "glu(7)", "scale(0.1)"]}],
    "rms_norm": [{"elementwise_affine": False, "eps": 0.1}],
    "rrelu": [{"lower": -0.5, "upper": 2.0}],
    "scale": [{"init": -0.1, "bias": "normal(std=1)"}],
}
QUICK = ("dense", "dropout", "scale")


@pytest.mark.parametrize(
    ("name", "options"),
    quick([(k, o) for k, each in OPTIONS.items() for o in each], lambda each: each[0] in QUICK),
    ids=str,
)
def test_options_conform(name: str, options: dict[str, Any]) -> None:
    assert_conforms("layer", name, **options)


@pytest.mark.parametrize(("batch", "features"), [(100, 130), (2, 3), (33, 1)])
def test_rows_equal_alone_at_other_sizes(batch: int, features: int) -> None:
    """Where NumPy sums in other orders, and BLAS takes other paths: large, tiny, one feature."""
    specs = [
        "batch_norm",
        "layer_norm",
        "rms_norm",
        "prelu",
        "prelu(per_feature=True)",
        "scale(bias=zeros)",
        "crelu",
    ]
    for spec in [*specs, "maxout(1)", "swiglu(1)", "highway(dense(1))"]:
        together = bound(spec, features, batch, np.float32, lead=(3,))
        x = rows(3, batch, features, dtype=np.float32)
        y, backward = together.forward(x, True)
        dy = rows(*y.shape, seed=1, dtype=np.float32)
        y = y.copy()
        dx = backward(dy.copy())
        seen = together.evaluate(x)
        for p in range(3):
            alone = bound(spec, features, batch, np.float32)
            alone.network.arena.value[...] = together.network.arena.value[p]
            found, back = alone.forward(x[p], True)
            np.testing.assert_array_equal(found, y[p], err_msg=spec)
            np.testing.assert_array_equal(back(dy[p].copy()), dx[p], err_msg=spec)
            np.testing.assert_array_equal(
                alone.network.arena.grad, together.network.arena.grad[p], err_msg=spec
            )
            np.testing.assert_array_equal(alone.evaluate(x[p]), seen[p], err_msg=spec)
            for name, state in alone.network.layer_state.items():
                np.testing.assert_array_equal(
                    state, together.network.layer_state[name][p], err_msg=name
                )


# PyTorch ------------------------------------------------------------------------------------------


def by_hand(torch: Any) -> dict[str, Callable[[Any, dict[str, Any]], Any]]:
    """spec -> f(x, parameters), written with PyTorch's functions; its autograd gives the
    gradients.
    """
    F = torch.nn.functional

    def highway(x: Any, p: Any) -> Any:
        t = torch.sigmoid(x @ p["gate/W"] + p["gate/b"])
        carried = x @ p["carry/W"] if "carry/W" in p else x
        return t * torch.relu(x @ p["body/0/W"] + p["body/0/b"]) + (1 - t) * carried

    def maxout(x: Any, p: Any) -> Any:
        return torch.amax((x @ p["W"] + p["b"]).reshape(B, -1, 5), dim=1)

    def gated(gate: Any) -> Any:
        def layer(x: Any, p: Any) -> Any:
            value, gated_by = (x @ p["W"] + p["b"]).chunk(2, dim=-1)
            return value * gate(gated_by)

        return layer

    def batch_norm(x: Any, p: Any) -> Any:
        return F.batch_norm(x, None, None, p["g"][0], p["b"][0], training=True)

    return {
        "dense(5)": lambda x, p: F.linear(x, p["W"].T, p["b"][0]),
        "residual(dense(5), relu)": lambda x, p: (
            torch.relu(x @ p["body/0/W"] + p["body/0/b"]) + x @ p["P"]
        ),
        "batch_norm": batch_norm,
        "batch_norm(affine=False, eps=0.3)": lambda x, p: F.batch_norm(
            x, None, None, training=True, eps=0.3
        ),
        "layer_norm": lambda x, p: F.layer_norm(x, (I,), p["g"][0], p["b"][0]),
        "layer_norm(eps=0.3, bias=False)": lambda x, p: F.layer_norm(x, (I,), p["g"][0], eps=0.3),
        "layer_norm(elementwise_affine=False)": lambda x, p: F.layer_norm(x, (I,)),
        "rms_norm": lambda x, p: F.rms_norm(x, (I,), p["g"][0]),
        "rms_norm(0.3, elementwise_affine=False)": lambda x, p: F.rms_norm(x, (I,), eps=0.3),
        "highway(dense(6), relu)": highway,
        "highway(dense(5), relu)": highway,
        "maxout(5)": maxout,
        "maxout(5, pieces=4)": maxout,
        "crelu": lambda x, p: torch.cat([torch.relu(x), torch.relu(-x)], dim=-1),
        "prelu": lambda x, p: F.prelu(x, p["slope"][0]),
        "prelu(per_feature=True)": lambda x, p: F.prelu(x, p["slope"][0]),
        "glu(5)": lambda x, p: F.glu(x @ p["W"] + p["b"]),
        "glu(5, gate=tanh)": gated(torch.tanh),
        "geglu(5)": gated(F.gelu),
        "swiglu(5)": gated(F.silu),
        "scale(0.5, bias=zeros)": lambda x, p: x * p["g"] + p["b"],
        "frozen(dense(5), tanh)": lambda x, p: torch.tanh(x @ p["body/0/W"] + p["body/0/b"]),
    }


@pytest.mark.parametrize("zeros", [False, True], ids=["ordinary", "some inputs 0"])
def test_against_pytorch(zeros: bool) -> None:
    """Forward, dx and every parameter's gradient in float64."""
    torch = pytest.importorskip("torch", reason="PyTorch is the second opinion")
    for spec, f in by_hand(torch).items():
        layer = bound(spec)
        x = rows(B, I)
        x[2, ::2] = 0.0 if zeros else x[2, ::2]  # at a kink PyTorch's choice of slope
        dy = rows(B, layer.outputs, seed=1)
        xt = torch.tensor(x, requires_grad=True)
        p = {k: torch.tensor(v, requires_grad=True) for k, v in layer.parameters().items()}
        expected = f(xt, p)
        expected.backward(torch.tensor(dy))
        y, backward = layer.forward(x, True)
        close = {"rtol": 1e-11, "atol": 1e-13, "err_msg": spec}
        np.testing.assert_allclose(y, expected.detach().numpy(), **close)
        np.testing.assert_allclose(backward(dy), xt.grad.numpy(), **close)
        for name, gradient in layer.gradients().items():
            np.testing.assert_allclose(
                gradient, p[name].grad.numpy(), **{**close, "err_msg": f"{spec} {name}"}
            )
        assert set(layer.gradients()) == (
            set() if "frozen" in spec else {k for k in p if p[k].grad is not None}
        )
        if "batch_norm" not in spec:
            np.testing.assert_allclose(layer.evaluate(x), expected.detach().numpy(), **close)


@pytest.mark.parametrize(
    "options", [{}, {"momentum": 0.4, "eps": 0.2}, {"affine": False, "momentum": 1.0}], ids=str
)
def test_batch_norm_against_pytorch(options: dict[str, Any]) -> None:
    """Six batches of drifting numbers: outputs, running statistics, and what evaluation makes of
    them.
    """
    torch = pytest.importorskip("torch", reason="PyTorch is the second opinion")
    layer = bound({"name": "batch_norm", **options})
    module = torch.nn.BatchNorm1d(I, **options, dtype=torch.float64)
    if module.affine:
        for ours, theirs in (("g", module.weight), ("b", module.bias)):
            theirs.data[...] = torch.tensor(layer.parameters()[ours][0])
    for k in range(6):
        x = (1 + k) * rows(B, I, seed=k) + k
        np.testing.assert_allclose(
            layer.forward(x, True)[0],
            module(torch.tensor(x)).detach().numpy(),
            rtol=1e-11,
            atol=1e-13,
        )
    state = layer.network.layer_state
    assert {k: v.shape for k, v in state.items()} == {
        "0/running_mean": (1, I),
        "0/running_var": (1, I),
    }
    np.testing.assert_allclose(state["0/running_mean"][0], module.running_mean.numpy(), rtol=1e-12)
    np.testing.assert_allclose(state["0/running_var"][0], module.running_var.numpy(), rtol=1e-12)
    x = rows(B, I, seed=9)
    expected = module.eval()(torch.tensor(rows(B, I, seed=9))).detach().numpy()
    np.testing.assert_allclose(layer.evaluate(x), expected, rtol=1e-11, atol=1e-13)


def test_defaults_are_those_of_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the second opinion")
    nn = torch.nn

    def default(name: str) -> dict[str, Any]:
        return {
            k: p.default
            for k, p in registry.find("layer", name).parameters.items()
            if p.default is not p.empty
        }

    norm = nn.BatchNorm1d(I)
    layer_norm = nn.LayerNorm(I)
    rms = nn.RMSNorm(I)
    assert default("batch_norm") == {
        "eps": norm.eps,
        "momentum": norm.momentum,
        "affine": norm.affine,
    }
    assert default("layer_norm") == {
        "eps": layer_norm.eps,
        "elementwise_affine": True,
        "bias": True,
    }
    assert default("rms_norm") == {"eps": rms.eps, "elementwise_affine": rms.elementwise_affine}
    assert default("prelu")["init"] == nn.PReLU().init
    assert default("alpha_dropout")["rate"] == nn.AlphaDropout().p
    assert default("dropout")["rate"] == nn.Dropout().p


def test_dropout_has_the_two_values_of_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the second opinion")
    for rate in (0.1, 0.5, 0.8):
        x = np.full((50, 40), 0.7)
        theirs = torch.nn.Dropout(rate)(torch.tensor(x)).numpy()
        ours = bound({"name": "dropout", "rate": rate}, 40, 50).forward(x, True)[0]
        np.testing.assert_allclose(np.unique(ours), np.unique(theirs), rtol=1e-12)
        deviation = np.sqrt(rate * (1 - rate) / x.size)
        assert abs(np.mean(ours == 0) - rate) < 5 * deviation  # rate drops, and does not keep


def test_alpha_dropout_has_the_two_values_of_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the second opinion")
    for rate in (0.1, 0.5, 0.8):
        x = np.full((50, 40), 0.7)
        values = [np.unique(torch.nn.AlphaDropout(rate)(torch.tensor(x)).numpy())]
        values.append(
            np.unique(bound({"name": "alpha_dropout", "rate": rate}, 40, 50).forward(x, True)[0])
        )
        np.testing.assert_allclose(values[1], values[0], rtol=1e-12)
        assert len(values[1]) == 2


# By hand ------------------------------------------------------------------------------------------


def test_batch_norm_by_hand() -> None:
    """x = 1, 3: mean 2, biased variance 1, unbiased 2. With eps = 3 the root is 2: y = -1/2, 1/2.

    running mean 0 + 0.1 (2 - 0) = 0.2, running variance 1 + 0.1 (2 - 1) = 1.1; evaluation of 2.4:
    2.2 / sqrt(4.1).
    """
    net = network(["batch_norm(eps=3)"], 1, 2)
    layer = bound("batch_norm(eps=3, affine=False)", 1, 2)
    x = np.array([[1.0], [3.0]])
    np.testing.assert_array_equal(layer.forward(x, True)[0], [[-0.5], [0.5]])
    np.testing.assert_allclose(layer.network.layer_state["0/running_mean"], [[0.2]], rtol=1e-15)
    np.testing.assert_allclose(layer.network.layer_state["0/running_var"], [[1.1]], rtol=1e-15)
    np.testing.assert_allclose(
        layer.evaluate(np.array([[2.4], [0.2]])), [[2.2 / math.sqrt(4.1)], [0.0]], rtol=1e-14
    )
    # y = (-1/2, 1/2), t = 0, loss y^2 / 2: dg = mean(dy h) = mean(1/4, 1/4), db = 0; sgd(0.1)
    net.step(x, np.zeros((2, 1)), 0.0)
    np.testing.assert_allclose(net.arena.view(net.arena.value, "0/g"), [[1 - 0.1 / 4]], rtol=1e-14)


def test_batch_norm_of_a_single_last_row_takes_the_running_statistics() -> None:
    """A row has no variance: y = g (x - m) / sqrt(v + eps) + b, dx = g / sqrt(v + eps) dy, and m, v
    stay.
    """
    net = network(["dense(1, init=constant(1))", "batch_norm(eps=3)"], 1, 2, last_batch=1)
    net.step(np.array([[1.0], [3.0]]), np.zeros((2, 1)), 0.0)
    before = {path: net.arena.view(net.arena.value, path).copy() for path in net.arena.slices}
    mean, var = (net.layer_state[f"1/running_{name}"].copy() for name in ("mean", "var"))
    loss = net.last_step(np.array([[5.0]]), np.array([[2.0]]), 0.0)
    z = 5.0 * before["0/W"] + before["0/b"]
    h = (z - mean) / np.sqrt(var + 3)
    y = before["1/g"] * h + before["1/b"]
    np.testing.assert_allclose(loss, ((y - 2) ** 2 / 2).item(), rtol=1e-12)
    dz = (y - 2) * before["1/g"] / np.sqrt(var + 3)
    for path, gradient in {"1/g": (y - 2) * h, "1/b": y - 2, "0/W": 5.0 * dz, "0/b": dz}.items():
        moved = net.arena.view(net.arena.value, path)
        np.testing.assert_allclose(moved, before[path] - 0.1 * gradient, rtol=1e-12, err_msg=path)
    np.testing.assert_array_equal(net.layer_state["1/running_mean"], mean)
    np.testing.assert_array_equal(net.layer_state["1/running_var"], var)


def test_members_have_statistics_of_their_own() -> None:
    layer = bound("batch_norm(momentum=1.0)", 1, 4, lead=(2,))
    x = rows(2, 4, 1)
    layer.forward(x, True)
    np.testing.assert_allclose(
        layer.network.layer_state["0/running_mean"], x.mean(axis=1, keepdims=True), rtol=1e-12
    )
    np.testing.assert_allclose(
        layer.network.layer_state["0/running_var"], x.var(axis=1, keepdims=True, ddof=1)
    )
    differing = bound({"name": "batch_norm", "momentum": [0.0, 1.0]}, 1, 4, lead=(2,))
    differing.forward(x, True)
    np.testing.assert_allclose(
        differing.network.layer_state["0/running_mean"].ravel(), [0.0, x[1].mean()]
    )


def test_batch_norm_needs_two_rows() -> None:
    layer = bound("batch_norm", 3, 1)
    assert layer.evaluate(np.ones((1, 3))).shape == (1, 3)
    with pytest.raises(
        UsageError, match="batch_norm: a training batch must have at least 2 rows, got 1"
    ):
        layer.forward(np.ones((1, 3)), True)


# Noise --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("features", [200, 201])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gaussian_noise_is_normal(features: int, dtype: Any) -> None:
    """Moments of n = 80,000 numbers: their standard errors are 1, sqrt(2), sqrt(15) and sqrt(96)
    over sqrt(n).
    """
    x = np.full((400, features), 3.0, dtype)
    y, backward = bound("gaussian_noise(0.5)", features, 400, dtype).forward(x, True)
    e = (y.astype(np.float64) - 3.0) / 0.5
    n = y.size
    for power, moment, error in ((1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)):
        assert abs(np.mean(e**power) - moment) < 4 * math.sqrt(error / n), power
    assert np.mean(np.abs(e) > 3) == pytest.approx(0.0027, abs=0.0008)
    half = (features + 1) // 2  # the two numbers of a pair, and neighbours
    for a, b in ((e[:, :-half], e[:, half:]), (e[:, :-1], e[:, 1:]), (e[:-1], e[1:])):
        for f in (np.copy, np.square):
            assert abs(np.corrcoef(f(a).ravel(), f(b).ravel())[0, 1]) < 4 / math.sqrt(a.size)
    dy = rows(400, features, dtype=dtype)
    np.testing.assert_array_equal(backward(dy.copy()), dy)


def test_alpha_dropout_keeps_mean_and_variance() -> None:
    """Through ten layers of lecun weights, selu and alpha_dropout; plain dropout loses both."""
    h = {name: rows(500, 300) for name in ("alpha_dropout(0.2)", "dropout(0.2)")}
    for name, x in h.items():
        selu = registry.make("activation", "selu")
        for k in range(10):
            x = selu(x @ rows(300, 300, seed=k) / math.sqrt(300))
            x = bound(name, 300, 500).forward(x, True)[0].copy()
        h[name] = x
    assert abs(h["alpha_dropout(0.2)"].mean()) < 0.06
    assert h["alpha_dropout(0.2)"].var() == pytest.approx(1.0, abs=0.1)
    assert h["dropout(0.2)"].var() > 1.2


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("name", ["dropout", "alpha_dropout", "dropconnect"])
def test_rate_is_the_share_that_is_dropped(name: str, rate: float) -> None:
    if name == "dropconnect":  # rows of the unit matrix show the weights
        layer = bound({"name": name, "units": 150, "rate": rate, "bias": False}, 200, 200)
        W = layer.parameters()["W"]
        y = layer.forward(np.eye(200), True)[0]
        dropped = y == 0
        np.testing.assert_allclose(y[~dropped], (W / (1 - rate))[~dropped], rtol=1e-12)
        np.testing.assert_array_equal(layer.evaluate(np.eye(200)), W)
    else:
        y, backward = bound({"name": name, "rate": rate}, 150, 200).forward(
            np.full((200, 150), 1.5), True
        )
        dropped = y == y.min()
        assert np.unique(y).size == 2
        np.testing.assert_array_equal(backward(np.ones((200, 150))) == 0, dropped)
    assert np.mean(dropped) == pytest.approx(
        rate, abs=4 * math.sqrt(rate * (1 - rate) / dropped.size)
    )


def test_masks_are_new_in_each_step() -> None:
    for spec in ("dropout", "alpha_dropout", "gaussian_noise", "dropconnect(6)", "rrelu"):
        layer = bound(spec)
        x = rows(B, I)
        first = layer.forward(x, True)[0].copy()
        assert not np.array_equal(first, layer.forward(x, True)[0]), spec


def test_nothing_dropped_is_the_identity() -> None:
    x = rows(B, I, dtype=np.float32)
    dy = rows(B, I, seed=1, dtype=np.float32)
    for spec in ("dropout(0)", "alpha_dropout(0)", "gaussian_noise(0)"):
        layer = bound(spec, dtype=np.float32)
        y, backward = layer.forward(x, True)
        np.testing.assert_array_equal(y, x, err_msg=spec)
        np.testing.assert_array_equal(backward(dy.copy()), dy, err_msg=spec)
    for spec in ("dropout(0.9)", "alpha_dropout(0.9)", "gaussian_noise(9)"):
        np.testing.assert_array_equal(bound(spec, dtype=np.float32).evaluate(x), x, err_msg=spec)


def test_rrelu_draws_a_slope_for_each_negative_value() -> None:
    x = rows(40, 30)
    layer = bound("rrelu(0.2, 0.6)", 30, 40)
    y, backward = layer.forward(x, True)
    slope = (y / x).copy()
    negative = x < 0
    np.testing.assert_array_equal(y[~negative], x[~negative])
    drawn = slope[negative]
    assert np.unique(drawn).size > 0.99 * drawn.size
    assert drawn.min() >= 0.2
    assert drawn.max() < 0.6
    # The mean of n uniform numbers is off by a standard deviation of width / sqrt(12 n).
    assert drawn.mean() == pytest.approx(0.4, abs=4 * 0.4 / math.sqrt(12 * drawn.size))
    np.testing.assert_allclose(backward(np.ones_like(x)), slope, rtol=1e-12)
    np.testing.assert_allclose(layer.evaluate(x), np.where(negative, 0.4 * x, x), rtol=1e-12)


# Frozen -------------------------------------------------------------------------------------------


def test_frozen_layers_stay_and_pass_gradients() -> None:
    """The same network with and without frozen: in one step the trained parameters move alike, the
    frozen ones not.
    """
    plain = network(["dense(5)", "tanh", "dense(4)", "prelu", "dense(3)"])
    part = network(["dense(5)", "tanh", "frozen(dense(4), prelu)", "dense(3)"])
    start = plain.arena.value.copy()
    at = {p: plain.arena.view(start, p) for p in plain.arena.slices}
    there = {"0/W": "0/W", "0/b": "0/b", "3/W": "4/W", "3/b": "4/b"}
    frozen = {"2/body/0/W": "2/W", "2/body/0/b": "2/b", "2/body/1/slope": "3/slope"}
    assert set(part.arena.slices) == set(there)
    assert set(part.frozen) == set(frozen)
    for mine, theirs in there.items():
        part.arena.view(part.arena.value, mine)[...] = at[theirs]
    for mine, theirs in frozen.items():
        part.frozen[mine][...] = at[theirs]
    x = rows(B, I)
    t = rows(B, 3)
    assert part.step(x, t, 0.0) == plain.step(x, t, 0.0)
    for mine, theirs in there.items():
        moved = plain.arena.view(plain.arena.value, theirs)
        assert not np.array_equal(moved, at[theirs])
        np.testing.assert_array_equal(part.arena.view(part.arena.value, mine), moved)
    for mine, theirs in frozen.items():
        np.testing.assert_array_equal(part.frozen[mine], at[theirs])


@pytest.mark.parametrize("lead", [(), (2,)], ids=["alone", "population"])
@pytest.mark.parametrize(
    "first",
    ["frozen(dense(5), tanh)", "frozen(frozen(dense(5)), tanh)", "frozen(residual(dense(5)))"],
)
def test_a_frozen_first_layer_is_random_features(first: str, lead: tuple[int, ...]) -> None:
    """What is above learns as if it got the features as data; below nobody is asked for a
    gradient.
    """
    seeds = [1, 2][: lead[0] if lead else 1]
    net = network([first, "dense(3)"], seeds=seeds, lead=lead)
    below = net.evaluate if not lead else None
    kept = {k: v.copy() for k, v in net.frozen.items()}
    assert set(net.arena.slices) == {"1/W", "1/b"}
    assert all(
        k.startswith("0/body/") and np.ptp(v) > 0 for k, v in kept.items() if k.endswith("W")
    )
    x = rows(*lead, B, I)
    t = rows(*lead, B, 3)
    features = network([first, "dense(3)"], seeds=seeds, lead=lead)
    W, b = (features.arena.view(features.arena.value, k) for k in ("1/W", "1/b"))
    W[...] = np.eye(5, 3)
    b[...] = 0.0  # three features at a time are seen through the top layer
    seen = [features.evaluate(x).copy()]
    W[...] = np.eye(5, 3, k=-2)
    h = np.concatenate([seen[0][..., :2], features.evaluate(x)], axis=-1)
    W, b = (net.arena.view(net.arena.value, k).copy() for k in ("1/W", "1/b"))
    dy = (h @ W + b - t) / B
    net.step(x, t, 0.0)
    np.testing.assert_allclose(
        net.arena.view(net.arena.value, "1/W"),
        W - 0.1 * h.swapaxes(-1, -2) @ dy,
        rtol=1e-12,
        atol=1e-14,
    )
    for k, v in kept.items():
        np.testing.assert_array_equal(net.frozen[k], v)
    assert below is None or np.isfinite(below(x)).all()


def test_layers_below_a_frozen_one_get_no_backward_unless_trained() -> None:
    calls = []

    def tap(ctx: Any, width: int) -> Any:
        needs = ctx.input_needs_grad

        def backward(dy: np.ndarray) -> np.ndarray:
            calls.append(needs)
            return dy

        return (lambda x, train: (x, backward)), width

    network(["frozen(dense(5))", tap, "dense(3)"]).step(rows(B, I), rows(B, 3), 0.0)
    assert calls == []
    network(["dense(5)", "frozen(dense(5))", tap, "dense(3)"]).step(rows(B, I), rows(B, 3), 0.0)
    assert calls == [True]


# Training -----------------------------------------------------------------------------------------

NETS = {
    "dense": mlp([196, 30, 10]),
    "dropout": ["dense(50)", "relu", "dropout(0.2)", "dense(10)"],
    "alpha_dropout": ["dense(50, init=glorot)", "selu", "alpha_dropout(0.1)", "dense(10)"],
    "dropconnect": mlp([196, 50, 10], kinds=["dropconnect(rate=0.2)", "dense"]),
    "gaussian_noise": ["gaussian_noise(0.1)", "dense(30)", "relu", "dense(10)"],
    "batch_norm": ["batch_norm", "dense(30)", "batch_norm", "relu", "dense(10)"],
    "layer_norm": ["dense(30)", "layer_norm", "relu", "dense(10)"],
    "rms_norm": ["dense(30)", "rms_norm", "relu", "dense(10)"],
    "rrelu": ["dense(30)", "rrelu", "dense(10)"],
    "residual": mlp([196, 30, 30, 10], kinds=["dense", "residual", "dense"]),
    "highway": mlp([196, 30, 30, 10], kinds="highway"),
    "maxout": mlp([196, 20, 10], "identity", kinds=["maxout(pieces=3)", "maxout"]),
    "crelu": ["dense(20)", "crelu", "dense(10)"],
    "prelu": ["dense(30)", "prelu", "dense(20)", "prelu(per_feature=True)", "dense(10)"],
    "glu": mlp([196, 30, 10], "identity", kinds=["glu(gate=leaky_relu(0.1))", "dense"]),
    "geglu": mlp([196, 30, 10], "identity", kinds=["geglu", "dense"]),
    "swiglu": mlp([196, 30, 10], "identity", kinds=["swiglu", "dense"]),
    "scale": [
        "dense(30)",
        "relu",
        "residual(dense(30), relu, scale(0.1))",
        "scale(bias=zeros)",
        "dense(10)",
    ],
    "frozen": mlp([196, 300, 10], kinds=["frozen", "dense"]),
}


def test_all_layers_are_here() -> None:
    home = registry.find("layer", "dense").origin.replace("dense.py", "")
    ours = {e.name for e in registry.entries("layer") if e.origin.startswith(home)}
    assert ours == {*NETS, "activate"}


@pytest.mark.parametrize("name", NETS)
def test_trains_on_digits(name: str) -> None:
    """Eight epochs of 1800 digits, then 1000 others: chance is 0.1, softmax regression reaches
    0.86.
    """
    settings = {
        "data": "mnist14(rows=2000)",
        "valid": 0.1,
        "batch": 20,
        "epochs": 8,
        "seed": 0,
        "film": None,
    }
    assert Model(layers=NETS[name], update="adam(0.004)", **settings).fit().score() > 0.84


# Sizes to layers ----------------------------------------------------------------------------------


def test_mlp_of_kinds() -> None:
    def written(*args: Any, **options: Any) -> list[str]:
        return [registry.text(each) for each in mlp(*args, **options)[1:]]

    assert written([4, 3, 2], "tanh", kinds=["dropconnect", "dense"]) == [
        "dropconnect(units=3)",
        "tanh",
        "dense(units=2)",
    ]
    assert written([4, 3, 2], kinds="maxout(pieces=3)", bias=False)[::2] == [
        "maxout(units=3, pieces=3, bias=False)",
        "maxout(units=2, pieces=3, bias=False)",
    ]
    assert written([4, 3, 2], kinds=["frozen", "highway"]) == [
        "frozen(dense(units=3), relu)",
        "highway(dense(units=2))",
    ]
    assert written([4, 2], kinds="highway(bias=constant(-3))") == [
        "highway(layers=[dense(units=2)], bias=constant(value=-3))"
    ]
    sized_or_wrapping = [
        "glu",
        "geglu",
        "swiglu",
        "maxout",
        "dropconnect",
        "residual",
        "highway",
        "frozen",
    ]
    net = network(mlp([I, *range(9, 9 + len(sized_or_wrapping))], kinds=sized_or_wrapping)[1:])
    assert net.evaluate(rows(B, I)).shape == (B, 16)
    for kind in ("batch_norm", "relu"):
        with pytest.raises(
            UsageError,
            match=rf"take units, like dense, or wrap layers, like "
            rf"residual; {kind}\(",
        ):
            mlp([4, 3, 2], kinds=[kind, "dense"])


# Bad arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("dense(0)", "dense: units must be a whole number of at least 1, got 0"),
        ("dropconnect(2.5)", "dropconnect: units must be a whole number of at least 1, got 2.5"),
        (
            "dropconnect(3, rate=1)",
            r"dropconnect: rate is the probability to drop and must lie in "
            r"\[0, 1\), got 1",
        ),
        ("maxout(3, pieces=0)", "maxout: pieces must be a whole number of at least 1, got 0"),
        ("glu(True)", "glu: units must be a whole number of at least 1, got True"),
        ("swiglu(-1)", "glu: units must be a whole number of at least 1, got -1"),
        ("glu(3, gate=sigmiod)", "unknown activation 'sigmiod'; did you mean 'sigmoid'"),
        ("alpha_dropout(-0.1)", "alpha_dropout: rate is the probability to drop"),
        ({"name": "alpha_dropout", "rate": [0.1, 1.5]}, "alpha_dropout: rate .* got 1.5"),
        ("gaussian_noise(-1)", "gaussian_noise: std must be a finite number of at least 0, got -1"),
        (
            {"name": "gaussian_noise", "std": math.nan},
            "gaussian_noise: std must be a finite number .* got nan",
        ),
        ("rrelu(0.5, 0.2)", r"rrelu: lower must be at most upper, got lower=0.5 and upper=0.2"),
        ({"name": "rrelu", "upper": math.inf}, "rrelu: upper must be a finite number, got inf"),
        ("batch_norm(eps=0)", "batch_norm: eps must be a number above 0, got 0"),
        (
            "batch_norm(momentum=2)",
            r"batch_norm: momentum weighs what is new and must lie in \[0, "
            r"1\], got 2",
        ),
        ("layer_norm(eps=-1)", "layer_norm: eps must be a number above 0, got -1"),
        ("rms_norm(eps=0)", "rms_norm: eps must be None or a number above 0, got 0"),
        ({"name": "prelu", "init": math.inf}, "prelu: init must be a finite number, got inf"),
        ("scale(init=True)", "scale: init must be a finite number, got True"),
        ("highway", "highway: give at least one layer to go around"),
        ("frozen", "frozen: give at least one layer to freeze"),
        ("frozen(dens(3))", "unknown layer 'dens'; did you mean 'dense'"),
    ],
    ids=str,
)
def test_bad_arguments(spec: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        registry.make("layer", spec)
