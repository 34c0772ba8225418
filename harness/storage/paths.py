"""Names that come from outside and become paths."""

from pathlib import PurePosixPath

from harness.errors import UsageError


def safe_path(path: str) -> PurePosixPath:
    """An artifact's path, refused if it could leave the folder it is put into."""
    pure = PurePosixPath(path)
    if (
        not path
        or "\\" in path
        or "\0" in path
        or pure.is_absolute()
        or ".." in pure.parts
        or not pure.parts
    ):
        raise UsageError(
            f"an artifact's path must be relative, with / and without '..', but it is {path!r}; "
            "use one like 'films/weights.mp4'"
        )
    return pure
