"""load: the data set that a path, a name or a spec means, loaded once per process."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.data.dataset import Dataset
from harness.data.paths import is_there, kind_of
from harness.errors import UsageError
from harness.registry.known import entries, find
from harness.registry.products import make
from harness.registry.specs import canonical, parse

# The last few data sets of this process, by spec, state of the files and factory.
_loaded: dict[tuple[str, Callable[..., Any]], Dataset] = {}
_KEEP = 8
_SHOWN = 200  # characters of a path in a message


def load(spec: Any, **options: Any) -> Dataset:
    """The data set that a spec names, loaded once per process.

    A file that has changed (size or time) is read again.

    Parameters
    ----------
    spec
        A Dataset (returned as it is), a registered name, a spec such as
        'csv(path="a.csv", label="y")' or its dict, or the path of an .npz, .csv, .tsv or .parquet
        file or of a folder of IDX files.
    **options
        Further arguments of the data set, as in load("a.csv", label="y") or
        load("mnist", rows=1000).

    Returns
    -------
    Dataset
        The same object for the same spec, while the files are unchanged.

    Raises
    ------
    UsageError
        For an unknown name and for bad data.
    """
    if isinstance(spec, Dataset):
        if options:
            raise UsageError(
                f"a Dataset is loaded already, so {', '.join(options)} cannot be applied: pass its "
                f"spec instead"
            )
        return spec
    full = canonical("dataset", _as_spec(spec, options))
    key = _key(full)
    if key not in _loaded:
        _keep(key, _make(full))
    return _loaded[key]


def load_for(data: Any, missing: str | None) -> Dataset:
    """The data set of a config.

    Parameters
    ----------
    data
        What `load` takes.
    missing
        What the config says becomes of missing values; None where it says nothing.
    """
    return load(data if missing is None else _filled(data, missing))


def take(data: Any, missing: str | None, read: Callable[[], Dataset | None]) -> None:
    """Keep the data set of a config as if it had been loaded here.

    Parameters
    ----------
    data, missing
        What `load_for` takes.
    read
        Returns the data set as another process has loaded it, or None. It is not called where this
        process has it already.
    """
    spec = data if missing is None else _filled(data, missing)
    key = _key(canonical("dataset", _as_spec(spec, {})))
    if key not in _loaded:
        found = read()
        if found is not None:
            _keep(key, found)


def _filled(data: Any, missing: str) -> Any:
    """The spec of a data set whose missing values are filled as a config says."""
    spec = canonical("dataset", _as_spec(data, {}))
    # A data set without such an argument fills its missing values by itself, or has none.
    if "missing" not in find("dataset", spec["name"]).parameters:
        return spec
    return {**spec, "missing": missing}


def _key(spec: dict[str, Any]) -> tuple[str, Callable[..., Any]]:
    """What tells a data set from others: its spec, the state of its files, and its factory."""
    stamps = [_stamp(value) for value in spec.values()]
    written = json.dumps([spec, stamps], sort_keys=True, default=repr)
    # The factory belongs to the key, since a notebook's cell may register its data set anew.
    return (written, find("dataset", spec["name"]).factory)


def _keep(key: tuple[str, Callable[..., Any]], data: Dataset) -> None:
    # The oldest ones go, since a sweep may try many data sets and each may be large.
    while len(_loaded) >= _KEEP:
        del _loaded[next(iter(_loaded))]
    _loaded[key] = data


def _make(spec: dict[str, Any]) -> Dataset:
    data = make("dataset", spec)
    if not isinstance(data, Dataset):
        raise UsageError(
            f"data set {spec['name']!r} must return a harness.data.Dataset, got "
            f"{type(data).__name__}: from_arrays(name, x, y) makes one"
        )
    return data


def _as_spec(spec: Any, options: dict[str, Any]) -> Any:
    """A path, a name or a spec, with options, as a spec."""
    if isinstance(spec, dict):
        return {**spec, **options}
    if not isinstance(spec, str | os.PathLike):
        return spec
    text = os.fspath(spec)
    # What ends with a bracket is a call, even where the rest of it looks like a path.
    kind = None if text.rstrip().endswith(")") else kind_of(text)
    if kind is None:
        kind = _kind_of_folder(text, is_path=isinstance(spec, os.PathLike))
    if kind is not None:
        return {"name": kind, "path": text, **options}
    return {**parse(text), **options}


def _kind_of_folder(text: str, is_path: bool) -> str | None:
    """The data set that reads a folder; None for what is a name or a call.

    Raises
    ------
    UsageError
        For a path that no data set reads.
    """
    # A registered name wins over a folder of the same name.
    if "(" in text or text in {entry.name for entry in entries("dataset")}:
        return None
    if is_there(text, folder=True):
        return "idx"
    if is_path or os.sep in text or is_there(text):
        shown = repr(text)
        if len(text) > _SHOWN:
            shown = f"{text[:_SHOWN]!r}..."
        raise UsageError(
            f"{shown} must be the path of an .npz, .csv or .parquet file or of a folder of IDX "
            "files (.tsv and .csv.gz too): check it"
        )
    return None


def _stamp(value: Any) -> list[tuple[str, int, int, int, int]] | None:
    """The full names, sizes and times of the files that a value is the path of; None for others."""
    if not isinstance(value, str):
        return None
    path = Path(value).expanduser()
    try:
        files = [path]
        if path.is_dir():
            files = sorted(path.iterdir())
        return [_stamp_of_file(file) for file in files]
    except (OSError, ValueError):
        return None


def _stamp_of_file(file: Path) -> tuple[str, int, int, int, int]:
    stat = file.stat()
    # The time of the last change (ctime) is there since a copy or an archive may set back the time
    # of the last writing (mtime).
    return (str(file.absolute()), stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
