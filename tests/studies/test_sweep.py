"""Sweeps on a real sqlite MLflow: what is logged, going on after a stop, samplers and pruners,
failures.
"""

import hashlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from siblings import quick

import harness
from harness import registry
from harness.builtin.layers import mlp
from harness.config import Config
from harness.errors import UsageError
from harness.recorders import Report
from harness.storage.spool import Spool
from harness.studies.books import folder_of
from harness.studies.result import Result
from harness.studies.sweep import Sweep
from harness.tracking.local_client import LocalClient
from harness.trials.interrupts import Interrupts

DATA = "mnist14(rows=2000)"
PYTHONPATH = str(Path(__file__).parents[2])


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One root for all sweeps of this file, since to make a store takes a second; each test uses
    names of its own.
    """
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("home")
        patch.setenv("HARNESS_ROOT", str(root))
        patch.setenv("PYTHONPATH", PYTHONPATH)
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
            patch.delenv(name, raising=False)
        yield root


hooks: dict[str, Callable[[Any], None]] = {}


@harness.recorder()
def hook() -> Callable[[Any], Report]:
    """Calls what a test has put into `hooks`, in the middle of a trial's work"""

    def record(trained: Any) -> Report:
        hooks.get("record", lambda trained: None)(trained)
        return Report({}, {})

    return record


@harness.activation()
def breaks(z: Any, when: float = 0.5) -> Any:
    """An activation that fails while it is used, for some values of its argument"""
    if when >= 0.5:
        raise RuntimeError(f"this activation is broken at {when:.1f}")
    return z


def space(trial: Any, **more: Any) -> Config:
    activation = trial.suggest_categorical("activation", ["relu", "tanh"])
    rate = trial.suggest_float("lr", 0.05, 1.0, log=True)
    given: dict[str, Any] = {"epochs": 2, "film": None, "recorders": ["hook"], **more}
    return Config(
        data=DATA, layers=mlp([196, 12, 10], activation=activation), update=f"sgd({rate})", **given
    )


def filmed(trial: Any) -> Config:
    return space(trial, film="film(frames=4)")


def grid(trial: Any) -> Config:
    rate = trial.suggest_float("lr", 0.05, 1.0)
    return Config(
        data=DATA,
        layers=mlp([196, 12, 10]),
        update=f"sgd({rate})",
        epochs=1,
        film=None,
        recorders=["hook"],
    )


def run(name: str, function: Callable[[Any], Any] = space, **options: Any) -> Result:
    # Networks in MLflow have tests of their own, and to log one takes as long as such a sweep.
    given = {"sampler": "RandomSampler", "trials": 4, "models": "none", **options}
    return Sweep(function, name, **given).run()


def parent_of(name: str) -> Any:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{os.environ['HARNESS_ROOT']}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("harness").experiment_id
    (parent,) = client.search_runs(
        [experiment], f"tags.\"harness.kind\" = 'sweep' and attributes.run_name = '{name}'"
    )
    return client, parent


def children_of(name: str) -> dict[int, Any]:
    """The trials of a sweep in MLflow by number; each once, none running."""
    client, parent = parent_of(name)
    children = client.search_runs(
        [parent.info.experiment_id], f"tags.\"mlflow.parentRunId\" = '{parent.info.run_id}'"
    )
    found = {int(run.data.tags["harness.number"]): run for run in children}
    assert len(found) == len(children)
    assert all(run.info.status != "RUNNING" for run in children)
    return found


def content(run: Any) -> dict[str, str]:
    """What must not depend on workers, populations or interruptions: all but the clocks and which
    process it was.
    """
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != "environment.json"]
    said = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
    said |= {k: str(v) for k, v in run.data.params.items()}
    said |= {k: repr(v) for k, v in run.data.metrics.items() if not k.startswith("time/")}
    tags = {tag: run.data.tags.get(f"harness.{tag}") for tag in ("state", "digest")}
    return said | tags | {"status": run.info.status, "name": run.info.run_name}


def contents(name: str, numbers: bool = True) -> Any:
    """The content of all trials; without the numbers as a set, for what may come in another
    order.
    """
    all_ = {number: content(run) for number, run in children_of(name).items()}
    if numbers:
        return all_
    return sorted(
        json.dumps({**each, "name": each["name"].split(" #")[0]}, sort_keys=True)
        for each in all_.values()
    )


def study_of(name: str) -> Any:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    file = folder_of("sweep", name) / "journal.log"
    return optuna.load_study(study_name=name, storage=JournalStorage(JournalFileBackend(str(file))))


def states_of(name: str) -> list[str]:
    return [trial.state.name for trial in study_of(name).get_trials(deepcopy=False)]


# What is logged -----------------------------------------------------------------------------------


def test_every_trial_and_the_sweep_are_in_mlflow() -> None:
    result = run("logged", filmed, trials=3)
    client, parent = parent_of("logged")
    assert parent.info.status == "FINISHED"
    assert "**3 trials**: 3 complete" in parent.data.tags["mlflow.note.content"]
    link = r"\| \[\\#(\d)\]\(#/experiments/\d+/runs/(\w{32})\?workflowType=machine_learning\)"
    linked = dict(re.findall(link, parent.data.tags["mlflow.note.content"]))
    assert linked == {
        str(number): child.info.run_id for number, child in children_of("logged").items()
    }
    assert parent.data.params["sampler"] == "RandomSampler"
    curve = [
        (m.step, m.value) for m in client.get_metric_history(parent.info.run_id, "best/accuracy")
    ]
    values = [t.result.value for t in result.trials]
    assert curve == [(k, max(values[:k])) for k in (1, 2, 3)]
    assert (Path(parent.info.artifact_uri.removeprefix("file://")) / "script.py").is_file()
    children = children_of("logged")
    assert sorted(children) == [0, 1, 2]
    for number, child in children.items():
        data = child.data
        assert child.info.status == "FINISHED"
        assert data.tags["harness.state"] == "COMPLETE"
        assert data.params["activation"] in child.info.run_name.split()
        assert child.info.run_name.startswith(f"#{number} ")
        fields = {"layers", "update", "update.learning_rate", "epochs", "data", "seed"}
        assert {"lr", "activation", *(f"config.{each}" for each in fields)} <= set(data.params)
        accuracy = client.get_metric_history(child.info.run_id, "valid/accuracy")
        assert [m.step for m in accuracy] == [1, 2]
        assert data.metrics["valid/accuracy"] == values[number] == accuracy[-1].value
        times = {
            "time/train_s",
            "time/evaluate_s",
            "time/capture_s",
            "time/film_s",
            "time/hook_s",
            "time/epoch_train_s",
        }
        assert times <= set(data.metrics)
        # Encoding is no part of training: both have their place in the time of the trial.
        spent = [data.metrics[f"time/{part}_s"] for part in ("train", "evaluate", "film")]
        assert min(spent) > 0
        assert 1000 * sum(spent) < child.info.end_time - child.info.start_time + 2
        folder = Path(child.info.artifact_uri.removeprefix("file://"))
        files = {"config.json", "film.html", "film.png", "history.npz"}
        assert {p.name for p in folder.iterdir()} == files
        # What is equal for all trials is kept once.
        shared = folder.parents[1] / parent.info.run_id / "artifacts"
        assert (shared / "environment.json").is_file()
        assert Config.from_json(folder / "config.json").digest() == data.tags["harness.config"]
    assert result.finished
    assert result.best is not None
    assert result.best.result.value == max(values)
    assert result.table().count(" #") == 3


def test_more_trials_go_on_and_the_same_number_does_nothing() -> None:
    first = run("more", trials=2)
    second = run("more", trials=4)
    assert [t.number for t in first.trials] == [0, 1]
    assert [t.number for t in second.trials] == [0, 1, 2, 3]
    assert len({t.result.config for t in second.trials}) == 4
    before = {
        p: p.stat().st_mtime_ns for p in folder_of("sweep", "more").rglob("*") if p.name != "lock"
    }
    ended = parent_of("more")[1].info.end_time
    third = run("more", trials=4)
    fewer = run("more", trials=1)
    assert [t.result.value for t in third.trials] == [t.result.value for t in second.trials]
    assert third.finished
    assert fewer.finished
    assert len(fewer.trials) == 4
    assert {
        p: p.stat().st_mtime_ns for p in folder_of("sweep", "more").rglob("*") if p.name != "lock"
    } == before
    assert parent_of("more")[1].info.end_time == ended


def test_equal_configs_are_trained_once() -> None:
    def two(trial: Any) -> Config:
        wide = trial.suggest_categorical("wide", [True, False])
        return Config(
            data=DATA,
            layers=mlp([196, 12 if wide else 6, 10]),
            epochs=1,
            film=None,
            recorders=["hook"],
        )

    trained: list[Any] = []
    hooks["record"] = trained.append
    for population in (1, 4):
        trained.clear()
        run(f"twins {population}", two, trials=8, population=population)
        assert len(trained) == 2
    children = children_of("twins 1")
    copies = {
        n: r.data.tags["harness.duplicate_of"]
        for n, r in children.items()
        if "harness.duplicate_of" in r.data.tags
    }
    assert len(copies) == 6
    for number, original in copies.items():
        same = children[int(original.lstrip("#"))]
        assert (
            children[number].data.metrics["valid/accuracy"] == same.data.metrics["valid/accuracy"]
        )
        assert children[number].data.params["wide"] == same.data.params["wide"]
    assert contents("twins 1").keys() == contents("twins 4").keys() == set(range(8))
    for number, each in contents("twins 4").items():
        assert each["valid/accuracy"] == contents("twins 1")[number]["valid/accuracy"]


def test_what_one_sitting_could_not_log_the_next_one_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # nothing listens there
    run("two sittings", trials=2)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    run("two sittings", trials=4)
    client, parent = parent_of("two sittings")
    steps = [point.step for point in client.get_metric_history(parent.info.run_id, "time/sweep_s")]
    assert sorted(steps) == [1, 2]
    assert sorted(children_of("two sittings")) == [0, 1, 2, 3]


def test_films_of_all_of_the_best_or_of_none() -> None:
    def films(name: str) -> dict[int, bool]:
        folders = {
            n: Path(r.info.artifact_uri.removeprefix("file://"))
            for n, r in children_of(name).items()
        }
        return {n: (folder / "film.html").is_file() for n, folder in folders.items()}

    result = run("films best", filmed, trials=4, film="best")
    run("films none", filmed, trials=2, film="none")
    expected = {}
    best = 0.0
    for trial in result.trials:  # in the order in which they ended
        expected[trial.number] = trial.result.value > best
        best = max(best, trial.result.value)
    assert films("films best") == expected
    assert sum(films("films best").values()) < 4
    assert films("films none") == {0: False, 1: False}


# Stopping and going on ----------------------------------------------------------------------------


SAMPLERS = [
    "RandomSampler",
    "GridSampler({'lr': [0.1, 0.2, 0.4, 0.8]})",
    "QMCSampler",
    "BruteForceSampler",
]


def brute(trial: Any) -> Config:
    rate = trial.suggest_categorical("lr", [0.1, 0.2, 0.4, 0.8])
    return Config(
        data=DATA,
        layers=mlp([196, 12, 10]),
        update=f"sgd({rate})",
        epochs=1,
        film=None,
        recorders=["hook"],
    )


def space_of(sampler: str) -> Callable[[Any], Config]:
    return {"G": grid, "B": brute}.get(sampler[0], filmed)


@pytest.mark.parametrize(
    "sampler", quick(SAMPLERS, SAMPLERS[1:3]), ids=[s.partition("(")[0] for s in SAMPLERS]
)
def test_ctrl_c_and_again_is_the_undisturbed_sweep(sampler: str) -> None:
    name = sampler.split("(")[0]
    function = space_of(sampler)
    run(f"{name} whole", function, sampler=sampler)

    seen: list[int] = []

    def ctrl_c(trained: Any) -> None:
        seen.append(1)
        if len(seen) in (2, 4):
            signal.raise_signal(signal.SIGINT)

    hooks["record"] = ctrl_c
    for ended in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            run(f"{name} stopped", function, sampler=sampler, population=1)
        _, parent = parent_of(f"{name} stopped")
        assert parent.info.status == "KILLED"
        assert "interrupted" in parent.data.tags["mlflow.note.content"]
        assert len(children_of(f"{name} stopped")) == ended
    run(f"{name} stopped", function, sampler=sampler)
    assert parent_of(f"{name} stopped")[1].info.status == "FINISHED"
    whole = name in ("RandomSampler", "GridSampler", "QMCSampler")
    assert contents(f"{name} stopped", numbers=whole) == contents(f"{name} whole", numbers=whole)
    assert states_of(f"{name} stopped") == ["COMPLETE"] * 4


def test_ctrl_c_waits_for_a_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    log_batch = LocalClient.log_batch

    def ctrl_c(client: LocalClient, run_id: str, *rest: Any, **more: Any) -> None:
        begun.append(run_id)
        if len(begun) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        log_batch(client, run_id, *rest, **more)

    monkeypatch.setattr(LocalClient, "log_batch", ctrl_c)
    with pytest.raises(KeyboardInterrupt) as caught:
        run("transaction")
    assert not any("local_client" in str(entry.path) for entry in caught.traceback)
    assert parent_of("transaction")[1].info.status == "KILLED"
    assert 1 <= len(children_of("transaction")) < 4
    run("transaction")
    assert parent_of("transaction")[1].info.status == "FINISHED"
    assert sorted(children_of("transaction")) == [0, 1, 2, 3]


@pytest.mark.parametrize("second", [False, True])
def test_the_second_ctrl_c_counts_at_once(second: bool) -> None:
    reached = []

    def block() -> None:
        with Interrupts().held_back():
            os.kill(os.getpid(), signal.SIGINT)
            reached.append(1)
            if second:
                os.kill(os.getpid(), signal.SIGINT)
            reached.append(2)

    with pytest.raises(KeyboardInterrupt):
        block()
    assert reached == ([1] if second else [1, 2])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.slow
def test_the_last_of_many_trials_cost_what_the_first_did() -> None:
    """In processor time, in units of what a small sum takes at the same time: other tests use the
    machine as well, and slow it down for a while.
    """
    spent: list[tuple[float, float]] = []
    sums = 0.0

    def tiny(trial: Any) -> Config:
        nonlocal sums
        begun = time.process_time()
        sum(k * k for k in range(20_000))
        sums += time.process_time() - begun
        if trial.number % 100 == 0:
            spent.append((time.process_time(), sums))
        rate = trial.suggest_float("rate", 0.01, 1.0, log=True)
        return Config(
            data="mnist14(rows=200)",
            layers=mlp([196, 10]),
            update=f"sgd({rate})",
            epochs=1,
            film=None,
        )

    run("many", tiny, sampler="RandomSampler", trials=2001)
    # The space is tried once before the first trial.
    total, unit = np.diff(np.array(spent[-21:]), axis=0).T
    hundreds = (total - unit) / unit
    print("sums a hundred:", *(f"{each:.2f}" for each in hundreds))
    assert len(hundreds) == 20
    assert min(hundreds[-5:]) <= 1.5 * min(hundreds[:5])
    client, parent = parent_of("many")
    points = client.get_metric_history(parent.info.run_id, "overhead/sampler_s")
    assert points[-1].value > points[0].value > 0


# Workers and populations --------------------------------------------------------------------------


def test_a_population_gives_what_its_members_give_alone() -> None:
    run("alone", filmed, trials=6)
    run("together", filmed, trials=6, population=4)
    assert contents("together") == contents("alone")


@pytest.mark.slow
def test_a_synchronous_sweep_prunes_the_same_whatever_the_workers() -> None:
    def uneven(trial: Any) -> Config:
        # Some take ten times as long as others
        return space(trial, epochs=4, batch=(400, 10, 100)[trial.number % 3])

    options = {
        "trials": 12,
        "pruner": "SuccessiveHalvingPruner(reduction_factor=2)",
        "synchronous": True,
    }
    options["sampler"] = "TPESampler"
    run("rounds 1", uneven, **options)
    run("rounds 2", uneven, **options, workers=2)
    run("rounds together", uneven, **options, population=3)
    assert contents("rounds 2") == contents("rounds 1") == contents("rounds together")
    assert set(states_of("rounds 1")) == {"COMPLETE", "PRUNED"}
    assert states_of("rounds 2") == states_of("rounds 1")
    times = {
        n: (r.info.start_time, r.info.end_time) for n, r in children_of("rounds 1").items() if n < 8
    }
    # all of a round start before the first of it ends: a trial's time begins with its first segment
    assert max(start for start, _ in times.values()) <= min(end for _, end in times.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sampler", "more"),
    [
        ("RandomSampler", {"trials": 6}),
        ("QMCSampler", {"trials": 6}),
        ("GridSampler({'lr': [0.1, 0.2, 0.4, 0.8]})", {"trials": 4}),
        ("TPESampler(n_startup_trials=4)", {"trials": 18, "synchronous": True}),
    ],
    ids=["random", "quasi-random", "grid", "model"],
)
def test_results_depend_on_no_workers_engine_or_population(
    sampler: str, more: dict[str, Any]
) -> None:
    def digests(number: int, function: Callable[[Any], Config], **options: Any) -> Any:
        name = f"digests {sampler[0]} {number}"
        assert run(name, function, sampler=sampler, **more, **options).finished
        assert len(contents(name)) == more["trials"]
        return contents(name)

    function = grid if sampler[0] == "G" else filmed if sampler[0] == "R" else space
    alone = digests(0, function)
    ways = [(1, 4), (2, 1), (3, 1), (2, 4)]
    for number, (workers, population) in enumerate(ways, 1):
        assert digests(number, function, workers=workers, population=population) == alone, (
            workers,
            population,
        )
    assert digests(5, function, workers=2, checkpoint=0) == alone  # in segments


def test_a_trial_is_one_task_of_a_few_kilobytes() -> None:
    def small(trial: Any) -> Config:
        return space(trial, recorders=[])

    run("shipped", small, workers=2, models="none", population=1)
    _, parent = parent_of("shipped")
    said = parent.data.metrics
    assert said["ship/segments"] == 4
    sources = sum(
        Path(each).stat().st_size
        for each in {*registry.plugins(), __file__}
        if Path(each).is_file()
    )
    # There and back; the weights (10 kB) stay there
    assert 2_000 < said["ship/bytes_per_segment"] - sources < 16_000
    assert 0 < said["ship/ms_per_segment"] == pytest.approx(1000 * said["time/ship_s"] / 4)


# Scripts in processes of their own ----------------------------------------------------------------

SCRIPT = """
import os
import sys
import numpy as np
import harness
from harness import sweep

@harness.activation()
def squash(z):
    return z / (1 + np.abs(z))

BEND = os.path.join(os.path.dirname(__file__), "bend.py")

@sweep(name="script", trials=6, sampler="RandomSampler", seed=2, plugins=[BEND])
def space(trial):
    activation = trial.suggest_categorical("activation", ["squash", "bend", "tanh"])
    rate = trial.suggest_float("lr", 0.05, 1.0, log=True)
    layers = harness.mlp([196, 12, 10], activation=activation)
    rest = {"data": "mnist14(rows=2000)", "epochs": int(os.environ["EPOCHS"]), "film": "film(frames=4)"}
    return harness.Config(layers=layers, update=f"sgd({rate})", **rest)

if __name__ == "__main__":
    result = space.run(name=sys.argv[1], workers=int(sys.argv[2]))
    print(len(result.trials), result.finished)
"""

BEND = """
import harness

@harness.activation()
def bend(z, k=0.1):
    return z / (1 + k * z * z)
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command that runs a script, which registers one plugin itself and names the file of
    another.
    """
    folder = tmp_path_factory.mktemp("script")
    (folder / "bend.py").write_text(BEND)
    (folder / "script.py").write_text(SCRIPT)
    return [sys.executable, str(folder / "script.py")]


@pytest.fixture
def launch() -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts a command in a session of its own; what still runs at the end of the test is
    killed.
    """
    started: list[subprocess.Popen] = []

    def start(command: list[str]) -> subprocess.Popen:
        pipe = subprocess.PIPE
        started.append(
            subprocess.Popen(command, start_new_session=True, text=True, stdout=pipe, stderr=pipe)
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def alive(session: int) -> list[str]:
    """The processes of a session that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] not in "ZX":
                found.append(stat.with_name("cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def ended(name: str) -> int:
    folder = folder_of("sweep", name) / "spool"
    return len(list(folder.glob("[0-9]*-trial-*")))


def wait_for(condition: Callable[[], Any], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened in time"
        time.sleep(0.02)


def test_workers_give_what_one_process_gives(
    script: list[str], launch: Callable[..., subprocess.Popen], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EPOCHS", "2")
    said = {}
    for workers in (1, 2):
        process = launch([*script, f"workers {workers}", str(workers)])
        said[workers] = process.communicate(timeout=600)
        assert process.returncode == 0, said[workers][1]
        wait_for(lambda process=process: not alive(process.pid), 60)
    assert contents("workers 2") == contents("workers 1")
    assert {c["activation"] for c in contents("workers 1").values()} == {"squash", "bend", "tanh"}
    for workers in (1, 2):
        assert said[workers][0] == "6 True\n"
        lines = [line for line in said[workers][1].replace("\r", "\n").splitlines() if line.strip()]
        # The bar and nothing else; a slow disk is waited for, which is said.
        waits = [line for line in lines if line.startswith("tracking: ")]
        bar = [line for line in lines if line not in waits]
        assert all(line.startswith(f"workers {workers}:") for line in bar), lines
        assert "best accuracy" in bar[-1]
        assert len(bar) <= 4


@pytest.fixture(scope="module")
def whole_script(script: list[str], home: Path) -> Any:
    from harness.studies.sweep import defined

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EPOCHS", "60")
        registry.load_plugin(script[1])
        defined[-1].run(name="undisturbed script")
    return contents("undisturbed script")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_process_goes_on(
    how: signal.Signals,
    workers: int,
    script: list[str],
    whole_script: Any,
    launch: Callable[..., subprocess.Popen],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EPOCHS", "60")
    name = f"{how.name} {workers}"
    process = launch([*script, name, str(workers)])
    wait_for(lambda: ended(name) >= 2)
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # as a terminal does
    else:
        process.send_signal(how)
    out, err = process.communicate(timeout=600)
    wait_for(lambda: not alive(process.pid), 60)
    assert process.returncode == (-signal.SIGKILL if how == signal.SIGKILL else 130)
    assert out == ""
    assert 2 <= ended(name) < 6
    if how != signal.SIGKILL:
        assert "Traceback" not in err  # neither of the script nor of its workers
        again = shlex.join([*script, name, str(workers)])
        assert err.endswith(f"stopped; go on with: {again}\n")
        # Who stops a sweep does not wait for MLflow, which the next command tells.
        assert Spool(folder_of("sweep", name) / "spool").parent().status == "KILLED"
    again = subprocess.run(
        [*script, name, str(workers)], text=True, capture_output=True, timeout=600
    )
    assert again.stdout == "6 True\n", again.stderr
    assert parent_of(name)[1].info.status == "FINISHED"
    assert states_of(name).count("RUNNING") == 0
    assert contents(name) == whole_script


def test_a_second_driver_is_refused(
    script: list[str], launch: Callable[..., subprocess.Popen], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EPOCHS", "2000")
    process = launch([*script, "owner", "1"])
    wait_for(lambda: (folder_of("sweep", "owner") / "journal.log").exists())
    with pytest.raises(
        UsageError,
        match=rf"only one process at a time .* and process "
        rf"{process.pid} on ",
    ):
        run("owner")


def test_a_script_without_a_guard_is_told(
    script: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EPOCHS", "1")
    file = Path(script[1]).with_name("unguarded.py")
    file.write_text(SCRIPT.replace('if __name__ == "__main__":', "if True:"))
    done = subprocess.run(
        [sys.executable, str(file), "unguarded", "2"], text=True, capture_output=True, timeout=240
    )
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert (
        last == "Error: a script that starts a sweep with workers must do so below: if __name__ == "
        "'__main__':"
    )
    assert done.stderr.count("must do so below") == 1
    assert done.stderr.count("Traceback") == 0, done.stderr


# Samplers and pruners -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sampler": "TPESample"}, "unknown sampler 'TPESample'; did you mean 'TPESampler'"),
        ({"sampler": "MedianPruner"}, "unknown sampler 'MedianPruner'"),
        ({"sampler": "TPESampler(n_startup=4)"}, "n_startup"),
        ({"sampler": "TPESampler("}, "cannot read the spec"),
        ({"sampler": 3}, "a sampler must be named"),
        ({"sampler": "CmaEsSampler"}, "needs the package 'cmaes'"),
        ({"sampler": "GPSampler"}, "needs the package 'torch'"),
        (
            {"pruner": "MedianPrunner"},
            "unknown pruner 'MedianPrunner'; did you mean 'MedianPruner'",
        ),
        ({"pruner": "PercentilePruner"}, "cannot be made"),
        ({"trials": 0}, "trials must be a whole number of at least 1, got 0"),
        ({"workers": 1.5}, "workers must be a whole number"),
        ({"population": True}, "population must be a whole number"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"film": "some"}, "film must be one of 'all', 'best', 'none'"),
        ({"name": " "}, "the name of a sweep must be a line of 1 to 200 characters"),
        ({"workrs": 2}, "did you mean 'workers'"),
        ({"population": "many"}, "population must be a whole number"),
        ({"checkpoint": -1}, "checkpoint must be a number of seconds, 0 or more, got -1"),
        ({"trial_timeout": 0}, "trial_timeout must be a number of seconds, more than 0, got 0"),
        (
            {"objectives": "loss"},
            r"objectives must be a list such as \['accuracy', 'train_s'\], "
            r"got 'loss'",
        ),
        (
            {"objectives": ["accuracy", "speed"]},
            r"the config's metric \('accuracy'\), 'loss' or 'train_s', got 'speed'",
        ),
        (
            {"objectives": ["accuracy", "loss"], "pruner": "NopPruner"},
            "several objectives can have no pruner",
        ),
        ({"sampler": "GridSampler({'rate': [0.1]})"}, "activation, is not found in the given grid"),
    ],
)
def test_wrong_options_are_one_sentence(
    options: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("cmaes", "torch"):
        monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    swept = Sweep(space, "wrong options")
    with pytest.raises(UsageError, match=words) as caught:
        swept.run(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("sampler", "pruner"),
    [
        ("TPESampler(n_startup_trials=2, multivariate=True)", "MedianPruner(n_warmup_steps=1)"),
        ("NSGAIISampler(population_size=4)", "SuccessiveHalvingPruner()"),
        (
            "PartialFixedSampler({'activation': 'tanh'}, TPESampler())",
            "PatientPruner(MedianPruner(), patience=1)",
        ),
        ("QMCSampler(qmc_type='halton')", "HyperbandPruner(max_resource=2)"),
        ("RandomSampler(seed=7)", "ThresholdPruner(lower=0.0)"),
    ],
)
def test_samplers_and_pruners_by_name(sampler: str, pruner: str) -> None:
    name = f"{sampler} {pruner}".replace("'", "")
    result = run(name, sampler=sampler, pruner=pruner)
    again = run(name, sampler=sampler, pruner=pruner, trials=6)
    assert (len(result.trials), len(again.trials)) == (4, 6)
    assert len({t.result.config for t in again.trials}) == 6  # no point of the start is repeated
    assert "RUNNING" not in states_of(name)
    if "Fixed" in sampler:
        assert {t.result.params["activation"] for t in again.trials} == {"tanh"}


def test_a_quasi_random_sequence_is_whole_whoever_asks() -> None:
    from scipy.stats import qmc

    def square(trial: Any) -> Config:
        rate = trial.suggest_float("a", 0.0, 1.0)
        momentum = trial.suggest_float("b", 0.0, 1.0)
        update = f"momentum({0.01 + rate / 10}, decay={momentum / 2})"
        return Config(data=DATA, layers=mlp([196, 8, 10]), update=update, epochs=1, film=None)

    points = qmc.Sobol(2, scramble=False).random(8)
    for population in (1, 3):
        result = run(
            f"sobol {population}", square, sampler="QMCSampler", trials=8, population=population
        )
        found = {t.number: (t.result.params["a"], t.result.params["b"]) for t in result.trials}
        assert [found[k] for k in range(8)] == [tuple(point) for point in points]


def test_several_objectives() -> None:
    def sized(trial: Any) -> Config:
        units = trial.suggest_int("units", 2, 64, log=True)
        return Config(
            data=DATA, layers=mlp([196, units, 10]), update="sgd(0.5)", epochs=1, film=None
        )

    goals = ["accuracy", "train_s"]
    result = run(
        "several", sized, sampler="NSGAIISampler(population_size=4)", trials=10, objectives=goals
    )
    assert [o.direction for o in result.objectives] == ["maximize", "minimize"]
    values = {t.number: t.result.values for t in result.trials}
    frozen = study_of("several").best_trials  # Optuna's own Pareto front
    assert sorted(t.number for t in result.front) == sorted(t.number for t in frozen)
    assert result.ranked[: len(result.front)] == result.front
    for trial in result.front:
        # A trial of an equal config has equal values, which beat nobody.
        losses = result.losses(trial)
        others = [other for other in result.trials if result.losses(other) != losses]
        assert not result.beaten(trial, others)
    for trial in result.ranked[len(result.front) :]:
        assert result.beaten(trial, result.front)
    assert result.best.result.values[0] == max(v[0] for v in values.values())
    for number, child in children_of("several").items():
        assert values[number] == [
            child.data.metrics["valid/accuracy"],
            child.data.metrics["time/train_s"],
        ]
    _, parent = parent_of("several")
    assert parent.data.params["objectives"] == "accuracy, train_s"
    assert re.search(r"\| accuracy\W\S* \| train\\_s", parent.data.tags["mlflow.note.content"])
    assert result.table().splitlines()[0].split()[:3] == ["trial", "accuracy", "train_s"]
    with pytest.raises(
        UsageError,
        match="was started with the objectives 'accuracy, train_s', now it is 'accuracy'",
    ):
        run("several", sized, trials=11)


@pytest.mark.parametrize("population", [1, 3])
@pytest.mark.parametrize(
    "sampler",
    ["GridSampler({'lr': [0.1, 0.2, 0.4, 0.8]})", "BruteForceSampler"],
    ids=["grid", "brute"],
)
def test_an_exhausted_space_ends_the_sweep(sampler: str, population: int) -> None:
    name = f"exhausted {sampler[0]} {population}"
    for _ in range(2):
        result = run(name, space_of(sampler), sampler=sampler, trials=10, population=population)
        assert sorted(t.result.params["lr"] for t in result.trials) == [0.1, 0.2, 0.4, 0.8]
        assert result.finished
        assert parent_of(name)[1].info.status == "FINISHED"


def test_a_pruned_trial_is_the_beginning_of_itself() -> None:
    def steady(trial: Any) -> Config:
        return space(trial, epochs=4)

    run("undisturbed", steady, trials=10)
    result = run("pruned", steady, trials=10, pruner="MedianPruner(n_startup_trials=2)")
    client, _ = parent_of("pruned")
    whole = children_of("undisturbed")
    cut = children_of("pruned")
    pruned = [n for n, r in cut.items() if r.data.tags["harness.state"] == "PRUNED"]
    assert pruned
    assert [t.number for t in result.trials if t.result.state == "PRUNED"] == sorted(pruned)
    assert {s for n, s in enumerate(states_of("pruned")) if n in pruned} == {"PRUNED"}
    for number, run_ in cut.items():
        assert run_.info.status == "FINISHED"
        for key in ("train/loss", "valid/accuracy"):
            short, long = (
                [m.value for m in client.get_metric_history(r[number].info.run_id, key)]
                for r in (cut, whole)
            )
            assert short == long[: len(short)]
            assert len(short) == len(long) or number in pruned
            assert 0 < len(short) < 4 or number not in pruned
            assert run_.data.tags.get("harness.pruned_epoch") == (
                str(len(short)) if number in pruned else None
            )
        if number not in pruned:
            assert content(run_) == content(whole[number])


def test_segments_change_nothing() -> None:
    run("one segment", filmed, trials=3)
    run("segments", filmed, trials=3, pruner="ThresholdPruner(lower=0.0)")
    run("segments together", filmed, trials=3, pruner="ThresholdPruner(lower=0.0)", population=3)
    assert contents("segments") == contents("one segment") == contents("segments together")


def test_choices_may_be_sizes_and_specs() -> None:
    def choices(trial: Any) -> Config:
        sizes = trial.suggest_categorical("sizes", [[196, 10], [196, 8, 10]])
        update = trial.suggest_categorical(
            "update", [{"name": "sgd", "learning_rate": 0.5}, {"name": "adam"}]
        )
        return Config(data=DATA, layers=mlp(sizes), update=update, epochs=1, film=None)

    run("choices", choices, trials=4)
    result = run("choices", choices, trials=8)
    names = {t.name.partition(" ")[2] for t in result.trials}
    assert names <= {
        f"sizes={s} update={u}"
        for s in ("196, 10", "196, 8, 10")
        for u in ("adam", "sgd(learning_rate=0.5)")
    }
    assert len(names) == len({t.result.config for t in result.trials}) > 2


# Failures -----------------------------------------------------------------------------------------


def test_a_trial_that_diverges_fails_and_the_sweep_goes_on() -> None:
    def wild(trial: Any) -> Config:
        rate = trial.suggest_categorical("lr", [0.2, 1e6])
        return Config(
            data=DATA,
            layers=mlp([196, 12, 10]),
            update=f"sgd({rate})",
            loss="squared_error",
            epochs=2,
            film=None,
        )

    result = run("wild", wild, trials=4, sampler="TPESampler")
    states = {t.number: t.result.state for t in result.trials}
    assert set(states.values()) == {"COMPLETE", "DIVERGED"}
    assert result.best is not None
    assert result.best.result.params["lr"] == 0.2
    assert len(result.ranked) == list(states.values()).count("COMPLETE")
    for number, child in children_of("wild").items():
        assert child.info.status == {"COMPLETE": "FINISHED", "DIVERGED": "FAILED"}[states[number]]
        if states[number] == "DIVERGED":
            assert int(child.data.tags["harness.bad_step"]) >= 1
            assert "diverged" in child.data.tags["harness.reason"]
            assert "diverged" in child.data.tags["mlflow.note.content"]
            assert states_of("wild")[number] == "FAIL"


def test_a_network_at_chance_says_so() -> None:
    def dead(trial: Any) -> Config:
        return Config(
            data=DATA,
            layers=mlp([196, 12, 10], init="zeros"),  # whose answer is the same for every row
            update=f"sgd({trial.suggest_float('lr', 1e-7, 1e-6)})",
            film=None,
        )

    run("dead", dead, trials=1)
    (child,) = children_of("dead").values()
    assert child.info.status == "FINISHED"
    assert child.data.tags["harness.note"] == "did not learn"


@pytest.mark.parametrize("population", [1, 4])
def test_a_plugin_that_fails_fails_its_trial_alone(
    population: int, capfd: pytest.CaptureFixture[str]
) -> None:
    def fragile(trial: Any) -> Config:
        when = trial.suggest_float("when", 0.0, 0.7)
        layers = [
            {"name": "dense", "units": 8},
            {"name": "breaks", "when": when},
            {"name": "dense", "units": 10},
        ]
        return Config(data=DATA, layers=layers, epochs=1, film=None)

    name = f"fragile {population}"
    result = run(name, fragile, trials=8, population=population, seed=1)
    children = children_of(name)
    broken = {t.number for t in result.trials if t.result.params["when"] >= 0.5}
    assert 0 < len(broken) < 8
    for number, child in children.items():
        assert child.info.status == ("FAILED" if number in broken else "FINISHED")
        file = Path(child.info.artifact_uri.removeprefix("file://")) / "traceback.txt"
        assert file.is_file() == (number in broken)
        if number in broken:
            assert "this activation is broken" in child.data.tags["harness.reason"]
            assert f'File "{__file__}", line' in file.read_text()
    assert "this activation is broken" in capfd.readouterr().err


def test_three_equal_failures_in_a_row_stop_the_sweep() -> None:
    def broken(trial: Any) -> Config:
        trial.suggest_float("lr", 0.1, 1.0)
        return Config(
            data=DATA, layers=mlp([196, 8, 10], activation="breaks"), seed=trial.number, film=None
        )

    with pytest.raises(
        UsageError,
        match=r"3 trials in a row failed alike.*this activation is "
        r"broken",
    ):
        run("broken", broken, trials=10, population=1)
    assert [r.info.status for r in children_of("broken").values()] == ["FAILED"] * 3
    assert parent_of("broken")[1].info.status == "KILLED"
    assert "RUNNING" not in states_of("broken")


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda trial: 1 / 0, r"ZeroDivisionError: division by zero \(file .*test_sweep.py, line"),
        (lambda trial: None, "must return a Config, got NoneType"),
        (lambda trial: Config(layers=mlp([196, 10]), valid=0), "needs a validation part"),
        (lambda trial: Config(layers=mlp([196, 8, 10], activation="rellu")), "did you mean 'relu'"),
    ],
)
def test_a_wrong_space_is_told_before_anything_is_written(
    function: Callable[[Any], Any], words: str, home: Path
) -> None:
    with pytest.raises(UsageError, match=words):
        run("wrong space", function)
    assert not folder_of("sweep", "wrong space").exists()


def test_a_space_that_raises_later_closes_the_books() -> None:
    run("alone later", space)

    def later(trial: Any) -> Config:
        config = space(trial)
        if trial.number == 2:
            raise ValueError("not this one")
        return config

    with pytest.raises(UsageError, match="ValueError: not this one"):
        run("later", later, population=1)
    assert parent_of("later")[1].info.status == "KILLED"
    assert "not this one" in parent_of("later")[1].data.tags["mlflow.note.content"]
    # The next start takes it up again
    assert states_of("later") == ["COMPLETE", "COMPLETE", "RUNNING"]
    result = run("later", space)
    assert [t.number for t in result.trials] == [0, 1, 2, 3]
    assert contents("later") == contents("alone later")


def test_a_config_that_does_not_fit_is_told_at_the_first_trial() -> None:
    def batches(low: int, high: int) -> Callable[[Any], Config]:
        return lambda trial: space(
            trial, batch=trial.suggest_int("batch", low, high), drop_last=True
        )

    with pytest.raises(UsageError, match="with drop_last batch must not exceed the training part"):
        run("misfit", batches(5000, 6000))
    assert parent_of("misfit")[1].info.status == "KILLED"
    assert children_of("misfit") == {}
    again = run("misfit", batches(50, 60))  # nothing is left of the wrong one
    assert [t.number for t in again.trials] == [0, 1, 2, 3]
    assert all(50 <= t.result.params["batch"] <= 60 for t in again.trials)


@pytest.mark.parametrize("workers", [1, 2])
def test_of_workers_too_only_a_first_trial_that_does_not_fit_stops_the_sweep(workers: int) -> None:
    def second(trial: Any) -> Config:
        batch = 5000 if trial.number == 1 else 100
        epochs = 40 if trial.number == 0 else 1
        return space(trial, batch=batch, drop_last=True, epochs=epochs, recorders=[])

    result = run(f"second {workers}", second, workers=workers)
    assert {t.number: t.result.state for t in result.trials} == {
        0: "COMPLETE", 1: "FAILED", 2: "COMPLETE", 3: "COMPLETE",
    }  # fmt: skip


def test_another_metric_needs_another_name() -> None:
    run("metric", trials=1)
    with pytest.raises(
        UsageError, match="was started with the metric 'accuracy', now it is 'macro_f1'"
    ):
        run("metric", lambda trial: space(trial, metric="macro_f1"))


# The files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("torn", [b'{"op_code": 4, "worker', b'{"op_code"'])
def test_a_torn_journal_is_repaired(torn: bytes) -> None:
    name = f"torn {len(torn)}"
    run(name, trials=2)
    journal = folder_of("sweep", name) / "journal.log"
    with open(journal, "ab") as file:
        file.write(torn)
    assert [t.number for t in run(name, trials=4).trials] == [0, 1, 2, 3]
    assert all(json.loads(line) for line in journal.read_bytes().splitlines())
    assert len(study_of(name).trials) == 4  # Optuna reads it


def test_a_journal_damaged_in_the_middle_is_told_and_kept() -> None:
    run("damaged journal", trials=2)
    journal = folder_of("sweep", "damaged journal") / "journal.log"
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[3] = b"{" + lines[3][2:]
    journal.write_bytes(b"".join(lines))
    with pytest.raises(UsageError, match=rf"line 4 of {len(lines)} is damaged"):
        run("damaged journal", trials=3)
    assert journal.read_bytes() == b"".join(lines)


def test_an_artifact_that_would_leave_its_folder_fails_its_trial_alone() -> None:
    @registry.recorder()
    def escapes(when: int = 1) -> Callable[[Any], Report]:
        return lambda trained: Report({}, {"../out.txt" if when else "in.txt": b"x"})

    def some(trial: Any) -> Config:
        return space(trial, recorders=[{"name": "escapes", "when": trial.number % 2}])

    result = run("escapes", some)
    assert [t.result.state for t in result.trials] == ["COMPLETE", "FAILED"] * 2
    assert "'../out.txt'" in result.trials[1].result.reason


def test_a_lost_journal_is_told() -> None:
    run("lost", trials=2)
    (folder_of("sweep", "lost") / "journal.log").unlink()
    with pytest.raises(UsageError, match="trial #1 is missing; start under another name"):
        run("lost", trials=3)
    assert parent_of("lost")[1].info.status == "FINISHED"  # as it was: nothing has been started


def test_the_seed_of_the_sweep_is_that_of_its_trials() -> None:
    def seeds(trial: Any) -> Config:
        chosen = (
            trial.suggest_int("seed", 0, 1)
            if trial.suggest_categorical("own", [True, False])
            else 0
        )
        return Config(data=DATA, layers=mlp([196, 10]), seed=chosen, epochs=1, film=None)

    result = run("seeds", seeds, trials=8, seed=3)
    runs = children_of("seeds")
    for t in result.trials:
        wanted = t.result.params.get("seed", 3)
        assert runs[t.number].data.params["config.seed"] == str(wanted)
    assert {t.result.params.get("seed") for t in result.trials} == {None, 0, 1}
    assert len({t.result.config for t in result.trials}) == 3


def test_a_sweep_that_goes_on_reads_each_record_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.storage import spool as spools

    swept = Sweep(space, name="read once", trials=3, sampler="RandomSampler", models="none")
    swept.run()
    read: list[str] = []

    def counting(folder: Path) -> Any:
        read.append(folder.name)
        return read_record(folder)

    read_record = spools.read_record
    monkeypatch.setattr(spools, "read_record", counting)
    swept.run(trials=4)
    trials = [name for name in read if "-trial-" in name]
    # The writer, which these tests have in this process, reads the new one.
    assert len(trials) == 4
    assert len(set(trials)) == 4
