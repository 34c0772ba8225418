"""Data sets as arrays with a digest: built in, from files, or registered by a plugin; the split and
the scaling.

data = load("mnist")      # or load("my.csv", label="species"), load("my.npz"),
load("folder/of/idx/files") train_rows, valid_rows = split(data, valid=0.3, seed=1)
"""

import json
import os
from pathlib import Path
from typing import Any

from harness.data import files  # noqa: F401  importing them registers the data sets
from harness.data.dataset import Dataset, from_arrays
from harness.data.encode import Encoding, Fitted, describe, fit, resolve_scale
from harness.data.prepare import SCALES, apply_scale, fit_scale, indicator, split
from harness.data.tables import is_there, kind_of
from harness.data.validation import with_validation, with_weights
from harness.errors import UsageError
from harness.registry.known import entries, find
from harness.registry.products import make
from harness.registry.specs import canonical, parse

__all__ = [
    "SCALES",
    "Dataset",
    "Encoding",
    "Fitted",
    "apply_scale",
    "describe",
    "fit",
    "fit_scale",
    "from_arrays",
    "indicator",
    "load",
    "load_for",
    "resolve_scale",
    "split",
    "with_validation",
    "with_weights",
]

_loaded: dict[Any, Dataset] = {}  # the last few data sets of this process
_KEEP = 8


def load(spec: Any, **options: Any) -> Dataset:
    """The data set that a spec names, loaded once per process.

    spec      a Dataset (returned as it is), a registered name, a spec such as 'csv(path="a.csv", label="y")' or its
              dict, or the path of an .npz, .csv, .tsv or .parquet file or of a folder of IDX files
    options   further arguments of the data set, as in load("a.csv", label="y") or load("mnist", rows=1000)

    A file that has changed (size or time) is read again. Raises UsageError for an unknown name and
    for bad data.
    """
    if isinstance(spec, Dataset):
        if options:
            raise UsageError(
                f"a Dataset is loaded already, so {', '.join(options)} cannot be applied: pass its "
                f"spec instead"
            )
        return spec
    wanted = canonical("dataset", _as_spec(spec, options))
    said = json.dumps(
        [wanted, [_stamp(value) for value in wanted.values()]], sort_keys=True, default=repr
    )
    # A notebook's cell may register its data set anew
    key = said, find("dataset", wanted["name"]).factory
    if key not in _loaded:
        data = make("dataset", wanted)
        if not isinstance(data, Dataset):
            raise UsageError(
                f"data set {wanted['name']!r} must return a harness.data.Dataset, got "
                f"{type(data).__name__}: "
                "from_arrays(name, x, y) makes one"
            )
        while len(_loaded) >= _KEEP:
            del _loaded[next(iter(_loaded))]
        _loaded[key] = data
    return _loaded[key]


def load_for(data: Any, missing: str | None) -> Dataset:
    """The data set of a config, which may say what becomes of missing values."""
    if missing is None:
        return load(data)
    spec = canonical("dataset", _as_spec(data, {}))
    if "missing" not in find("dataset", spec["name"]).parameters:
        return load(spec)  # nobody but its plugin knows of holes in it
    return load({**spec, "missing": missing})


def _as_spec(spec: Any, options: dict[str, Any]) -> Any:
    """A path, a name or a spec, with options -> a spec."""
    if isinstance(spec, dict):
        return {**spec, **options}
    if not isinstance(spec, str | os.PathLike):
        return spec
    text = os.fspath(spec)
    name = kind_of(text) if not text.rstrip().endswith(")") else None
    if (
        name is None
        and text not in {entry.name for entry in entries("dataset")}
        and "(" not in text
    ):
        if is_there(text, folder=True):
            name = "idx"
        elif isinstance(spec, os.PathLike) or os.sep in text or is_there(text):
            raise UsageError(
                f"{_short(text)} must be the path of an .npz, .csv or .parquet file or of a folder "
                f"of IDX files (.tsv "
                "and .csv.gz too): check it"
            )
    if name is not None:
        return {"name": name, "path": text, **options}
    return {**parse(text), **options}


def _short(text: str) -> str:
    return repr(text) if len(text) <= 200 else f"{text[:200]!r}..."


def _stamp(value: Any) -> Any:
    """Where a value is the path of a file or folder: the full path, sizes and times of what it
    names.
    """
    if not isinstance(value, str):
        return None
    path = Path(value).expanduser()
    try:
        found = sorted(path.iterdir()) if path.is_dir() else [path]
        stats = [(str(file.absolute()), file.stat()) for file in found]
    except (OSError, ValueError):
        return None
    # The time of the last change too: a copy or an archive may set the other one back.
    return [
        (name, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        for name, stat in stats
    ]
