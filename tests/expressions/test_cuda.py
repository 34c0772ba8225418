"""Kernels for a GPU: what they compute is what NumPy computes, and an expression is one launch.

Those marked `gpu` run on a card; without one, on the stand-in for CuPy, which compiles the same
sources with gcc, and where NVRTC is installed, the compiler of CUDA, with that too.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import nvrtc
import pytest
import scipy.special
from standing_in import run_on_the_stand_in

from harness import registry
from harness.engine.arena import Arena
from harness.engine.context import Context, Shared
from harness.errors import PluginError
from harness.expressions import backend, cuda, cuda_kernels, cuda_written, fuse
from harness.expressions.derive import FACTORS, SLOPES
from harness.expressions.formula import Formula
from harness.expressions.graph import COMPARISONS, LOGICAL, Graph, Node
from harness.expressions.loops import Unlowered
from harness.expressions.written import dropping, step_counter
from harness.ops import ops_for
from harness.registry.products import make
from harness.training.alone import build_alone

pytest.importorskip("numba", reason="Numba has no wheel for this processor")

TESTS = Path(__file__).parents[1]
TYPES = [np.float32, np.float64]
WORDS = [*FACTORS, *SLOPES, *COMPARISONS, *LOGICAL]
# What a processor rounds correctly, or only compares: these have NumPy's bits.
EXACT = {
    *("negative", "absolute", "square", "sqrt", "add", "subtract", "multiply", "divide"),
    *("maximum", "minimum", "where", "sign", *COMPARISONS, *LOGICAL),
}
BINARY = {"add", "subtract", "multiply", "divide", "power", "logaddexp", "maximum", "minimum"}
BINARY |= {"hypot", "xlogy", *COMPARISONS, *LOGICAL} - {"logical_not"}
RULES = [
    *("sgd(0.1)", "momentum(0.1, 0.9)", "adam(0.01)", "adamw(0.01, weight_decay=0.1)"),
    *("lion(0.01, weight_decay=0.1)", "radam(0.01)", "rmsprop(0.01, centered=True)", "rprop"),
    *("compose(weight_decay(0.1), trace(0.9), scale(-0.1))", "yogi(0.01)", "adopt(0.01)"),
    *(
        "acprop(beta2=0.5, eps=0.01)",
        "optimistic_adam(0.01)",
        "optimistic_gradient_descent",
        "cocob",
    ),
]
LOSSES = ["squared_error", "absolute_error", "huber(0.7)", "log_cosh", "quantile(0.3)"]
LOSSES += ["binary_cross_entropy", "poisson_nll"]
SPECS = [
    e.name for e in registry.entries("activation") if "harness.builtin" in e.factory.__module__
]

rng = np.random.default_rng(5)


def graph_of(word: str) -> tuple[Any, dict[int, int]]:
    """A graph that is one word of z and a, and where these come in."""
    graph = Graph(Node)
    z = graph.intern("z")
    a = graph.intern("input", "a")
    operands = [z, a] if word in BINARY else [z]
    if word in LOGICAL:
        operands = [graph.intern("greater", operand, 0.0) for operand in operands]
    if word == "where":
        operands = [graph.intern("less", z, a), z, a]
    root = graph.intern(word, *operands)
    if root.boolean:
        root = graph.intern("where", root, 1.0, 0.0)
    return root, {z.index: 0, a.index: 1}


def numbers(dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of numbers: each of the special ones with each, and then ordinary ones."""
    large = 1e4 if dtype is np.float32 else 1e40
    special = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 3.0, -7.5, 90.0, -110.0, large, -large]
    special += [1e-20, -1e-20, np.inf, -np.inf, np.nan]
    z, a = (grid.ravel() for grid in np.meshgrid(special, special))
    ordinary = rng.standard_normal((2, 500)) * 4
    pairs = np.concatenate([[z, a], ordinary], axis=1).astype(dtype)
    return pairs[0][None].copy(), pairs[1][None].copy()


@contextmanager
def launching(least: int, most: int | None = None) -> Iterator[None]:
    """That the device is asked for so many things in here; only the stand-in counts them."""
    import cupy

    before = getattr(cupy, "launches", 0)
    yield
    if hasattr(cupy, "launches"):
        assert least <= cupy.launches - before <= (least if most is None else most)


# What is computed ---------------------------------------------------------------------------------
def test_every_word_has_a_spelling() -> None:
    assert set(cuda.SPELLED) == set(WORDS)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("word", WORDS)
def test_a_word_is_what_numpy_computes(word: str, dtype: Any) -> None:
    ops = ops_for("gpu")
    root, given = graph_of(word)
    z, a = numbers(dtype)
    out = ops.empty(z.shape, dtype)
    cuda_kernels.plan(root, given, ops.asarray(z))(ops.asarray(z), ops.asarray(a), out)
    found = ops.to_host(out)
    expected = np.empty_like(z)
    with np.errstate(all="ignore"):
        function = getattr(np, word, None) or getattr(scipy.special, word)
        operands = (z, a) if word in BINARY else (z,)
        if word in LOGICAL:
            operands = tuple(operand > 0 for operand in operands)
        if word == "where":
            operands = (z < a, z, a)
        # In float64, so that not the errors of NumPy's own float32 are measured.
        wide = [o if o.dtype == bool or word in EXACT else o.astype(float) for o in operands]
        expected[...] = function(*wide)
    if word in EXACT:
        np.testing.assert_array_equal(found, expected)
        numeric = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(found)[numeric], np.signbit(expected)[numeric])
        return
    accurate = 2e-6 if dtype is np.float32 else 1e-12
    # CuPy takes what is smaller than the least normal number for 0.
    np.testing.assert_allclose(found, expected, rtol=accurate, atol=np.finfo(dtype).tiny)


@pytest.mark.gpu
@pytest.mark.parametrize("kernels", backend.BACKENDS)
@pytest.mark.parametrize(
    ("spec", "dtype"), [*((spec, np.float32) for spec in SPECS), ("elu(alpha=0.7)", np.float64)]
)
def test_an_activation_is_one_launch(spec: str, dtype: Any, kernels: str) -> None:
    ops = ops_for("gpu")
    most = 1 if kernels == "numba" else 30  # passes take one for each operation
    z = np.concatenate([rng.standard_normal(700) * 3, [0.0, -0.0, 80.0, -80.0, 1e-20]])
    z = z.astype(dtype).reshape(5, -1)
    da = rng.standard_normal(z.shape).astype(dtype)
    value, pullback = make("activation", spec)
    a = np.empty_like(z)
    expected = da.copy()
    with backend.using("numpy"):
        value(np, z, a)
        pullback(np, z.copy(), a.copy(), expected)
    z_there, da_there, a_there = (ops.asarray(array.copy()) for array in (z, da, z))
    with backend.using(kernels):
        with launching(1, most):
            value(ops.xp, z_there, a_there)
        found = ops.to_host(a_there)
        is_there = spec == "identity"  # the gradient, in its place
        with launching(int(not is_there), 0 if is_there else most):
            pullback(ops.xp, z_there, a_there, da_there)
    tolerance = 4e-6 if dtype is np.float32 else 1e-13
    np.testing.assert_allclose(found, a, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(ops.to_host(da_there), expected, rtol=4 * tolerance, atol=tolerance)


def stepped(device: str, spec: str, lead: tuple[int, ...], dtype: Any, most: int = 0) -> Any:
    """The parameters after five steps of a rule, each of which is so many launches at most."""
    ops = ops_for(device)
    draw = np.random.default_rng(3)
    shape = (*lead, 3000)
    theta = ops.asarray(draw.standard_normal(shape).astype(dtype))
    u = ops.empty(shape, dtype)
    arena = Arena(theta, u, 2000, {}, ops.xp, lambda purpose: lambda out: None)
    rule = make("update_rule", spec)
    assert rule.fuse is not None
    state = rule.init(arena)
    state["step"] = arena.scalar(0.0)
    if lead and "learning_rate" in state:
        state["learning_rate"][...] = ops.asarray(np.linspace(0.01, 0.1, lead[0])[:, None])
    step = rule.fuse(arena, state)
    for _ in range(5):
        ops.xp.add(state["step"], 1.0, out=state["step"])
        u[...] = ops.asarray(draw.standard_normal(shape).astype(dtype))
        with launching(1, most) if device == "gpu" else nullcontext():
            step(u)
    return ops.to_host(theta)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("lead", [(), (3,)])
@pytest.mark.parametrize("spec", RULES)
def test_a_step_of_a_rule_is_one_launch(spec: str, lead: tuple[int, ...], dtype: Any) -> None:
    with backend.using("numba"):
        found = stepped("gpu", spec, lead, dtype, most=1)
    with backend.using("numpy"):
        expected = stepped("cpu", spec, lead, dtype)
        in_passes = stepped("gpu", spec, lead, dtype, most=99)
    tolerance = 2e-5 if dtype is np.float32 else 1e-12
    for there in (found, in_passes):
        np.testing.assert_allclose(there, expected, rtol=tolerance, atol=tolerance / 10)


def bound(ops: Any, lead: tuple[int, ...], dtype: Any) -> Context:
    return Context(Shared(ops=ops, dtype=np.dtype(dtype), lead=lead, batch=7))


@pytest.mark.gpu
def test_an_array_may_have_any_name() -> None:
    """Also one that CUDA does not take, or that the kernel has for itself."""
    ops = ops_for("gpu")

    def step(g: Any, μ: Any, s0: Any, *, n: Any) -> Any:
        return -n * (μ + g), 0.5 * μ + g, s0 - g

    start = rng.standard_normal((4, 20)).astype(np.float32)
    u, theta, μ, s0 = (ops.asarray(row.copy()) for row in start)
    arrays = {"theta": theta, "μ": μ, "s0": s0}
    Formula(step).plan(ops.xp, arrays, {"n": ops.asarray(np.full(1, 0.25))}, 0, True)(u)
    expected = -0.25 * (start[2] + start[0])
    np.testing.assert_allclose(ops.to_host(u), expected, rtol=1e-6)
    np.testing.assert_allclose(ops.to_host(theta), start[1] + expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ops.to_host(μ), 0.5 * start[2] + start[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ops.to_host(s0), start[3] - start[0], rtol=1e-5, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("lead", [(), (3,)])
@pytest.mark.parametrize("spec", LOSSES)
def test_a_loss_of_an_expression_is_one_launch(
    spec: str, lead: tuple[int, ...], dtype: Any
) -> None:
    """With its gradient, and one for the sum over the outputs; plan_difference and plan_terms."""
    draw = np.random.default_rng(2)
    y = (3 * draw.standard_normal((*lead, 7, 5))).astype(dtype)
    t = np.abs(draw.standard_normal((7, 5))).astype(dtype)  # the members share them
    y[..., 0, 0] = t[0, 0]
    found = []
    for device, kernels in (("gpu", "numba"), ("gpu", "numpy"), ("cpu", "numpy")):
        ops = ops_for(device)
        most = {"gpu": 2, "cpu": 0}[device] if kernels == "numba" else 40
        with backend.using(kernels):
            measure, _ = make("loss", spec)(bound(ops, lead, dtype), 5)
            there = ops.asarray(y.copy()), ops.asarray(t)
            with launching(2, most) if device == "gpu" else nullcontext():
                values, backward = measure(*there)
            with launching(0, most - 2) if device == "gpu" else nullcontext():
                dy = backward()
        found.append((ops.to_host(values).copy(), ops.to_host(dy).copy()))
    tolerance = 3e-6 if dtype is np.float32 else 1e-13
    for each in found[:2]:
        np.testing.assert_allclose(each[0], found[2][0], rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(each[1], found[2][1], rtol=tolerance, atol=tolerance)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("lead", [(), (3,)])
@pytest.mark.parametrize("classes", [2, 10, 128, 300])  # some are more than a block has threads
def test_a_softmax_is_one_launch(classes: int, lead: tuple[int, ...], dtype: Any) -> None:
    """softmax_rows"""
    draw = np.random.default_rng(2)
    y = (8 * draw.standard_normal((*lead, 7, classes))).astype(dtype)
    y[..., 0, :] = 1e4  # which no exp bears
    t = np.eye(classes)[draw.integers(0, classes, (*lead, 7))].astype(dtype)
    spec = "softmax_cross_entropy"
    found = []
    for targets in (t, t[0] if lead else t):  # members may share them
        for device, kernels in (("gpu", "numba"), ("cpu", "numpy")):
            ops = ops_for(device)
            with backend.using(kernels):
                measure, _ = make("loss", spec)(bound(ops, lead, dtype), classes)
                there = ops.asarray(y.copy()), ops.asarray(targets.copy())
                counting = device == "gpu"
                with launching(1) if counting else nullcontext():
                    values, backward = measure(*there)
                with launching(0) if counting else nullcontext():
                    dy = backward()
            found.append((ops.to_host(values).copy(), ops.to_host(dy).copy()))
    tolerance = 4e-6 if dtype is np.float32 else 1e-13
    for there, here in (found[:2], found[2:]):
        np.testing.assert_allclose(there[0], here[0], rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(there[1], here[1], rtol=tolerance, atol=tolerance)
    if lead:
        assert not np.array_equal(found[0][0], found[2][0])


def normalized(
    device: str, kernels: str, spec: str, x: np.ndarray, dy: np.ndarray, lead: tuple[int, ...]
) -> list[np.ndarray]:
    """y, dx, the gradients and the running means of a layer that is trained on one batch."""
    ops = ops_for(device)
    *_, B, O = dy.shape
    is_counted = device == "gpu" and kernels == "numba"
    launches = 1 if spec == "batch_norm" else 2
    bindings: list[Any] = []
    bind = make("layer", spec)

    def observed(ctx: Context, width: int) -> Any:
        bindings.append(bind(ctx, width))
        return bindings[-1]

    with backend.using(kernels):
        seeds = [1, 2, 3][: lead[0] if lead else 1]
        network = build_alone(
            [observed], O, seeds=seeds, lead=lead, batch=B, eval_batch=B, dtype=dy.dtype, ops=ops
        )
        network.initialize()
        moved = np.random.default_rng(4).standard_normal(network.arena.value.shape)
        network.arena.value[...] = ops.asarray(moved.astype(dy.dtype))
        forward, _ = bindings[1]
        there = ops.asarray(x.copy())
        with launching(1) if is_counted else nullcontext():
            y, backward = forward(there, True)
        found = [ops.to_host(y).copy()]
        with launching(launches) if is_counted else nullcontext():
            dx = backward(ops.asarray(dy.copy()))
    found += [ops.to_host(dx).copy(), ops.to_host(network.arena.grad).copy()]
    return found + [ops.to_host(state).copy() for state in network.layer_state.values()]


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("lead", [(), (3,)])
@pytest.mark.parametrize("shape", [(7, 5), (2, 1), (70, 33), (5, 300)])
@pytest.mark.parametrize("spec", ["batch_norm", "layer_norm", "rms_norm", "layer_norm(bias=False)"])
def test_a_normalization_is_one_launch_and_one_or_two_back(
    spec: str, shape: tuple[int, int], lead: tuple[int, ...], dtype: Any
) -> None:
    draw = np.random.default_rng(2)
    x = (3 * draw.standard_normal(shape) + 2).astype(dtype)  # the members share it
    dy = draw.standard_normal((*lead, *shape)).astype(dtype)
    expected = normalized("cpu", "numpy", spec, x, dy, lead)
    tolerance = 5e-5 if dtype is np.float32 else 1e-11
    for kernels in backend.BACKENDS:
        found = normalized("gpu", kernels, spec, x, dy, lead)
        for each, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(each, other, rtol=tolerance, atol=tolerance)


@pytest.mark.gpu
@pytest.mark.parametrize("lead", [(), (3,)])
def test_a_step_is_counted_in_one_launch(lead: tuple[int, ...]) -> None:
    """mean_and_count, by way of step_counter."""
    ops = ops_for("gpu")
    for rows in (1, 7, 128, 300):
        values = rng.random((*lead, rows), dtype=np.float32)
        mean = ops.xp.zeros(lead, np.float32)
        steps = ops.xp.full((*lead, 1), 7, np.float32)
        count = step_counter(ops.xp, rows, mean, steps)
        with launching(1):
            count(ops.asarray(values))
        np.testing.assert_allclose(ops.to_host(mean), values.mean(axis=-1), rtol=1e-6)
        np.testing.assert_array_equal(ops.to_host(steps), np.full((*lead, 1), 8))
        with pytest.raises(PluginError, match="the loss of each row"):
            count(ops.asarray(values[..., 1:]))


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("lead", [(), (3,)])
@pytest.mark.parametrize("spec", ["relu", "gelu", "identity", "leaky_relu(slope=0.3)"])
def test_a_bias_is_added_in_the_same_launch(spec: str, lead: tuple[int, ...], dtype: Any) -> None:
    """By way of fuse, whose layers are a dense one and an activation."""
    ops = ops_for("gpu")
    z = rng.standard_normal((*lead, 40, 17)).astype(dtype)
    # As it lies in an arena, between others.
    flat = rng.standard_normal((*lead, 50)).astype(dtype)
    b = flat[..., 20:37].reshape(*lead, 1, 17)
    b_there = ops.asarray(flat)[..., 20:37].reshape(*lead, 1, 17)
    db = ops.empty((*lead, 1, 17), dtype)
    y = ops.asarray(z.copy())
    a = ops.empty(y.shape, dtype)
    value, pullback = make("activation", spec)

    def layer() -> Any:
        return lambda x, train: None

    lower, upper = layer(), layer()
    lower.affine = fuse.Affine(lambda x: None, lambda dy: dy, y, b_there, db)
    upper.pointwise = fuse.Pointwise(value, pullback, a)
    forward = fuse.fuse(ops.xp, lower, upper)
    with launching(1):
        found, backward = forward(None, True)
    expected = np.empty_like(z)
    dz = np.ones_like(z)
    with backend.using("numpy"):
        value(np, z + b, expected)
        pullback(np, z + b, expected.copy(), dz)
    tolerance = 4e-6 if dtype is np.float32 else 1e-13
    np.testing.assert_allclose(ops.to_host(found), expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(ops.to_host(y), z + b)  # which the slope reads
    with launching(2 - (spec == "identity")):  # the slope, and the product that sums
        dy = backward(ops.asarray(np.ones_like(z)))
    np.testing.assert_allclose(ops.to_host(dy), dz, rtol=4 * tolerance, atol=tolerance)
    total = dz.sum(axis=-2, keepdims=True)
    np.testing.assert_allclose(ops.to_host(db), total, rtol=1e-4, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("lead", [(), (3,)])
def test_bytes_are_gathered_and_scaled_in_one_launch(lead: tuple[int, ...], dtype: Any) -> None:
    ops = ops_for("gpu")
    raw = rng.integers(0, 256, (50, 33), dtype=np.uint8)
    index = rng.integers(0, 50, (*lead, 40))
    out = ops.empty((*lead, 40, 33), dtype)
    fill = cuda_written.gather_bytes(ops.asarray(raw), out, dtype(255))
    with launching(1):
        fill(ops.asarray(index))
    np.testing.assert_array_equal(ops.to_host(out), raw[index].astype(dtype) / dtype(255))
    with pytest.raises(PluginError, match="the index of a batch"):
        fill(ops.asarray(index[..., 1:]))


@pytest.mark.gpu
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("lead", [(), (3,)])
def test_what_is_dropped_is_one_launch(lead: tuple[int, ...], shared: bool) -> None:
    ops = ops_for("gpu")
    draw = np.random.default_rng(0)
    rate = np.linspace(0.2, 0.6, lead[0] if lead else 1, dtype=np.float32).reshape(*lead, 1, 1)
    x = draw.standard_normal((5, 7) if shared else (*lead, 5, 7), dtype=np.float32)
    uniform = draw.random((*lead, 5, 7), dtype=np.float32)
    uniform[..., 0, 0] = rate[..., 0, 0]  # which is kept
    gain = 1 / (1 - rate)
    m = ops.asarray(uniform.copy())
    y = ops.empty(m.shape, np.float32)
    drop = dropping(ops.xp, m, y, ops.asarray(rate), ops.asarray(gain))
    with launching(1):
        drop(ops.asarray(x))
    mask = np.where(uniform >= rate, gain, np.float32(0))
    np.testing.assert_array_equal(ops.to_host(m), mask)
    np.testing.assert_array_equal(ops.to_host(y), x * mask)


@pytest.mark.gpu
def test_each_member_has_its_own_scalar_and_the_bits_of_a_network_alone() -> None:
    ops = ops_for("gpu")
    widths = np.array([0.3, 1.0, 2.5], np.float32).reshape(3, 1, 1)
    z = rng.standard_normal((3, 40, 50)).astype(np.float32)
    whole = silu_of(ops.asarray(z), ops.asarray(widths))
    for p in range(3):
        alone = silu_of(ops.asarray(z[p]), ops.asarray(widths[p]))
        np.testing.assert_array_equal(whole[p], alone)
    assert not np.array_equal(silu_of(ops.asarray(z), ops.asarray(widths[:1])), whole)


def silu_of(z: Any, beta: Any) -> np.ndarray:
    ops = ops_for("gpu")
    value, _ = make_with(beta)
    out = ops.empty(z.shape, z.dtype)
    with launching(1):
        value(ops.xp, z, out)
    return ops.to_host(out)


def make_with(beta: Any) -> Any:
    entry = registry.find("activation", "silu")
    return registry.activation_pair(entry, {"beta": beta})


@pytest.mark.gpu
def test_members_may_share_what_they_read() -> None:
    ops = ops_for("gpu")
    z = rng.standard_normal((4, 5)).astype(np.float32)
    beta = ops.asarray(np.array([0.3, 1.0, 2.5], np.float32).reshape(3, 1, 1))
    spread = ops.xp.broadcast_to(ops.asarray(z), (3, 4, 5))
    copied = ops.asarray(np.broadcast_to(z, (3, 4, 5)).copy())
    np.testing.assert_array_equal(silu_of(spread, beta), silu_of(copied, beta))


@pytest.mark.gpu
def test_an_array_that_lies_in_another_way_is_read_and_written() -> None:
    ops = ops_for("gpu")
    z = rng.standard_normal((4, 5)).astype(np.float32)
    value, pullback = make("activation", "tanh")
    turned = ops.asarray(z.T.copy()).T
    out = ops.empty((5, 4), np.float32).T
    value(ops.xp, turned, out)
    np.testing.assert_allclose(ops.to_host(out), np.tanh(z), rtol=1e-6)
    pullback(ops.xp, turned, out, turned)
    np.testing.assert_allclose(ops.to_host(turned), z * (1 - np.tanh(z) ** 2), rtol=1e-5)
    with pytest.raises(PluginError, match=r"dy must be an array of the shape \(4, 5\)"):
        pullback(ops.xp, turned, out, ops.empty((5, 4), np.float32))


@pytest.mark.gpu
def test_the_same_arrays_are_read_anew_and_others_are_looked_at() -> None:
    ops = ops_for("gpu")
    value, _ = make("activation", "square")
    z, out = ops.asarray(np.full((4, 5), 2.0, np.float32)), ops.empty((4, 5), np.float32)
    turned = ops.asarray(np.full((5, 4), 3.0, np.float32)).T
    for number in (2.0, 5.0):
        z[...] = number
        turned[...] = number + 1
        value(ops.xp, z, out)
        np.testing.assert_array_equal(ops.to_host(out), number**2)
        value(ops.xp, turned, out)
        np.testing.assert_array_equal(ops.to_host(out), (number + 1) ** 2)
    with pytest.raises(PluginError, match="dy must be an array of the shape"):
        value(ops.xp, z, ops.empty((4, 6), np.float32))


# What is compiled ---------------------------------------------------------------------------------
@pytest.mark.gpu
def test_a_hundred_values_of_a_hyperparameter_are_one_kernel() -> None:
    ops = ops_for("gpu")
    z = rng.standard_normal((4, 50)).astype(np.float32)
    before = ops.kernel.cache_info().misses
    for slope in np.linspace(0.011, 0.973, 100):
        value, _ = make("activation", {"name": "leaky_relu", "slope": float(slope)})
        out = ops.empty(z.shape, np.float32)
        value(ops.xp, ops.asarray(z), out)
        np.testing.assert_allclose(ops.to_host(out), np.where(z > 0, z, slope * z), rtol=1e-6)
    assert ops.kernel.cache_info().misses - before <= 1


@pytest.mark.gpu
def test_passes_run_where_they_are_asked_for_and_where_there_is_no_kernel() -> None:
    ops = ops_for("gpu")
    z = ops.asarray(rng.standard_normal((4, 5)).astype(np.float32))
    out = ops.empty((4, 5), np.float32)
    value, _ = make("activation", "softplus")
    with backend.using("numpy"), launching(4, 30):
        value(ops.xp, z, out)
    # One number for each feature is no scalar.
    value, _ = make_with(ops.asarray(np.linspace(0.5, 2, 5, dtype=np.float32)[None]))
    with launching(2, 30):
        value(ops.xp, z, out)


def source_of(spec: str, dtype: str) -> str:
    value, _ = make("activation", spec)
    root, given = value.graph
    return cuda.lower(
        {index: ("z", "a", "out")[place] for index, place in given.items()}, {"out": root}, dtype
    ).source


def test_a_source_has_words_of_c_and_no_hyperparameter() -> None:
    source = source_of("leaky_relu(slope=0.123)", "float32")
    assert source == source_of("leaky_relu(slope=0.456)", "float32")
    assert "0.123" not in source
    assert 'extern "C" __global__ void kernel(\n    float* z_,' in source
    assert "double* z_" in source_of("leaky_relu", "float64")
    assert "tanhf(z_i)" in source_of("tanh", "float32")
    assert "tanh(z_i)" in source_of("tanh", "float64")


def test_what_has_no_kernel_is_said() -> None:
    graph = Graph(Node)
    z = graph.intern("z")
    with pytest.raises(Unlowered, match="float16"):
        cuda.lower({z.index: "z"}, {"out": z}, "float16")
    row = graph.intern("array", np.zeros((1, 5), np.int64))
    with pytest.raises(Unlowered, match="an array of int64"):
        cuda.lower({z.index: "z"}, {"out": graph.intern("add", z, row)}, "float32")


@pytest.mark.skipif(nvrtc.library() is None, reason=nvrtc.MISSING)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nvrtc_compiles_every_word(dtype: str) -> None:
    """All of them in one kernel, with scalars of both types."""
    lines = {}
    graph = Graph(Node)
    z = graph.intern("z")
    scalar = graph.intern("array", np.ones((3, 1, 1), np.float32))
    wide = graph.intern("array", np.ones((1, 1, 1), np.float64))
    condition = graph.intern("greater", z, scalar)
    of_scalars = graph.intern("less", graph.intern("add", scalar, wide), 0.3)
    for word in WORDS:
        operands = [z, scalar] if word in BINARY else [z]
        if word in LOGICAL:
            operands = [condition, of_scalars][: len(operands)]
        if word == "where":
            operands = [condition, z, graph.intern("multiply", wide, 0.7)]
        node = graph.intern(word, *operands)
        lines[f"out_{word}"] = graph.intern("where", node, 1.0, 0.0) if node.boolean else node
    source = cuda.lower({z.index: "z"}, lines, dtype).source
    code, log = nvrtc.compile_source(source)
    assert code.startswith(b"\x7fELF")
    assert log == ""


# Without a GPU ------------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None, reason="the stand-in compiles kernels with gcc")
def test_on_the_stand_in() -> None:
    """All of the above that is marked `gpu`, where there is none."""
    run_on_the_stand_in(__file__)
