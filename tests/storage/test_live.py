"""Live points are durable, stored once, and no damaged bit of them passes for what was written."""

import json
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.storage import files, ledger, live
from harness.storage.formats import FORMATS, Damaged, OtherVersion
from harness.storage.ledger import Ledger, Ledgers
from harness.storage.live import LiveTrial, LiveTrials
from harness.storage.records import ParentRun, Point, RunStatus, TrialRun
from harness.storage.spool import Spool

TRIAL = LiveTrial(7, "sweep/x/1/7", "#7 relu", {"rate": 0.5, "lost": None}, {"harness.a": "b"}, 100)
FIRST = [Point("valid/loss", 0.5, 1, 1100), Point("time/epoch_train", 0.25, 1, 1100)]
SECOND = [Point("valid/loss", math.inf, 2, 2100), Point("time/epoch_train", 0.5, 2, 2100)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of live points with two epochs of one trial."""
    trials = LiveTrials(tmp_path / "live")
    trials.extend(TRIAL, FIRST)
    trials.extend(TRIAL, SECOND)
    return tmp_path / "live"


def file_of(folder: Path) -> Path:
    (path,) = folder.glob("*.jsonl")
    return path


def test_points_are_read_as_they_were_written_by_any_process(folder: Path) -> None:
    course = LiveTrials(folder).course(7)
    assert course is not None
    assert course.trial == TRIAL
    assert course.points == FIRST + SECOND
    assert LiveTrials(folder).points(7, TRIAL.id) == FIRST + SECOND
    assert LiveTrials(folder).points(7, "another id") == []
    assert LiveTrials(folder).points(8, TRIAL.id) == []
    assert LiveTrials(folder).numbers() == [7]
    assert live.check(folder) == []


def test_a_reader_reads_on_while_a_driver_writes(tmp_path: Path) -> None:
    driver = LiveTrials(tmp_path / "live")
    reader = LiveTrials(tmp_path / "live")
    assert reader.points(7, TRIAL.id) == []
    driver.extend(TRIAL, FIRST)
    assert reader.points(7, TRIAL.id) == FIRST
    driver.extend(TRIAL, SECOND)
    assert reader.points(7, TRIAL.id) == FIRST + SECOND
    driver.drop(7)
    assert reader.points(7, TRIAL.id) == []
    driver.extend(replace(TRIAL, id="other"), SECOND)
    assert reader.points(7, "other") == SECOND


def test_the_first_point_of_a_step_is_the_true_one(folder: Path) -> None:
    """A trial that is trained again after a crash has the same values at other times."""
    again = LiveTrials(folder)
    before = file_of(folder).read_bytes()
    again.extend(replace(TRIAL, start_ms=999), [p._replace(time_ms=9999) for p in FIRST + SECOND])
    assert file_of(folder).read_bytes() == before
    third = Point("valid/loss", 0.1, 3, 9999)
    again.extend(replace(TRIAL, start_ms=999), [*FIRST, third])
    assert again.points(7, TRIAL.id) == [*FIRST, *SECOND, third]
    course = again.course(7)
    assert course is not None
    assert course.trial.start_ms == 100


def test_a_trial_with_other_params_begins_anew(folder: Path) -> None:
    other = replace(TRIAL, params={"rate": 0.1})
    reader = LiveTrials(folder)
    assert len(reader.points(7, TRIAL.id)) == 4
    LiveTrials(folder).extend(other, SECOND)
    assert reader.points(7, TRIAL.id) == SECOND
    course = reader.course(7)
    assert course is not None
    assert course.trial == other


def test_numbers_of_numpy_and_credentials(folder: Path) -> None:
    point = Point("valid/loss", np.float32(0.1), np.int64(1), np.int64(5))  # type: ignore[arg-type]
    trial = replace(TRIAL, number=8, params={"n": np.int64(3), "url": "http://ann:secret@host"})
    LiveTrials(folder).extend(trial, [point])
    course = LiveTrials(folder).course(8)
    assert course is not None
    assert course.trial.params == {"n": 3, "url": "http://ann:***@host"}
    assert course.points == [Point("valid/loss", float(np.float32(0.1)), 1, 5)]
    size = (folder / "000008.jsonl").stat().st_size
    LiveTrials(folder).extend(trial, [point])
    assert (folder / "000008.jsonl").stat().st_size == size


def test_a_crash_at_any_byte_tears_the_last_line_alone(folder: Path) -> None:
    path = file_of(folder)
    content = path.read_bytes()
    ends = [at + 1 for at, byte in enumerate(content) if byte == ord("\n")]
    wanted = {0: [], ends[0]: [], ends[1]: FIRST, ends[2]: FIRST + SECOND}
    for size in range(len(content) + 1):
        path.write_bytes(content[:size])
        whole = max(end for end in wanted if end <= size)
        trials = LiveTrials(folder)
        assert trials.points(7, TRIAL.id) == wanted[whole]
        findings = live.check(folder)
        assert len(findings) == (size != whole)
        trials.extend(TRIAL, FIRST + SECOND)
        assert LiveTrials(folder).points(7, TRIAL.id) == FIRST + SECOND
        assert live.check(folder) == []
    path.write_bytes(content[: ends[1] + 3])
    (finding,) = live.check(folder)
    assert "torn last line" in finding.sentence
    assert finding.mend is not None
    finding.mend()
    assert path.read_bytes() == content[: ends[1]]


def test_no_flipped_bit_passes(folder: Path) -> None:
    path = file_of(folder)
    content = path.read_bytes()
    chance = random.Random(1)
    # A last line without its end is one that a crash has torn.
    # The bit that makes a - a carriage return is among them.
    path.write_bytes(content)
    LiveTrials(folder).extend(TRIAL, [Point("valid/loss", -0.5, 3, 3100)])
    content = path.read_bytes()
    minus = 8 * content.index(b"-0.5") + 5
    for bit in [minus, *chance.sample(range(8 * len(content) - 8), 200)]:
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises((Damaged, OtherVersion)):
            LiveTrials(folder).course(7)
        assert LiveTrials(folder).points(7, TRIAL.id) == []
    LiveTrials(folder).extend(TRIAL, FIRST)
    assert LiveTrials(folder).points(7, TRIAL.id) == FIRST
    path.write_bytes(damaged)
    (finding,) = live.check(folder)
    assert finding.mend is not None
    finding.mend()
    assert not path.exists()


def test_a_line_that_is_missing_or_doubled_is_noticed(folder: Path) -> None:
    path = file_of(folder)
    head, one, two = path.read_bytes().splitlines(keepends=True)
    for lines in ([head, two], [head, one, one, two], [head, two, one], [one, two]):
        path.write_bytes(b"".join(lines))
        with pytest.raises(Damaged):
            LiveTrials(folder).course(7)


def test_another_version_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, "live", FORMATS["live"]._replace(version=2))
    with pytest.raises(OtherVersion, match="version 2, but is of version 1"):
        LiveTrials(folder).course(7)
    (finding,) = live.check(folder)
    assert finding.mend is None


def test_strange_files_are_named_and_stay(folder: Path) -> None:
    (folder / "notes.jsonl").write_text(json.dumps({}))
    (folder / ".new").write_text("half")
    strange, half = live.check(folder)
    assert strange.is_harmless
    assert half.mend is not None
    half.mend()
    assert LiveTrials(folder).numbers() == [7]
    assert live.check(folder)[0].path.name == "notes.jsonl"


# Ledgers ------------------------------------------------------------------------------------------


def test_a_ledger_that_is_damaged_is_none_and_can_go(folder: Path) -> None:
    ledgers = Ledgers(folder)
    entry = Ledger("sweep/x/1/7", "run", "sqlite:////x", "0123456789abcdef", is_running=True)
    ledgers.write(7, entry)
    assert Ledgers(folder).read(7) == entry
    assert Ledgers(folder).numbers() == [7]
    assert ledger.check(folder) == []
    path = folder / "000007.sent"
    content = path.read_bytes()
    chance = random.Random(1)
    for bit in chance.sample(range(8 * len(content)), 100):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        assert Ledgers(folder).read(7) is None
    (folder / ".000007.sent").write_text("half")
    findings = ledger.check(folder)
    assert len(findings) == 2
    for finding in findings:
        assert finding.mend is not None
        finding.mend()
    assert ledger.check(folder) == []
    assert Ledgers(folder).numbers() == []


# Records ------------------------------------------------------------------------------------------


def record(points: list[Point], **fields: Any) -> TrialRun:
    return TrialRun(id=TRIAL.id, name="#7", number=7, metrics=points, **{"start_ms": 5, **fields})


def test_a_record_takes_over_the_times_of_its_live_points(folder: Path) -> None:
    last = Point("time/train_s", 0.8, 2, 9000)
    later = [point._replace(time_ms=point.time_ms + 7) for point in FIRST + SECOND]
    run = record(
        [*(p._replace(value=9.0) if p.key.startswith("time/") else p for p in later), last]
    )
    live.agree(run, LiveTrials(folder).course(7))
    assert run.metrics == [*FIRST, *SECOND, last]
    assert run.start_ms == TRIAL.start_ms


@pytest.mark.parametrize("change", ["other values", "fewer points", "another id"])
def test_a_record_of_another_course_stays_as_it_is(folder: Path, change: str) -> None:
    points = FIRST + SECOND
    if change == "other values":
        points = [point._replace(value=point.value + 1) for point in points[:1]] + points[1:]
    if change == "fewer points":
        points = FIRST
    run = record([point._replace(time_ms=1) for point in points])
    if change == "another id":
        run.id = "other"
    before = list(run.metrics)
    live.agree(run, LiveTrials(folder).course(7))
    assert run.metrics == before
    assert run.start_ms == 5


# What the writer needs of files and spools --------------------------------------------------------


def test_files_are_taken_under_a_second_name(tmp_path: Path) -> None:
    source = tmp_path / "spool"
    (source / "plugins").mkdir(parents=True)
    (source / "plugins" / "a.py").write_bytes(b"a")
    (source / "config.json").write_bytes(b"{}")
    for _ in range(2):  # the second time after a crash
        files.take_tree(source, tmp_path / "run" / "artifacts")
    taken = tmp_path / "run" / "artifacts"
    names = sorted(path.name for path in taken.rglob("*"))
    assert names == ["a.py", "config.json", "plugins"]
    assert (taken / "config.json").stat().st_ino == (source / "config.json").stat().st_ino
    files.remove_tree(source)
    assert (taken / "plugins" / "a.py").read_bytes() == b"a"
    files.take_tree(tmp_path / "nothing", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_spool_sees_what_another_process_writes(tmp_path: Path) -> None:
    driver = Spool(tmp_path / "spool")
    writer = Spool(tmp_path / "spool")
    driver.write(ParentRun(id="sweep", name="a sweep"))
    driver.write(record(FIRST))
    assert (len(writer), writer.parent()) == (0, None)
    writer.refresh()
    assert [run.id for run in writer.pending()] == ["sweep", TRIAL.id]
    # The parent that is replaced is read again, wherever the writer is.
    pending = writer.pending()
    driver.write(ParentRun(id="sweep", name="a sweep", status=RunStatus.KILLED))
    assert [run.id for run in pending] == [TRIAL.id]
    parent = writer.parent()
    assert parent is not None
    assert parent.status == RunStatus.KILLED
    writer.mark_logged(TRIAL.id, "run")
    assert Spool(tmp_path / "spool").waiting == 1
