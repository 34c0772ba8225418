"""What the checks of storage find: nothing where all is well, and what can be mended is mended."""

import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.errors import UsageError
from harness.storage import (
    artifacts,
    checkpoints,
    frames,
    journal,
    marks,
    mlflow_db,
    record_folder,
)
from harness.storage import (
    spool as spools,
)
from harness.storage.checkpoints import CheckpointFolder, Content
from harness.storage.findings import Finding
from harness.storage.formats import FORMATS, sha256
from harness.storage.lock import LockHeld, file_lock, is_held, lock_unless_held, owner_of
from harness.storage.records import ParentRun, Point, TrialRun
from harness.storage.spool import Spool


def mend(findings: list[Finding]) -> None:
    """Mends what can be mended, which must be all."""
    for finding in findings:
        assert finding.mend is not None
        finding.mend()


# Records ------------------------------------------------------------------------------------------


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """A spool with a parent, and a trial with an artifact."""
    spool = Spool(tmp_path / "spool")
    spool.write(ParentRun(id="sweep", name="a sweep"))
    points = [("valid/loss", 0.5, 1, 7)]
    trial = TrialRun(id="sweep/0", name="#0", number=0, metrics=points)  # type: ignore[arg-type]
    trial.artifacts = {"notes/a.txt": b"text"}
    spool.write(trial)
    return spool


def only(spool: Spool, kind: str) -> Path:
    (folder,) = record_folder.record_folders(spool.folder, kind)
    return folder


def check(spool: Spool, kind: str) -> list[Finding]:
    aside = spool.folder.parent / "damaged"
    return record_folder.check(only(spool, kind), aside, "the trial will be trained again")


def test_a_record_comes_back_with_names(spool: Spool) -> None:
    trial = spool.read("sweep/0")
    assert trial.metrics == [Point("valid/loss", value=0.5, step=1, time_ms=7)]
    assert trial.checksums == {"notes/a.txt": sha256(b"text")}
    assert trial.files is not None
    assert (trial.files / "notes/a.txt").read_bytes() == b"text"


def test_sound_records_have_no_findings(spool: Spool) -> None:
    assert [*check(spool, "trial"), *check(spool, "parent"), *spools.check(spool.folder)] == []


def cut_record(folder: Path) -> None:
    path = folder / "record.json"
    path.write_bytes(path.read_bytes()[:-30])


def change_artifact(folder: Path) -> None:
    (folder / "files/notes/a.txt").write_bytes(b"test")


@pytest.mark.parametrize("damage", [cut_record, change_artifact])
def test_a_damaged_record_of_a_trial_is_moved_aside(
    damage: Callable[[Path], None], spool: Spool, tmp_path: Path
) -> None:
    folder = only(spool, "trial")
    damage(folder)
    findings = check(spool, "trial")
    assert [finding.path for finding in findings] == [folder]
    assert "a trial's record is damaged (" in findings[0].sentence
    assert f"; moved to {tmp_path / 'damaged' / folder.name}, and the " in findings[0].mended
    mend(findings)
    assert record_folder.record_folders(spool.folder, "trial") == []
    assert (tmp_path / "damaged" / folder.name / "record.json").exists()


def test_a_damaged_record_of_a_parent_cannot_be_mended(spool: Spool) -> None:
    cut_record(only(spool, "parent"))
    (finding,) = check(spool, "parent")
    assert finding.mend is None
    assert "restore it from a copy or start under another name" in finding.sentence


def test_a_record_of_another_version_is_no_damage(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = FORMATS["record"].version
    monkeypatch.setitem(FORMATS, "record", FORMATS["record"]._replace(version=newest + 1, steps={}))
    (finding,) = check(spool, "trial")
    assert finding.mend is None
    assert f"must have the format 'record' in version {newest + 1}" in finding.sentence
    with pytest.raises(UsageError, match=f"but is of version {newest}; use the harness that wrote"):
        list(spool.records())


def test_a_damaged_mark_can_go(spool: Spool) -> None:
    spool.mark_logged("sweep/0", "0" * 32, "a store")
    folder = only(spool, "trial")
    assert marks.read_mark(folder) == marks.Mark(run_id="0" * 32, store="a store")
    assert marks.check(folder) == []
    (folder / marks.NAME).write_bytes(b"x")
    assert [finding.path for finding in marks.check(folder)] == [folder / marks.NAME]
    opened = Spool(spool.folder)
    assert not opened.is_logged("sweep/0")
    mend(opened.check_marks())
    assert Spool(spool.folder).check_marks() == []


def test_a_half_written_record_can_go(spool: Spool) -> None:
    (spool.folder / ".new/files").mkdir(parents=True)
    mend(spools.check(spool.folder))
    assert not (spool.folder / ".new").exists()


# Artifacts ----------------------------------------------------------------------------------------


def test_artifacts_that_are_not_as_written_are_named(tmp_path: Path) -> None:
    names = ["config.json", "film.mp4", "history.npz", "notes.txt"]
    checksums = {name: sha256(name.encode()) for name in names}
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
    assert artifacts.check(tmp_path, checksums, "a run") == []
    (tmp_path / "config.json").write_bytes(b"")
    (tmp_path / "film.mp4").unlink()  # as gc does
    (tmp_path / "notes.txt").unlink()
    (finding,) = artifacts.check(tmp_path, checksums, "a run")
    assert finding.mend is None
    assert "config.json is damaged, notes.txt is missing; restore" in finding.sentence


# Checkpoints and films ----------------------------------------------------------------------------


def test_damaged_checkpoints_can_go(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path / "checkpoints")
    assert checkpoints.check(folder.folder) == []
    for epoch in (1, 2):
        folder.write_content(3, epoch, Content("it", {"epoch": epoch}, {"theta": np.ones(2)}))
    assert checkpoints.check(folder.folder) == []
    newest = max(folder.folder.iterdir())
    newest.write_bytes(newest.read_bytes()[:-1])
    (folder.folder / ".new").write_bytes(b"x")
    (folder.folder / "mine.npz").write_bytes(b"")
    *findings, stranger, half_written = checkpoints.check(folder.folder)
    assert [finding.path for finding in findings] == [newest]
    assert stranger.is_harmless
    mend([*findings, half_written])
    left = folder.read_content(3, "it")
    assert left is not None
    assert left.about == {"epoch": 1}
    assert left.arrays["theta"].tolist() == [1.0, 1.0]


def test_a_damaged_film_can_go(tmp_path: Path) -> None:
    frames.write(tmp_path, "arm", b"older")
    frames.write(tmp_path, "arm", b"newer")
    assert frames.read(tmp_path, "arm") == b"newer"
    assert frames.check(tmp_path) == []
    (path,) = frames.stored(tmp_path, "arm")
    path.write_bytes(b"never")
    assert frames.read(tmp_path, "arm") is None
    mend(frames.check(tmp_path))
    assert frames.stored(tmp_path, "arm") == []


# The journal --------------------------------------------------------------------------------------


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A journal of two trials, of which the first one is complete."""
    file = tmp_path / "journal.log"
    file.touch()
    lines = journal.Lines()
    lines.append(file, [{"op_code": 4}, {"op_code": 4}])
    lines.append(file, [{"op_code": 6, "trial_id": 0, "state": 1}])
    return file


def test_a_sound_journal_has_no_findings(log: Path, tmp_path: Path) -> None:
    assert journal.check(log, {0}, is_needed=True) == []
    assert journal.check(log, {0, 1}, is_needed=True) == []
    assert journal.check(tmp_path / "none", set(), is_needed=True) == []
    assert journal.check(tmp_path / "none", {0}, is_needed=False) == []


def test_a_torn_line_can_be_cut_off(log: Path) -> None:
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"op_code": 4')
    mend(journal.check(log, {0}, is_needed=True))
    assert log.read_bytes() == whole


def test_what_stops_a_sweep_cannot_be_mended(log: Path, tmp_path: Path) -> None:
    (unknown,) = journal.check(log, {0, 2}, is_needed=True)
    assert "must know all trials, but #2 is missing" in unknown.sentence
    (missing,) = journal.check(tmp_path / "none", {0}, is_needed=True)
    assert "is missing, so the sweep cannot go on" in missing.sentence
    first, *others = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(first.replace(b"4", b"5") + b"".join(others))
    (damaged,) = journal.check(log, {0}, is_needed=True)
    assert ", line 1 of 3 is damaged: it does not match" in damaged.sentence
    assert [finding.mend for finding in (unknown, missing, damaged)] == [None] * 3


def test_a_lost_record_is_only_mentioned(log: Path) -> None:
    (finding,) = journal.check(log, set(), is_needed=True)
    assert finding.is_harmless
    assert finding.sentence.endswith("that have no record: #0")


def test_a_journal_reads_as_optuna_wrote_it(log: Path) -> None:
    lines = journal.read(log)
    assert lines.whole == log.stat().st_size
    assert lines.trials_created() == 2
    assert lines.trials_with_results() == {0}
    assert lines.entries == [json.loads(line) for line in log.read_bytes().splitlines()]


# Films --------------------------------------------------------------------------------------------


def test_the_films_of_the_best_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "films"
    films = frames.BestFilms(folder)
    for number in range(12):
        best = {number, number - 1}
        film = {"film.html": b"page %d" % number, "film.png": b"frame %d" % number}
        films.take(number, film, best)
    # The last one is none of the best.
    films.take(12, {"film.html": b"page 12"}, {10, 11})
    assert len(list(folder.iterdir())) == 4
    again = frames.BestFilms(folder)
    assert again.read(11) == {"film.html": b"page 11", "film.png": b"frame 11"}
    assert again.read(1) == again.read(12) == {}
    again.take(13, {"film.png": b"frame 13"}, {11, 13})
    assert again.read(13) == {"film.png": b"frame 13"}
    assert again.read(10) == {}
    (still,) = frames.stored(folder, "trial-13", frames.STILL)
    still.write_bytes(b"other")
    assert again.read(13) == {}
    assert "the damaged film trial-13-" in str(frames.check(folder)[0])
    mend(frames.check(folder))
    assert frames.check(folder) == []
    frames.remove(folder, "trial-11")
    assert list(folder.iterdir()) == []


# The store and the lock ---------------------------------------------------------------------------


def test_a_half_made_store_can_go(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    assert mlflow_db.check(tmp_path) == []
    (tmp_path / ".mlflow.db.new7").touch()
    mend(mlflow_db.check(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_a_lock_names_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with lock_unless_held(path) as owner:
        assert owner == ""
        with lock_unless_held(path) as other:
            assert other.startswith("process ")
        with pytest.raises(LockHeld, match="only one process at a time may work in") as held:
            file_lock(path, wait=False).__enter__()
        assert held.value.owner == other
    with file_lock(path, wait=False):
        pass


def test_a_lock_is_held_until_its_owner_lets_go_or_dies(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_held(path)
    with file_lock(path):
        assert is_held(path)
    # This process goes on, and its name stands in the file.
    assert owner_of(path).startswith(f"process {os.getpid()} on ")
    assert not is_held(path)
    program = (
        "import fcntl, sys; file = open(sys.argv[1]); fcntl.flock(file, fcntl.LOCK_EX); input()"
    )
    owner = subprocess.Popen([sys.executable, "-c", program, path], stdin=subprocess.PIPE)
    try:
        while not is_held(path):
            assert owner.poll() is None
            time.sleep(0.01)
        owner.kill()
        # Nobody has asked yet how it has ended.
        os.waitid(os.P_PID, owner.pid, os.WEXITED | os.WNOWAIT)
        assert not is_held(path)
    finally:
        owner.communicate()


def test_who_asks_whether_a_lock_is_held_refuses_nobody(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    # An answer that takes 30 ms, as on a machine that is very busy.
    asking = path.open("rb")
    fcntl.flock(asking, fcntl.LOCK_SH)
    timer = threading.Timer(0.03, asking.close)
    timer.start()
    with file_lock(path, wait=False):
        assert asking.closed
    timer.join()


def test_a_look_for_new_records_costs_nothing_for_those_that_are_known(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Spool(spool.folder, clean=False)
    looked_at = []

    def counting(path: Path) -> record_folder.FolderName | None:
        looked_at.append(path.name)
        return record_folder.parse_name(path)

    monkeypatch.setattr("harness.storage.spool.parse_name", counting)
    reader.refresh()
    assert not looked_at
    spool.write(TrialRun(id="sweep/1", name="#1", number=1))
    reader.refresh()
    assert len(looked_at) == 1
    assert "sweep/1" in reader
