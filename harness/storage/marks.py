"""Marks: where MLflow has the record in a folder of a spool."""

import os
from functools import partial
from pathlib import Path
from typing import NamedTuple

from harness.storage import files
from harness.storage.findings import Finding
from harness.storage.formats import Damaged, seal, unseal
from harness.storage.record_folder import record_folders

NAME = "logged"


class Mark(NamedTuple):
    """Where MLflow has a record.

    Attributes
    ----------
    run_id : str
        The run that it has become.
    store : str
        The store, as `tracking` names it.
    """

    run_id: str
    store: str


def is_marked(folder: Path) -> bool:
    """Whether a record has a mark, damaged or not."""
    # It is asked of thousands of records, and pathlib takes several times as long.
    return os.path.exists(os.path.join(folder, NAME))


def waiting_in(spool: Path) -> int:
    """How many records in the folder of a spool have no mark, whoever writes them."""
    return sum(not is_marked(folder) for folder in record_folders(spool))


def read_mark(folder: Path) -> Mark:
    """The mark of a record.

    Raises
    ------
    Damaged
        It cannot be read, or is not as it was written.
    OtherVersion
        It is of a version that is not read here.
    """
    path = folder / NAME
    try:
        content = unseal("mark", path.read_bytes(), path)
        return Mark(content["run_id"], content["store"])
    except (OSError, KeyError, TypeError) as error:
        raise Damaged(str(error)) from error


def write_mark(folder: Path, mark: Mark) -> None:
    """Marks a record durably."""
    fresh = folder / f".{NAME}"
    files.write_durably(fresh, seal("mark", mark._asdict()))
    files.rename(fresh, folder / NAME)
    files.sync_folder(folder)


def remove_mark(folder: Path) -> None:
    """Lets a record wait again."""
    files.remove(folder / NAME)


def check(folder: Path) -> list[Finding]:
    """Finds a damaged mark. Without it its record is sent again, which MLflow stores once."""
    try:
        read_mark(folder)
    except Damaged:
        if not is_marked(folder):
            return []
        path = folder / NAME
        sentence = f"the mark {path} is damaged; its record waits again"
        return [Finding(path, sentence, mend=partial(remove_mark, folder))]
    return []
