"""The data set that a fit trains on: the config's own, one that is given, or arrays."""

from typing import Any, NamedTuple

import numpy as np

from harness import checks, registry
from harness.config import Config
from harness.data import Dataset, from_arrays, with_validation, with_weights
from harness.data.labels import read_labels
from harness.data.loading import load_for
from harness.errors import UsageError
from harness.model.learned import Learned
from harness.model.rows import read_known_table
from harness.model.schema import Schema
from harness.model.targets import class_positions, labels_of, listed


class Source(NamedTuple):
    """What a fit trains on."""

    dataset: Dataset
    labels: np.ndarray | None  # the classes as the user writes them; None for a regression
    own: bool  # whether it is the data set of the config


def source_of(
    config: Config, learned: Learned | None, x: Any, y: Any, sample_weight: Any, valid: Any
) -> Source:
    """The data set that `Model.fit` was asked for, with its weights and validation part."""
    if x is None and y is None:
        _refuse_parts_alone(sample_weight, valid)
        if learned is not None:
            return _same_again(learned)
    source = _training_source(config, learned, x, y)
    dataset = source.dataset
    if sample_weight is not None:
        dataset = with_weights(dataset, sample_weight)
    if valid is not None:
        x_valid, y_valid = _validation_part(valid)
        dataset = with_validation(dataset, x_valid, y_valid)
    return source._replace(dataset=dataset)


def own_source(config: Config) -> Source:
    """The data set of the config."""
    dataset = load_for(config.data, config.missing)
    return Source(dataset, labels_of(dataset.classes), True)


def metric_task(config: Config) -> str:
    """The task that the config's metric is for: "classification" or "regression"."""
    return registry.find("metric", config.metric["name"]).options["task"]


def dataset_with_test(learned: Learned) -> Dataset:
    """The data set last fitted, which must have a test part."""
    dataset = last_dataset(learned, "score() needs a data set's test part")
    if dataset.x_test is None:
        raise UsageError(f"data set {dataset.name!r} has no test part; give x and y")
    return dataset


def _refuse_parts_alone(sample_weight: Any, valid: Any) -> None:
    for name, part in (("sample_weight", sample_weight), ("valid", valid)):
        if part is not None:
            raise UsageError(
                f"{name} goes with the data it belongs to; give x and y, or a Dataset, too"
            )


def _same_again(learned: Learned) -> Source:
    """The data that the network was last fitted to."""
    dataset = last_dataset(learned, "fit() goes on with the data it had")
    origin = learned.schema.origin
    return Source(dataset, learned.schema.labels, origin is not None and origin.own)


def last_dataset(learned: Learned, purpose: str, remedy: str = "give x and y") -> Dataset:
    """The data set last fitted.

    No other one may stand in for it, least of all the config's own after a fit to arrays.

    Parameters
    ----------
    learned
        What has learned from it.
    purpose, remedy
        What it is needed for, and what to do where it is not there, for the message.

    Raises
    ------
    UsageError
        Where it is not there any more.
    """
    if learned.source is not None:
        return learned.source
    # A model that was loaded has no data with it.
    origin = learned.schema.origin
    if origin is None or not origin.own:
        raise UsageError(
            f"{purpose}, and this network learned from data that are not kept; {remedy}"
        )
    dataset = load_for(learned.config.data, learned.config.missing)
    if dataset.digest != origin.digest:
        raise UsageError(
            f"data set {dataset.name!r} has changed since this network was trained on it; {remedy}"
        )
    learned.source = dataset
    return dataset


def _training_source(config: Config, learned: Learned | None, x: Any, y: Any) -> Source:
    schema = None if learned is None else learned.schema
    if y is None and (x is None or isinstance(x, Dataset)):
        source = own_source(config) if x is None else Source(x, labels_of(x.classes), False)
        if schema is not None:
            _refuse_other_classes(source.dataset, schema)
        return source
    if x is None or y is None:
        raise UsageError(
            "fit takes x and y, a Dataset, or nothing for the config's data set; got one of x and y"
        )
    if schema is None:
        return _first_arrays(config, x, y)
    return _further_arrays(config, schema, x, y)


def _refuse_other_classes(dataset: Dataset, schema: Schema) -> None:
    if dataset.classes == schema.names:
        return
    first = listed(schema.names) or "none"
    now = listed(dataset.classes) or "none"
    raise UsageError(
        f"{dataset.name}: classes must stay those of the first training, {first}, got {now}"
    )


def _first_arrays(config: Config, x: Any, y: Any) -> Source:
    """Arrays that decide the classes, for a network that is not trained yet."""
    y = read_labels(y, "y")
    task = metric_task(config)
    if task == "classification" and y.dtype.kind == "f":
        # Numbers with a fraction are no classes, and the check of the metric says what to do.
        task = "auto"
    dataset = from_arrays("arrays", x, y, task=task, missing=config.missing)
    labels = np.unique(y) if dataset.classes else None
    return Source(dataset, labels, False)


def _further_arrays(config: Config, schema: Schema, x: Any, y: Any) -> Source:
    """Arrays for a network that is trained: its columns and classes are known."""
    table = read_known_table(x, schema)
    # Holes are filled as they were in the first training part.
    missing = config.missing
    if schema.fitted.encoding is not None:
        missing = schema.fitted.encoding.missing
    y = read_labels(y, "y")
    if schema.labels is None:
        dataset = from_arrays("arrays", table, y, task="regression", missing=missing)
        return Source(dataset, None, False)
    positions = class_positions(y, schema)
    dataset = from_arrays("arrays", table, positions, classes=schema.names, missing=missing)
    return Source(dataset, schema.labels, False)


def _validation_part(valid: Any) -> tuple[Any, Any]:
    """The rows and labels of a validation part in either of its forms."""
    if isinstance(valid, Dataset):
        labels = valid.y
        if valid.classes:
            # By name, because the positions of its classes may be others than in the training part.
            labels = np.array(valid.classes)[valid.y]
        return valid.table(), labels
    if not isinstance(valid, tuple | list) or len(valid) != 2:
        raise UsageError(
            "valid must be (x, y) or a Dataset; a share to split off is valid of the "
            "config, as in "
            f"Model(valid=0.2), got {checks.shown(valid)}"
        )
    x, y = valid
    return x, y
