"""Which kind of data set the path of a file names, and whether it is there."""

from pathlib import Path
from typing import Any

from harness.errors import UsageError

KINDS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".csv.gz": "csv",
    ".tsv.gz": "csv",
    ".parquet": "parquet",
    ".npz": "npz",
}
_SHOWN = 200  # characters of a path in a message


def kind_of(path: str) -> str | None:
    """The data set that reads a file of this name: csv, parquet, npz; None for any other name."""
    name = Path(path).name.lower()
    for suffix, kind in KINDS.items():
        if name.endswith(suffix):
            return kind
    return None


def is_there(path: str | Path, folder: bool = False) -> bool:
    """Whether there is a file, or with `folder` a folder, of this name."""
    try:
        place = Path(path).expanduser()
        return place.is_dir() if folder else place.is_file()
    except (OSError, ValueError, RuntimeError):
        # The name is too long, has a NUL in it, or begins with a home that nobody has.
        return False


def existing(path: Any, folder: bool = False) -> Path:
    """The absolute path of a file, or with `folder` of a folder; UsageError if it is not there."""
    kind = "folder" if folder else "file"
    if not isinstance(path, str | Path):
        raise UsageError(f"the path of a {kind} must be text, got {path!r}: put it in quotes")
    if not is_there(path, folder):
        shown = str(path)
        if len(shown) >= _SHOWN:
            shown = f"{shown[:_SHOWN]}..."
        raise UsageError(f"there is no {kind} {shown!r} in {Path.cwd()}: check the path")
    return Path(path).expanduser().absolute()


def read_bytes(file: Path) -> bytes:
    """The bytes of a file; UsageError if it cannot be read."""
    try:
        return file.read_bytes()
    except (OSError, MemoryError) as error:
        raise UsageError(f"{file}: cannot be read ({error})") from error


def first_line(error: Exception) -> str:
    """The first line of what a reader says of a file, or the name of its error."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
