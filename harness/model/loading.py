"""Loading a model that was saved, and refusing files that are not as they were saved."""

import hashlib
import io
import json
import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from harness import checks, registry
from harness.config import Config
from harness.data.encoding import Encoding
from harness.data.fitted import Fitted
from harness.data.scaling import Scaling
from harness.errors import UsageError
from harness.model.estimator import Model
from harness.model.learned import Learned
from harness.model.saving import FORMAT, VERSION, base_of, checksum
from harness.model.schema import Origin, Schema
from harness.training.state import fresh

# What reading a damaged file can end in.
_DAMAGED = (
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    OSError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
)

T = TypeVar("T")


def load_model(path: str | os.PathLike[str]) -> Model:
    """The model that was saved at a path: it predicts and trains on to the same bits.

    Parameters
    ----------
    path
        The path as it was given to `Model.save`, with .json, with .npz or with neither. Plugins
        that the model uses must be loaded before.

    Returns
    -------
    Model
        The model, without the frames of its film.

    Raises
    ------
    UsageError
        For a file that is missing, damaged or edited, for a format newer than this harness, and
        for names that no plugin has registered.
    """
    base = base_of(path)
    note = _read(Path(f"{base}.json"))
    raw = _read(Path(f"{base}.npz"))
    about = _parsed(base, note)
    # It is the checksum of all but itself.
    if about.pop("checksum", None) != checksum(about):
        raise UsageError(
            f"{base}.json must be as it was saved: it is damaged or edited; save the model again"
        )
    if hashlib.sha256(raw).hexdigest() != about["sha256"]:
        raise UsageError(
            f"{base}.npz must have the SHA-256 that its .json says: it is damaged; "
            f"save the model again"
        )
    try:
        return _model(about, raw)
    except UsageError as error:
        raise UsageError(f"{base}.json cannot be loaded: {error}{_plugin_hint(about)}") from None
    except _DAMAGED:
        raise UsageError(f"{base}.json or {base}.npz is damaged; save the model again") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UsageError(
            f"a saved model is a pair of files, and there is no {path}; check the path"
        ) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); check the path") from None


def _parsed(base: str, note: bytes) -> dict[str, Any]:
    """What the JSON says, if it is of a format that this harness reads."""
    try:
        about: dict[str, Any] = json.loads(note)
        kind = about["format"]
        number = about["version"]
    except (ValueError, KeyError, TypeError):
        raise UsageError(
            f"{base}.json is no saved model or is damaged; save the model again"
        ) from None
    if kind != FORMAT or not checks.is_whole(number):
        raise UsageError(f"{base}.json must be a {FORMAT}, got {kind!r} {number!r}; check the path")
    if number < VERSION:
        raise UsageError(
            f"{base}.json has version {number}, which this harness no longer reads; "
            f"train and save anew"
        )
    if number > VERSION:
        raise UsageError(
            f"{base}.json has version {number}, this harness reads up to {VERSION}; "
            f"update the harness"
        )
    return about


def _model(about: dict[str, Any], raw: bytes) -> Model:
    with np.load(io.BytesIO(raw), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    config = Config.from_json(json.dumps(about["config"]))
    # A fresh state has an empty film.
    state = {**fresh(), **about["state"], **arrays}
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
        # Older files of the same version do not have it.
        columns=_unless_null(about.get("columns"), tuple),
        origin=_unless_null(about["data"], lambda origin: Origin(**origin)),
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
    return f" (it was saved with the plugins {', '.join(missing)}; load them first)"
