"""What a model shows in a notebook: its layers, how well it does, and its learning curves."""

from typing import Any

import numpy as np

from harness import registry
from harness.model.estimator import Model
from harness.model.layers import trained_layers
from harness.model.weights import named_weights
from harness.pictures import notebook
from harness.pictures.curves import learning_curves


def model_as_html(model: Model) -> str:
    """A model as a piece of HTML."""
    config = model.config
    update = f"{registry.text(config.update)}, batch {config.batch}"
    head = f"{model.epoch} epochs, {model.steps} steps; {update}"
    parts = [notebook.paragraph(head)]
    if sentence := _score(model):
        parts.insert(0, notebook.paragraph(sentence, strong=True))
    parts.append(notebook.table(["", "layer", "inputs", "outputs", "parameters"], _rows(model)))
    # A single epoch is no curve.
    if len(model.history) > 1:
        metric = config.metric["name"]
        figure = learning_curves(model.history, metric, _maximizes(metric))
        parts.append(notebook.picture(figure, "learning curves"))
    return "".join(parts)


def _rows(model: Model) -> list[list[Any]]:
    """Place, spec, sizes and the number of parameters of each layer."""
    if model._learned is None:
        return [
            [place, registry.text(spec), "", "", ""]
            for place, spec in enumerate(model.config.layers)
        ]
    counts: dict[str, int] = {}
    for name, array in named_weights(model._learned).items():
        place = name.split("/")[0]
        counts[place] = counts.get(place, 0) + int(np.size(array))
    return [
        [place, registry.text(layer.spec), layer.features, layer.outputs, counts.get(str(place), 0)]
        for place, layer in enumerate(trained_layers(model._learned))
    ]


def _score(model: Model) -> str:
    """How well it does on the validation part: at its last epoch, or at the best that it keeps."""
    metric = model.config.metric["name"]
    key = f"valid/{metric}"
    epochs = [epoch for epoch in model.history if key in epoch]
    if not epochs:
        return "not trained yet" if model.epoch == 0 and model.steps == 0 else ""
    shown = epochs[-1]
    if model.config.select == "best":
        choose = max if _maximizes(metric) else min
        shown = choose(epochs, key=lambda epoch: epoch[key])
    return f"validation {metric} {shown[key]:.4f} after epoch {shown['epoch']}"


def _maximizes(metric: str) -> bool:
    return bool(registry.find("metric", metric).options["direction"] == "maximize")
