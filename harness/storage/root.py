"""The root: the folder that holds mlruns/."""

import os
from pathlib import Path


def find_root(start: Path | None = None) -> Path:
    """The folder that holds mlruns/, or is to hold it.

    It is HARNESS_ROOT where that is set, else the nearest folder upwards with mlruns/ or
    pyproject.toml, else the one where the search begins.

    Parameters
    ----------
    start : Path, optional
        Where the search begins; the current folder by default.

    Returns
    -------
    Path
        An absolute path; the folder need not exist.
    """
    if named := os.environ.get("HARNESS_ROOT"):
        return Path(named).expanduser().absolute()
    here = Path(start or Path.cwd()).absolute()
    for folder in (here, *here.parents):
        if (folder / "mlruns").is_dir() or (folder / "pyproject.toml").is_file():
            return folder
    return here
