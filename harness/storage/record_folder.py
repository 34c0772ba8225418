"""The folder of one record in a spool: `record.json`, and the artifacts that wait in `files/`.

No name of a user's becomes a path: a folder is named by a number (the order of writing), "trial" or
"parent", and the hash of the record's id.
"""

import hashlib
import re
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from harness.errors import UsageError
from harness.storage import files
from harness.storage.artifacts import changed_files
from harness.storage.findings import Finding
from harness.storage.formats import Damaged, OtherVersion, seal, sha256, unseal
from harness.storage.paths import safe_path
from harness.storage.records import (
    ParentRun,
    Run,
    as_json_number,
    parent_from_json,
    record_as_json,
    trial_from_json,
)
from harness.storage.secrets import masked_file

ARTIFACTS = "files"
_RECORD = "record.json"
# The number at the beginning of a name, so that names sort as their numbers do.
ORDER_DIGITS = 8
_NAME = re.compile(r"(?P<order>\d{8})-(?P<kind>trial|parent)-(?P<key>[0-9a-f]{32})")


class FolderName(NamedTuple):
    """The parts of a folder's name.

    Attributes
    ----------
    order : int
        It grows from record to record.
    kind : str
        "trial" or "parent".
    key : str
        The hash of the record's id.
    """

    order: int
    kind: str
    key: str

    def __str__(self) -> str:
        return f"{self.order:08d}-{self.kind}-{self.key}"


def key_of(id: str) -> str:
    """What stands for the id of a record in the name of its folder."""
    return hashlib.sha256(id.encode()).hexdigest()[:32]


def name_for(record: Run, order: int) -> FolderName:
    """The name of the folder of a record."""
    kind = "trial"
    if isinstance(record, ParentRun):
        kind = "parent"
    return FolderName(order, kind, key_of(record.id))


def parse_name(path: Path) -> FolderName | None:
    """The parts of the name of a folder; None where it is not that of a record."""
    parts = _NAME.fullmatch(path.name)
    if parts is None:
        return None
    return FolderName(int(parts["order"]), parts["kind"], parts["key"])


def record_folders(spool: Path, kind: str = "*") -> list[Path]:
    """The folders of the records of a spool, in the order of writing.

    Parameters
    ----------
    spool : Path
        The folder of the spool. One that is missing has no records.
    kind : str
        "trial", "parent", or "*" for both.
    """
    paths = spool.glob(f"*-{kind}-*")
    return sorted(path for path in paths if parse_name(path) is not None)


# Reading ------------------------------------------------------------------------------------------


def read_record(folder: Path) -> Run:
    """The record in a folder: a TrialRun or a ParentRun.

    Raises
    ------
    Damaged
        It cannot be read, or is not as it was written.
    OtherVersion
        It is of a version that is not read here.
    """
    name = parse_name(folder)
    artifacts = folder / ARTIFACTS
    try:
        entry = unseal("record", (folder / _RECORD).read_bytes(), folder)
        present = artifacts if artifacts.is_dir() else None
        if name is not None and name.kind == "parent":
            return parent_from_json(entry, present)
        return trial_from_json(entry, present)
    except OtherVersion:
        raise
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise Damaged(str(error)) from error


# Writing ------------------------------------------------------------------------------------------


def write_record(folder: Path, record: Run) -> None:
    """Writes a record with its artifacts into a folder, all durable but the folder's own name.

    Parameters
    ----------
    folder : Path
        What is in it goes.
    record : Run
        One that was read from a spool brings the artifacts that are still in its own folder.
    """
    contents = _contents_of(record)
    entry = record_as_json(record)
    entry["checksums"] = dict(record.checksums)
    if record.artifacts:
        # The checksums of artifacts that were read from a spool stay as they were first, so that
        # damage meanwhile is noticed.
        entry["checksums"] |= {str(path): sha256(data) for path, data in contents.items()}
    files.remove_tree(folder)
    files.make_folder(folder)
    to_write = {ARTIFACTS / path: data for path, data in contents.items()}
    to_write[PurePosixPath(_RECORD)] = seal("record", entry, as_json_number)
    folders: set[PurePosixPath] = set()
    for path in to_write:
        if path.parent not in folders:
            files.make_folder(folder / path.parent)
            folders.update(path.parents)
    files.write_together(
        {folder / path: data for path, data in to_write.items()},
        [folder / path for path in folders],
    )


def _contents_of(record: Run) -> dict[PurePosixPath, bytes]:
    """The artifacts of a record by path, with all credentials in texts masked."""
    contents = {safe_path(path): masked_file(path, data) for path, data in record.artifacts.items()}
    # A record that was read from a spool and is written again has its artifacts there.
    if contents or record.files is None:
        return contents
    with files.on_disk(record.files, "folder"):
        present = [path for path in record.files.rglob("*") if path.is_file()]
        return {
            PurePosixPath(path.relative_to(record.files)): path.read_bytes() for path in present
        }


# Checking -----------------------------------------------------------------------------------------


def check(folder: Path, aside: Path, then: str) -> list[Finding]:
    """Finds a record that cannot be read, or artifacts that are not as they were written.

    A trial's record keeps its sweep from starting, and can be moved away, since the trial can be
    trained again. That of a parent cannot.

    Parameters
    ----------
    folder : Path
        The folder of the record.
    aside : Path
        The folder that a damaged record is moved into.
    then : str
        What comes after that, in words.
    """
    try:
        record = read_record(folder)
        if changed := changed_files(folder / ARTIFACTS, record.checksums):
            where = folder / ARTIFACTS
            raise Damaged(f"{', '.join(changed)} below {where} is not as it was written")
    except OtherVersion as error:
        return [Finding(folder, str(error))]
    except Damaged as error:
        name = parse_name(folder)
        if name is not None and name.kind == "parent":
            remedy = "restore it from a copy or start under another name"
            return [Finding(folder, f"the record {folder} is damaged ({error}); {remedy}")]
        problem = f"a trial's record is damaged ({error})"
        rest = f"to {aside / folder.name}, and {then}"
        mend = partial(files.move_into, folder, aside)
        return [Finding(folder, f"{problem}; move it {rest}", mend, f"{problem}; moved {rest}")]
    return []


def damaged_record(folder: Path, error: Damaged) -> UsageError:
    """The error of a command that needs a record which is damaged."""
    return UsageError(
        f"the record {folder} must be as it was written, but it is damaged ({error}); "
        "`harness doctor` puts it aside, and its run is trained again"
    )
