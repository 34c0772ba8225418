"""How weights and activations spread while a network learns, measured after each epoch."""

from typing import Any

import numpy as np

from harness import registry
from harness.config import Config
from harness.model.examples import Examples
from harness.model.layers import trained_layers
from harness.model.learned import Learned
from harness.model.schema import Schema
from harness.model.weights import named_weights
from harness.pictures.distributions import quantiles_of
from harness.training.state import State

ROWS = 500  # examples whose activations are measured


class Courses:
    """The quantiles of all weights and of each layer's values, epoch after epoch.

    Measuring takes milliseconds an epoch and happens outside of the clock of training.

    Parameters
    ----------
    config : Config
        What is trained.
    schema : Schema
        What the model knows of its data.
    examples : Examples
        Those whose activations are measured; the first `ROWS` of them.

    Attributes
    ----------
    epochs : list of int
        When it was measured; 0 is the network with its initial weights.
    """

    def __init__(self, config: Config, schema: Schema, examples: Examples) -> None:
        self.epochs: list[int] = []
        self._config = config
        self._schema = schema
        self._rows = examples.scaled[:ROWS]
        self._weights: dict[str, list[np.ndarray]] = {}
        self._values: dict[str, list[np.ndarray]] = {}
        self._measure(0, Learned.initialized(config, schema, 1))

    def add(self, state: State) -> None:
        """Measures a network after an epoch."""
        self._measure(state["epoch"], Learned(self._config, self._schema, state))

    def weights(self) -> dict[str, np.ndarray]:
        """By the name of a weight matrix, its quantiles (epochs, 7)."""
        return {name: np.stack(course) for name, course in self._weights.items()}

    def activations(self) -> dict[str, np.ndarray]:
        """By place and name of a layer, the quantiles (epochs, 7) of its values."""
        return {name: np.stack(course) for name, course in self._values.items()}

    def _measure(self, epoch: int, learned: Learned) -> None:
        self.epochs.append(epoch)
        for name, array in named_weights(learned).items():
            # Biases are few, and their bands would say little.
            if array.ndim > 1 and min(array.shape) > 1:
                self._weights.setdefault(name, []).append(quantiles_of(array))
        values: Any = self._rows
        for place, layer in enumerate(trained_layers(learned)):
            values = layer.of_scaled(values)
            name = f"{place} {registry.text(layer.spec)}"
            self._values.setdefault(name, []).append(quantiles_of(values))
