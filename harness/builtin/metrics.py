"""The built-in metrics: score(predictions (..., N, K), y) -> (...,), y labels (N,) or rows (N, K).

Classification reads predictions by their largest column, K >= 2. Where a prediction is NaN, as
those of a network that diverged are, so is the score, member by member; a prediction has no class
then.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from harness.registry.decorators import metric

Score = Callable[[np.ndarray, np.ndarray], Any]


def _unless_nan(p: np.ndarray, score: Any) -> Any:
    """The score (...,), NaN where one of the predictions (..., N, K) is."""
    return np.where(np.isnan(p.max(axis=(-2, -1))), np.nan, score)


@metric()
def accuracy() -> Score:
    """mean(argmax_k p_k = y)"""
    return lambda p, y: _unless_nan(p, np.mean(np.argmax(p, axis=-1) == y, axis=-1))


def _confusion(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Counts (..., K, K): rows are the true classes, columns the predicted ones."""
    K = p.shape[-1]
    flat = np.argmax(p, axis=-1).reshape(-1, len(y))
    counts = [np.bincount(y * K + row, minlength=K * K).reshape(K, K) for row in flat]
    return np.reshape(counts, (*p.shape[:-2], K, K))


@metric()
def balanced_accuracy() -> Score:
    """mean over the classes present of the share of their examples that is right"""

    def score(p: np.ndarray, y: np.ndarray) -> Any:
        c = _confusion(p, y)
        total = c.sum(axis=-1)
        share = np.einsum("...kk->...k", c) / np.maximum(total, 1)
        present = np.maximum((total > 0).sum(axis=-1), 1)
        return _unless_nan(p, share.sum(axis=-1) / present)

    return score


@metric()
def macro_f1() -> Score:
    """mean over all K classes of 2 TP / (2 TP + FP + FN)

    0 for a class neither present nor predicted.
    """

    def score(p: np.ndarray, y: np.ndarray) -> Any:
        c = _confusion(p, y)
        right = np.einsum("...kk->...k", c)
        # 2 TP + FP + FN: all that are of the class, and all that are called so.
        both = np.maximum(c.sum(axis=-1) + c.sum(axis=-2), 1)
        return _unless_nan(p, np.mean(2 * right / both, axis=-1))

    return score


@metric(direction="minimize")
def log_loss() -> Score:
    """-mean(log p_y), p clipped to [1e-15, 1]; p are probabilities"""

    def score(p: np.ndarray, y: np.ndarray) -> Any:
        columns = np.broadcast_to(y[:, None], (*p.shape[:-1], 1))
        chosen = np.take_along_axis(p, columns, axis=-1)[..., 0].astype(np.float64)
        # One probability of 0 would make the mean infinite, whatever the others are.
        return _unless_nan(p, -np.mean(np.log(np.clip(chosen, 1e-15, 1.0)), axis=-1))

    return score


def _errors(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """p - y in float64, where a large float32 squared does not overflow."""
    return np.subtract(p, y, dtype=np.float64)


@metric(direction="minimize", task="regression")
def mae() -> Score:
    """mean |p - y|"""
    return lambda p, y: np.mean(np.abs(_errors(p, y)), axis=(-2, -1))


@metric(direction="minimize", task="regression")
def rmse() -> Score:
    """sqrt(mean (p - y)^2)"""
    return lambda p, y: np.sqrt(np.mean(np.square(_errors(p, y)), axis=(-2, -1)))


@metric(task="regression")
def r2() -> Score:
    """1 - sum (p - y)^2 / sum (y - mean y)^2, over all columns

    Where y is constant it is 1 if p = y, else 0.
    """

    def score(p: np.ndarray, y: np.ndarray) -> Any:
        rest = np.sum(np.square(_errors(p, y)), axis=(-2, -1))
        if (y == y[0]).all():
            return np.where(rest > 0, 0.0, 1.0 + rest)  # NaN stays NaN
        return 1.0 - rest / np.sum(np.square(y - y.mean(axis=0, dtype=np.float64)))

    return score
