"""Who compiles loops is told to other processes, and how long it took to whoever waits."""

import os
import threading
import time
from pathlib import Path

import pytest

from harness.expressions import compiling
from harness.trials.deadline import TimedOut, deadline


def busy(seconds: float) -> None:
    """Python for so long, where a deadline can strike."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def test_a_note_lasts_as_long_as_the_loop_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(compiling.VARIABLE, str(tmp_path))
    compiles = compiling.watcher()
    assert not compiles()
    with compiling.announced():
        assert compiles()
        (note,) = tmp_path.iterdir()
        # What a killed process has left is not believed for ever.
        os.utime(note, (time.time() - 3600, time.time() - 3600))
        assert not compiles()
    assert list(tmp_path.iterdir()) == []
    assert not compiles()


def test_without_a_folder_nobody_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(compiling.VARIABLE, str(tmp_path / "nowhere"))
    with compiling.announced():
        assert not compiling.watcher()()


def test_each_thread_counts_its_own_seconds() -> None:
    thread = threading.get_ident()
    before = compiling.seconds(thread)
    with compiling.announced():
        busy(0.02)
        during = compiling.seconds(thread) - before
    assert 0.02 <= during <= compiling.seconds(thread) - before
    assert compiling.seconds(-1) == 0


def test_a_time_limit_does_not_count_what_is_compiled() -> None:
    def work(seconds_after: float) -> None:
        with deadline(0.1, None):
            with compiling.announced():
                busy(0.3)
            busy(seconds_after)

    work(0.0)
    with pytest.raises(TimedOut):
        work(60.0)
