"""Layers without a task: those of a trained network by themselves, or one that is looked at."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness import registry
from harness.config import Config
from harness.engine.arena import Arena
from harness.engine.chain import chain
from harness.engine.context import Context, Shared
from harness.engine.network import Network, Plan, build
from harness.ops import Array, cpu, ops_for
from harness.training.state import State


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


@dataclass(frozen=True)
class Layers:
    """The layers of a trained network with their parameters, without its loss and its update rule.

    Attributes
    ----------
    specs
        The layers.
    plan
        What they are made of.
    arena
        Their parameters.
    """

    specs: list[Any]
    plan: Plan
    arena: Arena

    @classmethod
    def of(cls, config: Config, network: Network) -> "Layers":
        """Return the layers of a network; they share its parameters."""
        return cls(config.layers, network.plan, network.arena)

    @classmethod
    def trained(cls, config: Config, features: int, state: State) -> "Layers":
        """Return the layers of a config as they are in the state of a network of it.

        Parameters
        ----------
        config
            What the network was built from.
        features
            The features I that come in.
        state
            The network's.
        """
        ops = ops_for(config.device)
        shared = Shared(ops=ops, dtype=np.dtype(config.dtype), lead=(), batch=1)
        bind = chain(*config.layers)
        _, outputs = bind(Context(shared), features)
        loss = registry.make("loss", "squared_error")
        plan = Plan(bind, loss, features, outputs, shared, [config.seed])
        layers = cls(config.layers, plan, plan.allocate())
        layers.arena.value[...] = ops.asarray(state["theta"])
        for kind, arrays in (("layer", shared.states), ("frozen", shared.frozen)):
            for path, array in arrays.items():
                array[...] = ops.asarray(state[f"{kind}/{path}"])
        return layers

    def outputs_of(self, first: int, x: Array) -> Array:
        """Return what the first so many layers make of rows x (N, I)."""
        shared = replace(self.plan.shared, arena=self.arena, batch=len(x))
        forward, _ = chain(*self.specs[:first])(Context(shared), x.shape[1])
        return forward(x, False)[0]


def single_layers(config: Config, network: Network, features: int, rows: int) -> list[Network]:
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
    """
    layers = []
    for place, spec in enumerate(config.layers):
        layer = build_alone(
            [spec], features, eval_batch=rows, dtype=config.dtype, ops=ops_for(config.device)
        )
        _copy_into(layer, network, place)
        features = layer.outputs
        layers.append(layer)
    return layers


def copy_layers(layers: list[Network], network: Network) -> None:
    """Give layers that stand alone what the network has now whose they are."""
    for place, layer in enumerate(layers):
        _copy_into(layer, network, place)


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
