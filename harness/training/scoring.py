"""Evaluating a network: its predictions, its mean loss and its metrics."""

from typing import Any

import numpy as np

from harness import registry
from harness.boundary import foreign
from harness.config import Config
from harness.data import Dataset
from harness.engine.network import Network
from harness.errors import PluginError
from harness.ops import Array
from harness.training.prepared import Data
from harness.training.state import host


@foreign("a plugin")
def evaluate(
    network: Network, x: Array, t: Array, eval_batch: int
) -> tuple[np.ndarray, np.ndarray]:
    """Predict all rows, in batches of one size.

    Parameters
    ----------
    network
        Bound to batches of `eval_batch` rows in evaluation.
    x, t
        Features (N, I) and target rows (N, K).
    eval_batch
        The rows of a batch; the last one is padded, and what the padding gives is left out.

    Returns
    -------
    tuple
        The predictions (..., N, K), also where one output answers for two classes, and the mean
        loss (...,).
    """
    rows = len(x)
    lead = network.arena.value.shape[:-1]
    predictions = np.empty((*lead, rows, t.shape[1]), network.arena.value.dtype)
    total = np.zeros(lead)
    for start in range(0, rows, eval_batch):
        size = min(eval_batch, rows - start)
        part = slice(start, start + size)
        # All batches have one size, so that the last bits do not depend on how many rows there are.
        y = network.evaluate(padded(network, x[part], eval_batch))
        losses = host(network.losses(y, padded(network, t[part], eval_batch)))
        total += losses[..., :size].sum(axis=-1, dtype=np.float64)
        # The losses come first, as predictions are made in the place of the outputs.
        predictions[..., part, :] = host(network.predict(y)[..., :size, :])
    return predictions, total / max(rows, 1)


def padded(network: Network, rows: Array, size: int) -> Array:
    """Return the rows, with rows of zeros after them where they are fewer than `size`.

    Parameters
    ----------
    network
        It has the array module.
    rows
        (N, I), on the device.
    size
        At least N.
    """
    if len(rows) == size:
        return rows
    padded = network.arena.xp.zeros((size, rows.shape[1]), rows.dtype)
    padded[: len(rows)] = rows
    return padded


@foreign("a plugin")
def score(
    config: Config, source: Dataset, predictions: np.ndarray, y: np.ndarray
) -> dict[str, Any]:
    """Return the config's metric and the usual ones of the task, by name.

    Parameters
    ----------
    config
        It names the metric.
    source
        The data set, of which the task is asked.
    predictions
        (..., N, K), as `evaluate` returns them.
    y
        Labels (N,), or the target rows (N, O) of a regression.

    Raises
    ------
    PluginError
        If a metric does not give one number (...,) for each network.
    """
    usual = ["rmse", "r2"]
    if source.task == "classification":
        usual = ["accuracy"]
    specs = {name: {"name": name} for name in usual} | {config.metric["name"]: config.metric}
    scores = {}
    for name, spec in specs.items():
        value = registry.make("metric", spec)(predictions, y)
        if np.shape(value) != predictions.shape[:-2] or np.asarray(value).dtype.kind not in "biuf":
            raise PluginError(
                f"the metric {name!r} must give a number (...,) for predictions (..., N, O), got "
                f"{type(value).__name__} {np.shape(value)} for {predictions.shape}; reduce over "
                f"axis=-1"
            )
        scores[name] = value
    return scores


def measure(network: Network, config: Config, data: Data) -> dict[str, Any]:
    """Return the loss and the metrics of the validation part, by name; nothing where it is empty.

    Each is a number, or an array (P,) for a population.
    """
    if not len(data.x_valid):
        return {}
    predictions, loss = evaluate(network, data.x_valid, data.t_valid, network.evaluation.rows)
    scores = score(config, data.source, predictions, data.y_valid)
    return {"valid/loss": loss, **{f"valid/{name}": value for name, value in scores.items()}}
