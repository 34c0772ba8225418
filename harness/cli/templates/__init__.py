"""The files that `harness new` writes: a working plugin of each kind, to be changed."""

import keyword
import sys
from importlib.util import find_spec
from pathlib import Path

from harness import UsageError, registry
from harness.storage.files import write_plain

HERE = Path(__file__).parent
KINDS = ("activation", "layer", "update_rule", "loss", "dataset")


def write(kind: str, name: str, folder: str | Path = ".") -> Path:
    """Writes a plugin to begin with.

    Parameters
    ----------
    kind
        One of KINDS.
    name
        The plugin's name: a Python identifier.
    folder
        Where to put the file.

    Returns
    -------
    The file, folder/name.py.

    Raises
    ------
    UsageError
        If there is no such kind, or the name or the file is taken.
    """
    if kind not in KINDS:
        raise UsageError(
            f"there is a template for {', '.join(KINDS)}, got {kind!r}; choose one of them"
        )
    if not name.isidentifier() or keyword.iskeyword(name):
        raise UsageError(
            f"a name must be a Python identifier, got {name!r}; choose letters, digits and _"
        )
    for entry in registry.entries():
        if entry.name == name and entry.kind in registry.rivals(kind):
            raise UsageError(
                f"the name {name!r} is taken by the {entry.kind} from {entry.origin}; "
                f"choose another"
            )
    path = Path(folder).expanduser() / f"{name}.py"
    if path.exists():
        raise UsageError(
            f"{path} is there already and is not overwritten; choose another name or --dir"
        )
    # The file may lie in a folder from which Python imports.
    if name in sys.stdlib_module_names or find_spec(name) is not None:
        raise UsageError(
            f"{name}.py would hide the Python module {name!r} from whatever imports it; choose "
            f"another name"
        )
    text = (HERE / f"{kind}.py").read_text(encoding="utf-8").replace("my_name", name)
    write_plain(path, text.encode(), new=True)
    return path
