"""What a logged run was trained with: its config, and the sources of its plugins.

The sources are text to compare with, and to write into a folder for whoever wants to read them.
Nothing that comes from MLflow is run.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from harness import registry
from harness.config import Config
from harness.errors import UsageError
from harness.storage.files import write_plain
from harness.storage.paths import safe_path
from harness.tracking.recorded_run import Recorded, recorded

_CONFIG = "config.json"
_ENVIRONMENT = "environment.json"
_PLUGINS = "plugins/"


def logged_config(reference: str, root: Path | None = None) -> Config:
    """The config that a run was trained with.

    Parameters
    ----------
    reference : str
        A run id, the name of a single run, or "SWEEP#12".
    root : Path, optional
        The folder that holds mlruns/; looked for from here by default.

    Raises
    ------
    UsageError
        If there is no such run, or a plugin that it needs is not loaded.
    """
    return config_of(recorded(reference, root))


def save_sources(reference: str, folder: Path, root: Path | None = None) -> list[Path]:
    """Writes the sources of the plugins that a run was trained with into a folder, to be read.

    Parameters
    ----------
    reference : str
        A run id, the name of a single run, or "SWEEP#12".
    folder : Path
        Where they go.
    root : Path, optional
        The folder that holds mlruns/; looked for from here by default.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    UsageError
        If there is no such run, or another file has the place of one of them.
    """
    sources = sources_of(recorded(reference, root))
    contents = {folder / safe_path(name): source for name, source in sources.items()}
    # Either all files are written or none.
    for file, source in contents.items():
        if file.exists() and file.read_bytes() != source:
            raise UsageError(f"{file} is there already and is another file; choose another folder")
    for file, source in contents.items():
        write_plain(file, source)
    return list(contents)


def sources_of(run: Recorded) -> dict[str, bytes]:
    """The sources of the plugins of a run, by name."""
    return {
        path.removeprefix(_PLUGINS): source
        for path, source in run.files.items()
        if path.startswith(_PLUGINS)
    }


def environment_of(run: Recorded) -> dict[str, Any]:
    """The fingerprint that a run was trained under; empty where none was recorded."""
    environment = json.loads(run.files.get(_ENVIRONMENT, b"{}"))
    if not environment:
        return {}
    # They are for an environment that has no hashes of its own.
    hashes = {name: hashlib.sha256(source).hexdigest() for name, source in sources_of(run).items()}
    return {"plugins": hashes, **environment}


def config_of(run: Recorded) -> Config:
    """The config of a run; UsageError where it has none, or needs plugins that are not loaded."""
    if _CONFIG not in run.files:
        raise UsageError(
            f"{run.name!r} has no {_CONFIG}, so it cannot be trained again; choose another run"
        )
    try:
        return Config.from_json(run.files[_CONFIG].decode())
    except UsageError as error:
        # It may be that the config names what a plugin registers.
        plugins = json.loads(run.files.get(_ENVIRONMENT, b"{}")).get("plugins", sources_of(run))
        missing = [name for name in plugins if name not in registry.sources()]
        if not missing:
            raise
        said = str(error)
        end = "" if said.endswith("?") else "."
        raise UsageError(
            f"{said}{end} {run.name!r} was trained with the plugins {', '.join(missing)}: give "
            "what it needs with --plugin; their sources are kept with the run, and --sources "
            "FOLDER writes them there for you to read"
        ) from None
