"""What the film of a network tells beside its weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import registry
from harness.config import Config
from harness.ops import Array
from harness.pictures.story import Story, curve_of
from harness.recorders.dead import dead_units
from harness.recorders.report import Trained
from harness.training.alone import Layers
from harness.training.film import film_paths

# So many examples decide whether a unit is dead.
ROWS = 500


def story_of_trained(trained: Trained) -> Story:
    """The story of the film of a finished run.

    Parameters
    ----------
    trained
        The run, whose state has the steps of its film.
    """
    data = trained.data
    layers = Layers.trained(trained.config, data.inputs, trained.state)
    x = data.x_valid if len(data.x_valid) else data.first(ROWS)
    epochs = [
        {"epoch": record.epoch, "step": record.step, **record.metrics} for record in trained.records
    ]
    return story_of(
        trained.config,
        layers,
        trained.state["film/steps"],
        epochs,
        x,
        data=data.source.name,
        features=data.source.features or (),
        classes=data.source.classes,
    )


def story_of(
    config: Config,
    layers: Layers,
    steps: Sequence[int],
    epochs: Sequence[Mapping[str, Any]],
    x: Array,
    *,
    data: str = "",
    features: Sequence[str] = (),
    classes: Sequence[str] = (),
) -> Story:
    """The story of a film.

    Parameters
    ----------
    config
        That of the network.
    layers
        Those of the trained network.
    steps
        The step of each frame.
    epochs
        Of each epoch its "epoch", its "step" and its metrics by name.
    x
        (N, I) rows as the network gets them, of which the first decide which units are dead.
    data
        The name of the data set; of the path of a file the last part is told alone.
    features, classes
        The names of the inputs and of the classes; empty where they have none.
    """
    given: dict[str, Any] = {}
    if config.film is not None:
        given = registry.arguments(registry.find("recorder", config.film["name"]), config.film)
    layer = given.get("layer", 0)
    paths = film_paths(layers.arena, x.shape[1])
    place = paths[layer].split("/")[0]
    dead: list[int] = []
    rows = x[:ROWS]
    if place.isdigit():
        dead = dead_units(layers, int(place), rows)
    is_own_matrix = bool(given.get("matrix")) and layer > 0
    units: Sequence[str] = ()
    if paths[layer] == paths[-1] and layers.plan.outputs == len(classes):
        units = [f"class {name}" for name in classes]
    sizes = "-".join(str(layer["units"]) for layer in config.layers if "units" in layer)
    epoch_steps = 0.0
    if epochs:
        epoch_steps = epochs[-1]["step"] / epochs[-1]["epoch"]
    return Story(
        steps=steps,
        epoch_steps=epoch_steps,
        curve=curve_of(epochs),
        title=_title(given.get("show", "change"), layer, is_own_matrix),
        subtitle=" · ".join(filter(None, [Path(data).name, sizes, _in_short(config.update)])),
        dead=dead,
        dead_words=f"the same output for {len(rows)} examples",
        features=() if is_own_matrix else features,
        units=units,
        layer=layer,
        is_own_matrix=is_own_matrix,
    )


def _in_short(spec: Any) -> str:
    """A spec as text, whose numbers have four digits at most: a suggested one would have 17."""

    def rounded(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: rounded(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [rounded(inner) for inner in value]
        return float(f"{value:.4g}") if isinstance(value, float) else value

    return registry.text(rounded(spec))


def _title(show: str, layer: int, is_own_matrix: bool) -> str:
    layers = {0: "The first layer", 1: "The second layer", 2: "The third layer"}
    name = layers.get(layer, f"Layer {layer + 1}")
    if layer and not is_own_matrix:
        name = f"{name}, seen through those below it"
    if show == "change":
        return f"{name}: what it has learned"
    return f"{name}: its weights"
