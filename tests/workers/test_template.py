"""Local workers are copies of one process, which begins early and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from harness.config import Config
from harness.errors import UsageError
from harness.trials.job import Job, Trial
from harness.workers import local, template
from harness.workers.ahead import workers_ahead
from harness.workers.dask import Dask

pytestmark = pytest.mark.skipif(
    not template.can_be_copied(), reason="workers start by themselves here"
)


def job(number: int = 0) -> Job:
    config = Config(data="mnist14(rows=200)", layers=["dense(10)"], epochs=1, film=None)
    return Job([Trial(number, config)])


def templates() -> list[psutil.Process]:
    """The templates that this process has started."""
    return [
        child
        for child in psutil.Process().children()
        if "multiprocessing.forkserver" in " ".join(child.cmdline())
    ]


@pytest.fixture
def pool() -> Iterator[Dask]:
    made = Dask(2)
    yield made
    made.close()


def test_workers_are_copies_of_a_process_of_one_thread(pool: Dask) -> None:
    (process,) = templates()
    copies = process.children()
    assert len(copies) == pool.workers == 2
    # A lock that another thread held would stay locked in the copies for ever.
    assert process.num_threads() == 1
    pool.close()
    _, alive = psutil.wait_procs([process, *copies], timeout=20)
    assert not alive


def test_work_goes_on_where_the_template_has_died(pool: Dask) -> None:
    pool.submit(job())
    (before,) = pool.next()
    (process,) = templates()
    process.kill()
    pool.submit(job())
    (after,) = pool.next()
    assert after.error + after.refused == ""
    assert after.digest == before.digest != ""
    assert templates() != [process]


def trained(pool: Dask) -> None:
    pool.submit(job())
    (outcome,) = pool.next()
    assert outcome.error + outcome.refused == ""


def told(capfd: pytest.CaptureFixture[str]) -> list[str]:
    """What is said of templates."""
    return [line for line in capfd.readouterr().err.splitlines() if line.startswith("workers: ")]


@pytest.mark.slow
def test_workers_start_by_themselves_where_no_socket_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr("multiprocessing.util.get_temp_dir", lambda: str(long))
    monkeypatch.setattr(template, "has_told", False)
    with workers_ahead(2, None):
        pool = Dask(2)
        assert templates() == []
        trained(pool)
        pool.close()
    (sentence,) = told(capfd)
    assert "AF_UNIX path too long" in sentence
    assert sentence.endswith("unless TMPDIR is a shorter path")


def test_workers_start_by_themselves_where_the_template_can_start_no_more(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def no_room(*given: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(template, "has_told", False)
    with workers_ahead(2, None):
        (process,) = templates()
        process.kill()
        monkeypatch.setattr("multiprocessing.forkserver.ForkServer.ensure_running", no_room)
        pool = Dask(2)
        trained(pool)
        pool.close()
    assert len(told(capfd)) == 1


def test_a_worker_that_is_killed_while_it_starts_is_replaced() -> None:
    killed: list[int] = []

    def kill() -> None:
        # It is there as soon as its template says so, and still imports.
        while len(killed) < 2:
            for each in template_process.children():
                if each.pid not in killed and len(killed) < 2:
                    each.kill()
                    killed.append(each.pid)

    with workers_ahead(2, None):
        (template_process,) = templates()
        killer = threading.Thread(target=kill)
        killer.start()
        pool = Dask(2)
        killer.join()
        assert len(killed) == pool.workers == 2
        trained(pool)
        pool.close()


def test_a_worker_that_does_not_come_up_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It hangs before it has said anything.
    (tmp_path / "sitecustomize.py").write_text(
        "import re, sys, time\nif re.search('-fork|forkserver', str(sys.orig_argv)): time.sleep(600)"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(template, "can_be_copied", lambda: False)
    monkeypatch.setattr(local, "can_be_copied", lambda: False)
    monkeypatch.setattr(local, "PATIENCE_S", 2.0)
    before = psutil.Process().children()
    with pytest.raises(
        UsageError, match=r"1 workers must start, .* not there after 2 s; try fewer"
    ):
        Dask(1)
    assert [each for each in psutil.Process().children() if each not in before] == []


def test_no_room_for_any_process_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room() -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("multiprocessing.resource_tracker.ensure_running", no_room)
    monkeypatch.setattr(template, "has_told", True)
    with (
        pytest.raises(UsageError, match=r"no process can be started here: .*Resource temporarily"),
        workers_ahead(2, None),
    ):
        Dask(2)


def test_one_that_was_started_ahead_is_taken() -> None:
    with workers_ahead(2, None):
        (waiting,) = templates()
        assert waiting.children() == []
        pool = Dask(2)
        assert templates() == [waiting]
        assert len(waiting.children()) == 2
        pool.close()
        assert templates() == [waiting]
    assert templates() == []


def test_it_imports_what_a_study_names() -> None:
    with workers_ahead(2, None, "harness.studies.drawing"):
        pool = Dask(2)
        (process,) = templates()
        # A lock that another thread held would stay locked in the copies for ever.
        assert process.num_threads() == 1
        errand = pool.errand(eval, "'matplotlib.figure' in __import__('sys').modules")
        assert errand.value() is True
        assert errand.was_answered
        pool.close()


def test_it_does_not_look_for_modules_in_the_folder_it_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "distributed.py").write_text("import os; os._exit(7)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    pool = Dask(1)
    (process,) = templates()
    assert len(process.children()) == 1
    # A worker has the environment of its driver.
    for function, *arguments in (
        (os.getcwd,),
        (os.getenv, "PYTHONPATH"),
        (os.getenv, "PYTHONSAFEPATH"),
    ):
        errand = pool.errand(function, *arguments)
        assert errand.value() == function(*arguments)
        assert errand.was_answered
    pool.close()


@pytest.mark.parametrize(
    ("workers", "scheduler"),
    [(1, None), (4, "tcp://127.0.0.1:1"), (0, None), ("2", None), (np.array([2, 3]), None)],
)
def test_none_is_started_where_no_local_worker_is(workers: Any, scheduler: str | None) -> None:
    with workers_ahead(workers, scheduler):
        assert templates() == []


KILLED = """
import os, signal, sys
import psutil
from harness.workers.dask import Dask

if __name__ == "__main__":
    pool = Dask(2)
    print(*[each.pid for each in psutil.Process().children(recursive=True)], flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_nothing_outlives_a_driver_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    done = subprocess.run([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert done.returncode == -signal.SIGKILL
    started = [int(pid) for pid in done.stdout.split()]
    assert len(started) >= 3
    left = [psutil.Process(pid) for pid in started if psutil.pid_exists(pid)]
    _, alive = psutil.wait_procs(left, timeout=20)
    assert not alive
