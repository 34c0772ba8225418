"""The normal form of a config's fields: equal settings become equal values, wrong ones an error."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import checks, registry
from harness.errors import UsageError, argument
from harness.registry.known import Spec
from harness.registry.specs import canonical

_SHARE = "must be the share of the training set kept for validation, in [0, 1)"

_CHOICES: dict[str, tuple[Any, ...]] = {
    "scale": ("auto", "/255", "/256", "standardize", "none"),
    "missing": (None, "mean"),
    "select": ("last", "best"),
    "dtype": ("float32", "float64"),
    "device": ("cpu", "gpu"),
}

# Whole numbers: the least that each may be, and what else it may be; ... for nothing else.
_WHOLE: dict[str, tuple[int, Any]] = {
    "batch": (1, "full"),
    "epochs": (1, ...),
    "eval_batch": (1, ...),
    "seed": (0, ...),
    "split_seed": (0, ...),
    "order_seed": (0, None),
    "patience": (1, None),
    "inputs": (1, None),
}


def normal_form(fields: Mapping[str, Any]) -> dict[str, Any]:
    """All fields of a config in their normal form.

    Specs become dicts and numbers Python's own, so that the digest of a config does not depend on
    how it was written.

    Raises
    ------
    UsageError
        For the first field that holds no such value.
    """
    normal = dict(fields)
    layers = _layer_list(fields["layers"])
    if layers and _is_input(layers[0]):
        normal["inputs"] = layers.pop(0)["units"]
    normal["layers"] = _layers(layers)
    normal["data"] = _data(fields["data"])
    normal["loss"] = canonical("loss", fields["loss"])
    normal["update"] = canonical("update_rule", fields["update"])
    normal["metric"] = canonical("metric", fields["metric"])
    # Only the film may be left out; None is no recorder.
    normal["film"] = None
    if fields["film"] is not None:
        normal["film"] = canonical("recorder", fields["film"])
    normal["recorders"] = [canonical("recorder", spec) for spec in fields["recorders"]]
    _try_recorders([normal["film"], *normal["recorders"]])
    for name in _WHOLE:
        normal[name] = _whole_number(name, normal[name])
    normal["valid"] = checks.share(argument("valid"), fields["valid"], _SHARE)
    normal["drop_last"] = checks.truth("drop_last", fields["drop_last"])
    for name, allowed in _CHOICES.items():
        normal[name] = checks.one_of(argument(name), fields[name], allowed)
    normal["class_weight"] = _class_weight(fields["class_weight"])
    return normal


def _layer_list(layers: Any) -> list[Any]:
    # A text can be iterated over, and so can a dict, but neither is a list of layers.
    if isinstance(layers, str | dict) or not hasattr(layers, "__iter__"):
        raise UsageError(f"layers must be a list such as mlp([784, 100, 10]), got {layers!r}")
    return list(layers)


def _is_input(layer: Any) -> bool:
    """Whether it is what `mlp` puts before its layers: the number of features."""
    return isinstance(layer, dict) and layer.get("name") == "input"


def _layers(layers: list[Any]) -> list[Spec]:
    if not layers:
        raise UsageError(
            "layers must hold at least one layer, got none; give a list such as mlp([784, 100, 10])"
        )
    return [canonical("layer", layer) for layer in layers]


def _data(data: Any) -> Any:
    """The spec of a data set, or its path as it is."""
    if isinstance(data, str) and not _is_spec(data):
        return data
    return canonical("dataset", data)


def _is_spec(text: str) -> bool:
    """Whether a data set is named by a spec ("mnist", "csv(path='a.csv')") and not by a path."""
    # A registered name has precedence over a folder of the same name.
    if any(text == entry.name for entry in registry.entries("dataset")):
        return True
    if text.rstrip().endswith(")"):
        return True
    # A name that nobody has registered is a misspelled one, unless there is such a folder.
    return text.isidentifier() and not Path(text).is_dir()


def _try_recorders(specs: list[Spec | None]) -> None:
    """Makes every recorder, so that it refuses wrong settings now and not after the training."""
    for spec in specs:
        if spec is not None:
            registry.make("recorder", spec)


def _whole_number(name: str, value: Any) -> Any:
    least, alternative = _WHOLE[name]
    if alternative is ...:
        return checks.whole(argument(name), value, least)
    if checks.plain(value) == alternative:
        return alternative
    return checks.whole(argument(name), value, least, otherwise=f" or {alternative!r}")


def _class_weight(value: Any) -> Any:
    """None, "balanced", or the weight of each class by its name, in the order of the names."""
    if value is None or (isinstance(value, str) and value == "balanced"):
        return value
    if not isinstance(value, Mapping) or not value:
        raise UsageError(
            "class_weight must be None, 'balanced' or a dict with the weight of each class, such "
            "as "
            f"{{'yes': 5, 'no': 1}}, got {checks.shown(value)}"
        )
    weights: dict[str, float] = {}
    for label, weight in value.items():
        name = _class_name(label)
        if name in weights:
            raise UsageError(
                f"class_weight must name every class once, got {name!r} twice; leave one out"
            )
        weights[name] = checks.real(
            f"class_weight of {name!r}", weight, lambda number: number >= 0, "must be 0 or above"
        )
    if not any(weights.values()):
        raise UsageError(
            "class_weight must have a weight above 0, got only zeros; give some class a weight"
        )
    return dict(sorted(weights.items()))


def _class_name(label: Any) -> str:
    """The name of a class, which for 1.0 is that of 1."""
    label = checks.plain(label)
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label)
