"""The root: the folder that holds mlruns/."""

import os
from pathlib import Path


def find_root(start: Path | None = None) -> Path:
    """The folder that holds mlruns/: HARNESS_ROOT, else the nearest parent with mlruns/ or
    pyproject.toml, else here.

    `start` (default: the current folder) is where the search begins; it counts as its own nearest
    parent.
    """
    if named := os.environ.get("HARNESS_ROOT"):
        return Path(named).expanduser().absolute()
    here = Path(start or Path.cwd()).absolute()
    for folder in (here, *here.parents):
        if (folder / "mlruns").is_dir() or (folder / "pyproject.toml").is_file():
            return folder
    return here
