"""Products of a population on a GPU: one call of cuBLAS, and no copy of what is transposed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from standing_in import run_on_the_stand_in

from harness import Config, prepare
from harness.data import from_arrays
from harness.ops import ops_for
from harness.training.networks import construct

TESTS = Path(__file__).parents[1]
P, M, K, N = 3, 4, 5, 6

rng = np.random.default_rng(0)


def lain(ops: Any, shape: tuple[int, ...], dtype: Any, how: str) -> tuple[Any, np.ndarray]:
    """Numbers on the device that lie in one of several ways, and the same ones with NumPy."""
    values = rng.standard_normal(shape).astype(dtype)
    if how == "rows":
        return ops.asarray(values), values
    if how == "columns":
        return ops.asarray(values.swapaxes(-1, -2).copy()).swapaxes(-1, -2), values
    if how == "shared":  # one for all members
        return ops.asarray(values[0]), np.broadcast_to(values[0], shape)
    if how == "broadcast":
        return ops.xp.broadcast_to(ops.asarray(values[0]), shape), np.broadcast_to(values[0], shape)
    if how == "part":  # of longer rows
        longer = np.full((*shape[:-1], shape[-1] + 3), np.nan, dtype)
        longer[..., : shape[-1]] = values
        return ops.asarray(longer)[..., : shape[-1]], values
    # As a parameter lies in an arena: the numbers of a member have others behind and before them.
    turned = how == "columns in an arena"
    block = values.swapaxes(-1, -2) if turned else values
    flat = np.full((shape[0], 7 + block[0].size + 2), np.nan, dtype)
    flat[:, 7:-2] = block.reshape(shape[0], -1)
    view = ops.asarray(flat)[:, 7:-2].reshape(block.shape)
    return view.swapaxes(-1, -2) if turned else view, values


WAYS = ["rows", "columns", "shared", "broadcast", "part", "arena", "columns in an arena"]
SIZES = [(P, M, K, N), (1, M, K, N), (P, 1, K, N), (P, M, 1, N), (P, M, K, 1), (P, 1, 1, 1)]


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("to", ["rows", "part", "arena"])
@pytest.mark.parametrize("right", WAYS)
@pytest.mark.parametrize("left", WAYS)
def test_matrices_of_a_population(left: str, right: str, to: str, dtype: Any) -> None:
    import cupy

    ops = ops_for("gpu")
    for members, rows, inner, columns in SIZES:
        a, a_here = lain(ops, (members, rows, inner), dtype, left)
        b, b_here = lain(ops, (members, inner, columns), dtype, right)
        out, _ = lain(ops, (members, rows, columns), dtype, to)
        before = getattr(cupy, "launches", 0)
        assert ops.product((members,))(a, b, out=out) is out
        if hasattr(cupy, "launches"):
            assert cupy.launches - before == 1
        tolerance = 1e-5 if dtype is np.float32 else 1e-13
        np.testing.assert_allclose(
            ops.to_host(out), a_here @ b_here, rtol=tolerance, atol=tolerance
        )


@pytest.mark.gpu
def test_the_arguments_of_cublas() -> None:
    """As its documentation has them: it counts down the columns."""
    ops = ops_for("gpu")
    x = ops.empty((P, M, K), np.float32)
    W = ops.empty((P, 100), np.float32)[:, 10 : 10 + K * N].reshape(P, K, N)
    y = ops.empty((P, M, N), np.float32)
    forward = ops.batched(x, W, y)
    assert forward[:5] == (0, 0, N, M, K)
    assert forward[6:9] == (W.data.ptr, N, 100)
    assert forward[9:12] == (x.data.ptr, K, M * K)
    assert forward[13:] == (y.data.ptr, N, M * N, P)
    into_weights = ops.batched(x.swapaxes(1, 2), y, W)
    assert into_weights[:5] == (0, 1, N, K, M)
    assert into_weights[13:] == (W.data.ptr, N, 100, P)
    into_inputs = ops.batched(y, W.swapaxes(1, 2), x)
    assert into_inputs[:5] == (1, 0, K, M, N)


@pytest.mark.gpu
def test_what_cublas_cannot_find_goes_the_other_way() -> None:
    """Every second column, a sum over nothing, and other types."""
    ops = ops_for("gpu")
    a, a_here = lain(ops, (P, M, 2 * K), np.float32, "rows")
    b, b_here = lain(ops, (P, K, N), np.float32, "rows")
    out = ops.empty((P, M, N), np.float32)
    assert ops.batched(a[..., ::2], b, out) is None
    ops.matmul(a[..., ::2], b, out)
    np.testing.assert_allclose(ops.to_host(out), a_here[..., ::2] @ b_here, rtol=1e-5, atol=1e-5)
    ops.matmul(a[..., :0], b[:, :0], out)
    np.testing.assert_array_equal(ops.to_host(out), 0)
    assert ops.batched(ops.asarray(a_here[..., :K].astype(float)), b, out) is None
    with pytest.raises(ValueError, match=r"matmul|shape|align"):
        ops.matmul(a, b, out)


@pytest.mark.gpu
def test_a_step_of_a_population_copies_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """CuPy's own matmul would, above two dimensions."""
    ops = ops_for("gpu")
    x = rng.integers(0, 256, (40, 12), dtype=np.uint8)
    data = from_arrays("random", x, rng.integers(0, 3, 40))
    config = Config(
        layers=["dense(8)", "relu", "residual(dense(8))", "dropconnect(8)", "tanh", "dense(3)"],
        **{"batch": 20, "film": None, "valid": 0.0, "device": "gpu"},
    )
    configs = [config.replace(update=f"sgd({rate})") for rate in (0.1, 0.2, 0.3)]
    prepared = prepare(config, data)
    network = construct(configs, prepared)
    network.initialize()
    network.rekey(1)
    rows = ops.asarray(x[:20].astype(np.float32))
    targets = ops.asarray(np.eye(3, dtype=np.float32)[rng.integers(0, 3, 20)])

    def refuse(a: Any, b: Any, out: Any = None) -> None:
        raise AssertionError(f"{a.shape} @ {b.shape}")

    monkeypatch.setattr(ops.xp, "matmul", refuse)
    before = ops.to_host(network.arena.value)
    network.step(rows, targets, 0.0)
    assert np.isfinite(ops.to_host(network.arena.value)).all()
    assert not np.array_equal(ops.to_host(network.arena.value), before)


def test_on_the_stand_in() -> None:
    """All of the above where there is no GPU, on a cuBLAS that reads raw memory."""
    run_on_the_stand_in(__file__)
