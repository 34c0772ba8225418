"""The same on the GPU: a step there against a step with NumPy."""

from functools import cache
from typing import Any

import numpy as np

from harness.config import Config
from harness.errors import UsageError
from harness.ops import ops_for
from harness.registry.known import Entry, Spec
from harness.testing.suite import Check, Subject, Suite
from harness.training.prepare import prepare
from harness.training.segment import segment

# How far a step may be off, as a share of the norm of the parameters: float32 products in another
# order.
DEVICE = 1e-5


def check_device(suite: Suite, subject: Subject) -> None:
    """The check of a plugin on the GPU, where there is one."""
    if _has_gpu():
        suite.run(_CHECKS, subject)


@cache
def _has_gpu() -> bool:
    try:
        ops_for("gpu")
    except UsageError:
        return False
    return True


def device_distance(entry: Entry, spec: Spec, device: str = "gpu") -> float:
    """How far a step on a device leads from the same step with NumPy.

    Both are full-batch steps on digits, from the state that NumPy has after two of them.

    Parameters
    ----------
    entry, spec
        An activation, a layer, a loss or an update rule, and the arguments that it gets.
    device
        "gpu", or "cpu" for NumPy against itself.

    Returns
    -------
    float
        |theta on the device - theta on NumPy| / |theta on NumPy|. Of a plugin with randomness,
        which the devices draw from different streams, it is 0 if the step is off by less than three
        times what another seed makes of it. Of one that digits cannot be trained with it is 0.
    """
    try:
        config = Config(
            data="mnist14(rows=500)", batch="full", epochs=3, film=None, **_fields(entry, spec)
        )
        state, _ = segment(config, prepare(config), epochs=2)
    except UsageError:
        return 0.0

    def step(**changes: Any) -> np.ndarray:
        changed = config.replace(**changes)
        state_after, _ = segment(changed, prepare(changed), state)
        return state_after["theta"]

    here = step()
    there = step(device=device)
    other = step(seed=1)
    norm = float(np.linalg.norm(here))
    off = float(np.linalg.norm(here - there))
    noise = float(np.linalg.norm(other - here))
    is_random = noise > DEVICE * norm
    if is_random and off < 3 * noise:
        return 0.0
    return off / norm


def _fields(entry: Entry, spec: Spec) -> dict[str, Any]:
    """The fields of a Config of a small network that uses the plugin."""
    if entry.kind in ("activation", "layer"):
        return {"layers": ["dense(24)", spec, "tanh", "dense(10)"]}
    layers = ["dense(24)", "tanh", "dense(10)"]
    if entry.kind == "loss":
        return {"layers": layers, "loss": spec}
    if "learning_rate" in entry.parameters:
        return {"layers": layers, "update": spec}
    # An ingredient changes a gradient, and a rule that takes a step comes after it.
    return {"layers": layers, "update": {"name": "compose", "rules": [spec, "sgd(0.1)"]}}


def _distance(subject: Subject) -> float:
    return device_distance(subject.entry, subject.spec)


_CHECKS = (
    Check(
        "same on the GPU",
        "on the GPU a step from NumPy's state must come to NumPy's parameters, relative to their "
        "norm",
        _distance,
        DEVICE,
    ),
)
