"""A record that is replaced while somebody reads it is neither damaged nor lost."""

import shutil
import threading
from pathlib import Path

from harness.storage import spool
from harness.storage.record_folder import has_record, record_folders
from harness.storage.records import ParentRun
from harness.storage.spool import Spool


def test_a_folder_that_is_being_removed_is_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "00000001-parent-x"
    folder.mkdir()
    remover = threading.Timer(0.1, folder.rmdir)
    remover.start()
    assert spool.is_going(folder)  # its record has gone, the folder goes next
    remover.join()
    assert not folder.exists()


def test_a_folder_with_its_record_is_not_going(tmp_path: Path) -> None:
    folder = tmp_path / "00000001-parent-x"
    folder.mkdir()
    (folder / "record.json").write_bytes(b"damaged")
    assert has_record(folder)
    assert not spool.is_going(folder)


def test_a_parent_is_read_while_its_driver_replaces_it(tmp_path: Path) -> None:
    ours = Spool(tmp_path)
    ours.write(ParentRun(id="sweep/a/1", name="a", sitting=1))
    (old,) = record_folders(tmp_path)
    kept = tmp_path.parent / "kept"
    shutil.copytree(old, kept)
    theirs = Spool(tmp_path, clean=False)
    ours.write(ParentRun(id="sweep/a/1", name="a", sitting=2))
    # What a reader sees in the middle: the new record, and the old folder without its file.
    old.mkdir()
    remover = threading.Timer(0.1, old.rmdir)
    remover.start()
    parent = theirs.parent()
    remover.join()
    assert parent is not None
    assert parent.sitting == 2
