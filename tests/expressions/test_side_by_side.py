"""The loops of maxout and of gates: the numbers of NumPy's passes, at ties and NaN too."""

from typing import Any

import numpy as np
import pytest

from harness.expressions import backend, compiled, gated, written
from harness.testing.alone import LayerAlone, bind_alone

pytest.importorskip("numba")


def results(layer: str, lead: tuple[int, ...], kernels: str, shared: bool) -> dict[str, Any]:
    """y, dx and the gradients of a layer with whole numbers in it, of which many are equal."""
    rng = np.random.default_rng(1)
    with backend.using(kernels), np.errstate(all="ignore"):
        alone: LayerAlone = bind_alone(layer, lead, np.float32, features=5, batch=9)
        values = alone.network.arena.value
        values[...] = rng.integers(-1, 2, values.shape)
        x = rng.integers(-1, 2, (*(() if shared else lead), 9, 5)).astype(np.float32)
        x[..., 3, 2] = np.nan
        y, backward = alone.forward(x, True)
        y = y.copy()
        dy = rng.standard_normal(y.shape).astype(np.float32)
        dy[..., 5, 1] = np.nan
        dy[..., 6, 0] = np.inf
        dx = backward(dy).copy()
    return {"y": y, "dx": dx, **{name: g.copy() for name, g in alone.gradients().items()}}


@pytest.mark.parametrize("shared", [False, True], ids=["own inputs", "shared inputs"])
@pytest.mark.parametrize("lead", [(), (3,)], ids=["alone", "population"])
@pytest.mark.parametrize(
    "layer",
    [
        "maxout(4)",
        "maxout(3, pieces=3)",
        "maxout(2, bias=False)",
        "glu(4)",
        "glu(3, gate=identity)",
        "glu(2, gate=leaky_relu(0.3))",
        "glu(2, bias=False)",
        "swiglu(3)",
    ],
)
def test_loops_have_the_numbers_of_passes(layer: str, lead: tuple[int, ...], shared: bool) -> None:
    loops = results(layer, lead, "numba", shared)
    passes = results(layer, lead, "numpy", shared)
    assert loops.keys() == passes.keys()
    assert np.isnan(loops["y"]).any()
    for name, values in loops.items():
        np.testing.assert_allclose(values, passes[name], rtol=2e-6, atol=2e-6, err_msg=name)


@pytest.mark.parametrize(
    ("layer", "names"),
    [
        ("glu(2)", ["pull_gated", "kernel"]),
        ("glu(2, bias=False)", ["pull_gated", "kernel"]),
        ("maxout(2)", ["largest_with_row", "to_the_largest"]),
        ("maxout(2, bias=False)", ["largest_with_row", "to_the_largest"]),
    ],
)
def test_each_way_is_one_loop(
    layer: str, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The only call beside the products, with a bias and without."""
    used: list[str] = []
    compile_loop = compiled.compile_loop

    def noted(loop: Any, arrays: Any, rest: Any) -> Any:
        kernel = compile_loop(loop, arrays, rest)

        def called(*values: Any) -> None:
            used.append(loop.name)
            kernel(*values)

        return called

    for module in (written, gated):
        monkeypatch.setattr(module, "compile_loop", noted)
    with backend.using("numba"):
        alone = bind_alone(layer, (), np.float32, features=3, batch=4)
        y, backward = alone.forward(np.ones((4, 3), np.float32), True)
        backward(np.ones_like(y))
    assert sorted(used) == sorted(names)


def test_the_first_of_equal_parts_gets_the_gradient() -> None:
    """W = 0, so that all parts are equal: b is 1 in the first, and in the third it is larger."""
    with backend.using("numba"):
        alone = bind_alone("maxout(2, pieces=3)", (), np.float32, features=3, batch=4)
        alone.parameters()["W"][...] = 0.0
        alone.parameters()["b"][...] = [[1.0, 1.0, 1.0, 1.0, 1.0, 2.0]]
        y, backward = alone.forward(np.ones((4, 3), np.float32), True)
        np.testing.assert_array_equal(y, np.full((4, 2), [1.0, 2.0]))
        backward(np.ones((4, 2), np.float32))
    np.testing.assert_array_equal(alone.gradients()["b"], [[4, 0, 0, 0, 0, 4]])
