"""CuPy equals NumPy: one step on each from the state that NumPy has reached, for all plugins without randomness."""

from typing import Any

import numpy as np
import pytest

from harness import Config, mlp
from harness.registry import entries
from harness.train import prepare, segment

NOISY = {"dropout", "alpha_dropout", "dropconnect", "gaussian_noise"}  # the devices draw from different streams
NESTED = {"residual": "residual(dense(24), tanh)", "highway": "highway(dense(24), tanh)", "frozen": "frozen(dense(24))"}
WIDE = {"dense", "maxout", "glu", "geglu", "swiglu"}
RULES = [e.name for e in entries("update_rule") if e.name not in ("compose", "gradient_noise", "scale", "trace")]
LIMIT = 1e-5  # of the norm: float32 products in another order, one step


def layer_cases() -> list[str]:
    names = [e.name for e in entries("layer") if e.name not in NOISY | {"activate"}]
    return [NESTED.get(n, f"{n}(24)" if n in WIDE else n) for n in names]


def distance(device: str, **changes: Any) -> float:
    """|theta on the device - theta on NumPy| / |theta|, after one full-batch step from NumPy's state."""
    fields = {"data": "mnist14(rows=500)", "layers": mlp([196, 24, 10]), "batch": "full", "epochs": 3, "film": None}
    config = Config(**{**fields, **changes})
    state, _ = segment(config, prepare(config), epochs=2)
    ends = []
    for where in ("cpu", device):
        there = config.replace(device=where)
        ends.append(segment(there, prepare(there), state)[0]["theta"])
    assert not np.array_equal(ends[0], state["theta"])  # the step has moved
    return float(np.linalg.norm(ends[1] - ends[0]) / np.linalg.norm(ends[0]))


def test_numpy_equals_itself() -> None:
    assert distance("cpu", update="adam(0.01)") == 0.0


@pytest.mark.gpu
@pytest.mark.parametrize("rule", RULES)
def test_update_rules(rule: str) -> None:
    update = rule if "learning_rate" in next(e for e in entries("update_rule") if e.name == rule).parameters else ""
    assert distance("gpu", update=update or f"compose({rule}, sgd(0.1))") <= LIMIT


@pytest.mark.gpu
@pytest.mark.parametrize("name", [e.name for e in entries("activation")])
def test_activations(name: str) -> None:
    assert distance("gpu", layers=mlp([196, 24, 10], activation=name)) <= LIMIT


@pytest.mark.gpu
@pytest.mark.parametrize("layer", layer_cases())
def test_layers(layer: str) -> None:
    assert distance("gpu", layers=["dense(24)", layer, "tanh", "dense(10)"]) <= LIMIT


@pytest.mark.gpu
@pytest.mark.parametrize("name", [e.name for e in entries("loss")])
def test_losses(name: str) -> None:
    assert distance("gpu", loss=name) <= LIMIT
