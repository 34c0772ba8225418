"""Errands: what workers do beside training, and who does it where they do not."""

import os
import signal
import time
from collections.abc import Iterator

import psutil
import pytest

from harness.workers import errands
from harness.workers.dask import Dask
from harness.workers.errands import Ask, Errand
from harness.workers.inline import Inline
from harness.workers.pool import engine


@pytest.fixture(scope="module")
def pool() -> Iterator[Dask]:
    with engine(2) as made:
        assert isinstance(made, Dask)
        yield made


def test_a_worker_does_it(pool: Dask) -> None:
    first = pool.errand(os.getpid)
    assert first.value() != os.getpid()
    assert pool.errand(divmod, 17, 5).value() == (3, 2)


def test_one_worker_is_this_process() -> None:
    ask: Ask = Inline().errand
    assert ask(os.getpid).value() == os.getpid()
    assert Errand(os.getpid).value() == os.getpid()


def test_an_errand_is_done_once() -> None:
    done: list[int] = []
    errand = Errand(done.append, 1)
    assert errand.value() is errand.value() is None
    assert done == [1]


def test_what_an_errand_raises_is_raised_where_it_is_asked_for(pool: Dask) -> None:
    failed = pool.errand(int, "seven")
    with pytest.raises(ValueError, match="seven"):
        failed.value()


def test_a_worker_that_stands_still_is_not_waited_for(
    pool: Dask, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids = {pool.errand(os.getpid).value()}
    monkeypatch.setattr(errands, "PATIENCE", 0.2)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        # The other worker may take it too, so there is one for each.
        waiting = [pool.errand(os.getpid) for _ in range(4)]
        assert {errand.value() for errand in waiting} & {os.getpid()}
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_an_errand_outlives_its_worker(pool: Dask) -> None:
    asleep = pool.errand(time.sleep, 0.5)
    workers = [
        child
        for child in psutil.Process().children(recursive=True)
        if child.name() == "harness worker"
    ]
    assert len(workers) == 2
    for worker in workers:
        worker.kill()
    begun = time.monotonic()
    assert asleep.value() is None
    assert 0.4 < time.monotonic() - begun < errands.PATIENCE
