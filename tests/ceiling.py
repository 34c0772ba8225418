"""The most trials that one driver can ask for, write down and tell: workers that take no time.

`python tests/bench.py --ceiling` prints the table. A simulated worker gives back at once what a
real one has said of the same network, so that all the time is the driver's and its writer's.
"""

import contextlib
import os
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from harness import Config, mlp, sweep
from harness.studies import driver
from harness.studies import sweep as sweeps
from harness.trials.job import Job, Trial
from harness.trials.outcome import Outcome
from harness.trials.work import work
from harness.workers.errands import Errand
from harness.workers.idle import IdleTime

WORKERS = (1, 4, 16, 64)


@sweep(name="ceiling", sampler="RandomSampler", seed=1, film="none", models="none")
def space(trial):
    rate = trial.suggest_float("rate", 0.03, 1.0, log=True)
    layers = mlp([196, 4, 10])
    return Config(data="mnist14(200)", layers=layers, update=f"sgd({rate})", epochs=3, film=None)


class Instant:
    """Workers whose jobs are done when they are sent.

    Parameters
    ----------
    workers : int
        How many.
    """

    remote = False

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.shipped = {"segments": 0, "bytes": 0, "seconds": 0.0, "idle": 0.0}
        self.idle = IdleTime()
        self.done: deque[list[Outcome]] = deque()
        self.known: Outcome | None = None

    def submit(self, job: Job) -> None:
        self.shipped["segments"] += 1
        self.shipped["idle"] += self.idle.sent(self.workers)
        self.done.append([self.outcome(trial) for trial in job.trials])
        self.idle.back()

    def outcome(self, trial: Trial) -> Outcome:
        if self.known is None:
            (self.known,) = work(Job([trial]))
        known = self.known
        return replace(known, number=trial.number, config=trial.config)

    def next(self, seconds: float | None = None) -> list[Outcome]:
        with self.idle.waiting():
            return self.done.popleft()

    def errand(self, function: Any, *arguments: Any) -> Errand[Any]:
        return Errand(function, *arguments)

    def close(self) -> None:
        self.done.clear()


@contextlib.contextmanager
def _instant(workers: int = 1, scheduler: str | None = None) -> Iterator[Instant]:
    yield Instant(workers)


def per_minute(workers: int, trials: int) -> tuple[float, float]:
    """Trials that a driver gets through in a minute, and its processor time for one in ms.

    It is the difference of two sweeps, so that what it takes to start is left out.
    """
    seconds = []
    processor = []
    plugins = driver.plugins_for
    ahead = sweeps.workers_ahead
    driver.engine = _instant
    driver.plugins_for = lambda pool, script: []
    sweeps.workers_ahead = lambda *_: contextlib.nullcontext()
    os.environ["HARNESS_REPORT"] = "0"
    try:
        for count in (trials // 4, trials):
            with tempfile.TemporaryDirectory() as root:
                os.environ["HARNESS_ROOT"] = root
                begun = time.perf_counter()
                busy = time.process_time()
                space.run(name=f"ceiling {count}", workers=workers, trials=count)
                seconds.append(time.perf_counter() - begun)
                processor.append(time.process_time() - busy)
    finally:
        driver.plugins_for = plugins
        sweeps.workers_ahead = ahead
    more = trials - trials // 4
    taken = (seconds[1] - seconds[0]) / more
    return 60 / taken, 1000 * (processor[1] - processor[0]) / more


def table(trials: int) -> None:
    """Prints the table, a row for each number of workers."""
    per_minute(1, 8)  # the first sweep of a process imports
    print("| simulated workers | trials a minute | ms of the driver's processor time a trial |")
    print("|---|---|---|")
    for workers in WORKERS:
        rate, milliseconds = per_minute(workers, trials)
        print(f"| {workers} | {rate:.0f} | {milliseconds:.1f} |", flush=True)
