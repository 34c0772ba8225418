"""The sending of artifacts: a folder of files becomes artifacts of a run."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness.storage import files as disk
from harness.storage.paths import safe_path
from harness.storage.records import Run
from harness.storage.spool import unless_replaced
from harness.tracking.experiment import Experiment


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
    with disk.on_disk(folder, "folder"):
        paths = sorted(folder.iterdir())
    for path in paths:
        if path.is_file():
            repository.log_artifact(str(path))
        elif path.name != but:
            repository.log_artifacts(str(path), path.name)


def _local_folder(artifact_uri: str) -> Path | None:
    """Return the local folder that a URI means; None for what is not on this machine's disk."""
    if artifact_uri.startswith("/"):
        return Path(artifact_uri)
    if artifact_uri.startswith("file:///"):
        from mlflow.utils.file_utils import local_file_uri_to_path

        return Path(local_file_uri_to_path(artifact_uri))
    return None
