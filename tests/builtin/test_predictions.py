"""Probabilities in loops have the bits of the passes of NumPy."""

import numpy as np
import pytest

from harness.engine.network import Network, build
from harness.expressions import backend
from harness.ops import cpu

pytestmark = pytest.mark.skipif(not backend.has_numba(), reason="loops are compiled by Numba")


def network(kernels: str, lead: tuple[int, ...], rows: int, classes: int) -> Network:
    with backend.using(kernels):
        return build(
            [f"dense({classes})"],
            4,
            loss="softmax_cross_entropy",
            rule="sgd",
            seeds=[0] * (lead or (1,))[0],
            lead=lead,
            batch=4,
            eval_batch=rows,
            dtype="float32",
            ops=cpu,
        )


@pytest.mark.parametrize("lead", [(), (1,), (3,)])
@pytest.mark.parametrize("rows", [1, 7, 48])
@pytest.mark.parametrize("classes", [2, 3, 10, 17])
def test_probabilities_in_loops_and_in_passes(
    lead: tuple[int, ...], rows: int, classes: int
) -> None:
    y = 5 * np.random.default_rng(0).standard_normal((*lead, rows, classes)).astype(np.float32)
    loops = network("numba", lead, rows, classes)
    passes = network("numpy", lead, rows, classes)
    assert loops.predict(y.copy()).tobytes() == passes.predict(y.copy()).tobytes()
    # What has no probabilities has none in either; which NaN it is, is left open.
    y.reshape(-1)[::5] = [np.inf, -np.inf, np.nan, 1e30][classes % 4]
    with cpu.quiet():
        found = loops.predict(y.copy())
        np.testing.assert_array_equal(found, passes.predict(y.copy()))


def test_an_array_that_lies_in_another_way_is_taken_too() -> None:
    loops = network("numba", (), 7, 3)
    y = np.random.default_rng(0).standard_normal((7, 3)).astype(np.float32)
    expected = loops.predict(y.copy())
    for other in (np.asfortranarray(y), np.repeat(y, 2, axis=1)[:, ::2], y.astype(np.float64)):
        np.testing.assert_allclose(loops.predict(other), expected, rtol=1e-6)
