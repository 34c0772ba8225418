"""The layers of a trained network as functions that can be called one after the other."""

from collections.abc import Callable
from typing import Any

import numpy as np

from harness import registry
from harness.config import brief
from harness.model.learned import Learned
from harness.model.predicting import apply_in_batches
from harness.model.rows import number_rows, read_features, scale_rows
from harness.training.alone import single_layers


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
        return self.of_scaled(rows)

    def of_scaled(self, rows: np.ndarray) -> np.ndarray:
        """The outputs (N, O) for rows (N, I) as the network sees them, of the first layer too."""
        return apply_in_batches(self._learned.config, self._function, rows, self.outputs)

    def __repr__(self) -> str:
        return f"{brief(registry.text(self.spec))}: {self.features} -> {self.outputs}"


def trained_layers(learned: Learned) -> list[Layer]:
    """Every layer with the parameters that predict now."""
    config = learned.config
    features = learned.schema.inputs
    with learned.evaluation() as network:
        alone = single_layers(config, network, features, config.eval_batch)
    layers = []
    for place, (spec, layer) in enumerate(zip(config.layers, alone, strict=True)):
        raw = place == 0
        layers.append(Layer(learned, spec, layer.evaluate, features, layer.outputs, raw))
        features = layer.outputs
    return layers
