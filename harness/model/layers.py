"""The layers of a trained network as functions that can be called one after the other."""

from collections.abc import Callable
from typing import Any

import numpy as np

from harness import registry
from harness.config import brief
from harness.engine.network import Network, build
from harness.model.learned import Learned
from harness.model.predicting import apply_in_batches
from harness.model.rows import number_rows, read_features, scale_rows
from harness.model.weights import named_weights
from harness.ops import ops_for


class Layer:
    """One trained layer as a function of rows: f(h) (N, I) -> (N, O), in evaluation mode.

    `Model.layers` makes them.

    Attributes
    ----------
    spec
        The layer's spec.
    features
        The number of inputs I.
    outputs
        The number of outputs O.
    """

    def __init__(
        self,
        learned: Learned,
        spec: registry.Spec,
        function: Callable[[Any], Any],
        features: int,
        outputs: int,
        raw: bool,
    ) -> None:
        self.spec = spec
        self.features = features
        self.outputs = outputs
        self._learned = learned
        self._function = function
        self._raw = raw  # whether it takes rows as the user has them

    def __call__(self, h: Any) -> np.ndarray:
        """The outputs (N, O) for inputs (N, I); the first layer takes raw rows in any form."""
        config = self._learned.config
        if self._raw:
            schema = self._learned.schema
            rows = scale_rows(read_features(h, schema), schema, config.dtype)
        else:
            rows = number_rows(h, self.features, "inputs")
        return apply_in_batches(config, self._function, rows, self.outputs)

    def __repr__(self) -> str:
        return f"{brief(registry.text(self.spec))}: {self.features} -> {self.outputs}"


def trained_layers(learned: Learned) -> list[Layer]:
    """Every layer with the parameters that predict now."""
    network = learned.network()
    weights = named_weights(learned)
    features = learned.schema.inputs
    layers = []
    for place, spec in enumerate(learned.config.layers):
        alone = _alone(learned, spec, features)
        _fill(alone, place, network, weights)
        raw = place == 0
        layers.append(Layer(learned, spec, alone.evaluate, features, alone.outputs, raw))
        features = alone.outputs
    return layers


def _alone(learned: Learned, spec: registry.Spec, features: int) -> Network:
    """A network of one layer. It never trains, so its loss and its update rule do not matter."""
    config = learned.config
    return build(
        [spec],
        features,
        loss="squared_error",
        rule="sgd",
        seeds=[config.seed],
        lead=(),
        batch=1,
        eval_batch=config.eval_batch,
        dtype=config.dtype,
        ops=ops_for(config.device),
    )


def _fill(alone: Network, place: int, network: Network, weights: dict[str, np.ndarray]) -> None:
    """Gives a layer that stands alone what it has as layer number `place` of a network."""
    arena = alone.arena

    def in_network(path: str) -> str:
        # Alone it is layer 0, and its first parameter "0/W".
        return f"{place}{path.removeprefix('0')}"

    for path in arena.slices:
        arena.view(arena.value, path)[...] = arena.xp.asarray(weights[in_network(path)])
    for path, target in alone.frozen.items():
        target[...] = arena.xp.asarray(weights[in_network(path)])
    for path, target in alone.layer_state.items():
        target[...] = network.layer_state[in_network(path)]
