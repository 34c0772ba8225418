"""A record that is replaced while somebody reads it is neither damaged nor lost."""

import shutil
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.storage import files, spool
from harness.storage.record_folder import record_folders
from harness.storage.records import ParentRun
from harness.storage.spool import Spool, unless_replaced


def parent_of(sitting: int) -> ParentRun:
    return ParentRun(
        id="sweep/a/1", name="a", sitting=sitting, artifacts={"plugins/a.py": b"a = 1\n"}
    )


def test_what_cannot_be_read_is_passed_over_where_its_folder_is_gone(tmp_path: Path) -> None:
    with unless_replaced(tmp_path / "gone"):
        raise UsageError("it cannot be read")
    with pytest.raises(UsageError), unless_replaced(tmp_path):
        raise UsageError("it cannot be read")


def test_a_parent_is_read_while_its_driver_replaces_it(tmp_path: Path) -> None:
    ours = Spool(tmp_path)
    ours.write(parent_of(1))
    theirs = Spool(tmp_path, clean=False)
    ours.write(parent_of(2))
    parent = theirs.parent()
    assert parent is not None
    assert parent.sitting == 2


def test_a_record_goes_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Spool(tmp_path)
    ours.write(parent_of(1))
    (old,) = record_folders(tmp_path)
    seen = []
    remove = files.remove_tree

    def look(path: Path) -> None:
        seen.append(old.exists())
        remove(path)

    monkeypatch.setattr(files, "remove_tree", look)
    ours.write(parent_of(2))
    # What was half written goes first, then an earlier one half removed; the last is this record.
    assert seen == [True, True, False]


def test_a_record_half_removed_is_found_and_goes(tmp_path: Path) -> None:
    ours = Spool(tmp_path)
    ours.write(parent_of(1))
    (old,) = record_folders(tmp_path)
    shutil.copytree(old, tmp_path / ".old")
    (finding,) = spool.check(tmp_path)
    assert finding.sentence == f"remove {tmp_path / '.old'}, half removed"
    ours.write(parent_of(2))
    assert spool.check(tmp_path) == []
