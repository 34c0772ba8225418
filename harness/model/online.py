"""What `Model.partial_fit` does: one update step on exactly the rows that are given."""

from typing import Any, NamedTuple

import numpy as np

from harness import checks
from harness.config import Config
from harness.data import indicator
from harness.data.fitted import Fitted
from harness.data.labels import label_name, read_labels
from harness.data.reading import read_table
from harness.data.scaling import fit_scale
from harness.data.weights import read_weights
from harness.errors import UsageError
from harness.model.learned import DIVERGED, STUCK, Learned
from harness.model.rows import number_rows, read_features, scale_rows
from harness.model.schema import Schema
from harness.model.sources import metric_task
from harness.model.targets import listed, read_targets, regression_targets
from harness.ops import ops_for
from harness.training.weights import class_weights

# Single steps draw their masks from random streams of their own: epochs have the smaller keys.
_FIRST_KEY = 1 << 32


class Step(NamedTuple):
    """An update step that is ready to be taken.

    Attributes
    ----------
    learned
        What the model has learned up to now; the initial weights before the first step.
    x
        The scaled rows (B, I), on the host.
    t
        Their targets (B, K); (B, K + 1) with the weights of the rows as the last column.
    """

    learned: Learned
    x: np.ndarray
    t: np.ndarray

    def take(self, fraction: float) -> None:
        """Changes the weights. `fraction` says where schedules stand, in [0, 1]."""
        learned = self.learned
        ops = ops_for(learned.config.device)
        network = learned.network(len(self.x))
        learned.go_on_from_shown(network)
        state = learned.state
        network.rekey(_FIRST_KEY + state["step"])
        with ops.quiet():
            loss = network.step(ops.asarray(self.x), ops.asarray(self.t), fraction)
        learned.ahead = True
        state["step"] += 1
        if not np.isfinite(float(loss)):
            # The weights are spoiled, so that no later step may follow.
            state["stopped"] = DIVERGED
            raise UsageError(f"the loss is not finite at step {state['step']}: {STUCK}")


def next_step(
    config: Config, learned: Learned | None, x: Any, y: Any, classes: Any, sample_weight: Any
) -> Step:
    """The step that `Model.partial_fit` was asked for."""
    if config.class_weight == "balanced":
        raise UsageError(
            "partial_fit has no training part to balance classes by; give class_weight as a "
            "dict, or use fit"
        )
    if learned is None:
        schema = _first_schema(config, x, y, classes)
    else:
        schema = learned.schema
        _refuse_other_classes(schema, classes)
    # Everything is read before anything changes, so that wrong rows leave no trace.
    features = read_features(x, schema)
    targets = read_targets(y, len(features), schema)
    if not len(features):
        raise UsageError("partial_fit needs at least one row, got none")
    if learned is not None:
        learned.refuse_diverged()
    scaled = scale_rows(features, schema, config.dtype)
    t = _targets_of_loss(config, schema, targets, sample_weight)
    if learned is None:
        learned = Learned.initialized(config, schema, len(scaled))
    return Step(learned, scaled, t)


def share_of_schedule(fraction: Any) -> float:
    """Where a schedule stands, as `Model.partial_fit` takes it."""
    must = "says where a schedule stands and must lie in [0, 1]"
    return checks.real("fraction", fraction, lambda share: 0 <= share <= 1, must)


def _first_schema(config: Config, x: Any, y: Any, classes: Any) -> Schema:
    """What the first rows of a stream, and the classes given with them, say of all that follow."""
    table = read_table(x, "x")
    if table.texts is not None or config.missing is not None:
        raise UsageError(
            "texts and missing values are encoded as a training part has them; call fit first, "
            "or give numbers "
            "without holes"
        )
    rows = number_rows(table.values, config.inputs)
    if config.scale == "standardize":
        raise UsageError(
            "scale 'standardize' is measured on a training part; call fit first or choose "
            "another scale"
        )
    scale = config.scale
    if scale == "auto":
        # "auto" of a training part looks at all of its numbers; here only their type is known.
        scale = "/255" if rows.dtype == np.uint8 else "none"
    if metric_task(config) == "classification":
        labels = _all_classes(classes)
        outputs = len(labels)
    else:
        labels = None
        outputs = regression_targets(y).shape[1]
    fitted = Fitted(None, scale, fit_scale(scale, rows))
    return Schema(rows.shape[1], outputs, labels, fitted, columns=table.names)


def _refuse_other_classes(schema: Schema, classes: Any) -> None:
    """Raises UsageError where classes are given that are not those that the network knows."""
    if classes is None:
        return
    names = tuple(map(label_name, np.unique(read_labels(classes, "classes"))))
    if names != schema.names:
        raise UsageError(
            f"classes cannot change once they are known ({listed(schema.names)}); leave classes out"
        )


def _all_classes(classes: Any) -> np.ndarray:
    if classes is None:
        raise UsageError(
            "the first partial_fit needs all classes, such as classes=range(10); give them "
            "or call fit first"
        )
    labels = np.unique(read_labels(classes, "classes"))
    if len(labels) < 2 or labels.dtype.kind not in "biufU":
        raise UsageError(f"classes must be two or more whole numbers or strings, got {classes!r}")
    return labels


def _targets_of_loss(
    config: Config, schema: Schema, targets: np.ndarray, sample_weight: Any
) -> np.ndarray:
    """Targets as the loss takes them: rows, and the weights of the rows where they have some."""
    dtype = np.dtype(config.dtype)
    if schema.labels is None:
        t = targets.astype(dtype)
    else:
        t = indicator(targets, schema.outputs, dtype)
    weights = _row_weights(config, schema, targets, sample_weight)
    if weights is None:
        return t
    return np.column_stack([t, weights.astype(dtype)])


def _row_weights(
    config: Config, schema: Schema, targets: np.ndarray, sample_weight: Any
) -> np.ndarray | None:
    """The weights (B,) of rows, each times that of its class; None where all weigh the same."""
    weights = None
    if sample_weight is not None:
        weights = read_weights(sample_weight, len(targets))
    if config.class_weight is None:
        return weights
    of_class = class_weights(config, "arrays", schema.names)[targets]
    return of_class if weights is None else weights * of_class
