"""A Dask cluster that somebody has started by hand: the same results, and one sentence for what is
wrong with it.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import harness
from harness import registry
from harness.builtin.layers import mlp
from harness.config import Config
from harness.errors import UsageError
from harness.studies.compare import compare
from harness.studies.sweep import Sweep
from harness.trials.identity import data_digest
from harness.trials.job import Job, Trial
from harness.trials.outcome import Outcome
from harness.trials.work import work
from harness.workers.dask import Dask
from harness.workers.pool import engine

DASK = [sys.executable, "-m", "dask"]
LOOPBACK = {"127.0.0.1", "::1"}

SCRIPT = """
import os
import harness
from harness import sweep
from neighbour import RATES

@harness.activation()
def squash(z):
    return z / (1 + abs(z))

BEND = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bend.py")

@sweep(name="by hand", trials=6, sampler="RandomSampler", seed=2, plugins=[BEND], checkpoint=0)
def space(trial):
    activation = trial.suggest_categorical("activation", ["squash", "bend", "tanh"])
    rate = trial.suggest_float("lr", *RATES, log=True)
    layers = harness.mlp([196, 12, 10], activation=activation)
    rest = {"data": "mnist14(rows=2000)", "epochs": int(os.environ["EPOCHS"]), "film": None}
    return harness.Config(layers=layers, update=f"sgd({rate})", **rest)
"""

BEND = """
import harness

@harness.activation()
def bend(z, k=0.1):
    return z / (1 + k * z * z)
"""


class Cluster:
    """A scheduler and workers, each in a session of its own, in a folder where nothing else is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started = list[subprocess.Popen]()
        self.log = folder / "log"
        self.address = self.schedule(0)

    def start(self, *command: str, **environment: str) -> subprocess.Popen:
        said = {**os.environ, "DASK_TEMPORARY_DIRECTORY": str(self.folder), **environment}
        with self.log.open("a") as log:
            made = subprocess.Popen(
                [*DASK, *command],
                cwd=self.folder,
                env=said,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.started.append(made)
        return made

    def schedule(self, port: int) -> str:
        file = self.folder / "scheduler.json"
        file.unlink(missing_ok=True)
        self.scheduler = self.start(
            *(
                "scheduler",
                "--host",
                "127.0.0.1",
                "--port",
                str(port),
                "--scheduler-file",
                str(file),
            ),
            *("--dashboard-address", "127.0.0.1:0"),
        )
        wait_for(lambda: file.exists() and file.read_text().endswith("}"), self)
        return json.loads(file.read_text())["address"]

    def work(self, *options: str, **environment: str) -> subprocess.Popen:
        given = options if "--nthreads" in options else (*options, "--nthreads", "1")
        return self.start(
            "worker", self.address, "--dashboard-address", "127.0.0.1:0", *given, **environment
        )

    def kill(self, process: subprocess.Popen) -> None:
        """With all that it has started, as when a machine is switched off."""
        if process in self.started:
            self.started.remove(process)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(
    condition: Callable[[], Any], cluster: Cluster, driver: subprocess.Popen | None = None
) -> None:
    deadline = time.monotonic() + 200
    while not condition():
        assert time.monotonic() < deadline, cluster.log.read_text()[-4000:]
        assert driver is None or driver.poll() is None, driver.communicate()[1]
        time.sleep(0.05)


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    yield made
    for process in list(made.started):
        made.kill(process)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a sweep's script is, and the file of a plugin, and a module that the script imports."""
    from stores import prepare  # here, because workers load this file and have no such module

    folder = tmp_path_factory.mktemp("home")
    (folder / "script.py").write_text(SCRIPT)
    (folder / "bend.py").write_text(BEND)
    (folder / "neighbour.py").write_text("RATES = 0.05, 1.0\n")
    prepare(folder)
    return folder


def config(seed: int = 0, **more: Any) -> Config:
    return Config(
        **{
            "data": "mnist14(rows=2000)",
            "layers": mlp([196, 12, 10]),
            "epochs": 2,
            "film": None,
            "seed": seed,
            **more,
        }
    )


def job(number: int, each: Config, **more: Any) -> Job:
    return Job([Trial(number, each)], digest=data_digest(each), **more)


def bits(outcome: Outcome) -> bytes:
    assert outcome.state is not None, outcome.refused or outcome.error
    return outcome.state["theta"].tobytes()


# A whole sweep ------------------------------------------------------------------------------------


def launch(home: Path, name: str, *options: str, epochs: int = 2) -> subprocess.Popen:
    command = [
        str(Path(sys.executable).parent / "harness"),
        "sweep",
        "script.py",
        "--name",
        name,
        *options,
    ]
    environment = {**os.environ, "HARNESS_ROOT": str(home), "EPOCHS": str(epochs)}
    pipe = subprocess.PIPE
    made = subprocess.Popen(command, cwd=home, env=environment, text=True, stdout=pipe, stderr=pipe)
    drivers.append(made)
    return made


drivers: list[subprocess.Popen] = []


@pytest.fixture(scope="module", autouse=True)
def no_driver_is_left() -> Iterator[None]:
    yield
    for driver in drivers:
        driver.kill()
        driver.communicate()


def undisturbed(home: Path, name: str, epochs: int = 2) -> Any:
    """The contents of a sweep in one process."""
    if not ended(home, name):
        out, err = launch(home, name, epochs=epochs).communicate(timeout=600)
        assert out.startswith(f"{name}: 6 trials (6 complete)"), err
    return contents(home, name)


def every_line(err: str) -> list[str]:
    """What a driver said, without the bar."""
    said = [line.strip() for line in err.replace("\r", "\n").splitlines()]
    return [line for line in said if line and not re.match(r"[\w ]+:\s+\d+%\|", line)]


def lines(text: str) -> list[str]:
    """What is said beside how the sweep stands, and beside what was waited for.

    On a machine that is busy the writer has MLflow imported when all trials have ended, or seconds
    later, and then the driver says that it waits.
    """
    aside = re.compile(r".+: \d+/\d+ trials|tracking: .*(still to be written|spent on waiting)")
    return [line for line in every_line(text) if not aside.match(line)]


def contents(home: Path, name: str) -> dict[int, Any]:
    """What must not depend on the engine: params, metrics but the clocks, and artifacts of all
    trials, each once.
    """
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{home}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("harness").experiment_id
    (parent,) = client.search_runs(
        [experiment], f"tags.\"harness.kind\" = 'sweep' and attributes.run_name = '{name}'"
    )
    assert parent.info.status == "FINISHED"
    children = client.search_runs(
        [experiment], f"tags.\"mlflow.parentRunId\" = '{parent.info.run_id}'"
    )
    found = {}
    for run in children:
        folder = Path(run.info.artifact_uri.removeprefix("file://"))
        # A trial has this file where it differs from that of the sweep, which is that of the trial
        # that has ended first; which one that is depends on the workers.
        said: dict[str, Any] = {
            p.name: p.read_bytes()
            for p in sorted(folder.rglob("*"))
            if p.is_file() and p.name != "environment.json"
        }
        said |= run.data.params
        said |= {k: v for k, v in run.data.metrics.items() if not k.startswith("time/")}
        found[int(run.data.tags["harness.number"])] = said | {
            "status": run.info.status,
            "name": run.info.run_name,
        }
    assert len(children) == len(found) == 6
    return found


def ended(home: Path, name: str) -> int:
    from harness.studies.books import folder_of

    return len(list((folder_of("sweep", name, home) / "spool").glob("[0-9]*-trial-*")))


def test_a_cluster_gives_what_one_process_gives(cluster: Cluster, home: Path) -> None:
    driver = launch(home, "cluster", "--scheduler", cluster.address)
    for _ in range(2):
        cluster.work()
    out, err = driver.communicate(timeout=600)
    assert driver.returncode == 0, err
    assert out.startswith("cluster: 6 trials (6 complete)")
    said = lines(err)
    # whether the first worker was there before the driver is a matter of chance
    assert said in (
        [],
        [f"the Dask scheduler at {cluster.address} has no workers; the work waits for one"],
    )
    # Told one by one, since pytest cuts off what it says of large dicts.
    there = contents(home, "cluster")
    here = undisturbed(home, "inline")
    differing = [
        (number, key, there[number].get(key), here[number].get(key))
        for number in sorted(here)
        for key in sorted({*here[number], *there[number]})
        if here[number].get(key) != there[number].get(key)
    ]
    assert [(number, key) for number, key, *_ in differing] == []
    assert not differing
    assert {each["activation"] for each in contents(home, "inline").values()} == {
        "squash",
        "bend",
        "tanh",
    }


SLOW = """
import time
import numpy as np
import harness

@harness.metric(task="classification", direction="maximize")
def slow():
    def measure(predictions, y):
        time.sleep(0.6)
        return float(np.mean(predictions.argmax(axis=-1) == y))
    return measure

@harness.sweep(name="slow", trials=1, sampler="RandomSampler")
def space(trial):
    rest = {"data": "mnist14(rows=500)", "epochs": 8, "film": None, "metric": "slow"}
    return harness.Config(layers=harness.mlp([196, 8, 10]), **rest)
"""


@pytest.mark.slow
def test_a_trial_on_a_cluster_is_shown_while_it_trains(cluster: Cluster, home: Path) -> None:
    from harness.storage.live import LiveTrials
    from harness.studies.books import folder_of

    (home / "slow_script.py").write_text(SLOW)
    cluster.work()
    command = [str(Path(sys.executable).parent / "harness"), "sweep", "slow_script.py"]
    driver = subprocess.Popen(
        [*command, "--scheduler", cluster.address],
        cwd=home,
        env={**os.environ, "HARNESS_ROOT": str(home)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    drivers.append(driver)
    live = LiveTrials(folder_of("sweep", "slow", home) / "live")
    seen: set[int] = set()
    while driver.poll() is None:
        if course := live.course(0):
            seen.add(max((point.step for point in course.points), default=0))
        time.sleep(0.05)
    assert driver.returncode == 0, driver.communicate()[1]
    assert len(seen - {0}) >= 2
    assert max(seen) < 8


@pytest.mark.slow
def test_a_comparison_on_a_cluster_is_that_of_one_process(cluster: Cluster, root: Path) -> None:
    arms = {"relu": config(), "tanh": config(layers=mlp([196, 12, 10], activation="tanh"))}
    alone = compare("alone", arms, seeds=3)
    cluster.work()
    assert compare("cluster", arms, seeds=3, scheduler=cluster.address).values == alone.values
    assert None not in alone.values["tanh"]
    with pytest.raises(UsageError, match=r"no Dask scheduler answers at 'tcp://127\.0\.0\.1:1'"):
        compare("nobody", arms, scheduler="tcp://127.0.0.1:1")
    with pytest.raises(UsageError, match="none is called 'nobody'"):
        harness.results("nobody")


@pytest.mark.slow
def test_workers_come_and_go(cluster: Cluster, home: Path) -> None:
    driver = launch(home, "come and go", "--scheduler", cluster.address, epochs=150)
    for _ in range(3):
        before = ended(home, "come and go")
        worker = cluster.work()
        wait_for(lambda before=before: ended(home, "come and go") > before, cluster, driver)
        cluster.kill(worker)  # whatever it is doing now
    leaver = cluster.work()
    wait_for(lambda: ended(home, "come and go") > 3, cluster, driver)
    leaver.terminate()  # as Slurm tells a job that its time is up
    cluster.work()
    out, err = driver.communicate(timeout=600)
    assert driver.returncode == 0, err
    assert out.startswith("come and go: 6 trials (6 complete)")
    # said where the driver looks while there is none, which it may just miss
    assert set(lines(err)) <= {
        f"the Dask scheduler at {cluster.address} has no workers; the work waits for one"
    }
    assert contents(home, "come and go") == undisturbed(home, "calm", 150)


@pytest.mark.slow
@pytest.mark.parametrize("who", ["scheduler", "driver"])
def test_a_sweep_goes_on_after_the_death_of(who: str, cluster: Cluster, home: Path) -> None:
    for _ in range(2):
        cluster.work()
    driver = launch(home, who, "--scheduler", cluster.address, epochs=150)
    wait_for(lambda: ended(home, who) >= 2, cluster, driver)
    if who == "scheduler":
        cluster.kill(cluster.scheduler)
        _, err = driver.communicate(timeout=600)
        assert driver.returncode == 2, err
        assert lines(err)[-1] == (
            f"Error: the Dask scheduler at {cluster.address} must stay until the work is done, but "
            f"it is gone; start "
            "it again, then the same command goes on"
        )
        assert len(lines(err)) <= 2  # one that no worker is there yet
        cluster.schedule(int(cluster.address.rpartition(":")[2]))
        cluster.work()
    else:
        driver.kill()
        driver.communicate()
    assert ended(home, who) < 6
    again = launch(home, who, "--scheduler", cluster.address, epochs=150)
    _, err = again.communicate(timeout=600)
    assert again.returncode == 0, err
    assert contents(home, who) == undisturbed(home, "calm", 150)


@pytest.mark.slow
def test_the_slurm_script_of_the_docs_runs(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "clusters.md").read_text()
    (script,) = re.findall(r"```bash\n(#!/bin/bash\n.*?)```", page, re.DOTALL)
    (sweep,) = re.findall(r"```python\n# digits_sweep\.py\n(.*?)```", page, re.DOTALL)
    (tmp_path / "job.sh").write_text(script)
    (tmp_path / "digits_sweep.py").write_text(sweep)
    (tmp_path / "srun").write_text('#!/bin/sh\n"$@" &\n"$@" &\nwait\n')  # two tasks
    (tmp_path / "srun").chmod(0o755)
    certify = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=dask",
    ]
    subprocess.run(
        [*certify, "-keyout", "dask.key", "-out", "dask.crt"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    pair = {"cert": str(tmp_path / "dask.crt"), "key": str(tmp_path / "dask.key")}
    tls = {"ca-file": pair["cert"], "client": pair, "scheduler": pair, "worker": pair}
    # JSON is YAML
    (tmp_path / "tls.yaml").write_text(json.dumps({"distributed": {"comm": {"tls": tls}}}))
    said = {
        "PATH": f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SLURM_JOB_ID": "7",
    }
    said |= {"HARNESS_ROOT": str(tmp_path), "DASK_CONFIG": str(tmp_path / "tls.yaml")}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        ["bash", "job.sh"], cwd=tmp_path, env={**os.environ, **said}, start_new_session=True, text=True, stdout=pipe,
        stderr=pipe,
    ) as job:  # fmt: skip
        try:
            out, err = job.communicate(timeout=600)
        finally:
            os.killpg(job.pid, signal.SIGKILL)  # as Slurm does when the script has ended
    logs = "".join(file.read_text() for file in tmp_path.glob("*.log"))
    assert out.startswith("digits: 6 trials (6 complete)"), err + logs
    assert job.returncode == 0
    assert logs.count("Registered to:      tls://") == 2


# What workers have --------------------------------------------------------------------------------

# Reports what a process has, and whether two jobs are in it at the same time
WITNESS = """
import json, os, threading, time
import harness
from harness.recorders import Report

inside = threading.Lock()

@harness.activation()
def bent{n}(z, k={k}):
    return z / (1 + k * abs(z))

@harness.recorder()
def witness{n}():
    def record(trained):
        from threadpoolctl import threadpool_info
        alone = inside.acquire(blocking=False)
        time.sleep(0.3)  # which another one would fill
        if alone:
            inside.release()
        said = {{
            "pid": os.getpid(), "alone": alone, "file": __file__,
            "threads": [p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"],
        }}
        return Report({{}}, {{"witness.json": json.dumps(said).encode()}})
    return record
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Writes and loads a plugin file; forgotten at the end."""
    files = []

    def write(text: str, name: str = "witness.py") -> str:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        files.append(str(tmp_path / name))
        registry.load_plugin(files[-1])
        return files[-1]

    yield write
    for file in files:
        registry.unload_plugin(file)


def test_a_plugin_file_travels_and_one_job_at_a_time_is_in_a_process(
    cluster: Cluster, plugin: Callable[..., str], capfd: pytest.CaptureFixture[str]
) -> None:
    file = plugin(WITNESS.format(n="", k=0.3))
    configs = [
        config(seed, layers=mlp([196, 12, 10], activation="bent"), recorders=["witness"])
        for seed in range(6)
    ]
    alone = [work(job(number, each))[0] for number, each in enumerate(configs)]
    with engine(1, cluster.address) as pool:
        assert isinstance(pool, Dask)
        for number, each in enumerate(configs):
            pool.submit(job(number, each, plugins=[file]))
        Path(file).unlink()  # no worker has seen it
        # without a nanny, which would set OMP_NUM_THREADS: BLAS starts with four threads
        cluster.work("--nthreads", "4", "--no-nanny", OMP_NUM_THREADS="4", OPENBLAS_NUM_THREADS="4")
        outcomes = sorted((pool.next()[0] for _ in configs), key=lambda o: o.number)
        # What has joined is counted when it looks the next time
        wait_for(lambda: pool.workers == 1, cluster)
    assert [bits(outcome) for outcome in outcomes] == [bits(outcome) for outcome in alone]
    said = [json.loads(outcome.artifacts["witness.json"]) for outcome in outcomes]
    assert len({each["pid"] for each in said}) == 1
    assert all(each["alone"] and set(each["threads"]) == {1} for each in said)
    (copy,) = {each["file"] for each in said}
    assert copy != file
    assert Path(copy).name == "witness.py"
    err = capfd.readouterr().err.splitlines()
    assert (
        err[0] == f"the Dask scheduler at {cluster.address} has no workers; the work waits for one"
    )
    assert "a Dask worker has 4 threads, of which one trains" in err[1]
    assert len(err) == 2


@pytest.mark.slow
def test_a_worker_serves_one_sweep_after_another(
    cluster: Cluster, plugin: Callable[..., str]
) -> None:
    cluster.work()
    seen = []
    # The same name elsewhere, then another text
    for name, k in (("a/p.py", 0.3), ("b/p.py", 3.0), ("a/p.py", 0.03)):
        file = plugin(WITNESS.format(n="_served", k=k), name)
        each = config(layers=mlp([196, 12, 10], activation="bent_served"))
        with engine(1, cluster.address) as pool:
            pool.submit(job(0, each, plugins=[file]))
            (outcome,) = pool.next()
        assert bits(outcome) == bits(work(job(0, each))[0])
        seen.append(bits(outcome))
        registry.unload_plugin(file)
    assert len(set(seen)) == 3


def lacking(cluster: Cluster, each: Config, **more: Any) -> str:
    """What is said where a worker lacks something, but for where it is."""
    with engine(1, cluster.address) as pool:
        for number in range(3):
            pool.submit(job(number, each, **more))
        with pytest.raises(UsageError) as error:
            pool.next()
    said = re.fullmatch(r"the Dask worker (tcp://127\.0\.0\.1:\d+) on \S+ (.*)", str(error.value))
    assert said, str(error.value)
    return said[2]


@pytest.mark.slow
def test_a_worker_with_a_changed_module_is_told(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "bending_module.py"
    each = {"layers": mlp([196, 12, 10])}
    module.write_text(BEND.replace("bend(", "bend_of_module("))
    registry.load_plugin("bending_module")
    each = config(layers=mlp([196, 12, 10], activation="bend_of_module"))
    worker = cluster.work()
    assert (
        "cannot load the plugin bending_module: a plugin must be a .py file or a module"
        in lacking(cluster, each, plugins=["bending_module"])
    )
    cluster.kill(worker)
    worker = cluster.work(PYTHONPATH=str(tmp_path))
    with engine(1, cluster.address) as pool:
        pool.submit(job(0, each, plugins=["bending_module"]))
        assert bits(pool.next()[0]) == bits(work(job(0, each))[0])
    cluster.kill(worker)
    module.write_text(module.read_text().replace("0.1", "0.2"))
    cluster.work(PYTHONPATH=str(tmp_path))
    assert lacking(cluster, each, plugins=["bending_module"]) == (
        "must have the plugin bending_module as the driver has it; copy it there and start the "
        "worker anew"
    )


def test_a_worker_without_the_data_is_told(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(200, 4)).astype("float32")
    y = np.arange(200) % 2
    monkeypatch.chdir(tmp_path)
    np.savez("points.npz", x=x, y=y)
    each = config(data="points.npz", layers=mlp([4, 2]), batch=20)
    cluster.work()
    said = lacking(cluster, each)
    assert said.startswith(
        f"must have the data that the driver has, but in {cluster.folder} it cannot load "
        f"'points.npz': "
    )
    np.savez(cluster.folder / "points.npz", x=x + 1, y=y)
    said = lacking(cluster, each)
    assert re.fullmatch(
        r"must have the data that the driver has, but 'points\.npz' has digest \w{12} there and "
        rf"{data_digest(each)[:12]} at the driver; copy it there",
        said,
    ), said
    np.savez(cluster.folder / "points.npz", x=x, y=y)
    with engine(1, cluster.address) as pool:
        pool.submit(job(0, each))
        assert bits(pool.next()[0]) == bits(work(job(0, each))[0])


def copied(folder: Path, change: Callable[[str], str]) -> str:
    """A folder for PYTHONPATH that holds another harness."""
    shutil.copytree(Path(harness.__file__).parent, folder / "harness")
    init = folder / "harness" / "__init__.py"
    init.write_text(change(init.read_text()))
    return str(folder)


def test_a_worker_with_another_harness_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    path = copied(tmp_path, lambda text: text.replace(f'"{harness.__version__}"', '"0.0.9"'))
    cluster.work(PYTHONPATH=path)
    said = lacking(cluster, config())
    said = re.sub(r"\(\w{8}\)", "(DIGEST)", said)
    assert said == (
        f"must have harness {harness.__version__} (DIGEST) as the driver has, but has 0.0.9 "
        f"(DIGEST); start it anew "
        "with that"
    )


def test_a_worker_that_cannot_import_harness_is_one_sentence(
    cluster: Cluster, tmp_path: Path
) -> None:
    cluster.work(
        PYTHONPATH=copied(tmp_path, lambda text: f"raise ImportError('no NumPy here')\n{text}")
    )
    with engine(1, cluster.address) as pool:
        for number in range(3):
            pool.submit(job(number, config(number)))
        with pytest.raises(UsageError) as error:
            pool.next()
    said = re.sub(
        r"tcp://127\.0\.0\.1:\d+", "WORKER", re.sub(r"\(\w{8}\)", "(DIGEST)", str(error.value))
    )
    assert said == (
        f"each Dask worker must have harness {harness.__version__} (DIGEST), but WORKER cannot "
        f"import it: ImportError: "
        "no NumPy here; install it there and start that worker again"
    )


# Local workers ------------------------------------------------------------------------------------


@pytest.fixture
def dying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """While this file is there, workers end at once, or the template that is to be copied."""
    (tmp_path / "sitecustomize.py").write_text(f"""
import os, re, sys
if os.path.exists({str(tmp_path / "now")!r}) and re.search("forkserver|-fork", str(sys.orig_argv)):
    print("this environment is broken", file=sys.stderr, flush=True)
    os._exit(3)
""")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path / "now"


def broken_in(capfd: pytest.CaptureFixture[str]) -> int:
    """How many processes have said why they end; all else that is said is that no template is."""
    lines = Counter(capfd.readouterr().err.splitlines())
    count = lines.pop("this environment is broken", 0)
    assert all(line.startswith("workers: there is no process") for line in lines)
    assert lines.total() <= 1
    return count


def test_local_workers_that_cannot_start_are_one_sentence(
    dying: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    dying.touch()
    with (
        pytest.raises(
            UsageError, match="2 workers must start, but one of these processes ended at once"
        ),
        engine(2),
    ):
        pass
    # A template is tried first and twice for each worker, which then starts by itself; by older
    # versions of Dask three times.
    assert 1 <= broken_in(capfd) <= 1 + 2 * 3 * 3


def templates_of(workers: set[int]) -> set[int]:
    """The processes of which these are copies, or these where each has started by itself."""
    parents = {psutil.Process(pid).ppid() for pid in workers}
    return workers if parents == {os.getpid()} else parents


def test_local_workers_that_cannot_start_again_are_one_sentence(
    dying: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # Not above: workers load this file as a plugin, and would not find that one.
    from listening import listening

    with engine(2) as pool:
        assert isinstance(pool, Dask)
        for number in range(2):
            pool.submit(Job([Trial(number, config(epochs=100_000))]))
        dying.touch()
        # Copies of a template could be made as long as it is there; they end with it.
        for pid in templates_of(set(listening()) - {os.getpid()}):
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(UsageError, match="workers must stay, but none is left"):
            pool.next()
    # Three starts of each, and before it each time two of a template.
    assert 6 <= broken_in(capfd) <= 2 * 3 * 3


def test_what_we_start_listens_on_loopback_only() -> None:
    from listening import listening

    before = listening()
    with engine(2) as pool:
        assert isinstance(pool, Dask)
        for number in range(2):
            pool.submit(job(number, config(number)))
        for _ in range(2):
            pool.next()
        found = listening()
    assert not before
    # This process, in which the scheduler is, and two workers
    assert len(found) == 3
    assert os.getpid() in found
    assert set.union(*found.values()) <= LOOPBACK


# Addresses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "tcp:/x",
        "localhost",
        "",
        "127.0.0.1:8786",
        "http://127.0.0.1:8786",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:99999",
        "a b:1",
    ],
)
def test_what_is_no_address_is_one_sentence(address: str) -> None:
    with pytest.raises(
        UsageError,
        match=r"a scheduler must be an address such as "
        r"tcp://127\.0\.0\.1:8786, got '",
    ) as e:
        Dask(1, address)
    assert f", got {address!r}; tls:// is encrypted" in str(e.value)


def test_a_scheduler_file_names_its_address(tmp_path: Path) -> None:
    file = tmp_path / "cluster.json"
    with pytest.raises(
        UsageError,
        match=r"a scheduler file must be what .* has written, but: "
        r"FileNotFoundError",
    ):
        Dask(1, str(file))
    for text in ("", "{}", "[1]"):
        file.write_text(text)
        with pytest.raises(UsageError, match="a scheduler file must be what"):
            Dask(1, str(file))
    file.write_text('{"address": "inproc://1"}')
    with pytest.raises(UsageError, match=r"a scheduler must be an address .* got 'inproc://1'"):
        Dask(1, str(file))
    file.write_text('{"address": "tcp://127.0.0.1:1"}')
    with pytest.raises(UsageError, match="no Dask scheduler answers"):
        Dask(1, str(file))


def test_tls_without_certificates_is_one_sentence() -> None:
    with pytest.raises(UsageError, match=r"tls://127\.0\.0\.1:1 needs certificates"):
        Dask(1, "tls://127.0.0.1:1")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "tcp://nobody.invalid:8786"])
def test_where_nothing_listens_is_one_sentence(address: str) -> None:
    with pytest.raises(UsageError, match="no Dask scheduler answers at 'tcp://"):
        Dask(1, address)


@pytest.mark.parametrize(
    "said",
    [
        # Who says nothing is waited for. (Workers load this file, so that it imports no `siblings`.)
        pytest.param(b"", marks=pytest.mark.slow),
        b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
    ],
    ids=["silent", "of another kind"],
)
def test_what_listens_but_is_no_scheduler_is_one_sentence(said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(
            target=lambda: held.append(server.accept()[0]) or held[0].sendall(said)
        )
        held: list[socket.socket] = []
        thread.start()
        with pytest.raises(UsageError, match="no Dask scheduler answers at"):
            Dask(1, f"tcp://127.0.0.1:{server.getsockname()[1]}")
        thread.join()
        held[0].close()


def test_a_worker_is_no_scheduler(cluster: Cluster) -> None:
    from distributed import Client

    cluster.work()
    with Client(cluster.address, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=200)
        (worker,) = client.scheduler_info()["workers"]
    with pytest.raises(UsageError, match="no Dask scheduler answers at"):
        Dask(1, worker)


def test_workers_and_a_scheduler_are_not_given_together() -> None:
    # Of the script: the command line may move it to a cluster
    space = Sweep(lambda trial: config(), "both", workers=2)
    with pytest.raises(
        UsageError,
        match="a cluster has workers of its own, so workers and scheduler cannot both be",
    ):
        space.run(workers=2, scheduler="tcp://127.0.0.1:1")
    with pytest.raises(UsageError, match="no Dask scheduler answers"):
        space.run(scheduler="tcp://127.0.0.1:1")
