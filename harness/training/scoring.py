"""Evaluating a network: its predictions, its mean loss and its metrics."""

from typing import Any

import numpy as np

from harness import registry
from harness.boundary import foreign
from harness.config import Config
from harness.data import Dataset
from harness.engine.network import Network
from harness.errors import PluginError
from harness.training.prepared import Data


@foreign("a plugin")
def evaluate(network: Network, x: Any, t: Any, eval_batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Predictions and mean loss (...,) over all rows, in batches of one size, the tail padded and
    masked.

    x (N, I), t (N, K) -> predictions (..., N, K), also where one output answers for two classes.
    """
    n = len(x)
    lead = network.arena.value.shape[:-1]
    predictions = np.empty((*lead, n, t.shape[1]), network.arena.value.dtype)
    total = np.zeros(lead)
    pad_x = pad_t = None
    for at in range(0, n, eval_batch):
        k = min(eval_batch, n - at)
        xb, tb = x[at : at + k], t[at : at + k]
        if k < eval_batch:
            pad_x = network.arena.xp.zeros((eval_batch, x.shape[1]), x.dtype)
            pad_t = network.arena.xp.zeros((eval_batch, t.shape[1]), t.dtype)
            pad_x[:k], pad_t[:k] = xb, tb
            xb, tb = pad_x, pad_t
        y = network.evaluate(xb)
        total += host(network.losses(y, tb)[..., :k]).sum(axis=-1, dtype=np.float64)
        predictions[..., at : at + k, :] = host(network.predict(y)[..., :k, :])
    return predictions, total / max(n, 1)


def host(a: Any) -> np.ndarray:
    return a.get() if hasattr(a, "get") else a


@foreign("a plugin")
def score(
    config: Config, source: Dataset, predictions: np.ndarray, y: np.ndarray
) -> dict[str, Any]:
    """The config's metric and the usual ones of the task, by name."""
    usual = ("accuracy",) if source.task == "classification" else ("rmse", "r2")
    specs = {m: {"name": m} for m in usual} | {config.metric["name"]: config.metric}
    found = {name: registry.make("metric", spec)(predictions, y) for name, spec in specs.items()}
    for name, value in found.items():
        if np.shape(value) != predictions.shape[:-2] or np.asarray(value).dtype.kind not in "biuf":
            raise PluginError(
                f"the metric {name!r} must give a number (...,) for predictions (..., N, O), got "
                f"{type(value).__name__} {np.shape(value)} for {predictions.shape}; reduce over "
                f"axis=-1"
            )
    return found


def measure(network: Network, configs: list[Config], data: Data) -> dict[str, Any]:
    if not len(data.x_valid):
        return {}
    predictions, loss = evaluate(network, data.x_valid, data.t_valid, configs[0].eval_batch)
    found = score(configs[0], data.source, predictions, data.y_valid)
    return {"valid/loss": loss, **{f"valid/{k}": v for k, v in found.items()}}
