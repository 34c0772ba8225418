"""A model as one file: its arrays, and all else as JSON. Nothing is pickled."""

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
from harness.storage.bundle import Bundle, pack
from harness.storage.files import write_whole
from harness.version import version

FORMAT = "network"  # the name of the format in storage
SUFFIX = ".npz"

History = list[dict[str, Any]]


def write_model(path: str | os.PathLike[str], learned: Learned, history: History) -> Path:
    """Writes the file; see `Model.save`."""
    file = file_of(path)
    write_whole({file: pack(FORMAT, contents(learned, history))})
    return file


def contents(learned: Learned, history: History) -> Bundle:
    """What the file of a model holds."""
    # The state first: the network may have run ahead of it.
    state = learned.current_state()
    arrays = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
    return Bundle(_about(learned, history), arrays)


def file_of(path: str | os.PathLike[str]) -> Path:
    """The path with .npz at its end; other dots in a name are part of it."""
    text = os.fspath(path)
    base = text.removesuffix(SUFFIX)
    if not Path(base).name or base.endswith("/"):
        raise UsageError(
            f"a model's path must end in a name, got {text!r}; write for example models/first"
        )
    return Path(f"{base}{SUFFIX}")


def _about(learned: Learned, history: History) -> dict[str, Any]:
    """All but the arrays, as JSON can hold it."""
    schema = learned.schema
    shift, divisor = schema.fitted.scaling
    encoding = schema.fitted.encoding
    weights = named_weights(learned)
    return {
        "config": asdict(learned.config),
        "features": schema.inputs,
        "outputs": schema.outputs,
        "classes": _labels_to_json(schema.labels),
        "scale": schema.fitted.scale,
        "scaling": {"shift": shift.tolist(), "divisor": divisor.tolist()},
        "encoding": None if encoding is None else encoding.to_json(),
        "shape": schema.shape,
        "columns": schema.columns,
        "example": schema.example,
        "data": None if schema.origin is None else asdict(schema.origin),
        "weights": {name: list(value.shape) for name, value in weights.items()},
        # The arrays stand for themselves; the lists are the film, which is not saved.
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
