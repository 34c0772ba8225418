"""The built-in initializers: moments, orthogonality, sparsity, the same weights from the same
seed.
"""

import math
from typing import Any

import numpy as np
import pytest

from harness import registry
from harness.engine.network import build
from harness.errors import UsageError
from harness.ops import cpu
from harness.testing.conformance import assert_conforms

I = 400
O = 300


def draw(spec: str, shape: tuple[int, ...] = (I, O), seed: int = 0) -> np.ndarray:
    fans = shape[-2:] if len(shape) > 1 else (1, shape[0])
    return registry.make("initializer", spec)(np.random.default_rng(seed), shape, *fans)


ALL = ["zeros", "constant", "normal", "uniform", "he", "glorot", "lecun", "orthogonal", "sparse"]


def test_every_initializer_is_here() -> None:
    assert {
        e.name for e in registry.entries("initializer") if e.origin.endswith("initializers.py")
    } == set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_conforms(name: str) -> None:
    assert_conforms("initializer", name)


@pytest.mark.parametrize(
    ("spec", "mean", "variance", "largest"),
    [
        ("uniform", 0.5, 1 / 12, 1.0),
        ("uniform(-0.3, 0.1)", -0.1, 0.16 / 12, 0.3),
        ("he", 0.0, 2 / I, None),
        ("he('uniform')", 0.0, 2 / I, math.sqrt(6 / I)),
        ("glorot", 0.0, 2 / (I + O), math.sqrt(6 / (I + O))),
        ("glorot('normal')", 0.0, 2 / (I + O), None),
        ("lecun", 0.0, 1 / I, None),
        ("lecun('uniform')", 0.0, 1 / I, math.sqrt(3 / I)),
        ("orthogonal", 0.0, 1 / I, None),
        ("orthogonal(gain=3.0)", 0.0, 9 / I, None),
        ("sparse", 0.0, 15 / I, None),
        ("sparse(k=40, std=0.1)", 0.0, 0.4 / I, None),
    ],
)
def test_moments(spec: str, mean: float, variance: float, largest: float | None) -> None:
    w = draw(spec)
    # 120,000 draws; the fourth moment of a sparse weight is 3 I / k times that of the square of its
    # variance
    kurtosis = 3 * (I / 15 if spec == "sparse" else I / 40 if "sparse" in spec else 1)
    assert abs(w.mean() - mean) <= 5 * math.sqrt(variance / w.size)
    assert abs(w.var() - variance) <= 5 * variance * math.sqrt((kurtosis - 1) / w.size)
    if largest is not None:
        assert 0.99 * largest <= np.abs(w).max() <= largest


@pytest.mark.parametrize(
    ("spec", "name", "given"),
    [
        ("he", "kaiming_normal_", {"nonlinearity": "relu"}),
        ("he('uniform')", "kaiming_uniform_", {"nonlinearity": "relu"}),
        ("glorot", "xavier_uniform_", {}),
        ("glorot('normal')", "xavier_normal_", {}),
        ("uniform", "uniform_", {}),
        ("lecun", "kaiming_normal_", {"nonlinearity": "linear"}),
        ("lecun('uniform')", "kaiming_uniform_", {"nonlinearity": "linear"}),
        ("normal(std=0.25)", "normal_", {"std": 0.25}),
        ("uniform(-0.5, 0.2)", "uniform_", {"a": -0.5, "b": 0.2}),
        ("zeros", "zeros_", {}),
        ("orthogonal(gain=1.5)", "orthogonal_", {"gain": 1.5}),
        ("constant(0.3)", "constant_", {"val": 0.3}),
    ],
)
def test_spread_is_that_of_pytorch(spec: str, name: str, given: dict[str, Any]) -> None:
    """PyTorch's weights are (O, I), so this also holds which side is the fan in."""
    torch = pytest.importorskip(
        "torch", reason="PyTorch is not installed: the reference for spreads"
    )
    torch.manual_seed(0)
    theirs = getattr(torch.nn.init, name)(torch.empty(O, I, dtype=torch.float64), **given).numpy()
    ours = draw(spec)
    assert ours.mean() == pytest.approx(theirs.mean(), abs=0.02 * max(theirs.std(), 1e-9))
    assert ours.std() == pytest.approx(theirs.std(), rel=0.01, abs=1e-12)


@pytest.mark.parametrize("shape", [(8, 5), (5, 8), (6, 6), (1, 7), (7, 1), (3, 8, 5), (2, 3, 4, 9)])
def test_orthogonal_matrices(shape: tuple[int, ...]) -> None:
    w = draw("orthogonal(gain=2.0)", shape)
    tall = w if shape[-2] >= shape[-1] else w.swapaxes(-1, -2)
    eye = 4.0 * np.eye(min(shape[-2:]))
    np.testing.assert_allclose(
        tall.swapaxes(-1, -2) @ tall, np.broadcast_to(eye, (*shape[:-2], *eye.shape)), atol=1e-13
    )
    assert w.flags.c_contiguous


def test_orthogonal_vector() -> None:
    """A parameter with one axis is a row: of length gain."""
    assert np.linalg.norm(draw("orthogonal(gain=0.5)", (9,))) == pytest.approx(0.5, rel=1e-14)


def test_orthogonal_matrices_prefer_no_direction() -> None:
    """Uniform over all 3 x 3 orthogonal matrices: the trace has mean 0 and variance 1, half of them
    turn, half mirror.

    The bare QR decomposition has signs of its own, which shifts the trace.
    """
    w = draw("orthogonal", (4000, 3, 3))
    traces = np.trace(w, axis1=-2, axis2=-1)
    assert abs(traces.mean()) < 5 / math.sqrt(4000)
    assert traces.var() == pytest.approx(1.0, abs=0.1)
    assert np.mean(np.linalg.det(w) > 0) == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(4000))


@pytest.mark.parametrize(
    ("spec", "k"), [("sparse", 15), ("sparse(k=1)", 1), ("sparse(3, std=0.1)", 3)]
)
def test_sparse_units_have_k_incoming_weights(spec: str, k: int) -> None:
    w = draw(spec)
    np.testing.assert_array_equal((w != 0).sum(axis=0), k)
    # each input feeds k O / I units on average, as chance has it: a binomial number
    fed = (w != 0).sum(axis=1)
    assert fed.var() == pytest.approx(k * O / I * (1 - k / I), rel=0.4)
    assert abs(w[w != 0].std() / (0.1 if "std" in spec else 1.0) - 1) < 5 / math.sqrt(2 * k * O)


def test_sparse_units_with_few_inputs_get_them_all() -> None:
    assert (draw("sparse", (10, 6)) != 0).all()
    assert (draw("sparse", (1, 6)) != 0).all()  # a bias
    np.testing.assert_array_equal((draw("sparse(k=2)", (4, 5, 3)) != 0).sum(axis=-2), 2)
    assert draw("sparse", (6,)).shape == (6,)


@pytest.mark.parametrize("spec", ["uniform", "lecun", "orthogonal", "sparse"])
def test_the_seed_decides(spec: str) -> None:
    np.testing.assert_array_equal(draw(spec, seed=3), draw(spec, seed=3))
    assert not np.array_equal(draw(spec, seed=3), draw(spec, seed=4))


@pytest.mark.parametrize(
    "init", ["orthogonal(gain=1.4)", "sparse(k=4)", "lecun(form=uniform)", "uniform(-0.1, 0.1)"]
)
def test_members_of_a_population_start_as_alone(init: str) -> None:
    def network(seeds: list[int], lead: tuple[int, ...]) -> np.ndarray:
        net = build(
            [f"dense(7, init={init})", "dense(3)"], 12, loss="squared_error", rule="sgd", seeds=seeds, lead=lead,
            batch=2, eval_batch=2, dtype=np.float32, ops=cpu,
        )  # fmt: skip
        net.initialize()
        return net.arena.value

    together = network([1, 2, 3], (3,))
    for p, seed in enumerate((1, 2, 3)):
        np.testing.assert_array_equal(together[p], network([seed], ()))


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("uniform(1.0, 1.0)", "uniform: a must be below b and both finite, got 1.0 and 1.0"),
        ("normal(scale=100)", "normal: scale=100 divided the weights; write std=0.01"),
        (
            "normal(scale=0)",
            "normal: scale divided the weights; write std, their standard deviation",
        ),
        ("normal(std=-1)", "normal: std must be a finite number above 0, got -1"),
        ("lecun('square')", "lecun: form must be 'normal' or 'uniform', got 'square'"),
        ("orthogonal(gain=0)", "orthogonal: gain is a length and must be above 0, got 0"),
        (
            "sparse(k=0)",
            "sparse: k, the incoming weights of a unit, must be a whole number of at "
            "least 1, got 0",
        ),
        ("sparse(k=1.5)", "of at least 1, got 1.5"),
        ("sparse(std=-1)", "sparse: std must be above 0, got -1"),
    ],
)
def test_refused(spec: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        registry.make("initializer", spec)
