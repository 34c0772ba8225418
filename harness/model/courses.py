"""How weights and activations spread while a network learns, measured after some of its epochs."""

from typing import Any

import numpy as np

from harness import registry
from harness.boundary import foreign
from harness.config import Config
from harness.model import fitting
from harness.model.estimator import Model
from harness.model.examples import Examples, examples_of
from harness.model.learned import Learned
from harness.model.predicting import apply_in_batches
from harness.model.schema import Schema
from harness.model.sources import last_dataset, own_source
from harness.model.weights import named_weights
from harness.pictures.distributions import quantiles_of
from harness.training.alone import copy_layers, single_layers
from harness.training.prepare import prepare
from harness.training.prepared import Data
from harness.training.segment import segment
from harness.training.state import Record, State

# For the message where the data of a network are not there any more.
PURPOSE = "pictures of a network need the data that it learned from"
REMEDY = "train it again on data that are there"

ROWS = 500  # examples whose activations are measured
MOST_EPOCHS = 50  # after so many epochs at most it is measured, evenly chosen


class Courses:
    """The quantiles of all weights and of each layer's values, epoch after epoch.

    Measuring takes some milliseconds and happens outside of the clock of training.

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
    part : str
        Which examples were measured with, "validation part" or "training part".
    """

    def __init__(self, config: Config, schema: Schema, examples: Examples) -> None:
        self.epochs: list[int] = []
        self.part = examples.part
        self._config = config
        self._rows = examples.scaled[:ROWS]
        self._weights: dict[str, list[np.ndarray]] = {}
        self._values: dict[str, list[np.ndarray]] = {}
        self._wanted = wanted_epochs(config.epochs)
        # They are built once, which takes longer than to measure them.
        self._learned = Learned.initialized(config, schema, 1)
        network = self._learned.network()
        self._layers = single_layers(config, network, schema.inputs, config.eval_batch)
        self._measure(0)

    def add(self, state: State) -> None:
        """Measures a network after an epoch, if that is one of those that are chosen."""
        if state["epoch"] not in self._wanted:
            return
        # What the epoch has left is meant, and not the best epoch so far.
        last = {name: value for name, value in state.items() if not name.startswith("best/")}
        self._learned.take(last)
        self._measure(state["epoch"])

    def weights(self) -> dict[str, np.ndarray]:
        """By the name of a weight matrix, its quantiles (epochs, 7)."""
        return {name: np.stack(course) for name, course in self._weights.items()}

    def activations(self) -> dict[str, np.ndarray]:
        """By place and name of a layer, the quantiles (epochs, 7) of its values."""
        return {name: np.stack(course) for name, course in self._values.items()}

    @foreign("a plugin")
    def _measure(self, epoch: int) -> None:
        self.epochs.append(epoch)
        for name, array in named_weights(self._learned).items():
            # Biases are few, and their bands would say little.
            if array.ndim > 1 and min(array.shape) > 1:
                self._weights.setdefault(name, []).append(quantiles_of(array))
        values: Any = self._rows
        with self._learned.evaluation() as network:
            copy_layers(self._layers, network)
        for place, layer in enumerate(self._layers):
            values = apply_in_batches(self._config, layer.evaluate, values, layer.outputs)
            name = f"{place} {registry.text(self._config.layers[place])}"
            self._values.setdefault(name, []).append(quantiles_of(values))


def wanted_epochs(epochs: int) -> list[int]:
    """The epochs after which is measured, of so many: 0, the last one, and others between."""
    return sorted({round(epoch) for epoch in np.linspace(0, epochs, min(epochs, MOST_EPOCHS) + 1)})


def empty_courses(config: Config) -> Courses:
    """A measurement that has begun, of what a config trains on its own data."""
    schema, data = fitting.prepared(config, None, own_source(config))
    return Courses(config, schema, examples_of(config, data))


def trained_measured(config: Config) -> tuple[Model, Courses]:
    """A network that is trained on the data of its config, and measured on the way."""
    source = own_source(config)
    schema, data = fitting.prepared(config, None, source)
    courses = Courses(config, schema, examples_of(config, data))
    state, records = _train(config, data, courses, config.epochs)
    history = [fitting.history_entry(record) for record in records]
    return Model._of(Learned(config, schema, state, source.dataset), history), courses


def trained_again(model: Model) -> Courses | None:
    """Trains a network once more, and measures it on the way.

    Parameters
    ----------
    model : Model
        A trained one; it stays as it is.

    Returns
    -------
    Courses or None
        None where that leads to other weights: what a user has set, or trained in several fits, is
        not what the config alone says.

    Raises
    ------
    UsageError
        Where its data are not there any more.
    """
    learned = model._trained()
    dataset = last_dataset(learned, PURPOSE, REMEDY)
    epochs = learned.current_state()["epoch"]
    if epochs == 0:
        return None
    # A film is a copy of weights, without which the training is the same.
    config = learned.config.replace(epochs=max(epochs, learned.config.epochs), film=None)
    data = prepare(config, dataset, learned.schema.fitted)
    courses = Courses(config, learned.schema, examples_of(config, data))
    state, _ = _train(config, data, courses, epochs)
    if not _are_equal(Learned(config, learned.schema, state), learned):
        return None
    return courses


def _train(config: Config, data: Data, courses: Courses, epochs: int) -> tuple[State, list[Record]]:
    """Trains for so many epochs, in segments that end where it is measured."""
    state = None
    records: list[Record] = []
    for epoch in sorted({*wanted_epochs(config.epochs), epochs}):
        if len(records) < epoch <= epochs and (state is None or not state["stopped"]):
            state, more = segment(config, data, state, epochs=epoch - len(records))
            records += more
            courses.add(state)
    assert state is not None, "there is at least one epoch"
    return state, records


def _are_equal(one: Learned, other: Learned) -> bool:
    weights = named_weights(other)
    return all(np.array_equal(array, weights[name]) for name, array in named_weights(one).items())
