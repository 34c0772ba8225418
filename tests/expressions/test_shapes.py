"""What comes from a plugin in a wrong shape is refused; memory and type may be others."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special

from harness.builtin.losses.regression import on_differences
from harness.builtin.updates.elementwise import elementwise
from harness.engine.network import Network, build
from harness.errors import PluginError
from harness.expressions.backend import check_shape, flattener, float_row, using
from harness.ops import cpu

pytest.importorskip("numba")

ROWS, FEATURES = 6, 4
SHAPES = [(ROWS, 3), (12, FEATURES), (3, FEATURES), (FEATURES, ROWS), (24,), (2, ROWS, FEATURES)]
LAYERS = ["batch_norm", "layer_norm", "rms_norm", "dropout(0.5)", "gelu", "dense(4)"]


def network(*layers: Any, loss: Any = "squared_error", rule: Any = "sgd(0.1)") -> Network:
    """A network whose parameters are drawn."""
    made = build(
        layers,
        FEATURES,
        loss=loss,
        rule=rule,
        seeds=[0],
        lead=(),
        batch=ROWS,
        eval_batch=ROWS,
        dtype="float32",
        ops=cpu,
    )
    made.initialize()
    made.rekey(0)
    return made


def step(made: Network) -> Any:
    """The mean loss of a step."""
    x = np.linspace(-1, 1, ROWS * FEATURES, dtype=np.float32).reshape(ROWS, FEATURES)
    return made.step(x, np.zeros_like(x), 0.0)


def returning(y: Any = None, dx: Any = None) -> Callable[..., Any]:
    """A layer y = x that returns arrays of ones of these shapes instead, where they are given."""

    def bind(ctx: Any, I: int) -> Any:
        def backward(dy: Any) -> Any:
            return dy if dx is None else np.ones(dx, np.float32)

        def forward(x: Any, train: bool) -> Any:
            return x if y is None else np.ones(y, np.float32), backward

        return forward, I

    return bind


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_refuses_what_another_returns_in_a_wrong_shape(layer: str, shape: Any) -> None:
    # A layer between them, so that an activation is a loop of its own too.
    for layers in (
        ("dense(4)", returning(y=shape), layer),
        ("dense(4)", "scale", layer, returning(dx=shape)),
        ("dense(4)", layer, returning(dx=shape)),
    ):
        with pytest.raises((PluginError, ValueError)) as raised:
            step(network(*layers))
        assert str(shape) in f"{raised.value} {raised.value.__notes__}"


@pytest.mark.parametrize("kernels", ["numba", "numpy"])
@pytest.mark.parametrize("shape", [(), (1,), (3,), (7,), (12,), (ROWS, 1), (1, ROWS)])
def test_a_loss_has_a_value_for_each_row(shape: Any, kernels: str) -> None:
    def loss(ctx: Any, O: int) -> Any:
        return lambda y, t: (np.ones(shape, np.float32), lambda: y), lambda y: y

    with using(kernels), pytest.raises(PluginError, match=r"the loss of each row .* \(6,\), got"):
        step(network("dense(4)", loss=loss))


def test_a_rule_refuses_a_part_of_the_gradient() -> None:
    rule = elementwise(lambda g, *, rate: -rate * g, rate=0.1)

    made = network("dense(4)")
    state = rule.init(made.arena)
    with pytest.raises(PluginError, match=r"u must be .* \(20,\), got the shape \(19,\)"):
        rule.update(made.arena.grad[..., :-1], made.arena, state)


def test_what_comes_in_its_shape_is_taken_and_a_list_is_not() -> None:
    flatten = flattener("x", np.float32, (3, 2, 2), (2, 2))
    for shape in ((3, 2, 2), (2, 2)):
        assert flatten(np.ones(shape, np.float32)).shape == (np.prod(shape),)
    with pytest.raises(PluginError, match=r"x must be an array of the shape .* got list"):
        check_shape("x", [1.0], (2, 2))


def test_a_loss_may_be_a_function_of_numpy() -> None:
    assert step(network("dense(4)", loss=on_differences(np.abs))) == pytest.approx(
        step(network("dense(4)", loss="absolute_error"))
    )


# Arrays that lie in memory in another way, or are of another type ---------------------------------


def in_every_second_place(a: Any) -> Any:
    """The same numbers with gaps between them."""
    wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1]), a.dtype)
    wide[..., ::2] = a
    return wide[..., ::2]


WAYS = {
    "as columns": np.asfortranarray,
    "with gaps": in_every_second_place,
    "backwards": lambda a: a[::-1].copy()[::-1],
    "float64": lambda a: a.astype(np.float64),
    "big-endian": lambda a: a.astype(">f4"),
    "new each time": np.copy,
}


def passing(way: Callable[[Any], Any]) -> Callable[..., Any]:
    """A layer y = x whose y and dx are new arrays."""

    def bind(ctx: Any, I: int) -> Any:
        return lambda x, train: (way(x), way), I

    return bind


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("layer", [*LAYERS, "residual(dense(4), relu)", "residual(dense(4), gelu)"])
def test_how_an_array_lies_does_not_change_a_bit(layer: str, way: str) -> None:
    found = []
    for each in (np.copy, WAYS[way]):
        # Under the last one is a dense layer that is one loop with its activation.
        made = network(passing(each), layer, "dense(4)", "tanh", passing(each), "dense(4)")
        for _ in range(3):
            step(made)
        found.append(made.arena.value)
    if way == "float64":  # in which products are computed too
        np.testing.assert_allclose(found[0], found[1], rtol=1e-5, atol=1e-6)
    else:
        np.testing.assert_array_equal(found[0], found[1])


def test_a_float_row_is_a_view_or_a_copy_without_a_base() -> None:
    a = np.zeros((2, 3), np.float32)
    assert np.shares_memory(float_row(a, np.float32), a)
    assert float_row(a, np.float32).base is not None
    assert float_row(a.T, np.float32).base is None
    a.flags.writeable = False
    assert float_row(a, np.float32).base is None


def test_a_formula_may_ask_scipy_for_a_function_of_a_scalar() -> None:
    def formula(g: Any, *, rate: Any) -> Any:
        return -special.ndtr(rate) * g

    rule = elementwise(formula, rate=0.5)
    for fused in (False, True):
        made = network("dense(4)")
        state = rule.init(made.arena)
        u = np.ones_like(made.arena.grad)
        before = made.arena.value.copy()
        if fused:
            rule.fuse(made.arena, state)(u)
        else:
            rule.update(u, made.arena, state)
        change = -np.float32(special.ndtr(0.5))
        np.testing.assert_array_equal(u, change)
        np.testing.assert_array_equal(made.arena.value, before + change * fused)
