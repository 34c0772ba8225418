"""Loading a model that was saved, and refusing files that are not as they were saved."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from harness import registry
from harness.config import Config
from harness.data.encoding import Encoding
from harness.data.fitted import Fitted
from harness.data.scaling import Scaling
from harness.errors import UsageError
from harness.model.estimator import Model
from harness.model.learned import Learned
from harness.model.saving import FORMAT, file_of
from harness.model.schema import Origin, Schema
from harness.storage.bundle import Bundle, unpack
from harness.storage.formats import Damaged
from harness.training.state import fresh

SERVED = "served/"  # the names of arrays of a program, which is another form of the same network

T = TypeVar("T")


def load_saved(path: str | os.PathLike[str]) -> Model:
    """The model that was saved at a path: it predicts and trains on to the same bits.

    Parameters
    ----------
    path
        The path as it was given to `Model.save`, with .npz or without. Plugins that the model uses
        must be loaded before.

    Returns
    -------
    Model
        The model, without the frames of its film.

    Raises
    ------
    UsageError
        For a file that is missing, damaged or edited, for one of another version, and for names
        that no plugin has registered.
    """
    file = file_of(path)
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"there is no {file}; check the path of the saved model") from None
    except OSError as error:
        raise UsageError(f"{file} cannot be read ({error.strerror}); check the path") from None
    return model_in(data, file)


def model_in(data: bytes, file: Path | str) -> Model:
    """The model whose file has these bytes; `file` is what to call it in a message."""
    try:
        about, arrays = unpack(FORMAT, data, file)
    except Damaged as error:
        raise UsageError(
            f"{file} must be as it was saved, but {error}: it is damaged or no saved model; save "
            "the model again"
        ) from None
    try:
        return _model(Bundle(about, arrays))
    except UsageError as error:
        raise UsageError(f"{file} cannot be loaded: {error}{_plugin_hint(about)}") from None
    except (LookupError, TypeError, ValueError, AttributeError):
        # It is whole, so that something else than a harness has written it.
        raise UsageError(
            f"{file} must be a network as `Model.save` writes it; save the model again"
        ) from None


def _model(bundle: Bundle) -> Model:
    about, arrays = bundle
    config = Config.from_json(json.dumps(about["config"]))
    own = {name: array for name, array in arrays.items() if not name.startswith(SERVED)}
    # A fresh state has an empty film.
    state = {**fresh(), **about["state"], **own}
    learned = Learned(config, _schema(about), state)
    history = [
        {key: float("nan") if value is None else value for key, value in epoch.items()}
        for epoch in about["history"]
    ]
    # Building the network shows that the arrays fit it.
    learned.network()
    return Model._of(learned, history)


def _schema(about: dict[str, Any]) -> Schema:
    scaling = about["scaling"]
    shift = np.asarray(scaling["shift"], np.float64)
    divisor = np.asarray(scaling["divisor"], np.float64)
    encoding = _unless_null(about["encoding"], Encoding.from_json)
    return Schema(
        inputs=about["features"],
        outputs=about["outputs"],
        labels=_unless_null(about["classes"], _labels_from_json),
        fitted=Fitted(encoding, about["scale"], Scaling(shift, divisor)),
        shape=_unless_null(about["shape"], _pair),
        columns=_unless_null(about["columns"], tuple),
        origin=_unless_null(about["data"], lambda origin: Origin(**origin)),
        example=about["example"],
    )


def _unless_null(value: Any, read: Callable[[Any], T]) -> T | None:
    """What a function makes of a value of the JSON, where it is not null."""
    if value is None:
        return None
    return read(value)


def _labels_from_json(labels: dict[str, Any]) -> np.ndarray:
    return np.array(labels["labels"], labels["dtype"])


def _pair(shape: list[int]) -> tuple[int, int]:
    return shape[0], shape[1]


def _plugin_hint(about: dict[str, Any]) -> str:
    """The plugins that the model was saved with and that are not loaded now."""
    loaded = registry.plugins()
    missing = [name for name in about.get("plugins", ()) if name not in loaded]
    if not missing:
        return ""
    return (
        f" (it was saved with the plugins {', '.join(missing)}; load them first, "
        "on the command line with --plugin)"
    )
