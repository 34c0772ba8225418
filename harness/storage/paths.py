"""Names that come from outside and become paths."""

from pathlib import PurePosixPath

from harness.errors import UsageError


def safe_path(path: str) -> PurePosixPath:
    """An artifact's path, which cannot leave the folder that it is put into.

    Raises
    ------
    UsageError
        If it is absolute or empty, or holds "..", a backslash or a zero byte.
    """
    pure = PurePosixPath(path)
    leaves = pure.is_absolute() or ".." in pure.parts
    # A backslash separates folders on other systems, which may read what is written here.
    is_odd = "\\" in path or "\0" in path
    if leaves or is_odd or not pure.parts:
        raise UsageError(
            f"an artifact's path must be relative, with / and without '..', but it is {path!r}; "
            "use one like 'films/weights.mp4'"
        )
    return pure
