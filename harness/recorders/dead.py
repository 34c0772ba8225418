"""Which units of a trained network are dead."""

from typing import Any

from harness import registry
from harness.ops import Array
from harness.training.alone import Layers


def dead_units(layers: Layers, layer: int, x: Array) -> list[int]:
    """The units of a layer whose activation gives the same for all rows of x.

    Parameters
    ----------
    layers
        Those of a trained network.
    layer
        The place of a layer of weights among the layers. Where no activation comes right after it,
        no unit of it counts as dead.
    x
        (N, I) rows as the network gets them.
    """
    behind = layers.specs[layer + 1 : layer + 2]
    if len(x) < 2 or not behind or not _is_activation(behind[0]):
        return []
    a = layers.outputs_of(layer + 2, x)
    dead = a.max(axis=0) == a.min(axis=0)
    return [unit for unit, is_dead in enumerate(dead.tolist()) if is_dead]


def _is_activation(spec: Any) -> bool:
    return registry.find("layer", spec["name"]).kind == "activation"
