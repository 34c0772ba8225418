"""The loops of the layers that normalize compute what their passes of NumPy do."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from harness.expressions.normal import column_loops, row_loops
from harness.expressions.normal_passes import column_passes, row_passes

pytest.importorskip("numba")

LEADS = [(), (3,)]
SHAPES = [(33, 13), (2, 1), (5, 4), (7, 103)]


class Arrays:
    """What one layer computes with, filled at random; two of them with the same numbers."""

    def __init__(self, lead: tuple[int, ...], rows: int, columns: int) -> None:
        rng = np.random.default_rng(1)

        def drawn(*shape: int) -> np.ndarray:
            return rng.standard_normal((*lead, *shape), dtype=np.float32)

        names = ("g", "b", "dg", "db", "mean", "var", "s", "running_mean", "running_var")
        self.columns = {name: drawn(1, columns) for name in names}
        self.h, self.y, self.t = (drawn(rows, columns) for _ in range(3))
        self.s = drawn(rows, 1)
        self.dy = drawn(rows, columns)
        # Members may share their inputs.
        self.x = rng.standard_normal((rows, columns), dtype=np.float32) * 3 + 1
        self.eps = np.abs(drawn(1, 1))
        self.rate = np.abs(drawn(1, 1)) / 4

    def after(
        self, loops: tuple[Callable[[Any], None], Callable[[Any], Any]], names: tuple[str, ...]
    ) -> dict[str, np.ndarray]:
        forward, backward = loops
        forward(self.x)
        dx = backward(self.dy)
        return {"y": self.y, "h": self.h, "dx": dx, **{name: self.columns[name] for name in names}}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("lead", LEADS)
def test_columns_have_the_bits_of_numpy(lead: tuple[int, ...], shape: tuple[int, int]) -> None:
    """normalize_columns and columns_pullback."""
    found = []
    for make in (column_loops, partial(column_passes, np)):
        a = Arrays(lead, *shape)
        loops = make(a.columns, a.h, a.y, a.t, [a.eps, a.rate], 1.25)
        found.append(a.after(loops, ("dg", "db", "running_mean", "running_var")))
    for name, value in found[0].items():
        np.testing.assert_array_equal(value, found[1][name], err_msg=name)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("lead", LEADS)
@pytest.mark.parametrize("centers", [True, False])
def test_rows_are_those_of_numpy(
    centers: bool, lead: tuple[int, ...], shape: tuple[int, int]
) -> None:
    """normalize_rows and rows_pullback: row_sum and row_product add in another order than NumPy."""
    found = []
    for make in (row_loops, partial(row_passes, np)):
        a = Arrays(lead, *shape)
        if not centers:
            a.columns["b"][...] = 0.0
        loops = make(dict(list(a.columns.items())[:4]), a.h, a.y, a.t, a.s, a.eps, centers)
        found.append(a.after(loops, ("dg", "db") if centers else ("dg",)))
    for name, value in found[0].items():
        np.testing.assert_allclose(value, found[1][name], rtol=1e-5, atol=2e-5, err_msg=name)
