"""Who compiles loops is told to other processes, and how long it took to whoever waits."""

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from harness.expressions import compiled, compiling
from harness.expressions.written import add_rows, compile_written, sum_rows
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
        os.utime(note)
        assert compiles()
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait()
        note.rename(tmp_path / note.name.replace(str(os.getpid()), str(gone.pid)))
        assert not compiles()
        (left,) = tmp_path.iterdir()
        left.unlink()
    assert list(tmp_path.iterdir()) == []
    assert not compiles()


def test_without_a_folder_nobody_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(compiling.VARIABLE, str(tmp_path / "nowhere"))
    with compiling.announced():
        assert not compiling.watcher()()


def test_no_note_stays_where_a_time_limit_strikes_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(compiling.VARIABLE, str(tmp_path))
    touch = Path.touch

    def struck(path: Path) -> None:
        touch(path)
        raise TimedOut

    monkeypatch.setattr(Path, "touch", struck)
    with pytest.raises(TimedOut), compiling.announced():
        pass
    assert not list(tmp_path.iterdir())


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


def test_a_cache_that_is_emptied_meanwhile_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("numba")
    folder = tmp_path / "kernels"
    monkeypatch.setenv(compiling.VARIABLE, str(folder))
    monkeypatch.setattr(compiled, "loaded", {})
    monkeypatch.setattr(compiled, "ready", {})
    compiled.folder_in_use.cache_clear()
    row = np.ones(3, np.float32)
    span = (row, 3, 3)
    try:
        y = np.ones(6, np.float32)
        compile_written(add_rows, [], y, *span)(y, *span)
        np.testing.assert_array_equal(y, 2.0)
        shutil.rmtree(folder)
        # Another type for a source that is loaded, and another source.
        wide = np.ones(6)
        compile_written(add_rows, [], wide, *span)(wide, *span)
        np.testing.assert_array_equal(wide, 2.0)
        shutil.rmtree(folder, ignore_errors=True)
        compile_written(sum_rows, [], y, *span)(y, *span)
        np.testing.assert_array_equal(row, [4.0, 4.0, 4.0])
        assert list(folder.rglob("kernel_*.py"))
    finally:
        compiled.folder_in_use.cache_clear()


def test_a_loop_that_is_on_disk_is_not_said_to_be_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "import numpy as np\n"
        "from harness.expressions import compiled, written\n"
        "announced = compiled.announced\n"
        "def told():\n"
        "    print('compiling')\n"
        "    return announced()\n"
        "compiled.announced = told\n"
        "y = np.zeros(6, np.float32)\n"
        "written.compile_written(written.add_rows, [], y, y, 6, 6)(y, y, 6, 6)\n"
    )
    monkeypatch.setenv(compiling.VARIABLE, str(tmp_path))
    command = [sys.executable, "-c", program]
    said = [
        subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)
    ]
    assert said == ["compiling\n", ""]
