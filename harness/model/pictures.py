"""The pictures of one trained network: what it has learned, where it errs, what does not learn."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from harness import registry
from harness.data.scaling import apply_scale
from harness.model.courses import PURPOSE, REMEDY, Courses, trained_again
from harness.model.estimator import Model
from harness.model.examples import Examples, examples_of
from harness.model.layers import Layer, trained_layers
from harness.model.learned import Learned
from harness.model.predicting import predict_scaled
from harness.model.sources import last_dataset
from harness.pictures import style
from harness.pictures.boundary import decision_boundary
from harness.pictures.confusion import confusion_counts, confusion_matrix
from harness.pictures.curves import learning_curves
from harness.pictures.distributions import over_time
from harness.pictures.mistakes import mistakes_as_pictures, surest_mistakes
from harness.pictures.plugins import drawn
from harness.pictures.regression import predicted_against_true
from harness.pictures.taken_apart import Stage, taken_apart
from harness.pictures.units import Health, unit_health
from harness.recorders.health import activation_health
from harness.training.prepare import prepare

FLAT = 0.01  # the |slope| below which an activation counts as saturated
_HEALTH_ROWS = 1000


# What each picture shows; where a network has several activations, their names end with a number.
CAPTIONS = {
    "learning_curves": "loss and metric after each epoch, the best epoch marked",
    "confusion": "which class it takes for which",
    "mistakes": "what it is most sure of and wrong about",
    "taken_apart": "what each layer makes of one example",
    "predicted_against_true": "predicted against true values",
    "boundary": "its decision boundary",
    "units": "dead units and flat slopes",
    "weights_over_time": "how its weights spread from epoch to epoch",
    "activations_over_time": "how the values after its layers spread from epoch to epoch",
    "activation": "its activation and the slope",
}


def pictures_of(
    learned: Learned, history: list[dict[str, Any]], courses: Courses | None = None
) -> Iterator[tuple[str, bytes]]:
    """Draws all pictures that fit a network and its data.

    Parameters
    ----------
    learned : Learned
        The network, with the data set that it learned from within reach.
    history : list of dict
        Its epochs, as `Model.history` has them.
    courses : Courses or None
        How its weights and activations have spread, where that was measured.

    Yields
    ------
    tuple of str and bytes
        The name of a picture, such as "learning_curves.png", and its PNG.

    Raises
    ------
    UsageError
        Where its data are not there any more.
    """
    figures = _figures(learned, history, courses)
    return ((f"{name}.png", style.png(figure)) for name, figure in figures)


def pictures_of_model(
    model: Model, courses: Courses | None = None, over_time: bool = False
) -> dict[str, bytes]:
    """All pictures that fit a trained model and its data: PNGs by name.

    Parameters
    ----------
    model : Model
        The model.
    courses : Courses or None
        How its weights and activations have spread, where that was measured while it trained.
    over_time : bool
        Whether to train it once more in order to measure that.
    """
    if over_time:
        courses = trained_again(model)
    return dict(pictures_of(model._trained(), model.history, courses))


def pictures_over_time(model: Model) -> dict[str, bytes]:
    """Those of `pictures_of_model` for which it is trained once more, and no other ones."""
    courses = trained_again(model)
    figures = _over_time(courses) if courses is not None else []
    return {f"{name}.png": style.png(figure) for name, figure in figures}


def caption_of(name: str) -> str:
    """What the picture of a name such as "activation_1.png" shows; "" for a name of others."""
    stem = name.removesuffix(".png")
    if stem.startswith("activation_") and stem not in CAPTIONS:
        stem = "activation"
    return CAPTIONS.get(stem, "")


def _figures(
    learned: Learned, history: list[dict[str, Any]], courses: Courses | None
) -> Iterator[tuple[str, Any]]:
    config = learned.config
    dataset = last_dataset(learned, PURPOSE, REMEDY)
    metric = config.metric["name"]
    direction = registry.find("metric", metric).options["direction"]
    yield "learning_curves", learning_curves(history, metric, direction == "maximize")
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
    if courses is not None:
        yield from _over_time(courses)


def _over_time(courses: Courses) -> Iterator[tuple[str, Any]]:
    """How weights and values have spread while the network was trained."""
    yield "weights_over_time", over_time(courses.epochs, courses.weights(), "weights")
    title = f"values after each layer, {courses.part}"
    yield "activations_over_time", over_time(courses.epochs, courses.activations(), title)


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
    """The first example that the network gets right, layer by layer; else the first one.

    Dropout and noise change nothing when a network is evaluated, so what gives back its input is
    left out, unless it is an activation.
    """
    right = np.flatnonzero(answers.argmax(axis=1) == examples.y)
    row = int(right[0]) if len(right) else 0
    values = examples.scaled[row : row + 1]
    stages = []
    for layer in trained_layers(learned):
        before = values
        values = layer.of_scaled(before)
        if _is_activation(layer) or not np.array_equal(values, before):
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
        if _is_activation(layer):
            dead, saturated = activation_health(layer.spec, values.copy(), FLAT, np)
            health.append(Health(f"{place} {registry.text(layer.spec)}", dead, saturated))
        values = layer.of_scaled(values)
    return health


def _is_activation(layer: Layer) -> bool:
    return registry.find("layer", layer.spec["name"]).kind == "activation"


def _activations(layers: list[Layer]) -> Iterator[tuple[str, Any]]:
    """The curve of each activation that the network uses, once."""
    specs: dict[str, Any] = {}
    for layer in layers:
        if _is_activation(layer):
            specs.setdefault(registry.text(layer.spec), layer.spec)
    for place, spec in enumerate(specs.values()):
        name = "activation" if len(specs) == 1 else f"activation_{place}"
        yield name, drawn("activation", spec)
