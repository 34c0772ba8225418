"""The data of a config as inputs of its run: the part to train on, and that for validation."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import registry
from harness.config import Config
from harness.data import Dataset
from harness.data.loading import load_for
from harness.errors import UsageError
from harness.storage.records import DataInput

# MLflow takes no larger schema; a table of so many columns is given without one.
_LONGEST_SCHEMA = 1_000_000
_DIGITS = 16  # of a digest, of which MLflow takes 36 at most


def data_inputs(config: Config) -> list[DataInput]:
    """What a config trains on and is validated on; nothing where its data cannot be loaded.

    The digest of a part is that of the data set together with the split, so that equal digests are
    equal rows.
    """
    try:
        source = load_for(config.data, config.missing)
    except UsageError:
        return []  # The trial itself will say it.
    return list(_parts(config, source))


def _parts(config: Config, source: Dataset) -> Iterator[DataInput]:
    held_out = source.valid_rows or round(config.valid * len(source.y))
    split: dict[str, Any] = {"valid": config.valid, "split_seed": config.split_seed}
    if source.valid_rows:
        split = {"valid": "the data set's own"}
    rows_of = {"training": len(source.y) - held_out, "validation": held_out}
    for part, rows in rows_of.items():
        if rows == 0:
            continue
        cut = {"part": part, **split}
        yield DataInput(
            name=source.name,
            digest=_digest([source.digest, cut]),
            source=json.dumps({"tags": _origin(config, source, cut)}),
            schema=_schema(source),
            profile=json.dumps(_profile(source, rows)),
            context=part,
        )


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:_DIGITS]


def _origin(config: Config, source: Dataset, cut: dict[str, Any]) -> dict[str, str]:
    """Where the rows come from: the data set as a config names it, its digest, and the split."""
    tags = {"data": _without_folders(config.data), "sha256": source.digest}
    return tags | {name: str(value) for name, value in cut.items()}


def _without_folders(data: Any) -> str:
    """A data set as one writes it, with the names of files in place of their paths."""
    if isinstance(data, str):
        return Path(data).name
    shortened = {}
    for name, value in data.items():
        # Where a file lies says who uses which machine, and nothing of the data.
        is_path = isinstance(value, str) and "/" in value
        shortened[name] = Path(value).name if is_path else value
    return registry.text(shortened)


def _profile(source: Dataset, rows: int) -> dict[str, Any]:
    """The counts that MLflow shows, and those that tell what is to be learned."""
    features = source.x.shape[1]
    profile = {"num_rows": rows, "num_elements": rows * features, "features": features}
    if source.task == "classification":
        return profile | {"classes": len(source.classes)}
    return profile | {"targets": source.y.shape[1]}


def _schema(source: Dataset) -> str:
    """The columns of a table by name, or the shapes of arrays; as MLflow writes a schema."""
    if source.features is None:
        return json.dumps({"mlflow_tensorspec": _tensors(source)})
    texts = source.texts or [None] * len(source.features)
    columns = []
    for name, values in zip(source.features, texts, strict=True):
        kind = "double" if values is None else "string"
        columns.append({"type": kind, "name": str(name), "required": True})
    schema = json.dumps({"mlflow_colspec": columns})
    return schema if len(schema) <= _LONGEST_SCHEMA else ""


def _tensors(source: Dataset) -> dict[str, str]:
    tensors = {}
    for name, array in (("features", source.x), ("targets", source.y)):
        spec = {"dtype": array.dtype.name, "shape": [-1, *array.shape[1:]]}
        tensors[name] = json.dumps([{"type": "tensor", "tensor-spec": spec}])
    return tensors
