"""What a trained network answers: predictions in batches of one size, and their score."""

from collections.abc import Callable
from typing import Any

import numpy as np

from harness import registry
from harness.boundary import foreign
from harness.config import Config
from harness.errors import UsageError
from harness.model.learned import Learned
from harness.model.rows import read_features, scale_rows
from harness.model.sources import dataset_with_test
from harness.model.targets import read_targets
from harness.ops import ops_for
from harness.training.scoring import evaluate


def predict_features(learned: Learned, features: np.ndarray) -> np.ndarray:
    """The predictions (N, K) for features (N, I) that are not scaled."""
    return predict_scaled(learned, scale_rows(features, learned.schema, learned.config.dtype))


def predict_scaled(learned: Learned, scaled: np.ndarray) -> np.ndarray:
    """The predictions (N, K) for rows (N, I) as the network sees them."""
    config = learned.config
    schema = learned.schema
    ops = ops_for(config.device)
    rows = ops.asarray(scaled)
    # `evaluate` measures a loss as well, which nobody asks for here.
    no_targets = ops.zeros((len(rows), schema.outputs), np.dtype(config.dtype))
    with learned.evaluation() as network, ops.quiet():
        predictions, _ = evaluate(network, rows, no_targets, config.eval_batch)
    # A label of NaN would be the first class, without a word.
    if not np.isfinite(predictions).all():
        raise UsageError(
            "the outputs are not finite: training has diverged or x is far too large; use a "
            "new Model or smaller x"
        )
    return predictions


@foreign("a plugin")
def apply_in_batches(
    config: Config, function: Callable[[Any], Any], rows: np.ndarray, outputs: int
) -> np.ndarray:
    """A function of batches over all rows.

    Every batch has config.eval_batch rows, the last one padded with zeros, because the last bits
    of a matrix product depend on its size.

    Parameters
    ----------
    config
        The config of the model.
    function
        A batch (B, I) on the device -> its result (B, O).
    rows
        (N, I), on the host.
    outputs
        The number of columns O of the result.

    Returns
    -------
    numpy.ndarray
        (N, O), on the host.
    """
    ops = ops_for(config.device)
    size = config.eval_batch
    dtype = np.dtype(config.dtype)
    results = np.empty((len(rows), outputs), dtype)
    with ops.quiet():
        for at in range(0, len(rows), size):
            part = rows[at : at + size]
            batch = np.zeros((size, rows.shape[1]), dtype)
            batch[: len(part)] = part
            result = ops.to_host(function(ops.asarray(batch)))
            results[at : at + size] = result[: len(part)]
    return results


def score(learned: Learned, x: Any, y: Any, metric: Any) -> float:
    """The metric of rows and their y, or of the test part; see `Model.score`."""
    schema = learned.schema
    spec = learned.config.metric
    if metric is not None:
        spec = registry.canonical("metric", metric)
    task = registry.find("metric", spec["name"]).options["task"]
    if task != schema.task:
        raise UsageError(
            f"metric {spec['name']!r} is for {task}, this network for {schema.task}; choose another"
        )
    if (x is None) != (y is None):
        raise UsageError(
            "score takes both x and y, or neither for the data set's test part; got one of them"
        )
    if x is None:
        dataset = dataset_with_test(learned)
        features = read_features(dataset.test_table(), schema)
        targets = dataset.y_test
    else:
        features = read_features(x, schema)
        targets = read_targets(y, len(features), schema)
    if not len(features):
        raise UsageError("score needs at least one row, got none")
    measure = registry.make("metric", spec)
    return float(measure(predict_features(learned, features), targets))
