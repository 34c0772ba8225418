"""The pictures of one trained network: what it has learned, where it errs, what does not learn."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from harness import registry
from harness.data.scaling import apply_scale
from harness.model.estimator import Model
from harness.model.examples import Examples, examples_of
from harness.model.layers import Layer, trained_layers
from harness.model.learned import Learned
from harness.model.predicting import predict_scaled
from harness.model.sources import own_source
from harness.pictures import style
from harness.pictures.boundary import decision_boundary
from harness.pictures.confusion import confusion_counts, confusion_matrix
from harness.pictures.curves import learning_curves
from harness.pictures.mistakes import mistakes_as_pictures, surest_mistakes
from harness.pictures.plugins import drawn
from harness.pictures.regression import predicted_against_true
from harness.pictures.taken_apart import Stage, taken_apart
from harness.pictures.units import Health, unit_health
from harness.recorders.health import activation_health
from harness.training.prepare import prepare

FLAT = 0.01  # the |slope| below which an activation counts as saturated
_HEALTH_ROWS = 1000


def pictures_of(learned: Learned, history: list[dict[str, Any]]) -> Iterator[tuple[str, bytes]]:
    """Draws all pictures that fit a network and its data.

    Parameters
    ----------
    learned : Learned
        The network, with the data set that it learned from within reach.
    history : list of dict
        Its epochs, as `Model.history` has them.

    Yields
    ------
    tuple of str and bytes
        The name of a picture, such as "learning_curves.png", and its PNG.
    """
    return ((f"{name}.png", style.png(figure)) for name, figure in _figures(learned, history))


def pictures_of_model(model: Model) -> dict[str, bytes]:
    """All pictures that fit a trained model and its data: PNGs by name."""
    return dict(pictures_of(model._trained(), model.history))


def _figures(learned: Learned, history: list[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
    config = learned.config
    metric = config.metric["name"]
    direction = registry.find("metric", metric).options["direction"]
    yield "learning_curves", learning_curves(history, metric, direction == "maximize")
    source = own_source(config) if learned.source is None else None
    dataset = source.dataset if source is not None else learned.source
    data = prepare(config, dataset, learned.schema.fitted)
    examples = examples_of(config, data)
    answers = predict_scaled(learned, examples.scaled)
    if learned.schema.labels is None:
        yield "predicted_against_true", predicted_against_true(examples.y, answers)
    else:
        yield from _of_classes(learned, examples, answers)
    layers = trained_layers(learned)
    if health := _health(layers, examples):
        yield "units", unit_health(health)
    yield from _activations(layers)


def _of_classes(
    learned: Learned, examples: Examples, answers: np.ndarray
) -> Iterator[tuple[str, Any]]:
    """What there is to draw of a classification."""
    names = learned.schema.names
    predicted = answers.argmax(axis=1)
    yield "confusion", confusion_matrix(confusion_counts(examples.y, predicted, len(names)), names)
    shape = learned.schema.shape
    if shape is not None:
        mistakes = surest_mistakes(answers, examples.y)
        pictures = examples.raw[[mistake.row for mistake in mistakes]].reshape(-1, *shape)
        total = int((predicted != examples.y).sum())
        yield "mistakes", mistakes_as_pictures(mistakes, pictures, names, total)
    yield "taken_apart", _taken_apart(learned, examples, answers)
    if examples.scaled.shape[1] == 2 and examples.raw.shape[1] == 2:
        yield "boundary", _boundary(learned, examples)


def _taken_apart(learned: Learned, examples: Examples, answers: np.ndarray) -> Any:
    """The first example that the network gets right, layer by layer; else the first one."""
    right = np.flatnonzero(answers.argmax(axis=1) == examples.y)
    row = int(right[0]) if len(right) else 0
    values = examples.scaled[row : row + 1]
    stages = []
    for layer in trained_layers(learned):
        values = layer.of_scaled(values)
        stages.append(Stage(registry.text(layer.spec), values[0]))
    shape = learned.schema.shape
    picture = examples.raw[row].reshape(shape) if shape is not None else None
    return taken_apart(picture, stages, answers[row], learned.schema.names, int(examples.y[row]))


def _boundary(learned: Learned, examples: Examples) -> Any:
    """The decision boundary over the two features in their own units."""
    schema = learned.schema
    shift, factor = (np.asarray(part) for part in schema.fitted.scaling)

    def probabilities_of(rows: np.ndarray) -> np.ndarray:
        scaled = apply_scale(rows, shift, factor, np.dtype(learned.config.dtype))
        return predict_scaled(learned, scaled)

    features = schema.columns or ("x1", "x2")
    return decision_boundary(probabilities_of, examples.raw, examples.y, schema.names, features)


def _health(layers: list[Layer], examples: Examples) -> list[Health]:
    """How each activation of the network stands."""
    health = []
    values = examples.scaled[:_HEALTH_ROWS]
    for place, layer in enumerate(layers):
        if registry.find("layer", layer.spec["name"]).kind == "activation":
            dead, saturated = activation_health(layer.spec, values.copy(), FLAT, np)
            health.append(Health(f"{place} {registry.text(layer.spec)}", dead, saturated))
        values = layer.of_scaled(values)
    return health


def _activations(layers: list[Layer]) -> Iterator[tuple[str, Any]]:
    """The curve of each activation that the network uses, once."""
    specs: dict[str, Any] = {}
    for layer in layers:
        if registry.find("layer", layer.spec["name"]).kind == "activation":
            specs.setdefault(registry.text(layer.spec), layer.spec)
    for place, spec in enumerate(specs.values()):
        name = "activation" if len(specs) == 1 else f"activation_{place}"
        yield name, drawn("activation", spec)
