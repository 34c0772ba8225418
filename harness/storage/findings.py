"""What a check has found on disk, and how it is mended."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.storage import files


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be. A check only looks: nothing is mended before `mend`.

    Attributes
    ----------
    path : Path
        The file or folder that it is about.
    sentence : str
        What is wrong. Where it can be mended the sentence says what is to be done, and otherwise
        what the user may do.
    mend : callable or None
        Mends it without loss; None where nobody can.
    mended : str
        The sentence once it is mended; empty where that is the same one.
    is_harmless : bool
        Whether it may stay as it is.
    """

    path: Path
    sentence: str
    mend: Callable[[], object] | None = None
    mended: str = ""
    is_harmless: bool = False


def removal(path: Path, rest: str) -> Finding:
    """The finding about a file that is of no use to anybody.

    Parameters
    ----------
    path : Path
        The file, or a folder with all that is in it.
    rest : str
        The sentence behind its verb: "the damaged checkpoint 000001-000002; ...".
    """
    remove = files.remove
    if path.is_dir():
        remove = files.remove_tree
    return Finding(path, f"remove {rest}", mend=partial(remove, path), mended=f"removed {rest}")


def check_half_written(path: Path) -> list[Finding]:
    """Finds what was being written when its process was killed."""
    if not path.exists():
        return []
    return [removal(path, f"{path}, half written")]
