"""The same on the GPU: a step there against a step with NumPy."""

from functools import cache
from typing import Any

import numpy as np

from harness.config import Config
from harness.errors import UsageError
from harness.ops import ops_for
from harness.registry.known import Entry, Spec
from harness.testing.suite import DEVICE, Suite
from harness.training.prepare import prepare
from harness.training.segment import segment


# On a GPU -----------------------------------------------------------------------------------------
@cache
def _has_gpu() -> bool:
    try:
        ops_for("gpu")
    except UsageError:
        return False
    return True


def check_device(suite: Suite, entry: Entry, spec: Spec, reference: Any) -> None:
    if _has_gpu():
        message = "on the GPU a step from NumPy's state must come to NumPy's parameters, relative to their norm"
        suite.add("same on the GPU", message, DEVICE, lambda: device_distance(entry, spec))


def device_distance(entry: Entry, spec: Spec, device: str = "gpu") -> float:
    """|theta on the device - theta on NumPy| / |theta on NumPy|, after a full-batch step from the
    state that NumPy has after two.

    Of a plugin with randomness, which the devices draw from different streams: 0 if the step is no
    farther off than three times that with another seed. Of one that digits cannot be trained with:
    0.
    """
    fields: dict[str, Any] = {"layers": ["dense(24)", "tanh", "dense(10)"]}
    if entry.kind in ("activation", "layer"):
        fields["layers"] = ["dense(24)", spec, "tanh", "dense(10)"]
    elif entry.kind == "loss":
        fields["loss"] = spec
    else:
        alone = "learning_rate" in entry.parameters
        fields["update"] = spec if alone else {"name": "compose", "rules": [spec, "sgd(0.1)"]}
    try:
        config = Config(data="mnist14(rows=500)", batch="full", epochs=3, film=None, **fields)
        state, _ = segment(config, prepare(config), epochs=2)
    except UsageError:
        return 0.0

    def step(config: Config) -> np.ndarray:
        return segment(config, prepare(config), state)[0]["theta"]

    here, there, other = (
        step(config.replace(**each)) for each in ({}, {"device": device}, {"seed": 1})
    )
    norm, off, noise = (float(np.linalg.norm(each)) for each in (here, there - here, other - here))
    return 0.0 if noise > DEVICE * norm and off < 3 * noise else off / norm
