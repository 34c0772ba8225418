"""The scale of features: fitted on the training part, applied to every part."""

from typing import Any, NamedTuple

import numpy as np

from harness.errors import UsageError
from harness.registry.known import suggest

SCALES = ("/255", "/256", "standardize", "none")
_DIVISORS = {"/255": 255.0, "/256": 256.0, "none": 1.0}
SMALL = 1.0  # Numbers within this of 0 need no scale.
_CHUNK = 1 << 18  # Elements scaled at a time: 2 MB of float64, which stay in the cache.


class Scaling(NamedTuple):
    """(x - shift) / divisor is the scaled x; float64, each of shape () or (I,)."""

    shift: np.ndarray
    divisor: np.ndarray


def resolve_scale(scale: str, x: np.ndarray, numeric: np.ndarray | None = None) -> str:
    """The scale that "auto" becomes.

    It is "/255" for bytes, "none" where all numbers lie within [-1, 1], else "standardize".

    Parameters
    ----------
    scale
        One of SCALES, which is returned as it is, or "auto".
    x
        The features (N, I) of the training part.
    numeric
        (I,) which features count; None for all.
    """
    if scale != "auto":
        return scale
    if x.dtype == np.uint8:
        return "/255"
    if not len(x):
        return "none"
    lowest = np.min(x, axis=0)
    highest = np.max(x, axis=0)
    is_small = (lowest >= -SMALL) & (highest <= SMALL)
    if numeric is not None:
        is_small = is_small[numeric]
    if is_small.all():
        return "none"
    return "standardize"


def fit_scale(name: str, x_train: np.ndarray) -> Scaling:
    """The scaling of one of SCALES.

    Parameters
    ----------
    name
        "/255" and "/256" have shift 0. They divide, since scaled x is then x.astype(dtype) / 255
        bit for bit, which x * (1 / 255) is not. "standardize" takes mean and standard deviation
        (over N) of each feature, and divisor 1 for a constant one. "none" has shift 0, divisor 1.
    x_train
        (N, I), the training rows and no others.

    Raises
    ------
    UsageError
        For an unknown name, and for features that cannot be standardized.
    """
    if name not in SCALES:
        raise UsageError(f"unknown scale {name!r}; {suggest(name, SCALES)}")
    if name != "standardize":
        return Scaling(np.zeros(()), np.asarray(_DIVISORS[name]))
    if x_train.ndim != 2 or not x_train.size:
        raise UsageError(
            f"scale 'standardize' needs training rows of shape (rows, features), got "
            f"{x_train.shape}"
        )
    rows, features = x_train.shape
    step = max(1, _CHUNK // features)
    # In chunks, so that there is no float64 copy of all rows.
    chunks = [x_train[k : k + step] for k in range(0, rows, step)]
    mean = np.sum([chunk.sum(axis=0, dtype=np.float64) for chunk in chunks], axis=0) / rows
    lowest = x_train.min(axis=0)
    # The sum of a constant feature may have been rounded, and it must become exactly 0.
    mean = np.where(lowest == x_train.max(axis=0), lowest, mean)
    squares = np.zeros(features)
    for chunk in chunks:
        centered = chunk - mean
        squares += np.einsum("ni,ni->i", centered, centered)
    std = np.sqrt(squares / rows)
    if not np.isfinite(std).all():
        raise UsageError(
            f"features must have squares that float64 holds to be standardized, got "
            f"up to {x_train.max()}"
        )
    return Scaling(mean, np.where(std > 0, std, 1.0))


def apply_scale(
    x: np.ndarray, shift: Any, divisor: Any, dtype: Any = np.float32, out: np.ndarray | None = None
) -> np.ndarray:
    """`out` <- (x - shift) / divisor, element by element.

    Rows scaled apart equal rows scaled together bit for bit. Without a shift x is converted to
    dtype first, with one it is converted last: a large mean must go before the digits do. The work
    goes in chunks, so there is no float64 copy of x.

    Parameters
    ----------
    x
        (..., I); it is not written.
    shift, divisor
        The scaling, of shape () or (I,).
    dtype
        The type of the result.
    out
        Where the result goes: a C-contiguous array of the shape of x; None makes a new one.

    Returns
    -------
    numpy.ndarray
        `out`, C-contiguous, of type dtype.

    Raises
    ------
    UsageError
        If the shapes do not fit, or a scaled feature would not be finite.
    """
    x = np.asarray(x)
    shift = np.asarray(shift)
    divisor = np.asarray(divisor)
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
            _divide(x, shift, divisor, out)
    except FloatingPointError:
        raise UsageError(
            f"scaled features must be finite as {np.dtype(dtype)}, but x holds numbers up to "
            f"{np.abs(x).max():.3g}: scale 'standardize' or smaller numbers help"
        ) from None
    return out


def _divide(x: np.ndarray, shift: np.ndarray, divisor: np.ndarray, out: np.ndarray) -> None:
    dtype = out.dtype
    if not shift.any():
        np.divide(x, divisor.astype(dtype), out=out, dtype=dtype, casting="same_kind")
        return
    features = x.shape[-1]
    source = x.reshape(-1, features)
    target = out.reshape(-1, features)
    step = max(1, _CHUNK // features)
    for k in range(0, len(source), step):
        centered = np.subtract(source[k : k + step], shift, dtype=np.float64)
        np.divide(centered, divisor, out=target[k : k + step], casting="same_kind")
