"""The config that the options of harness run ask for."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import checks, registry
from harness.builtin.layers import mlp
from harness.cli.arguments import parse_number
from harness.config import Config
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.data import Dataset


@dataclass(frozen=True, kw_only=True)
class ConfigOptions:
    """The options of harness run that decide the config: their values as given, None where not.

    The attributes are named after the options.
    """

    data: str | None
    label: str | None
    dropped: tuple[str, ...]
    task: str | None
    missing: str | None
    sep: str | None
    decimal: str | None
    thousands: str | None
    encoding: str | None
    sizes: str | None
    activation: str | None
    kinds: str | None
    dropout: str | None
    init: str | None
    layers: tuple[str, ...]
    update: str | None
    learning_rate: str | None
    batch: str | None
    drop_last: bool
    epochs: int | None
    valid: float | None
    valid_data: str | None
    class_weight: str | None
    scale: str | None
    seed: int | None
    loss: str | None
    metric: str | None
    select: str | None
    patience: int | None
    film: str | None
    device: str | None
    config_file: str | None

    def among(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Those of these options that were given."""
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}


# Options whose value is that of the field of a config that has their name
_FIELDS = (
    *("update", "epochs", "valid", "scale", "seed", "loss", "metric", "select", "patience"),
    *("device", "missing"),
)
# Options that are arguments of the data set
_OF_CSV = ("sep", "decimal", "thousands", "encoding")
_OF_DATA = ("label", "task", *_OF_CSV)
# Options that are arguments of `mlp`
_OF_MLP = ("activation", "kinds", "dropout", "init")


def config_of(options: ConfigOptions) -> "tuple[Config, Dataset]":
    """The config that the options ask for, on top of that of --config, and its data set.

    Raises
    ------
    UsageError
        If an option does not fit the data or another option, or the config is no valid one.
    """
    from harness.data.loading import load_for

    values: dict[str, Any] = {"data": "mnist"}
    if options.config_file is not None:
        values = vars(_known_config(options.config_file)).copy()
    values |= options.among(_FIELDS)
    values |= _read_values(options)
    values["data"] = _data(values["data"], options)
    if options.learning_rate is not None:
        values["update"] = _with_rate(values.get("update", "sgd"), options.learning_rate)
    source = load_for(values["data"], values.get("missing"))
    # The defaults of a config are for classification.
    if source.task == "regression" and options.config_file is None:
        values = {"loss": "squared_error", "metric": "rmse", **values}
    values |= _layers(values, options, source)
    return Config(**values), source


def run_name_of(config: Config) -> str:
    """A name for a run of this config: "mnist relu 784-100-50-10 sgd(learning_rate=0.5)"."""
    data = config.data
    if not isinstance(data, str):
        data = data.get("path", data["name"])
    sizes = [str(layer["units"]) for layer in config.layers if "units" in layer]
    if config.inputs:
        sizes.insert(0, str(config.inputs))
    activations = str(config.flat()["activations"])
    parts = [Path(data).name, activations, "-".join(sizes), registry.text(config.update)]
    name = " ".join(filter(None, parts))
    # The name of a file may hold bytes that are no text.
    readable = "".join(letter if letter.isprintable() else "?" for letter in name)
    return readable[: checks.LONGEST_LINE]


def _known_config(reference: str) -> Config:
    """The config of a file, or of what has been logged."""
    file = os.path.expanduser(reference)
    if os.path.isfile(file) or file.endswith(".json"):
        return Config.from_json(Path(file))
    from harness.maintenance.logged import logged_config

    return logged_config(reference)


def _read_values(options: ConfigOptions) -> dict[str, Any]:
    """The fields of a config that are written in another way on the command line."""
    values: dict[str, Any] = {}
    if options.class_weight is not None:
        values["class_weight"] = _class_weight(options.class_weight)
    if options.batch == "full":
        values["batch"] = "full"
    elif options.batch is not None:
        values["batch"] = parse_number("--batch", int, options.batch, "a whole number or full")
    if options.drop_last:
        values["drop_last"] = True
    if options.film == "none":
        values["film"] = None
    elif options.film is not None:
        values["film"] = options.film
    elif options.config_file is None:
        # A run by itself is looked at, so that it gets the large film too.
        values["film"] = "film(formats=[html, mp4])"
    return values


def _class_weight(text: str) -> str | dict[str, float]:
    """The weights of "yes=5,no=1" by class; "balanced" as it is."""
    if text == "balanced":
        return text
    must = "balanced or the weight of each class, such as yes=5,no=1"
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, equals, weight = part.rpartition("=")
        if not equals or name.strip() in weights:
            raise UsageError(f"--class-weight must be {must}, got {text!r}")
        weights[name.strip()] = parse_number("--class-weight", float, weight, must, text)
    return weights


# Data ---------------------------------------------------------------------------------------------


def _data(data: Any, options: ConfigOptions) -> Any:
    """The data set with the options that it takes, such as the column of labels.

    Parameters
    ----------
    data
        The one of the config that the options change, for where --data does not name another.
    options
        The options.

    Raises
    ------
    UsageError
        If the data set takes no such option.
    """
    if options.data is not None:
        data = options.data
    arguments = options.among(_OF_DATA)
    if options.valid_data is not None:
        arguments["valid"] = options.valid_data
    if options.dropped:
        arguments["drop"] = list(options.dropped)
    spec = _data_spec(data)
    # What becomes of missing values is a field of the config, but a data set must be able to tell.
    for name in (*arguments, *options.among(("missing",))):
        if not spec or name not in registry.find("dataset", spec["name"]).parameters:
            raise _refused_by_data(name, data)
    if not arguments:
        return data
    return {**spec, **arguments}


def _data_spec(data: Any) -> dict[str, Any]:
    """The spec of a data set or a file; empty for a folder, which takes no options."""
    from harness.data.paths import kind_of

    if not isinstance(data, str):
        return data
    kind = kind_of(data)
    if kind is not None:
        return {"name": kind, "path": data}
    if data.rstrip().endswith(")") or data.isidentifier():
        return registry.parse(data)
    return {}


def _refused_by_data(argument: str, data: Any) -> UsageError:
    """The error for an option that the data set does not take."""
    option = "valid-data" if argument == "valid" else argument
    files = "a .csv or .parquet"
    if argument in _OF_CSV:
        files = "a .csv"
    return UsageError(
        f"--{option} goes with {files} file, not with {registry.text(data)}; leave it out"
    )


# The network --------------------------------------------------------------------------------------


def _layers(values: dict[str, Any], options: ConfigOptions, source: "Dataset") -> dict[str, Any]:
    """The fields `layers` and `inputs`: of --layer, of --sizes, or by default.

    Parameters
    ----------
    values
        The fields of the config so far. Where they have layers, these are kept by default.
    options
        The options.
    source
        The data set, which decides the first and the last size by default.
    """
    shaping = options.among(_OF_MLP)
    if options.layers:
        for name in ("sizes", *_OF_MLP):
            if getattr(options, name) is not None:
                raise UsageError(
                    f"--layer and --{name} cannot be combined; write everything as layers, or "
                    f"give --sizes"
                )
        return {"layers": list(options.layers), "inputs": None}
    if options.sizes is None and "layers" in values:
        if shaping:
            raise UsageError(
                f"--{next(iter(shaping))} shapes a network of --sizes, but the layers come from "
                f"--config; give --sizes too"
            )
        return {}
    if options.sizes is None:
        outputs = len(source.classes) or source.y.shape[1]
        sizes = [_features(values, source), 100, 50, outputs]
    else:
        sizes = _sizes(options.sizes)
    # A single kind stays a text, which `mlp` takes for all layers.
    if options.kinds is not None and "," in options.kinds:
        shaping["kinds"] = [kind.strip() for kind in options.kinds.split(",")]
    if options.dropout is not None:
        shaping["dropout"] = _dropout(options.dropout)
    return {"layers": mlp(sizes, **shaping), "inputs": None}


def _sizes(text: str) -> list[int]:
    """The whole numbers of "784-100-10"."""
    must = "whole numbers joined by -, such as 784-100-10"
    return [parse_number("--sizes", int, size, must, text) for size in text.split("-")]


def _dropout(text: str) -> float | list[float]:
    """The rate of hidden layers, or of the input and of hidden layers."""
    must = "one rate or two, such as 0.5 or 0.2,0.5"
    rates = [parse_number("--dropout", float, rate, must, text) for rate in text.split(",")]
    if len(rates) == 1:
        return rates[0]
    return rates


def _features(values: dict[str, Any], source: "Dataset") -> int:
    """The number of features once texts are encoded and holes filled."""
    if source.texts is None and source.missing is None:
        return source.x.shape[1]
    from harness.training.prepare import prepare

    # The layers do not matter here, but a config must have some.
    any_layers = {"layers": ["dense(1)"], "inputs": None}
    return prepare(Config(**{**values, **any_layers}), source).inputs


def _with_rate(update: Any, rate: str) -> dict[str, Any]:
    """The update rule with another learning rate: a number or a schedule."""
    spec = registry.canonical("update_rule", update)
    entry = registry.find("update_rule", spec["name"])
    if "learning_rate" not in entry.parameters:
        raise UsageError(
            f"--learning-rate: the update rule {entry.signature} has no learning_rate; write it "
            f"into --update"
        )
    with contextlib.suppress(ValueError):
        return {**spec, "learning_rate": float(rate)}
    name = rate.partition("(")[0]
    schedules = [schedule.name for schedule in registry.entries("schedule")]
    if name not in schedules:
        near = registry.suggest(name, schedules)
        raise UsageError(
            f"--learning-rate must be a number such as 0.5 or a schedule, got {rate!r}; {near}"
        )
    return {**spec, "learning_rate": rate}
