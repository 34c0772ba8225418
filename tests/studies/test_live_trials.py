"""Trials are shown while they train, and neither that nor its interruptions change a bit of them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from forks import copy_of, forked, printed
from siblings import quick

import harness
from harness import registry
from harness.builtin.layers import mlp
from harness.config import Config
from harness.storage.clock import now_ms
from harness.storage.live import LiveTrial, LiveTrials
from harness.storage.records import Point, TrialRun
from harness.storage.result import TrialState
from harness.storage.spool import Spool
from harness.studies import dispatch, showing, study
from harness.studies.books import Books, folder_of
from harness.studies.compare import compare
from harness.studies.pruning import Judge
from harness.studies.sweep import Sweep
from harness.trials import keeping
from harness.trials.checkpoints import Checkpoints
from harness.trials.job import Job, Trial
from harness.workers.dask import Dask

# A metric that takes half a second, so that an epoch does; and one that ends its process once.
PLUGIN = """
import os, signal, time
from pathlib import Path
import numpy as np
import harness

def accuracy(predictions, y):
    return float(np.mean(predictions.argmax(axis=-1) == y))

@harness.metric(task="classification", direction="maximize")
def slow(seconds=0.6):
    def measure(predictions, y):
        time.sleep(seconds)
        return accuracy(predictions, y)
    return measure

@harness.metric(task="classification", direction="maximize")
def deadly(mark, epoch=3, again=False):
    def measure(predictions, y):
        time.sleep(0.6)
        seen = Path(mark)
        with seen.open("a") as file:
            file.write(f"{os.getpid()}\\n")
        trained = len(seen.read_text().split())
        if trained == epoch or (again and trained > epoch):
            os.kill(os.getpid(), signal.SIGKILL)
        return accuracy(predictions, y)
    return measure
"""

SCRIPT = """
import os
from pathlib import Path
import harness

@harness.sweep(
    name="shown", trials=1, sampler="RandomSampler", plugins=[str(Path(__file__).parent / "slow.py")]
)
def space(trial):
    rate = trial.suggest_float("rate", 0.05, 0.5)
    return harness.Config(
        data="mnist14(rows=500)", layers=harness.mlp([196, 8, 10]), metric="slow",
        update=f"sgd({rate})", epochs=8, film=None,
    )
"""


@pytest.fixture(scope="module", autouse=True)
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The plugin's file, what workers import, and no server."""
    file = tmp_path_factory.mktemp("plugin") / "slow.py"
    file.write_text(PLUGIN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
            patch.delenv(name, raising=False)
        registry.load_plugin(file)
        yield file
        registry.unload_plugin(file)


@pytest.fixture
def home(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = copy_of(template, tmp_path / "root")
    monkeypatch.setenv("HARNESS_ROOT", str(made))
    return made


@pytest.fixture
def in_short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every epoch is a segment, whose states are kept, and every trial is shown."""
    monkeypatch.setattr(dispatch, "LIVE", 0.0)
    for module in (dispatch, keeping, showing):
        monkeypatch.setattr(module, "LONG", 0.0)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> "Told":
    """What a driver of this process has made durable of each trial while it trained."""
    found: Told = {}
    extend = Books.extend

    def watch(self: Books, trial: LiveTrial, points: list[Point]) -> None:
        extend(self, trial, points)
        known = self.live_points(trial.number, trial.id)
        assert set(points) <= set(known)
        found[trial.number] = trial, known

    monkeypatch.setattr(Books, "extend", watch)
    return found


Told = dict[int, tuple[LiveTrial, list[Point]]]


def config(**more: Any) -> Config:
    given: dict[str, Any] = {"data": "mnist14(rows=500)", "layers": mlp([196, 8, 10])}
    return Config(**{**given, "epochs": 5, "film": None, **more})


def space(trial: Any) -> Config:
    """Some trials stop early, so that members of a population end at different epochs."""
    rate = trial.suggest_float("rate", 0.05, 3.0, log=True)
    layers = mlp([196, 8, 10], dropout=0.1)
    film = "film(frames=4)"
    return config(layers=layers, update=f"momentum({rate})", epochs=8, patience=1, film=film)


def slow_space(trial: Any) -> Config:
    rate = trial.suggest_float("rate", 0.05, 0.5)
    return config(update=f"sgd({rate})", metric="slow")


def records(name: str, kind: str = "sweep") -> dict[int, TrialRun]:
    spool = Spool(folder_of(kind, name) / "spool")
    return {run.number or 0: run for run in spool.records() if isinstance(run, TrialRun)}


def content(name: str, kind: str = "sweep") -> dict[int, Any]:
    """All that is recorded of trials but the clocks."""
    found: dict[int, Any] = {}
    for number, run in records(name, kind).items():
        points = [point[:3] for point in run.metrics if not point.key.startswith("time/")]
        tags = {key: value for key, value in run.tags.items() if "environment" not in key}
        result = vars(run.result) | {"train_seconds": None}
        files = {k: v for k, v in run.checksums.items() if "environment" not in k}
        found[number] = repr((run.name, run.params, tags, points, result, files))
    return found


def live(name: str) -> LiveTrials:
    return LiveTrials(folder_of("sweep", name) / "live")


def shown(name: str) -> list[Point]:
    """The points of the first trial."""
    course = live(name).course(0)
    return course.points if course else []


def values_in_journal(name: str) -> dict[int, dict[int, float]]:
    """What Optuna's own storage reads."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    file = folder_of("sweep", name) / "journal.log"
    found = optuna.load_study(
        study_name=name, storage=JournalStorage(JournalFileBackend(str(file)))
    )
    return {trial.number: trial.intermediate_values for trial in found.trials}


# While it trains ----------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", quick([1, 2], [1]))
def test_points_are_durable_after_each_epoch(workers: int, plugin: Path, home: Path) -> None:
    script = home / "script.py"
    script.write_text(SCRIPT)
    (home / "slow.py").write_text(PLUGIN)
    command = [str(Path(sys.executable).parent / "harness"), "sweep", str(script)]
    driver = subprocess.Popen(
        [*command, "--workers", str(workers)], cwd=home, stderr=subprocess.PIPE, text=True
    )
    seen: list[int] = []  # the last epoch of the curve, each time that it had become longer
    points: list[Point] = []
    in_journal: set[int] = set()
    while driver.poll() is None:
        points = shown("shown") or points
        epochs = max((point.step for point in points), default=0)
        if epochs and epochs not in seen:
            seen.append(epochs)
            in_journal |= set(values_in_journal("shown")[0])
        time.sleep(0.05)
    assert driver.stderr is not None
    said = driver.stderr.read()
    driver.stderr.close()
    assert driver.returncode == 0, said
    # Nobody looks at each epoch of a busy machine.
    assert len(seen) >= 2
    assert seen == sorted(seen)
    assert seen[-1] < 8
    assert in_journal & set(seen)
    (run,) = records("shown").values()
    assert set(points) < set(run.metrics)
    values = {point.step: point.value for point in run.metrics if point.key == "valid/slow"}
    found = values_in_journal("shown")[0]
    assert max(found) == 8
    assert found.items() <= values.items()


def test_what_is_shown_is_what_is_recorded(home: Path, in_short_segments: None, told: Told) -> None:
    assert Sweep(space, "shown", trials=3, sampler="RandomSampler", seeds=2).run().finished
    for number, run in records("shown").items():
        trial, points = told[number]
        assert (trial.id, trial.name, trial.start_ms) == (run.id, run.name, run.start_ms)
        # How many parameters a network has is known when it has ended.
        assert trial.params.items() <= run.params.items()
        assert run.params.keys() - trial.params.keys() == {"config.parameters"}
        assert trial.tags.items() <= run.tags.items()
        assert set(points) < set(run.metrics)
    assert all(values_in_journal("shown").values())


def test_a_short_trial_is_written_once(home: Path, told: Told) -> None:
    assert Sweep(space, "short", trials=2, sampler="RandomSampler", checkpoint=0).run().finished
    assert told == {}
    assert not any(values_in_journal("short").values())


def test_a_point_has_the_time_at_which_its_epoch_ended(
    in_short_segments: None, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where its trial has waited: here for the driver, elsewhere for a worker."""
    went_on: list[int] = []
    early: list[Point] = []
    extend = Books.extend

    def watch(self: Books, trial: LiveTrial, points: list[Point]) -> None:
        early.extend(point for point in points if went_on and point.time_ms < went_on[-1])
        extend(self, trial, points)
        time.sleep(0.1)
        went_on.append(now_ms())

    monkeypatch.setattr(Books, "extend", watch)
    made = Sweep(lambda trial: config(), "times", sampler="RandomSampler", trials=1)
    assert made.run().finished
    assert len(went_on) == 4
    assert early == []
    (run,) = records("times").values()
    times = [point.time_ms for point in run.metrics if point.key == "valid/accuracy"]
    assert run.start_ms <= times[0]
    assert times[-1] <= (run.end_ms or 0)


# Bits ---------------------------------------------------------------------------------------------

WAYS: list[dict[str, Any]] = [
    {"population": 1},
    {"population": 3},
    {"seeds": 3, "population": 2},
    {"synchronous": True, "population": 2},
    {"pruner": "MedianPruner(n_startup_trials=1)", "synchronous": True, "population": 2},
    {"pruner": "SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)"},
]


@pytest.mark.parametrize("way", quick(WAYS, [WAYS[4]]), ids=[" ".join(way) for way in WAYS])
def test_segments_change_no_bit(
    way: dict[str, Any], home: Path, monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    given = {"trials": 6, "sampler": "RandomSampler", "seed": 4, **way}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dispatch, "LIVE", 1e9)
        assert Sweep(space, "segments", **given).run().finished
        at_once = content("segments")
        assert told == {}
    ends = {run.result.epochs for run in records("segments").values()}
    assert len(ends) > 1
    monkeypatch.setenv("HARNESS_ROOT", str(home.parent / "another"))
    (home.parent / "another").mkdir()
    monkeypatch.setattr(dispatch, "LIVE", 0.0)
    for module in (dispatch, keeping, showing):
        monkeypatch.setattr(module, "LONG", 0.0)
    assert Sweep(space, "segments", **given).run().finished
    assert content("segments") == at_once
    assert told


def test_a_comparison_is_shown_too(home: Path, in_short_segments: None, told: Told) -> None:
    arms = {"relu": config(), "tanh": config(layers=mlp([196, 8, 10], activation="tanh"))}
    segments = compare("shown", arms, seeds=2)
    _, points = told[0]
    assert {point.step for point in points} == set(range(1, 5))
    assert set(points) < set(records("shown", "comparison")[0].metrics)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dispatch, "LIVE", 1e9)
        assert compare("at once", arms, seeds=2).values == segments.values


def test_a_pruner_that_comes_later_knows_nothing_of_what_was_shown(home: Path) -> None:
    """How many values were shown depends on the clock."""
    import optuna

    verdicts = []
    for is_shown in (False, True):
        made = optuna.create_study(pruner=optuna.pruners.MedianPruner(n_startup_trials=1))
        for value in (1.0, 3.0):
            trial = made.ask()
            if is_shown:
                study.show(made, trial.number, 1, value)
            if value == 1.0:
                made.tell(trial, value)
        verdicts.append(Judge(made).verdict(1, "identity", 1, 3.0).cut)
    assert verdicts == [False, False]


# Interruptions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "checkpoint", quick([1000, 1.3], [1.3]), ids=["from the start", "from a checkpoint"]
)
def test_what_is_trained_again_is_shown_with_its_first_times(
    checkpoint: float, fresh: Callable[[], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root = fresh()
    mark = tmp_path / "mark"

    def sweep() -> bool:
        metric = {"name": "deadly", "mark": str(mark), "epoch": 7}
        made = Sweep(
            lambda trial: config(metric=metric, epochs=9), "killed", trials=1, checkpoint=checkpoint
        )
        return made.run().finished

    assert forked(root, sweep) is None
    monkeypatch.setenv("HARNESS_ROOT", str(root))
    before = shown("killed")
    first = live("killed").course(0)
    assert first is not None
    epochs = max(point.step for point in before)
    assert epochs >= 3
    assert forked(root, sweep) is True, printed(root)
    trained = len(mark.read_text().split())
    assert trained == 7 + 9 if checkpoint == 1000 else trained < 7 + 9
    (run,) = records("killed").values()
    assert [point for point in run.metrics if point.step <= epochs and point in before] == before
    names = [(point.key, point.step) for point in run.metrics]
    assert len(set(names)) == len(names)
    assert run.start_ms == first.trial.start_ms


@pytest.mark.slow
def test_a_space_that_has_changed_is_shown_with_its_own_times(
    fresh: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = fresh()

    def sweep(rows: int, stop: bool) -> bool:
        def made(trial: Any) -> Config:
            return config(data=f"mnist14(rows={rows})", metric="slow", epochs=5)

        if stop:
            extend = LiveTrials.extend

            def once(self: Any, *args: Any) -> None:
                extend(self, *args)
                os.kill(os.getpid(), signal.SIGKILL)

            monkeypatch.setattr(LiveTrials, "extend", once)
        return Sweep(made, "changed", trials=1).run().finished

    assert forked(root, lambda: sweep(500, True)) is None
    monkeypatch.setenv("HARNESS_ROOT", str(root))
    before = shown("changed")
    assert before
    assert forked(root, lambda: sweep(400, False)) is True, printed(root)
    (run,) = records("changed").values()
    assert not set(before) & set(run.metrics)
    assert {point.step for point in run.metrics if point.key == "valid/slow"} == set(range(1, 6))


@pytest.mark.parametrize("workers", quick([1, 2], [2]))
def test_time_that_is_up_leaves_what_workers_keep(
    workers: int, home: Path, plugin: Path, told: Told
) -> None:
    def long_space(trial: Any) -> Config:
        return slow_space(trial).replace(epochs=500)

    options: dict[str, Any] = {"trials": 2, "workers": workers, "plugins": [str(plugin)]}
    made = Sweep(long_space, "time", timeout=4.0, sampler="RandomSampler", **options)
    assert not made.run().finished
    checkpoints = Checkpoints(folder_of("sweep", "time") / "checkpoints")
    assert checkpoints.numbers()
    epochs = max(point.step for point in told[0][1])
    (identity,) = checkpoints.identities(0)
    found = checkpoints.read_content(0, identity)
    assert found is not None
    assert len(found.about["records"]) >= epochs


# Workers ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pool() -> Iterator[Dask]:
    made = Dask(2)
    yield made
    made.close()


LARGE = 784 * 300 * 4  # bytes of the weights


def segment(trial: Trial, place: str, plugin: Path, **more: Any) -> Job:
    given: dict[str, Any] = {"seconds": 1.5, "state_after": 100.0, "study": "ours", **more}
    return Job([trial], plugins=[str(plugin)], place=place, **given)


def large(**more: Any) -> Config:
    metric = {"name": "slow", "seconds": 1.1}
    return config(data="mnist(rows=500)", layers=mlp([784, 300, 10]), metric=metric, **more)


@pytest.mark.slow
def test_no_trial_is_begun_while_all_workers_have_one(
    in_short_segments: None, home: Path, plugin: Path
) -> None:
    """Also where states come back after each segment, for a checkpoint."""

    def quick_space(trial: Any) -> Config:
        rate = trial.suggest_float("rate", 0.05, 0.5)
        return config(update=f"sgd({rate})", metric={"name": "slow", "seconds": 0.2})

    options: dict[str, Any] = {"trials": 6, "workers": 2, "plugins": [str(plugin)]}
    made = Sweep(quick_space, "in turn", sampler="RandomSampler", checkpoint=0, **options)
    assert made.run().finished
    runs = records("in turn")
    # The first ones are sent before anybody knows that they are long.
    for number in range(3, 6):
        begun = runs[number].start_ms
        in_training = [run for run in runs.values() if run.start_ms <= begun < (run.end_ms or 0)]
        assert len(in_training) <= 2


@pytest.mark.slow
def test_no_state_travels_between_segments(pool: Dask, plugin: Path) -> None:
    pool.submit(segment(Trial(0, large()), "", plugin))
    (first,) = pool.next()
    assert first.place
    assert first.state is None
    for epoch in range(1, 4):
        before = pool.shipped["bytes"]
        pool.submit(segment(Trial(0, large(), kept=epoch), first.place, plugin))
        (outcome,) = pool.next()
        assert outcome.place == first.place
        assert [record.epoch for record in outcome.records] == [epoch + 1]
        assert pool.shipped["bytes"] - before < LARGE / 20
    pool.submit(segment(Trial(0, large(), kept=4), first.place, plugin, fetch=True))
    (fetched,) = pool.next()
    assert fetched.state is not None
    assert fetched.state["epoch"] == 4
    (whole,) = keeping.work(Job([Trial(0, large())], epochs=4))
    assert whole.state is not None
    assert fetched.state["theta"].tobytes() == whole.state["theta"].tobytes()


def test_a_worker_that_no_longer_has_a_state_says_so(pool: Dask, plugin: Path) -> None:
    pool.submit(segment(Trial(1, large()), "", plugin))
    (first,) = pool.next()
    # Another driver, or another epoch.
    pool.submit(segment(Trial(1, large(), kept=1), first.place, plugin, study="theirs"))
    pool.submit(segment(Trial(1, large(), kept=2), first.place, plugin))
    assert [pool.next()[0].lost for _ in range(2)] == [True, True]
    port = int(first.place.rpartition(":")[2])
    workers = [
        process
        for process in psutil.Process().children(recursive=True)
        if any(each.laddr and each.laddr.port == port for each in process.net_connections())
    ]
    # The worker listens there; nobody else of this process's children is connected to it.
    (worker,) = workers
    os.kill(worker.pid, signal.SIGKILL)
    pool.submit(segment(Trial(1, large(), kept=1), first.place, plugin))
    (lost,) = pool.next()
    assert lost.lost
    assert not lost.ended


@pytest.mark.slow
@pytest.mark.parametrize("population", [1, 2])
def test_a_sweep_goes_on_where_a_worker_dies_between_segments(
    population: int, home: Path, plugin: Path, tmp_path: Path, told: Told
) -> None:
    def once(name: str, epoch: int) -> dict[int, str]:
        mark = tmp_path / name

        def deadly(trial: Any) -> Config:
            rate = trial.suggest_float("rate", 0.05, 0.5)
            metric = {"name": "deadly", "mark": str(mark), "epoch": epoch}
            return config(metric=metric, update=f"sgd({rate})", epochs=6)

        options: dict[str, Any] = {"trials": 2, "workers": 2, "plugins": [str(plugin)]}
        made = Sweep(deadly, name, population=population, sampler="RandomSampler", **options)
        trials = made.run().trials
        assert {run.result.state for run in trials} == {TrialState.COMPLETE}
        assert len(mark.read_text().split()) > epoch
        return {run.number or 0: run.result.digest for run in trials}

    # The data of the config and the metric's arguments are not among what a digest is made of.
    survived = once("dies", 7)
    for number, (_, points) in told.items():
        assert set(points) < set(records("dies")[number].metrics)
    assert survived == once("lives", 0)
    for number, run in records("dies").items():
        names = [(point.key, point.step) for point in run.metrics]
        assert len(set(names)) == len(names)
        assert number in told


@pytest.mark.slow
def test_deaths_are_counted_over_all_segments(home: Path, plugin: Path, tmp_path: Path) -> None:
    """Workers die from the fourth epoch on, whichever segment they train."""
    mark = tmp_path / "mark"
    metric = {"name": "deadly", "mark": str(mark), "epoch": 4, "again": True}
    options: dict[str, Any] = {"trials": 1, "workers": 2, "plugins": [str(plugin)]}
    (run,) = Sweep(lambda trial: config(metric=metric), "ends", **options).run().trials
    assert run.result.state == TrialState.KILLED
    assert run.result.reason.startswith("4 worker processes died")
    assert len(mark.read_text().split()) == 3 + 4


calls: list[int] = []


@harness.metric(task="classification", direction="maximize")
def broken() -> Callable[..., Any]:
    """It raises once some epochs have been trained."""

    def measure(predictions: Any, y: Any) -> float:
        calls.append(1)
        if len(calls) > 3:
            raise RuntimeError("enough")
        return 0.5

    return measure


def test_a_trial_that_fails_late_has_no_points_of_its_own(
    home: Path, in_short_segments: None
) -> None:
    made = Sweep(lambda trial: config(metric="broken"), "late", trials=1, trial_timeout=60)
    (run,) = made.run().trials
    assert run.result.state == TrialState.FAILED
    assert run.result.epochs == 0


@pytest.mark.slow
def test_a_timeout_counts_over_all_segments(home: Path, told: Told) -> None:
    made = Sweep(
        lambda trial: config(metric="slow", epochs=50), "timed", trials=1, trial_timeout=2.0
    )
    (run,) = made.run().trials
    assert run.result.state == TrialState.TIMED_OUT
    assert told
