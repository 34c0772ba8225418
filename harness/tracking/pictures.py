"""Pictures that are logged to a run when it has ended, because somebody asks for them."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from harness.storage.files import write_plain
from harness.tracking.reader import reading
from harness.tracking.recorded_run import run_called

FOLDER = "pictures"


def log_pictures(reference: str, pictures: Mapping[str, bytes], root: Path | None = None) -> str:
    """Log pictures to a run, below pictures/.

    Parameters
    ----------
    reference
        A run id, the name of a run, of a sweep or of a comparison, or "SWEEP#12".
    pictures
        PNGs by name.
    root
        The folder that holds mlruns/; None to look for it from here.

    Returns
    -------
    str
        The run id.

    Raises
    ------
    UsageError
        If there is no such run.
    """
    with reading(root) as reader, tempfile.TemporaryDirectory() as folder:
        run = run_called(reader, reference)
        for name, picture in pictures.items():
            write_plain(Path(folder) / FOLDER / name, picture)
        reader.client.log_artifacts(run.run_id, folder)
        return run.run_id
