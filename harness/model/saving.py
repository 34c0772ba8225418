"""Writing a model as two files: arrays in an .npz, all else in a .json. Nothing is pickled."""

import hashlib
import io
import json
import os
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from harness import checks, registry
from harness.errors import UsageError
from harness.model.learned import Learned
from harness.model.weights import named_weights
from harness.storage.files import write_whole
from harness.version import version

FORMAT = "harness model"
VERSION = 2  # of the two files; a reader refuses a newer one

History = list[dict[str, Any]]


def write_model(path: str | os.PathLike[str], learned: Learned, history: History) -> Path:
    """Writes the pair of files; see `Model.save`."""
    base = base_of(path)
    # The state first: the network may have run ahead of it.
    state = learned.current_state()
    arrays = _npz({name: value for name, value in state.items() if isinstance(value, np.ndarray)})
    about = _about(learned, history)
    about["sha256"] = hashlib.sha256(arrays).hexdigest()
    about["checksum"] = checksum(about)
    # The arrays are moved first. Who reads between the two moves finds them beside the old JSON,
    # which has another SHA-256, and is refused.
    note = Path(f"{base}.json")
    write_whole({Path(f"{base}.npz"): arrays, note: json.dumps(about, indent=1).encode()})
    return note


def checksum(about: dict[str, Any]) -> str:
    """The SHA-256 of what the JSON says, its own checksum left out."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def base_of(path: str | os.PathLike[str]) -> str:
    """The path without .npz or .json; other dots in a name are part of it."""
    text = os.fspath(path)
    suffix = Path(text).suffix
    base = text
    if suffix in (".npz", ".json"):
        base = text[: -len(suffix)]
    if not Path(base).name:
        raise UsageError(
            f"a model's path must end in a name, got {text!r}; write for example models/first"
        )
    return base


def _npz(arrays: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _about(learned: Learned, history: History) -> dict[str, Any]:
    """All but the arrays and the checksums, as JSON can hold it."""
    schema = learned.schema
    shift, divisor = schema.fitted.scaling
    encoding = schema.fitted.encoding
    weights = named_weights(learned)
    return {
        "format": FORMAT,
        "version": VERSION,
        "config": asdict(learned.config),
        "features": schema.inputs,
        "outputs": schema.outputs,
        "classes": _labels_to_json(schema.labels),
        "scale": schema.fitted.scale,
        "scaling": {"shift": shift.tolist(), "divisor": divisor.tolist()},
        "encoding": None if encoding is None else encoding.to_json(),
        "shape": schema.shape,
        "columns": schema.columns,
        "data": None if schema.origin is None else asdict(schema.origin),
        "weights": {name: list(value.shape) for name, value in weights.items()},
        # The arrays are in the other file; the lists are the film, which is not saved.
        "state": {
            name: value
            for name, value in learned.state.items()
            if not isinstance(value, np.ndarray | list)
        },
        "history": [
            {key: _null_unless_finite(value) for key, value in epoch.items()} for epoch in history
        ],
        "versions": {
            "harness": version(),
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "plugins": registry.plugins(),
    }


def _labels_to_json(labels: np.ndarray | None) -> dict[str, Any] | None:
    if labels is None:
        return None
    return {"dtype": labels.dtype.str, "labels": labels.tolist()}


def _null_unless_finite(value: Any) -> Any:
    """The value, but None for NaN and infinity, which JSON does not know."""
    if checks.is_real(value) and not checks.is_finite(value):
        return None
    return value
