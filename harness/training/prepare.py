"""Preparing a data set for training: split, fitted, scaled, with targets, in batches."""

from collections import OrderedDict
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

_prepared: OrderedDict[tuple[Any, ...], Data] = OrderedDict()


_fitted: dict[tuple[Any, ...], Fitted] = {}


_MOST_FITTED = 64


def prepare(config: Config, dataset: Dataset | None = None, fitted: Fitted | None = None) -> Data:
    """Loads, splits, encodes and scales the data of a config, once per process (the last two are
    kept).

    fitted: what an earlier training part has decided, instead of this one. UsageError where it does
    not fit.
    """
    source = dataset if dataset is not None else load_for(config.data, config.missing)
    key = (
        source.digest,
        source.name,
        source.shape,
        config.valid,
        config.split_seed,
        config.scale,
        config.dtype,
        config.device,
        None if fitted is None else fitted.digest(),
    )
    if key in _prepared:
        _prepared.move_to_end(key)
        return _prepared[key]
    ops, dtype = ops_for(config.device), np.dtype(config.dtype)
    train, valid = parts(config, source)
    if fitted is None:
        fitted, x = fit(source, train, config.scale)
    else:
        x = fitted.features(source.table(train))
    x_valid = fitted.features(source.table(valid))
    y, y_valid = source.y[train], source.y[valid]
    rows = [targets(source, each, dtype) for each in (y, y_valid)]
    put = [ops.asarray(apply_scale(each, *fitted.scaling, dtype)) for each in (x, x_valid)]
    raw = ops.asarray(x) if x.dtype == np.uint8 and fitted.scaling[1].ndim == 0 else None
    weights = None if source.weights is None else source.weights[train]
    data = Data(
        source,
        put[0],
        ops.asarray(rows[0]),
        y,
        put[1],
        ops.asarray(rows[1]),
        y_valid,
        fitted,
        raw,
        weights,
    )
    _prepared[key] = data
    while len(_prepared) > 2:
        _prepared.popitem(last=False)
    return data


def parts(config: Config, source: Dataset) -> tuple[Any, Any]:
    """The rows of a data set to train on, and those for validation: its own, or as the config
    splits it.
    """
    if source.valid_rows:
        rows = len(source.y) - source.valid_rows
        return slice(rows), slice(rows, None)
    if config.valid > 0:
        return split(source, config.valid, config.split_seed)
    return slice(None), slice(0)


def fitted_for(config: Config) -> tuple[Dataset, Fitted]:
    """A config's data set, and what its training part decides; the last ones are kept."""
    source = load_for(config.data, config.missing)
    key = source.digest, source.features, config.valid, config.split_seed, config.scale
    if key not in _fitted:
        _fitted[key] = fit(source, parts(config, source)[0], config.scale)[0]
        while len(_fitted) > _MOST_FITTED:
            del _fitted[next(iter(_fitted))]
    return source, _fitted[key]


def resolved(config: Config) -> dict[str, Any]:
    """What identifies a config: its settings with all that its data decides, such as the scale
    "auto".

    UsageError where the data cannot be had. `inputs` is but a check, and is left out.
    """
    source, fitted = fitted_for(config)
    unused = ["inputs", "data", "missing"]
    if source.valid_rows:
        unused += ["valid", "split_seed"]
    settings = {name: value for name, value in config.settings().items() if name not in unused}
    held = source.valid_rows or round(config.valid * len(source.y))
    settings.pop("drop_last", None)
    settings["batch"] = batches_of(config, len(source.y) - held)  # as the rows come out
    return {
        **settings,
        "data": source.digest,
        "shape": source.shape,
        "scale": fitted.scale,
        "fitted": fitted.digest(),
    }


def decided(config: Config) -> str:
    """What has been guessed and decided of a config's data, in a line for its user; empty where
    nothing was.
    """
    source, fitted = fitted_for(config)
    return "; ".join([*source.notes, *describe(fitted, config.scale)])


def targets(source: Dataset, y: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Labels (N,) -> indicator rows (N, K); rows of a regression stay rows."""
    return (
        indicator(y, len(source.classes), dtype)
        if source.task == "classification"
        else y.astype(dtype)
    )
