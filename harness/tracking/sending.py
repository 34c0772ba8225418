"""The sending of artifacts: a folder of files becomes artifacts of a run."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.storage import files as disk
from harness.storage.paths import safe_path
from harness.storage.records import Run
from harness.storage.spool import unless_replaced
from harness.tracking.experiment import Experiment

# What a server keeps goes there file by file, and most of the time of a small one is that of the
# way there and back. Other stores have clients that several threads may not share.
_OVER_HTTP = ("mlflow-artifacts:", "http://", "https://")
_TOGETHER = 8  # files at a time


@contextlib.contextmanager
def artifacts_of(record: Run) -> Iterator[Path | None]:
    """Give the folder with the artifacts of a record; None where it has none."""
    if record.files:
        # The files of a newer record, which has taken the place of this one, are sent with it.
        with unless_replaced(record.files.parent):
            yield record.files
    elif record.artifacts:
        with tempfile.TemporaryDirectory() as folder:
            for path, data in record.artifacts.items():
                disk.write_plain(Path(folder) / safe_path(path), data)
            yield Path(folder)
    else:
        yield None


def send_folder(
    experiment: Experiment, folder: Path, run_id: str, artifact_uri: str = "", but: str = ""
) -> None:
    """Send the files of a folder to a run.

    Parameters
    ----------
    experiment
        Where the run is, with the client.
    folder
        The files.
    run_id
        The run.
    artifact_uri
        Where its artifacts go; "" asks MLflow.
    but
        The name of a folder in it that stays out; "" for none.
    """
    uri = artifact_uri or experiment.client.get_run(run_id).info.artifact_uri
    local = _local_folder(uri)
    if local is not None:
        # The spool deletes its copies next, which have been synced.
        disk.take_tree(folder, local, but)
        return
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    repository = get_artifact_repository(uri, experiment.uri)
    together = _TOGETHER if uri.startswith(_OVER_HTTP) else 1
    _upload(_files_of(folder, but), repository.log_artifact, together)


def _files_of(folder: Path, but: str) -> list[tuple[Path, str | None]]:
    """Return the files of a folder, each with the folder among the artifacts that it goes to."""
    with disk.on_disk(folder, "folder"):
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files: list[tuple[Path, str | None]] = []
    for path in paths:
        inside = path.relative_to(folder)
        if len(inside.parts) > 1 and inside.parts[0] == but:
            continue
        files.append((path, inside.parent.as_posix() if len(inside.parts) > 1 else None))
    return files


def _upload(
    files: list[tuple[Path, str | None]],
    log_artifact: Callable[[str, str | None], None],
    together: int,
) -> None:
    """Send files, some at a time; the first that fails ends it, and its error is raised."""
    with ThreadPoolExecutor(together) as pool:
        calls = [pool.submit(log_artifact, str(path), inside) for path, inside in files]
        try:
            for call in calls:
                call.result()
        except BaseException:
            # A server that hangs would let each of the others wait for it, too.
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _local_folder(artifact_uri: str) -> Path | None:
    """Return the local folder that a URI means; None for what is not on this machine's disk."""
    if artifact_uri.startswith("/"):
        return Path(artifact_uri)
    if artifact_uri.startswith("file:///"):
        from mlflow.utils.file_utils import local_file_uri_to_path

        return Path(local_file_uri_to_path(artifact_uri))
    return None
