"""The folders below mlruns/ that somebody may be working on."""

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.errors import UsageError
from harness.storage import files as disk
from harness.storage.files import file_lock, owner_of
from harness.storage.formats import Damaged, OtherVersion
from harness.storage.records import read_record
from harness.storage.root import find_root

Say = Callable[[str], None]


_RECORD = re.compile(r"\d{8}-(trial|parent)-[0-9a-f]{32}")


RUN_ID = re.compile(r"[0-9a-f]{32}")


SINGLE = "single runs"  # the name of the spool that all runs share which stand alone


def folders(root: Path | None = None) -> list[Path]:
    """The folders below mlruns/ that have a spool: sweeps and comparisons, and the one of single
    runs.
    """
    mlruns = (root or find_root()) / "mlruns"
    found = [*sorted((mlruns / "sweeps").glob("*")), mlruns / "runs"]
    return [folder for folder in found if (folder / "spool").is_dir()]


def counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def name_of(folder: Path) -> str:
    """What the sweep or comparison in a folder is called; read without its lock."""
    if folder.name == "runs" and folder.parent.name == "mlruns":
        return SINGLE
    with contextlib.suppress(Damaged, OtherVersion, IndexError):
        return str(read_record(records(folder, "parent")[-1]).name)
    return folder.name


def records(folder: Path, kind: str = "*") -> list[Path]:
    """The records' folders, in the order of writing."""
    found = (folder / "spool").glob(f"*-{kind}-*")
    return sorted(path for path in found if _RECORD.fullmatch(path.name))


@contextlib.contextmanager
def held(folder: Path) -> Iterator[str]:
    """Holds a folder's lock meanwhile: ""; or says who holds it."""
    lock = folder / "lock"
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(file_lock(lock, wait=False))
            owner = ""
        except disk.DiskError:
            raise
        except UsageError:
            owner = owner_of(lock) or "another process"
        yield owner
