"""What somebody else's layer returns has a row for each example."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import harness
from harness import Model, registry
from harness.errors import PluginError


@pytest.fixture
def layers() -> Iterator[None]:
    before = list(registry.entries())

    def added(name: str, of: Callable[[Any, Any], Any]) -> None:
        def factory() -> Any:
            def bind(ctx: Any, I: int) -> Any:
                b = ctx.param("b", (1, I), "zeros")

                def forward(x: Any, train: bool) -> Any:
                    def backward(dy: Any) -> Any:
                        np.add.reduce(dy, axis=-2, out=b.grad, keepdims=True)
                        return dy

                    return of(x, b.value), backward

                return forward, I

            return bind

        factory.__name__ = name
        harness.layer()(factory)

    added("added", lambda x, b: x + b)
    added("a_row", lambda x, b: b[0])
    added("one_row", lambda x, b: b)
    added("too_wide", lambda x, b: np.concatenate([x, x], axis=-1))
    yield
    registry.withdraw([entry for entry in registry.entries() if entry not in before])


def fit(layer: str) -> Model:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, 4)).astype(np.float32)
    model = Model(layers=["dense(5)", layer, "dense(3)"], epochs=1, batch=20)
    return model.fit(x, rng.integers(0, 3, 50))


@pytest.mark.usefixtures("layers")
@pytest.mark.parametrize(
    ("layer", "got"), [("a_row", "(5,)"), ("one_row", "(1, 5)"), ("too_wide", "(20, 10)")]
)
def test_a_row_for_each_example(layer: str, got: str) -> None:
    with pytest.raises(PluginError) as error:
        fit(layer)
    assert str(error.value) == (
        f"forward of layer {layer} must return y (..., B, O) = (..., 20, 5), got {got}; keep the "
        "axis of the examples"
    )


@pytest.mark.usefixtures("layers")
def test_what_is_right_is_left_alone() -> None:
    assert fit("added").history[-1]["epoch"] == 1
