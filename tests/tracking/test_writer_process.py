"""The process that writes a sweep into MLflow: killed, stopped, slow, or left without its driver.

What is asked each time: MLflow has each run and each point once, as after an undisturbed sweep.
"""

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest
from click.testing import CliRunner
from inline_writer import InlineWriter
from stores import prepare

import harness
from harness import tracking
from harness.builtin.layers import mlp
from harness.cli import main
from harness.config import Config
from harness.recorders import Report
from harness.storage.ledger import Ledgers
from harness.storage.live import LiveTrial, LiveTrials, live_folder
from harness.storage.records import ParentRun, Point, RunStatus, TrialRun
from harness.storage.spool import Spool
from harness.storage.stops import Stops
from harness.studies import books as room
from harness.studies import writing
from harness.studies.books import Books, folder_of, open_books
from harness.studies.sweep import Sweep
from harness.tracking import connect, reader, sqlite_store, sweep_writer, writer_process
from harness.tracking.writer_process import WriterProcess

TRIALS = 4
KILLS = 3  # of one writer after the other
# What is to happen when so many trials have been trained.
hooks: dict[int, Callable[[], Any]] = {}
begun: list[int] = []


@harness.recorder()
def writer_hook() -> Callable[[Any], Report]:
    """Does what a test has put into `hooks`, after the training of a trial."""

    def record(trained: Any) -> Report:
        begun.append(len(begun))
        hooks.pop(begun[-1], lambda: None)()
        return Report({}, {})

    return record


def space(trial: Any) -> Config:
    rate = trial.suggest_float("lr", 0.05, 1.0, log=True)
    given: dict[str, Any] = {"epochs": 2, "film": None, "recorders": ["writer_hook"]}
    return Config(
        data="mnist14(rows=1000)", layers=mlp([196, 8, 10]), update=f"sgd({rate})", **given
    )


def sweep(name: str, trials: int = TRIALS) -> Any:
    begun.clear()
    return Sweep(space, name, sampler="RandomSampler", trials=trials).run()


def runs_of(name: str, uri: str = "") -> dict[str, Any]:
    """The runs of a sweep as MLflow has them, by number; each run and each point once."""
    # MLflow itself would make a store, at the same time as the writer.
    sqlite_store.require_store(uri or tracking.store_uri())
    client = connect.client_for(uri or tracking.store_uri())
    experiments = [each.experiment_id for each in client.search_experiments()]
    found: dict[str, Any] = {}
    for run in reader.search(client, experiments, ""):
        if f"/{name}/" not in run.data.tags["harness.id"]:
            continue
        number = run.data.tags.get("harness.number", "parent")
        assert number not in found
        histories = [client.get_metric_history(run.info.run_id, key) for key in run.data.metrics]
        points = [point for history in histories for point in history]
        assert len({(p.key, p.step) for p in points}) == len(points)
        found[number] = (run, points)
    return found


def logged(name: str, uri: str = "") -> dict[str, Any]:
    """The same without its clocks."""
    said = {}
    for number, (run, points) in runs_of(name, uri).items():
        numbers = sorted((p.key, p.step, p.value) for p in points if not p.key.startswith("time/"))
        tags = {key: run.data.tags.get(f"harness.{key}") for key in ("state", "digest", "value")}
        said[number] = (run.info.status, run.data.params, tags, numbers)
    assert Spool(folder_of("sweep", name) / "spool").waiting == 0
    return said


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_ROOT", str(tmp_path_factory.mktemp("peace")))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        sweep("peace")
        return logged("peace")


class Watched:
    """The writers of a test, to be killed and stopped."""

    def __init__(self) -> None:
        self.all: list[WriterProcess] = []

    @property
    def pid(self) -> int:
        return self.all[-1].child.process.pid

    def wait_for(self, condition: Callable[[], Any]) -> None:
        end = time.monotonic() + 120
        while not condition():
            assert time.monotonic() < end, "nothing happened in time"
            self.all[-1].wake()
            time.sleep(0.02)

    def wait_until_open(self) -> None:
        self.wait_for(lambda: self.all[-1].child.is_open)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.wait_for(lambda pid=self.pid: self.pid != pid)


@pytest.fixture
def writers(own_writer: None, root: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """Writers that are processes, as users have them."""
    hooks.clear()
    prepare(root)
    watched = Watched()
    start = room.start_writer

    def starting(folder: Path, project: str) -> WriterProcess:
        watched.all.append(start(folder, project))
        return watched.all[-1]

    monkeypatch.setattr(room, "start_writer", starting)
    return watched


# A process that dies, or is stopped ---------------------------------------------------------------


def test_a_writer_that_is_killed_is_replaced(
    writers: Watched, undisturbed: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    """Once while it starts, once when it has begun to write, and once while it may be writing."""
    hooks[0] = writers.kill
    hooks[1] = lambda: (writers.wait_until_open(), writers.kill())
    hooks[3] = lambda: (writers.wait_until_open(), os.kill(writers.pid, signal.SIGKILL))
    assert sweep("killed").finished
    assert logged("killed") == undisturbed
    assert capfd.readouterr().err.count("has ended (SIGKILL); another starts") == 3
    assert len(writers.all) == 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_writer_that_is_killed_at_random(
    writers: Watched, undisturbed: dict[str, Any], seed: int
) -> None:
    """Somewhere in its writing, again and again."""
    chance = random.Random(seed)
    over = threading.Event()

    def kill() -> None:
        for _ in range(KILLS):
            while not (writers.all and writers.all[-1].child.is_open):
                if over.wait(0.02):
                    return
            child = writers.all[-1].child
            over.wait(chance.uniform(0.0, 0.4))
            with contextlib.suppress(ProcessLookupError):
                child.process.kill()
            while writers.all[-1].child is child:
                if over.wait(0.02):
                    return

    for number in range(TRIALS):
        hooks[number] = writers.wait_until_open
    killer = threading.Thread(target=kill)
    killer.start()
    try:
        name = f"random {seed}"
        assert sweep(name).finished
    finally:
        over.set()
        killer.join()
    assert CliRunner().invoke(main, ["sync"]).exit_code == 0
    assert logged(name) == undisturbed


def test_a_writer_that_always_dies_is_given_up(
    writers: Watched, undisturbed: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    def kill_all() -> None:
        for _ in range(writer_process.TRIED):
            os.kill(writers.pid, signal.SIGKILL)
            process = writers.all[-1].child
            while process is writers.all[-1].child and not writers.all[-1].has_given_up:
                writers.all[-1].wake()

    hooks[0] = kill_all
    assert sweep("dies").finished
    said = capfd.readouterr().err
    assert "has ended 3 times (SIGKILL); the work goes on" in said
    assert said.splitlines()[-1] == (
        f"tracking: {TRIALS + 1} records wait in the spool for `harness sync`"
    )
    assert Spool(folder_of("sweep", "dies") / "spool").waiting == TRIALS + 1
    assert CliRunner().invoke(main, ["sync"]).exit_code == 0
    assert logged("dies") == undisturbed


def no_room(*given: Any, **options: Any) -> Any:
    raise BlockingIOError(11, "Resource temporarily unavailable")


def test_work_goes_on_where_there_is_no_room_for_another_writer(
    writers: Watched,
    undisturbed: dict[str, Any],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def kill() -> None:
        writers.wait_until_open()
        with monkeypatch.context() as patch:
            patch.setattr(writer_process.subprocess, "Popen", no_room)
            os.kill(writers.pid, signal.SIGKILL)
            writers.wait_for(lambda: writers.all[-1].has_given_up)

    hooks[1] = kill
    assert sweep("alone").finished
    said = capfd.readouterr().err
    assert (
        "has ended (SIGKILL), and another cannot be started ([Errno 11] Resource temporarily "
        "unavailable); the work goes on, and what it logs waits in the spool for `harness sync`"
    ) in said
    assert CliRunner().invoke(main, ["sync"]).exit_code == 0
    assert logged("alone") == undisturbed


def test_no_room_for_a_writer_is_one_sentence(
    own_writer: None, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(root)
    writer_process.let_go()
    monkeypatch.setattr(writer_process.subprocess, "Popen", no_room)
    with pytest.raises(
        harness.UsageError, match=r"cannot be started: .*unavailable; end other programs"
    ):
        sweep("nowhere")


def test_training_goes_on_while_the_writer_is_stopped(
    writers: Watched,
    undisturbed: dict[str, Any],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer_process, "SILENCE_S", 1.0)
    hooks[1] = lambda: (writers.wait_until_open(), os.kill(writers.pid, signal.SIGSTOP))
    assert sweep("stopped").finished
    waiting = Spool(folder_of("sweep", "stopped") / "spool").waiting
    assert waiting >= TRIALS
    said = capfd.readouterr().err
    assert "has not stirred for 1 s and was ended" in said
    assert f"{waiting} records wait in the spool for `harness sync`" in said.splitlines()[-1]
    sync = CliRunner().invoke(main, ["sync"])
    assert sync.output.splitlines()[0] == f"stopped: {waiting} sent"
    assert logged("stopped") == undisturbed


def test_looks_for_requests_take_a_tenth_of_the_time_of_a_slow_server(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of("sweep", "looks")
    Spool(folder / "spool").write(ParentRun(id="looks", name="looks"))
    clock = [1000.0]
    looks: list[float] = []

    def relay(self: Any) -> None:
        looks.append(clock[0])
        clock[0] += 20  # two calls, ten seconds each

    monkeypatch.setattr(sweep_writer, "monotonic", lambda: clock[0])
    monkeypatch.setattr(sweep_writer.StopTags, "relay", relay)
    writer = sweep_writer.SweepWriter(folder, "harness", print)
    for _ in range(250):
        writer.turn(lambda: False)
        clock[0] += 1
    assert looks == [1003.0, 1223.0]
    # Where nothing is trained any more nothing can be stopped.
    clock[0] += 1000
    writer.go_on(lambda: False)
    assert len(looks) == 2


def test_a_thousand_wakes_of_a_stopped_writer_block_nothing(
    writers: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_process, "SILENCE_S", 0.5)
    with books("wakes") as opened:
        opened.start()
        writers.wait_until_open()
        os.kill(writers.pid, signal.SIGSTOP)
        for _ in range(30_000):
            opened.log()
        opened.close(RunStatus.FINISHED)


def test_the_driver_never_imports_mlflow(root: Path) -> None:
    script = """
        import sys
        from harness import Config, mlp, sweep

        @sweep(name="lean", trials=2, sampler="RandomSampler")
        def space(trial):
            rate = trial.suggest_float("rate", 0.1, 1.0)
            layers = mlp([196, 4, 10])
            return Config(data="mnist14(rows=200)", layers=layers, update=f"sgd({rate})", epochs=1)

        space.run()
        print([name in sys.modules for name in ("mlflow", "sqlalchemy")])
    """
    file = root / "lean.py"
    file.write_text(textwrap.dedent(script))
    path = str(Path(harness.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, str(file)], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.splitlines()[-1] == "[False, False]"
    assert {run.info.status for run, _ in runs_of("lean").values()} == {"FINISHED"}
    assert {run.data.tags["mlflow.source.name"] for run, _ in runs_of("lean").values()} == {
        "lean.py"
    }


def test_what_the_store_refuses_ends_the_sweep(
    writers: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only MLflow can tell, so that the writer says it; what was trained is kept."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nosuch://place")
    hooks[0] = lambda: writers.wait_for(lambda: writers.all[-1].child.refusal)
    with pytest.raises(harness.UsageError, match="nosuch"):
        sweep("refused")


# Live ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def books(name: str) -> Iterator[Books]:
    # A sweep would need Optuna's journal too.
    with open_books("comparison", name, params={"trials": 1}, tags={}) as opened:
        yield opened


def trial_of(opened: Books, number: int = 0, **fields: Any) -> LiveTrial:
    params: dict[str, Any] = {"config.epochs": 9, "rate": 0.5}
    given: dict[str, Any] = {"params": params, "tags": {"harness.config": "c"}, "start_ms": 1000}
    id = f"{opened.parent.id}/{number}"
    return LiveTrial(number=number, id=id, name=f"#{number} relu", **{**given, **fields})


def points_of(epoch: int, clock: int = 0) -> list[Point]:
    time_ms = 1000 + 2000 * epoch + clock
    values = {"valid/loss": 1 / epoch, "time/epoch_train_s": 2.0 + clock}
    return [Point(key, value, epoch, time_ms) for key, value in values.items()]


def record_of(trial: LiveTrial, epochs: int, **fields: Any) -> TrialRun:
    points = [point for epoch in range(1, epochs + 1) for point in points_of(epoch)]
    given: dict[str, Any] = {
        "metrics": [*points, Point("time/train_s", 2.0 * epochs, epochs, 99_000)],
        "params": dict(trial.params),
        "artifacts": {"config.json": b"{}"},
        "start_ms": trial.start_ms,
        "end_ms": 99_000,
        "number": trial.number,
    }
    return TrialRun(id=trial.id, name=trial.name, **{**given, **fields})


def test_a_trial_in_training_is_a_running_child_with_its_points(writers: Watched) -> None:
    with books("live") as opened:
        opened.start()
        trial = trial_of(opened)
        for epoch in (1, 2):
            opened.extend(trial, points_of(epoch))
            writers.wait_for(lambda epoch=epoch: len(seen("live")) == 2 * epoch)
        run, points = runs_of("live")["0"]
        assert (run.info.status, run.info.run_name) == ("RUNNING", "#0 relu")
        assert run.data.params == {"config.epochs": "9", "rate": "0.5"}
        assert run.data.tags["harness.config"] == "c"
        assert run.data.tags["mlflow.parentRunId"] == runs_of("live")["parent"][0].info.run_id
        assert {(p.key, p.value, p.step, p.timestamp) for p in points} == {
            tuple(point) for epoch in (1, 2) for point in points_of(epoch)
        }
        opened.write(record_of(trial, 3))
        opened.log()
        opened.close(RunStatus.FINISHED)
    ended, points = runs_of("live")["0"]
    assert (ended.info.run_id, ended.info.status) == (run.info.run_id, "FINISHED")
    assert len(points) == 7
    assert not list(live_folder(opened.folder).iterdir())
    assert CliRunner().invoke(main, ["doctor"]).output.splitlines()[-1] == "all is well"


def test_a_tag_in_mlflow_is_a_request_to_stop_the_trial(writers: Watched) -> None:
    with books("tagged") as opened:
        opened.start()
        opened.extend(trial_of(opened), points_of(1))
        writers.wait_for(lambda: seen("tagged"))
        run, _ = runs_of("tagged")["0"]
        connect.client_for(tracking.store_uri()).set_tag(run.info.run_id, "harness.stop", "yes")
        stops = Stops(opened.folder / "stops")
        writers.wait_for(lambda: 0 in stops.requests())
        assert stops.requests()[0].by == "the tag harness.stop=yes in MLflow"
        opened.close(RunStatus.KILLED)


def seen(name: str) -> list[Any]:
    """The points of trial 0 that a reader finds; none while there is no store yet."""
    with contextlib.suppress(harness.UsageError, KeyError):
        return runs_of(name)["0"][1]
    return []


class Counting(InlineWriter):
    """A writer that notes what it sends."""

    sent: ClassVar[list[tuple[str, Any]]] = []

    def __init__(self, folder: Path, project: str) -> None:
        super().__init__(folder, project, pytest.fail)
        experiment = self.writer.tracker.experiment
        experiment.client = Counted(experiment.client)


class Counted:
    """The real client; every call that writes or asks is noted."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.client, name)
        if name == "together":
            return call

        def counted(*arguments: Any, **options: Any) -> Any:
            metrics = [(m.key, m.step) for m in options.get("metrics", [])]
            Counting.sent.append((name, metrics))
            return call(*arguments, **options)

        return counted if callable(call) else call


@pytest.fixture
def counting(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    Counting.sent.clear()
    monkeypatch.setattr(room, "start_writer", Counting)
    return Counting.sent


def sent_points(calls: list[tuple[str, Any]]) -> list[tuple[str, int]]:
    points = [point for name, metrics in calls if name == "log_batch" for point in metrics]
    return [point for point in points if not point[0].startswith("time/")]


def test_a_trial_that_was_not_live_costs_three_calls(counting: list[tuple[str, Any]]) -> None:
    with books("calls") as opened:
        opened.start()
        for number in range(2):
            opened.write(record_of(trial_of(opened, number), 3))
            counting.clear()
            opened.log()
            assert [name for name, _ in counting] == ["create_run", "log_batch", "set_terminated"]
        opened.close(RunStatus.FINISHED)


def test_a_trial_that_is_resumed_sends_what_the_ledger_lacks(
    counting: list[tuple[str, Any]],
) -> None:
    """Stopped by Ctrl-C its run says KILLED, and RUNNING again when it goes on."""
    with books("resumed") as opened:
        opened.start()
        trial = trial_of(opened)
        for epoch in (1, 2):
            opened.extend(trial, points_of(epoch))
    run, _ = runs_of("resumed")["0"]
    assert run.info.status == "KILLED"
    assert "goes on from here" in run.data.tags["harness.interrupted"]
    assert run.info.end_time == 5000
    counting.clear()
    with books("resumed") as opened:
        assert opened.live_points(0, trial.id) == points_of(1) + points_of(2)
        opened.start()
        # It is trained again from the start, at another time.
        again = trial_of(opened, start_ms=7777)
        opened.extend(again, points_of(1, 50) + points_of(2, 50))
        assert sent_points(counting) == []
        assert runs_of("resumed")["0"][0].info.status == "RUNNING"
        opened.extend(again, points_of(3, 50))
        assert sent_points(counting) == [("valid/loss", 3)]
        record = record_of(again, 4)
        record.metrics = [p for epoch in range(1, 5) for p in points_of(epoch, 70)]
        opened.write(record)
        opened.log()
        assert sent_points(counting) == [("valid/loss", 3), ("valid/loss", 4)]
        opened.close(RunStatus.FINISHED)
    ended, points = runs_of("resumed")["0"]
    assert (ended.info.run_id, ended.info.status) == (run.info.run_id, "FINISHED")
    assert "harness.interrupted" not in ended.data.tags
    assert ended.info.start_time == 1000
    clocks = {p.step: p.timestamp for p in points}
    assert clocks == {1: 3000, 2: 5000, 3: 7050, 4: 9070}
    assert CliRunner().invoke(main, ["doctor"]).output.splitlines()[-1] == "all is well"


def test_a_crash_between_a_call_and_the_ledger_doubles_nothing(
    counting: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crash(BaseException):
        """A process that dies here."""

    def crash(*_: Any) -> None:
        raise Crash

    with contextlib.suppress(Crash), books("torn") as opened:
        opened.start()
        trial = trial_of(opened)
        with monkeypatch.context() as patch:
            patch.setattr(Ledgers, "write", crash)
            opened.extend(trial, points_of(1))
    with books("torn") as opened:
        opened.start()
        opened.extend(trial, points_of(2))
        opened.write(record_of(trial, 2))
        opened.close(RunStatus.FINISHED)
    assert len(runs_of("torn")["0"][1]) == 5


@pytest.mark.parametrize("change", ["params", "values", "fewer points", "damage"])
def test_another_course_of_a_trial_gets_a_run_of_its_own(
    counting: list[tuple[str, Any]], change: str
) -> None:
    """A run never has two points for a step, nor some that its record does not know."""
    with books(change) as opened:
        opened.start()
        trial = trial_of(opened)
        opened.extend(trial, points_of(1) + points_of(2))
        first, _ = runs_of(change)["0"]
        if change == "damage":
            file = live_folder(opened.folder) / "000000.jsonl"
            file.write_bytes(file.read_bytes().replace(b"valid/loss", b"valid/lost"))
            opened.live = LiveTrials(file.parent)  # as after a restart
            trial = trial_of(opened, start_ms=2000)
            opened.extend(trial, points_of(1, 9))
        record = record_of(trial, 1 if change == "fewer points" else 2)
        if change == "params":
            record.params["rate"] = 0.25
        if change == "values":
            record.metrics = [p._replace(value=p.value + 1) for p in record.metrics]
        if change == "damage":
            record.metrics = points_of(1, 9) + points_of(2, 9)
        opened.write(record)
        opened.log()
        opened.close(RunStatus.FINISHED)
    run, points = runs_of(change)["0"]
    assert run.info.run_id != first.info.run_id
    assert {(p.key, p.value, p.step) for p in points} == {tuple(p)[:3] for p in record.metrics}
    assert CliRunner().invoke(main, ["doctor"]).output.splitlines()[-1] == "all is well"


# A driver that is dead ----------------------------------------------------------------------------

DRIVER = """
    import sys, time
    from pathlib import Path
    sys.path[:0] = sys.argv[1:3]
    import test_writer_process as here
    with here.books("dead") as opened:
        opened.start()
        trial = here.trial_of(opened)
        opened.extend(trial, here.points_of(1))
        opened.write(here.record_of(here.trial_of(opened, 1), 2))
        opened.log()
        print(opened.writer.child.process.pid, flush=True)
        time.sleep(600)
"""


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_what_a_dead_driver_left_running_is_killed_by_the_next_command(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    prepare(root)
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    environment = {**os.environ, "PYTHONPATH": str(Path(harness.__file__).parents[1])}
    driver = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(DRIVER), *paths],
        stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert driver.stdout is not None
    try:
        writer = int(driver.stdout.readline())
        deadline = time.monotonic() + 120
        while len(seen("dead")) < 2 or "1" not in runs_of("dead"):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        listed = ["dead", "comparison", "RUNNING"]
        assert CliRunner().invoke(main, ["results"]).output.splitlines()[1].split()[:3] == listed
        assert runs_of("dead")["0"][0].info.status == "RUNNING"
    finally:
        driver.kill()
        driver.wait()
        driver.stdout.close()
    while is_alive(writer):
        assert time.monotonic() < deadline + 60
        time.sleep(0.02)
    other = tmp_path_factory.mktemp("other machine")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", tracking.store_uri())
        patch.setenv("HARNESS_ROOT", str(other))
        assert CliRunner().invoke(main, ["results"]).exit_code == 0
    assert runs_of("dead")["0"][0].info.status == "RUNNING"
    result = CliRunner().invoke(main, ["results"])
    assert "dead: its driver is gone; it has ended KILLED" in result.output
    found = runs_of("dead")
    assert {number: run.info.status for number, (run, _) in found.items()} == {
        "parent": "KILLED",
        "0": "KILLED",
        "1": "FINISHED",
    }
    for number in ("parent", "0"):
        assert "goes on from here" in found[number][0].data.tags["harness.interrupted"]
    again = CliRunner().invoke(main, ["results"])
    assert "is gone" not in again.output
    assert CliRunner().invoke(main, ["doctor"]).output.splitlines()[-1] == "all is well"
    with books("dead") as opened:
        assert LiveTrials(live_folder(opened.folder)).numbers() == [0]
        opened.start()
        assert "harness.interrupted" not in runs_of("dead")["parent"][0].data.tags
        opened.write(record_of(trial_of(opened), 2))
        opened.close(RunStatus.FINISHED)
    assert {run.info.status for run, _ in runs_of("dead").values()} == {"FINISHED"}


def test_who_waits_for_mlflow_is_told_what_for(
    writers: Watched, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(writer_process, "TOLD_S", 0.0)

    def begin_late() -> None:
        writers.kill()
        os.kill(writers.pid, signal.SIGSTOP)
        threading.Timer(1.5, os.kill, [writers.pid, signal.SIGCONT]).start()

    # The writer begins after the last trial, so that there is something to wait for.
    hooks[TRIALS - 1] = begin_late
    sweep("waited for")
    assert len(runs_of("waited for")) == TRIALS + 1
    said = capfd.readouterr().err
    assert re.search(r"tracking: [2-5] records are still to be written to MLflow; Ctrl-C", said)


def test_the_writer_is_the_process_that_was_warmed_up(
    writers: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids: list[int] = []
    warm_up = writing.warm_up

    def warming() -> None:
        warm_up()
        assert writer_process.spare is not None
        pids.append(writer_process.spare.process.pid)

    monkeypatch.setattr(writing, "warm_up", warming)
    hooks[0] = lambda: pids.append(writers.pid)
    sweep("warm")
    assert pids[0] == pids[1]
    assert writer_process.spare is None
    # Nothing is written here, and no process is left of it.
    sweep("warm")
    assert writer_process.spare is None
    assert not psutil.pid_exists(pids[2])
    # What MLflow has read as it was imported must still be so; libraries set variables of theirs.
    writer_process.warm_up()
    spare = writer_process.spare
    assert spare is not None
    monkeypatch.setenv("SET_BY_A_LIBRARY", "1")
    monkeypatch.delenv("HOME")
    assert spare.changes == {"SET_BY_A_LIBRARY": "1", "HOME": None}
    assert spare.can_be_used
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert not spare.can_be_used
    writer_process.let_go()
    assert spare.process.returncode == -signal.SIGKILL
