"""One logged network with its metrics and files, as it takes to train it again."""

import contextlib
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.storage.formats import sha256
from harness.tracking.checksums import checksums_in, is_read_back
from harness.tracking.connect import artifacts_folder
from harness.tracking.reader import KnownRun, Reader, newest_called, reading


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One trial or single run as MLflow has it.

    Attributes
    ----------
    run_id : str
        Where it is in MLflow.
    name : str
        What people call it.
    tags : dict
        Text by key.
    metrics : dict
        The value of each metric at each epoch: name -> epoch -> value.
    files : dict
        The content of its artifacts that are read back, and of those of its sweep, by path.
    """

    run_id: str
    name: str
    tags: dict[str, str]
    metrics: dict[str, dict[int, float]]
    files: dict[str, bytes]


def recorded(reference: str, root: Path | None = None) -> Recorded:
    """Read one trial or single run.

    A trial that has taken over the result of an equal one is that other one.

    Parameters
    ----------
    reference
        Its run id, its name, or "SWEEP#12".
    root
        The folder that holds mlruns/; None to look for it from here.

    Raises
    ------
    UsageError
        If there is no such run, or a file is not as it was written.
    """
    with reading(root) as reader:
        run = run_called(reader, reference)
        if run.kind not in ("trial", "run"):
            raise UsageError(
                f"{reference!r} is a {run.kind or 'run of something else'}, and only one network "
                f"can be trained again; name one of its trials: '{reference}#0'"
            )
        parent_run_id = run.tags.get("mlflow.parentRunId")
        original = run.tags.get("harness.duplicate_of")
        if original and parent_run_id:
            run = reader.trial(parent_run_id, original.removeprefix("#")) or run
        metrics = {
            key: _history(reader.client, run.run_id, key)
            for key in run.metrics
            if key.startswith(("train/", "valid/"))
        }
        files: dict[str, bytes] = {}
        if parent_run_id:
            files |= _files(reader.client, reader.run(parent_run_id), root)
        files |= _files(reader.client, run, root)
    return Recorded(run_id=run.run_id, name=run.name, tags=run.tags, metrics=metrics, files=files)


def _history(client: Any, run_id: str, key: str) -> dict[int, float]:
    return {point.step: point.value for point in client.get_metric_history(run_id, key)}


# --- References -----------------------------------------------------------------------------------
def run_called(reader: Reader, reference: str) -> KnownRun:
    """Return the run that a reference names; UsageError if there is none."""
    run = _run_with_id(reader, reference) or _run_with_name(reader, reference)
    if run is None:
        raise UsageError(
            "a run is named by its run id, by its name or as in 'my sweep#12', but there is none "
            f"for {reference!r}; harness results lists what there is"
        )
    return run


def _run_with_id(reader: Reader, reference: str) -> KnownRun | None:
    from mlflow.exceptions import MlflowException

    if re.fullmatch("[0-9a-f]{32}", reference):
        with contextlib.suppress(MlflowException):
            return reader.run(reference)
    return None


def _run_with_name(reader: Reader, reference: str) -> KnownRun | None:
    parents = reader.parents()
    # A name may have a # itself, so the whole reference is looked for first.
    parent = newest_called(reference, parents)
    if parent is not None:
        return parent
    sweep, mark, number = reference.rpartition("#")
    parent = newest_called(sweep.strip(), parents)
    if parent is None or not mark or not number.isdigit():
        return None
    return reader.trial(parent.run_id, number)


# --- Files ----------------------------------------------------------------------------------------
def _files(client: Any, run: KnownRun, root: Path | None) -> dict[str, bytes]:
    """Return the content of those artifacts of a run that are read back, checked, by path."""
    with _folder_of(client, run.run_id, root) as folder:
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        by_name = {path.relative_to(folder).as_posix(): path for path in paths}
        files = {name: path.read_bytes() for name, path in by_name.items() if is_read_back(name)}
    checksums = checksums_in(run.tags, run.name)
    for path, data in files.items():
        _check(path, data, checksums, run.name)
    return files


@contextlib.contextmanager
def _folder_of(client: Any, run_id: str, root: Path | None) -> Iterator[Path]:
    """Give the folder of a run's artifacts, or a temporary one with those that are read back."""
    local = artifacts_folder(root)
    # This is where they are now, even if the store still says where mlruns/ has been before.
    if local is not None and (local / run_id / "artifacts").is_dir():
        yield local / run_id / "artifacts"
        return
    with tempfile.TemporaryDirectory() as folder:
        for listed in client.list_artifacts(run_id):
            if listed.path == "plugins" or is_read_back(listed.path):
                client.download_artifacts(run_id, listed.path, folder)
        yield Path(folder)


def _check(path: str, data: bytes, checksums: dict[str, str], run_name: str) -> None:
    if path not in checksums:
        raise UsageError(
            f"{path} of {run_name!r} must have a checksum, but has none, from before artifacts had "
            "versions or since somebody else has put it there; train it anew"
        )
    if sha256(data) != checksums[path]:
        raise UsageError(
            f"{path} of {run_name!r} must be as it was written, but it is damaged; restore it from "
            "a copy, or train the run anew"
        )
