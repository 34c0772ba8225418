"""Preparing a data set for training: split, fitted, scaled, with targets."""

from typing import Any

import numpy as np

from harness.config import Config
from harness.data import Dataset, indicator, split
from harness.data.fitted import Fitted, describe, fit
from harness.data.loading import load_for
from harness.data.scaling import apply_scale
from harness.ops import ops_for
from harness.training.batches import batches_of
from harness.training.prepared import Data
from harness.training.recent import Recent

_prepared: Recent[Any, Data] = Recent(2)
_fitted: Recent[Any, Fitted] = Recent(64)


def prepare(config: Config, dataset: Dataset | None = None, fitted: Fitted | None = None) -> Data:
    """Load, split, encode and scale the data of a config; the last two are kept in the process.

    Parameters
    ----------
    config
        It names the data, and says how to split and scale them.
    dataset
        To be used instead of what the config names.
    fitted
        What an earlier training part has decided, to be used instead of this one.

    Raises
    ------
    UsageError
        If the data cannot be had, or `fitted` does not fit them.
    """
    source = load_for(config.data, config.missing) if dataset is None else dataset
    # The same rows under another name, or of another shape, are other data to their user.
    of_data = source.digest, source.name, source.shape
    of_config = config.valid, config.split_seed, config.scale, config.dtype, config.device
    key = of_data, of_config, fitted and fitted.digest()
    if key not in _prepared:
        _prepared[key] = _prepare(config, source, fitted)
    return _prepared[key]


def _prepare(config: Config, source: Dataset, fitted: Fitted | None) -> Data:
    ops = ops_for(config.device)
    dtype = np.dtype(config.dtype)
    train, valid = parts(config, source)
    if fitted is None:
        fitted, x = fit(source, train, config.scale)
    else:
        x = fitted.features(source.table(train))
    x_valid = fitted.features(source.table(valid))
    y = source.y[train]
    y_valid = source.y[valid]
    # Bytes are scaled batch by batch where that is a division by one number.
    is_divided = x.dtype == np.uint8 and fitted.scaling[1].ndim == 0
    scaled = None if is_divided else ops.asarray(apply_scale(x, *fitted.scaling, dtype))
    return Data(
        source=source,
        t=ops.asarray(targets(source, y, dtype)),
        y=y,
        x_valid=ops.asarray(apply_scale(x_valid, *fitted.scaling, dtype)),
        t_valid=ops.asarray(targets(source, y_valid, dtype)),
        y_valid=y_valid,
        fitted=fitted,
        dtype=dtype,
        device=config.device,
        scaled=scaled,
        raw=ops.asarray(x) if is_divided else None,
        weights=None if source.weights is None else source.weights[train],
    )


def parts(config: Config, source: Dataset) -> tuple[Any, Any]:
    """Return the rows of a data set to train on, and those for validation.

    The validation part is the data set's own where it has one, else it is split off as the config
    says.
    """
    if source.valid_rows:
        rows = len(source.y) - source.valid_rows
        return slice(rows), slice(rows, None)
    if config.valid > 0:
        return split(source, config.valid, config.split_seed)
    return slice(None), slice(0)


def fitted_for(config: Config) -> tuple[Dataset, Fitted]:
    """Return a config's data set, and what its training part decides; the last ones are kept."""
    source = load_for(config.data, config.missing)
    key = source.digest, source.features, config.valid, config.split_seed, config.scale
    if key not in _fitted:
        train, _ = parts(config, source)
        _fitted[key], _ = fit(source, train, config.scale)
    return source, _fitted[key]


def resolved(config: Config) -> dict[str, Any]:
    """Return what identifies a config: its settings, with all that its data decide.

    Raises
    ------
    UsageError
        If the data cannot be had.
    """
    source, fitted = fitted_for(config)
    # `inputs` is but a check, and what the batches are is told by how the rows come out.
    unused = ["inputs", "data", "missing", "drop_last"]
    if source.valid_rows:
        unused += ["valid", "split_seed"]
    settings = {name: value for name, value in config.settings().items() if name not in unused}
    held_out = source.valid_rows or round(config.valid * len(source.y))
    return {
        **settings,
        "batch": batches_of(config, len(source.y) - held_out),
        "data": source.digest,
        "shape": source.shape,
        "scale": fitted.scale,
        "fitted": fitted.digest(),
    }


def decided(config: Config) -> str:
    """Return what was guessed and decided of a config's data, in a line; empty for nothing."""
    source, fitted = fitted_for(config)
    return "; ".join([*source.notes, *describe(fitted, config.scale)])


def targets(source: Dataset, y: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return target rows: labels (N,) become indicator rows (N, K), rows of a regression stay."""
    if source.task == "classification":
        return indicator(y, len(source.classes), dtype)
    return y.astype(dtype)
