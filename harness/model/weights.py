"""The parameters of a trained network by name, to look at and to set."""

from typing import Any

import numpy as np

from harness.engine.network import Network
from harness.errors import UsageError
from harness.model.learned import Learned
from harness.ops import ops_for


def named_weights(learned: Learned) -> dict[str, np.ndarray]:
    """Read-only copies of all parameters, those that are not trained included, layer by layer."""
    network = learned.network()
    ops = ops_for(learned.config.device)
    flat = learned.shown_parameters(network)
    named = {}
    for name in sorted([*network.arena.slices, *network.frozen], key=_layer_order):
        value = _array(network, flat, name)
        # A copy, because a view would change with the next step.
        named[name] = np.array(ops.to_host(value))
        named[name].flags.writeable = False
    return named


def set_weight(learned: Learned, name: str, value: Any, shape: tuple[int, ...]) -> None:
    """Writes numbers of the parameter's shape into the network."""
    new = np.asarray(value)
    if new.dtype.kind not in "biuf" or new.shape != shape:
        raise UsageError(
            f"{name!r} must be numbers of shape {shape}, got {new.dtype} {new.shape}; correct it"
        )
    if not np.isfinite(new).all():
        raise UsageError(f"{name!r} must be finite, got NaN or infinity; give finite numbers")
    network = learned.network()
    if network.theta is not None:
        # What is shown is computed from the weights that are trained; it cannot be written back.
        rule = learned.config.update["name"]
        raise UsageError(
            f"rule {rule!r} predicts with weights of its own, which cannot be set; use another rule"
        )
    learned.go_on_from_shown(network)
    target = _array(network, network.arena.value, name)
    target[...] = network.arena.xp.asarray(new, target.dtype)
    learned.ahead = True


def _array(network: Network, flat: Any, name: str) -> Any:
    """A parameter in an array (n,) of all that are trained, or one that is not trained."""
    if name in network.frozen:
        return network.frozen[name]
    return network.arena.view(flat, name)


def _layer_order(name: str) -> list[tuple[bool, int, str]]:
    """The sorting key of a parameter "2/W": layer 10 comes after layer 2.

    Within a layer parameters keep their order, because its own name for one is left out.
    """
    return [_number_first(part) for part in name.split("/")[:-1]]


def _number_first(part: str) -> tuple[bool, int, str]:
    if part.isdecimal():
        return False, int(part), part
    return True, 0, part
