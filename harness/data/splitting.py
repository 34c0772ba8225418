"""How a training part is cut in two: rows to train on, and rows held out for validation."""

from typing import Any, NamedTuple

import numpy as np

from harness import checks
from harness.data.dataset import Dataset
from harness.errors import UsageError
from harness.ops import stream


class Split(NamedTuple):
    """The rows of the two parts: sorted int64, together 0..N-1."""

    train: np.ndarray
    valid: np.ndarray


def philox(seed: Any, purpose: str) -> np.random.Philox:
    """The random bits keyed by (seed, purpose); UsageError if the seed is no whole number >= 0."""
    return np.random.Philox(stream(checks.whole("seed", seed, 0), purpose))


def split(dataset: Dataset, valid: float, seed: int) -> Split:
    """The training part of a data set cut in two, with round(valid * N) rows for validation.

    Classes are stratified by largest remainder: each gives valid * (its rows), rounded down or up.
    Regression is shuffled only. The rows depend on the labels, `valid` and `seed` alone.

    Parameters
    ----------
    dataset
        The data set, of N rows.
    valid
        The share of rows in [0, 1) for validation: 0 gives none, 0.3 is what the article calls
        cvSplit.
    seed
        A whole number of at least 0.

    Returns
    -------
    Split
        (train, valid), the rows of both parts.

    Raises
    ------
    UsageError
        If a part would be empty or a class would have no row left to train on.
    """
    valid = checks.share(
        "valid", valid, "is the share of rows held out for validation and must lie in [0, 1)"
    )
    rows = len(dataset.y)
    held_out = round(valid * rows)
    if (valid and not held_out) or held_out == rows:
        raise UsageError(
            f"{dataset.name}: valid={valid} of {rows} rows gives {held_out} validation and "
            f"{rows - held_out} training rows, but both parts need some: choose another share or "
            "use more rows"
        )
    # Raw bits are sorted because NumPy promises them for all its versions, which it does not for
    # Generator.permutation.
    order = np.argsort(philox(seed, "split").random_raw(rows), kind="stable")
    if dataset.task == "classification":
        order = _stratify(dataset, order, valid, held_out)
    is_valid = np.zeros(rows, dtype=bool)
    is_valid[order[:held_out]] = True
    return Split(np.flatnonzero(~is_valid), np.flatnonzero(is_valid))


def _stratify(dataset: Dataset, order: np.ndarray, valid: float, held_out: int) -> np.ndarray:
    """`order`, with the `held_out` rows of a stratified draw first."""
    counts = np.bincount(dataset.y, minlength=len(dataset.classes))
    quota = valid * counts
    take = np.floor(quota).astype(np.int64)
    # The classes that rounding down has cut the most give one row more each.
    take[np.argsort(take - quota, kind="stable")[: held_out - take.sum()]] += 1
    # A class that is declared and has no rows at all lacks none.
    starved = (take >= counts) & (counts > 0)
    if starved.any():
        k = int(np.argmax(starved))
        raise UsageError(
            f"{dataset.name}: every class needs a row to train on, but of the {counts[k]} rows of "
            f"class {dataset.classes[k]!r} valid={valid} takes {take[k]}: use more rows or a "
            "smaller share"
        )
    labels = dataset.y[order]
    # The rank of a row is its place among the rows of its class, in shuffled order.
    rank = np.empty_like(order)
    by_class = np.argsort(labels, kind="stable")
    rank[by_class] = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return order[np.argsort(rank >= take[labels], kind="stable")]
