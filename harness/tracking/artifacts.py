"""Single artifacts of runs."""

import tempfile
from pathlib import Path

from harness.tracking.connect import artifacts_folder
from harness.tracking.reader import reading


def artifact(run_id: str, name: str, root: Path | None = None) -> bytes | None:
    """Return the content of an artifact of a run; None where it has none of that name.

    Parameters
    ----------
    run_id
        The run in MLflow.
    name
        The path of the artifact in the run.
    root
        The folder that holds mlruns/; None to look for it from here.

    Raises
    ------
    UsageError
        If the store cannot be read.
    """
    folder = artifacts_folder(root)
    # This is where they are now, even if the store still says where mlruns/ has been before.
    if folder is not None and (folder / run_id / "artifacts").is_dir():
        path = folder / run_id / "artifacts" / name
        return path.read_bytes() if path.is_file() else None
    above = name.rpartition("/")[0] or None
    with reading(root) as reader, tempfile.TemporaryDirectory() as temporary:
        listed = {each.path for each in reader.client.list_artifacts(run_id, above)}
        if name not in listed:
            return None
        return Path(reader.client.download_artifacts(run_id, name, temporary)).read_bytes()
