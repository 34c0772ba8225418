"""A data set that a driver has loaded reaches its local workers without being loaded again."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from harness import registry
from harness.config import Config
from harness.data import from_arrays
from harness.data.loading import load_for
from harness.trials.identity import begin_with_data_as_they_are, data_digest
from harness.trials.job import Job, Trial
from harness.workers import handover
from harness.workers.handover import KEPT, Handover
from harness.workers.pool import engine

pytestmark = pytest.mark.skipif(
    not os.path.isdir("/proc/self/fd"), reason="files without a name need /proc"
)

COUNTED = """
import os
import numpy as np
import harness
from harness.data import from_arrays

@harness.dataset("counted")
def counted(rows: int = 40, seed: int = 0):
    with open(os.environ["COUNTED"], "a") as file:
        file.write(f"{os.getpid()}\\n")
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 255, (rows, 9)).astype("uint8")
    return from_arrays("counted", x, rng.integers(0, 3, rows), shape=(3, 3))
"""


def job_of(data: str, digest: str = "") -> Job:
    config = Config(data=data, layers=["dense(3)"], epochs=1, film=None)
    return Job([Trial(0, config)], digest=digest or data_digest(config), plugins=[])


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file with a line for each time that the data set is loaded: the process that did it."""
    monkeypatch.setenv("COUNTED", str(tmp_path / "loaded.txt"))
    script = tmp_path / "counted_data.py"
    script.write_text(COUNTED)
    begin_with_data_as_they_are()
    registry.load_plugin(str(script))
    yield tmp_path / "loaded.txt"
    registry.unload_plugin(str(script))


def test_what_is_read_is_what_was_written(counted: Path) -> None:
    given = Handover()
    job = job_of("counted(rows=50)")
    data = load_for(job.config.data, None)
    read = handover.read(given.path_for(job), job.digest)
    assert read is not None
    assert read.digest == data.digest
    assert np.array_equal(read.x, data.x)
    assert np.array_equal(read.y, data.y)
    assert read.x.dtype == np.uint8
    assert (read.name, read.classes, read.shape) == (data.name, data.classes, data.shape)
    assert not read.x.flags.writeable
    # The digest that came along is that of the rows which did.
    again = from_arrays("counted", np.array(read.x), np.array(read.y), shape=(3, 3))
    assert again.digest == data.digest
    given.close()


def test_workers_do_not_load_what_the_driver_has(counted: Path) -> None:
    job = job_of("counted")
    job.plugins = [str(counted.parent / "counted_data.py")]
    assert counted.read_text().split() == [str(os.getpid())]
    with engine(workers=2) as pool:
        for number in range(4):
            job.trials[0].number = number
            pool.submit(job)
        done = [outcome for _ in range(4) for outcome in pool.next()]
    assert [outcome.error + outcome.refused for outcome in done] == [""] * 4
    assert len({outcome.digest for outcome in done}) == 1
    assert counted.read_text().split() == [str(os.getpid())]


def test_data_that_have_changed_are_not_handed_over(counted: Path) -> None:
    given = Handover()
    assert given.path_for(job_of("counted", digest="0" * 64)) == ""
    path = given.path_for(job_of("counted"))
    assert os.path.exists(path)
    assert handover.read(path, "0" * 64) is None
    # A worker that cannot read it loads the data set itself.
    handover.receive(job_of("counted"), "/proc/self/fd/1000000")
    given.close()
    assert not os.path.exists(path)


def test_the_oldest_data_set_gives_way(counted: Path) -> None:
    given = Handover()
    jobs = [job_of(f"counted(seed={seed})") for seed in range(KEPT + 1)]
    paths = [given.path_for(job) for job in jobs]
    # The number of a file that was closed may be that of another one now.
    assert handover.read(paths[0], jobs[0].digest) is None
    for job, path in zip(jobs[1:], paths[1:], strict=True):
        read = handover.read(path, job.digest)
        assert read is not None
        assert read.digest == job.digest
    given.close()
    assert not any(map(os.path.exists, paths))
