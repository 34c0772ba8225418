"""From a data set to what a network is trained on: the validation split, indicator rows, scaled
features.
"""

from typing import Any

import numpy as np

from harness import checks
from harness.data.dataset import Dataset
from harness.errors import UsageError
from harness.ops import stream
from harness.registry.known import suggest

SCALES = ("/255", "/256", "standardize", "none")
_CHUNK = 1 << 18  # elements scaled at a time: 2 MB of float64, which stay in the cache


def philox(seed: Any, purpose: str) -> np.random.Philox:
    """The Philox bits keyed by (seed, purpose). Raises UsageError if the seed is no whole number >=
    0.
    """
    return np.random.Philox(stream(checks.whole("seed", seed, 0), purpose))


def split(dataset: Dataset, valid: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(train_rows, valid_rows): the training part of a data set cut in two, round(valid * N) rows
    for validation.

    Both int64, sorted, together 0..N-1. Classes are stratified by largest remainder: each gives
    valid * (its rows), rounded down or up. Regression is shuffled only. `valid` in [0, 1): 0 gives
    no validation rows, 0.3 is what the article calls cvSplit. The rows depend on the labels,
    `valid` and `seed` alone. Raises UsageError if a part would be empty or a class would have no
    row left to train on.
    """
    valid = checks.share(
        "valid", valid, "is the share of rows held out for validation and must lie in [0, 1)"
    )
    rows = len(dataset.y)
    wanted = round(valid * rows)
    if (valid and not wanted) or wanted == rows:
        raise UsageError(
            f"{dataset.name}: valid={valid} of {rows} rows gives {wanted} validation and "
            f"{rows - wanted} training "
            "rows, but both parts need some: choose another share or use more rows"
        )
    # Raw bits are sorted because NumPy promises them for all its versions, which it does not for
    # Generator.permutation.
    order = np.argsort(philox(seed, "split").random_raw(rows), kind="stable")
    if dataset.task == "classification":
        order = _stratify(dataset, order, float(valid), wanted)
    held = np.zeros(rows, dtype=bool)
    held[order[:wanted]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def _stratify(dataset: Dataset, order: np.ndarray, valid: float, wanted: int) -> np.ndarray:
    """`order`, with the `wanted` rows of a stratified draw first."""
    counts = np.bincount(dataset.y, minlength=len(dataset.classes))
    quota = valid * counts
    take = np.floor(quota).astype(np.int64)
    take[np.argsort(take - quota, kind="stable")[: wanted - take.sum()]] += 1
    # A class that is declared and has no rows at all starves nobody
    starved = (take >= counts) & (counts > 0)
    if starved.any():
        k = int(np.argmax(starved))
        raise UsageError(
            f"{dataset.name}: every class needs a row to train on, but of the {counts[k]} rows of "
            f"class "
            f"{dataset.classes[k]!r} valid={valid} takes {take[k]}: use more rows or a smaller "
            f"share"
        )
    labels = dataset.y[order]
    rank = np.empty_like(order)  # the place of a row among the rows of its class, in shuffled order
    by_class = np.argsort(labels, kind="stable")
    rank[by_class] = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return order[np.argsort(rank >= take[labels], kind="stable")]


def indicator(labels: Any, classes: int, dtype: Any = np.float32) -> np.ndarray:
    """Y[n, k] = 1 if labels[n] == k else 0: labels as rows with a single one (the article's
    class.ind).

    labels (N,) whole numbers in 0..classes-1 -> (N, classes) of dtype.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or (labels.size and labels.dtype.kind not in "iu"):
        raise UsageError(
            f"labels must be whole numbers of shape (rows,), got {labels.dtype} {labels.shape}"
        )
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        raise UsageError(
            f"labels must lie in 0..{classes - 1}, got {labels.min()}..{labels.max()}: check "
            f"labels and classes"
        )
    rows = np.zeros((len(labels), classes), dtype)
    rows[np.arange(len(labels)), labels.astype(np.intp)] = 1
    return rows


def fit_scale(name: str, x_train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(shift, divisor) such that (x - shift) / divisor is the scaled x; float64, each of shape ()
    or (I,).

    "/255", "/256"   shift 0. A divisor, not a factor: scaled x is then x.astype(dtype) / 255 bit for bit, which
                     x * (1 / 255) is not.
    "standardize"    mean and standard deviation (over N) of each feature of x_train (N, I), which are the training rows
                     and no others; divisor 1 for a constant feature
    "none"           shift 0, divisor 1
    """
    if name not in SCALES:
        raise UsageError(f"unknown scale {name!r}; {suggest(name, SCALES)}")
    if name != "standardize":
        return np.zeros(()), np.asarray({"/255": 255.0, "/256": 256.0, "none": 1.0}[name])
    if x_train.ndim != 2 or not x_train.size:
        raise UsageError(
            f"scale 'standardize' needs training rows of shape (rows, features), got "
            f"{x_train.shape}"
        )
    rows, features = x_train.shape
    step = max(1, _CHUNK // features)
    chunks = [x_train[k : k + step] for k in range(0, rows, step)]
    mean = np.sum([chunk.sum(axis=0, dtype=np.float64) for chunk in chunks], axis=0) / rows
    low, high = x_train.min(axis=0), x_train.max(axis=0)
    mean = np.where(low == high, low, mean)  # exactly, where the sum has rounded
    squares = np.zeros(features)
    for chunk in chunks:
        apart = chunk - mean
        squares += np.einsum("ni,ni->i", apart, apart)
    deviation = np.sqrt(squares / rows)
    if not np.isfinite(deviation).all():
        raise UsageError(
            f"features must have squares that float64 holds to be standardized, got "
            f"up to {x_train.max()}"
        )
    return mean, np.where(deviation > 0, deviation, 1.0)


def apply_scale(
    x: np.ndarray, shift: Any, divisor: Any, dtype: Any = np.float32, out: np.ndarray | None = None
) -> np.ndarray:
    """out <- (x - shift) / divisor, of shape x.shape (..., I) and type dtype, C-contiguous; x is
    not written.

    Element by element, so rows scaled apart equal rows scaled together bit for bit. Without a shift
    x is converted to dtype first, with one it is converted last: a large mean must go before the
    digits do. Works in chunks, so there is no float64 copy of x. `out` must be C-contiguous.
    """
    x, shift, divisor = np.asarray(x), np.asarray(shift), np.asarray(divisor)
    if x.ndim == 0 or any(part.ndim and part.shape[-1] != x.shape[-1] for part in (shift, divisor)):
        raise UsageError(
            f"x must have the {max(shift.size, divisor.size)} features that the scale was fitted "
            f"to, got {x.shape}"
        )
    if out is None:
        out = np.empty(x.shape, dtype)
    if out.shape != x.shape or out.dtype != dtype or not out.flags.c_contiguous:
        raise UsageError(
            f"out must be a C-contiguous array {x.shape} of {np.dtype(dtype)}, got {out.dtype} "
            f"{out.shape}"
        )
    try:
        with np.errstate(over="raise"):
            return _divide(x, shift, divisor, out)
    except FloatingPointError:
        raise UsageError(
            f"scaled features must be finite as {np.dtype(dtype)}, but x holds numbers up to "
            f"{np.abs(x).max():.3g}: "
            "scale 'standardize' or smaller numbers help"
        ) from None


def _divide(x: np.ndarray, shift: np.ndarray, divisor: np.ndarray, out: np.ndarray) -> np.ndarray:
    dtype = out.dtype
    if not shift.any():
        np.divide(x, divisor.astype(dtype), out=out, dtype=dtype, casting="same_kind")
        return out
    source, target = x.reshape(-1, x.shape[-1]), out.reshape(-1, x.shape[-1])
    step = max(1, _CHUNK // x.shape[-1])
    for k in range(0, len(source), step):
        apart = np.subtract(source[k : k + step], shift, dtype=np.float64)
        np.divide(apart, divisor, out=target[k : k + step], casting="same_kind")
    return out
