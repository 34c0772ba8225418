"""Written loops and the quick product: the same bits as NumPy's passes."""

import numpy as np
import pytest

from harness.expressions import backend
from harness.expressions.written import bias_addition, dropping, step_counter
from harness.ops import cpu

pytest.importorskip("numba")


@pytest.mark.parametrize("lead", [(), (3,)])
def test_the_rows_that_a_bias_adds_are_those_of_numpy(lead: tuple[int, ...]) -> None:
    """add_rows, by way of bias_addition: each member has its own row."""
    rng = np.random.default_rng(0)
    y = rng.standard_normal((*lead, 5, 7), dtype=np.float32)
    b = rng.standard_normal((*lead, 1, 7), dtype=np.float32)
    expected = y + b
    with backend.using("numba"):
        add = bias_addition(np, y, b)
    add()
    np.testing.assert_array_equal(y, expected)
    b[...] = 1.0  # the bias is read anew in each call
    add()
    np.testing.assert_array_equal(y, expected + np.float32(1))


@pytest.mark.parametrize("shape", [(1, 64, 32), (32, 64, 10), (33, 1, 10), (32, 17, 1), (7, 5, 3)])
def test_dot_has_the_bits_of_matmul_and_of_a_population(shape: tuple[int, int, int]) -> None:
    rows, inner, columns = shape
    rng = np.random.default_rng(0)
    # Once as they lie, once as the transpose of what lies there, as in backward.
    for a in (np.zeros((rows, inner), np.float32), np.zeros((inner, rows), np.float32).T):
        for b in (np.zeros((inner, columns), np.float32), np.zeros((columns, inner), np.float32).T):
            a[...] = rng.standard_normal(a.shape)
            b[...] = rng.standard_normal(b.shape)
            out = np.empty((rows, columns), np.float32)
            assert cpu.dot(a, b, out) is out
            np.testing.assert_array_equal(out, np.matmul(a, b))
            np.testing.assert_array_equal(out, np.matmul(np.stack([a, a]), np.stack([b, b]))[1])


def test_dot_takes_what_only_matmul_takes() -> None:
    a = np.arange(6.0).reshape(2, 3)  # float64, into float32
    out = np.empty((2, 2), np.float32)
    cpu.dot(a, a.T, out)
    np.testing.assert_array_equal(out, [[5, 14], [14, 50]])


@pytest.mark.parametrize("lead", [(), (3,)])
@pytest.mark.parametrize("kernels", ["numba", "numpy"])
def test_a_step_is_counted_and_its_loss_is_the_mean(lead: tuple[int, ...], kernels: str) -> None:
    """mean_and_count, by way of step_counter."""
    values = np.random.default_rng(0).random((*lead, 100_000), dtype=np.float32)
    mean = np.zeros(lead, np.float32)
    steps = np.full((*lead, 1), 7, np.float32)
    with backend.using(kernels):
        count = step_counter(np, 100_000, mean, steps)
    count(values)
    np.testing.assert_allclose(mean, values.mean(axis=-1, dtype=np.float64), rtol=2e-7)
    np.testing.assert_array_equal(steps, np.full((*lead, 1), 8))


def test_what_is_not_in_a_row_is_read_anew_each_time() -> None:
    flatten = backend.flattener("x", np.float32, (3, 2), (2, 3))
    turned = np.zeros((2, 3), np.float32).T
    np.testing.assert_array_equal(flatten(turned), 0)
    turned[...] = 1.0
    np.testing.assert_array_equal(flatten(turned), 1)
    straight = np.zeros((2, 3), np.float32)
    assert flatten(straight) is flatten(straight)
    straight[...] = 2.0
    np.testing.assert_array_equal(flatten(straight), 2)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("lead", [(), (3,)])
def test_what_is_dropped_is_what_numpy_drops(lead: tuple[int, ...], shared: bool) -> None:
    """drop_elements, by way of dropping."""
    rng = np.random.default_rng(0)
    rate = np.linspace(0.2, 0.6, lead[0] if lead else 1, dtype=np.float32).reshape(*lead, 1, 1)
    x = rng.standard_normal((5, 7) if shared else (*lead, 5, 7), dtype=np.float32)
    uniform = rng.random((*lead, 5, 7), dtype=np.float32)
    found = []
    for kernels in backend.BACKENDS:
        m = uniform.copy()
        y = np.empty_like(m)
        with backend.using(kernels):
            drop = dropping(np, m, y, rate, 1 / (1 - rate))
        drop(x)
        found.append((m, y))
    np.testing.assert_array_equal(found[0], found[1])
    assert 0 < np.count_nonzero(found[0][0]) < m.size
