"""Layers without a task: one of a trained network by itself, or one that is looked at."""

from typing import Any

import numpy as np

from harness.config import Config
from harness.engine.network import Network, build
from harness.ops import cpu, ops_for


def build_alone(
    layers: list[Any],
    features: int,
    *,
    rule: Any = "sgd",
    seeds: list[int] | None = None,
    lead: tuple[int, ...] = (),
    batch: int = 1,
    eval_batch: int = 1,
    dtype: Any = np.float64,
    ops: Any = cpu,
) -> Network:
    """Build a network of layers whose loss does not matter.

    Parameters
    ----------
    layers
        Specs, products or binds.
    features
        The features I that come in.
    rule
        The update rule, for those who take steps.
    seeds, lead, batch, eval_batch, dtype, ops
        As for `harness.engine.network.build`; without seeds the only member has 0.
    """
    return build(
        layers,
        features,
        loss="squared_error",
        rule=rule,
        seeds=seeds or [0],
        lead=lead,
        batch=batch,
        eval_batch=eval_batch,
        dtype=dtype,
        ops=ops,
    )


def single_layers(
    config: Config, network: Network, features: int, rows: int, first: int | None = None
) -> list[Network]:
    """Return the layers of a network as networks of one layer each, to be evaluated in turn.

    Parameters
    ----------
    config
        What the network was built from.
    network
        Its parameters and its layer state are copied.
    features
        The features I that come in.
    rows
        The rows of a batch in evaluation.
    first
        How many of them, from the first one on; None for all.
    """
    layers = []
    for place, spec in enumerate(config.layers[:first]):
        layer = build_alone(
            [spec], features, eval_batch=rows, dtype=config.dtype, ops=ops_for(config.device)
        )
        _copy_into(layer, network, place)
        features = layer.outputs
        layers.append(layer)
    return layers


def _copy_into(layer: Network, network: Network, place: int) -> None:
    """Give a layer that stands alone what it has as layer number `place` of a network."""

    def in_network(path: str) -> str:
        # Alone it is layer 0, and its first parameter "0/W".
        return f"{place}{path.removeprefix('0')}"

    for path in layer.arena.slices:
        values = network.arena.view(network.arena.value, in_network(path))
        layer.arena.view(layer.arena.value, path)[...] = values
    for path, target in layer.frozen.items():
        target[...] = network.frozen[in_network(path)]
    for path, target in layer.layer_state.items():
        target[...] = network.layer_state[in_network(path)]
