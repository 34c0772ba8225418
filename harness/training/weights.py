"""Weights of classes and of single examples in the loss."""

from typing import Any

import numpy as np

from harness import registry
from harness.config import Config
from harness.errors import UsageError
from harness.ops import Array
from harness.training.prepared import Data


def example_weights(config: Config, data: Data) -> np.ndarray | None:
    """w_i = s_i c_(y_i), times what makes their mean 1: the weight (N,) of each training row.

    s_i is the row's own weight, 1 where there is none. c_k is the weight of class k: that of a
    dict, or for "balanced" one over the sum of s_i in the class. As the mean is 1, only the ratios
    of weights count, the learning rate keeps its meaning, and a row of weight 3 in a full batch is
    the same as three rows.

    Parameters
    ----------
    config
        It has the weights of the classes.
    data
        They have the weights of the rows.

    Returns
    -------
    np.ndarray or None
        None where neither has weights.

    Raises
    ------
    UsageError
        If all weights are 0.
    """
    if config.class_weight is None and data.weights is None:
        return None
    weights = np.ones(len(data.y))
    if data.weights is not None:
        weights = data.weights.astype(np.float64)
    if config.class_weight is not None:
        classes = data.source.classes
        if config.class_weight == "balanced":
            totals = np.bincount(data.y, weights, len(classes))
            # A class may have no row in the training part, and then its weight is used nowhere.
            of_class = 1.0 / np.where(totals > 0, totals, 1.0)
        else:
            of_class = class_weights(config, data.source.name, classes)
        weights = weights * of_class[data.y]
    total = weights.sum()
    if not total > 0:
        raise UsageError(
            "some row of the training part must have a weight above 0, but all are 0; "
            "correct the weights"
        )
    return weights * (len(weights) / total)


def weighted_targets(config: Config, data: Data, ops: Any) -> Array:
    """Return the target rows (N, O), with the examples' weights as one more column if any."""
    weights = example_weights(config, data)
    if weights is None:
        return data.t
    # The loss knows by the additional column that its examples are weighted.
    rows, columns = data.t.shape
    t = ops.empty((rows, columns + 1), data.t.dtype)
    t[:, :-1] = data.t
    t[:, -1] = ops.asarray(weights, data.t.dtype)
    return t


def class_weights(config: Config, name: str, classes: tuple[str, ...]) -> np.ndarray:
    """Return the weights (K,) that a config gives to classes; 1 each where it says "balanced".

    Parameters
    ----------
    config
        It has a class_weight.
    name
        Of the data set, for a message.
    classes
        The names of its classes.

    Raises
    ------
    UsageError
        If the config names other classes, or not all of them.
    """
    if not classes:
        raise UsageError(
            f"class_weight is for classes, and data set {name!r} has none; leave it out"
        )
    if config.class_weight == "balanced":
        return np.ones(len(classes))
    for label in config.class_weight:
        if label not in classes:
            raise UsageError(
                f"class_weight must name the classes of data set {name!r}, got {label!r}; "
                f"{registry.suggest(label, classes)}"
            )
    missing = [label for label in classes if label not in config.class_weight]
    if missing:
        raise UsageError(
            f"class_weight must name every class, but {missing[0]!r} is missing; give it a weight, "
            f"such as 1"
        )
    return np.array([config.class_weight[label] for label in classes])
