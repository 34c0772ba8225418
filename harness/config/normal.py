"""The normal form of a config's fields: equal settings become equal values, wrong ones an error."""

from collections.abc import Callable, Mapping
from functools import partial
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
    """Fields of a config in their normal form.

    Specs become dicts and numbers Python's own, so that the digest of a config does not depend on
    how it was written.

    Parameters
    ----------
    fields : mapping
        All fields of a config, or those that differ from a config in normal form.

    Raises
    ------
    UsageError
        For the first field that holds no such value.
    """
    given = dict(fields)
    if "layers" in given:
        layers = _layer_list(given["layers"])
        if layers and _is_input(layers[0]):
            given["inputs"] = layers.pop(0)["units"]
        given["layers"] = layers
    return {name: _FORM_OF[name](value) for name, value in given.items()}


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
    if ("dataset", text) in registry.table():
        return True
    if text.rstrip().endswith(")"):
        return True
    # A name that nobody has registered is a misspelled one, unless there is such a folder.
    return text.isidentifier() and not Path(text).is_dir()


def _film(spec: Any) -> Spec | None:
    # Only the film may be left out; None is no recorder.
    return None if spec is None else _recorder(spec)


def _recorders(specs: Any) -> list[Spec]:
    return [_recorder(spec) for spec in specs]


def _recorder(spec: Any) -> Spec:
    """A recorder, which is made once, to refuse wrong settings now and not after the training."""
    normal = canonical("recorder", spec)
    registry.make("recorder", normal)
    return normal


def _whole_number(name: str, value: Any) -> Any:
    least, alternative = _WHOLE[name]
    if alternative is ...:
        return checks.whole(argument(name), value, least)
    if checks.plain(value) == alternative:
        return alternative
    return checks.whole(argument(name), value, least, otherwise=f" or {alternative!r}")


def _share_held_out(value: Any) -> float:
    return checks.share(argument("valid"), value, _SHARE)


def _choice(name: str, value: Any) -> Any:
    return checks.one_of(argument(name), value, _CHOICES[name])


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


# What makes the normal form of each field
_FORM_OF: dict[str, Callable[[Any], Any]] = {
    "layers": _layers,
    "data": _data,
    "loss": partial(canonical, "loss"),
    "update": partial(canonical, "update_rule"),
    "metric": partial(canonical, "metric"),
    "film": _film,
    "recorders": _recorders,
    "valid": _share_held_out,
    "drop_last": partial(checks.truth, "drop_last"),
    "class_weight": _class_weight,
    **{name: partial(_whole_number, name) for name in _WHOLE},
    **{name: partial(_choice, name) for name in _CHOICES},
}
