"""Workers and drivers that are killed, ended and stopped at random: the sweep comes to the books of
an undisturbed one.

HARNESS_CHAOS_KILLS: how many signals at least; HARNESS_CHAOS_SEED: which, and when.
"""

import functools
import hashlib
import os
import random
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.storage.records import TrialRun
from harness.storage.spool import Spool
from harness.studies.books import folder_of

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("HARNESS_CHAOS_KILLS", 12))
SEED = int(os.environ.get("HARNESS_CHAOS_SEED", secrets.randbelow(1 << 32)))

# Trials last some seconds, and are written down after each epoch.
SCRIPT = """
import hashlib, json, os, sys, time
import numpy as np
import harness
from harness.recorders import Report
from harness import sweep

@harness.recorder()
def weights():
    def record(trained):
        arrays = {k: v for k, v in trained.state.items() if isinstance(v, np.ndarray)}
        said = {k: hashlib.sha256(v.tobytes()).hexdigest() for k, v in sorted(arrays.items())}
        return Report({}, {"weights.json": json.dumps(said).encode()})
    return record

@harness.metric(task="classification", direction="maximize")
def slow():
    def measure(predictions, y):
        time.sleep(float(os.environ["SLOW"]))
        return np.mean(predictions.argmax(axis=-1) == y, axis=-1)
    return measure

pruned = {"synchronous": True, "pruner": os.environ["PRUNER"]} if os.environ.get("PRUNER") else {}

@sweep(name="chaos", sampler="RandomSampler", seed=1, checkpoint=0, **pruned)
def space(trial):
    activation = trial.suggest_categorical("activation", ["relu", "tanh"])
    rate = trial.suggest_float("lr", 0.05, 0.5, log=True)
    layers = harness.mlp([196, 8, 10], activation=activation, dropout=0.1)
    rest = {"data": "mnist14(rows=500)", "epochs": 8, "film": "film(frames=4)", "recorders": ["weights"]}
    return harness.Config(layers=layers, update=f"momentum({rate})", metric="slow", select="best", **rest)

if __name__ == "__main__":
    result = space.run(workers=int(sys.argv[1]), trials=int(sys.argv[2]))
    print(len(result.trials), result.finished)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    file = tmp_path / "chaos.py"
    file.write_text(SCRIPT)
    return file


@pytest.fixture
def launch(script: Path, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts the script in a session of its own; what still runs at the end of the test is
    killed.
    """
    started: list[subprocess.Popen] = []

    def start(
        home: Path, workers: int, trials: int, slow: float = 0.0, **more: str
    ) -> subprocess.Popen:
        clean = {
            k: v for k, v in os.environ.items() if k not in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID")
        }
        said = {
            "HARNESS_ROOT": str(home),
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "SLOW": str(slow),
            **more,
        }
        command = [sys.executable, str(script), str(workers), str(trials)]
        with open(tmp_path / "output.txt", "ab") as output:
            process = subprocess.Popen(
                command, start_new_session=True, env={**clean, **said}, stdout=output, stderr=output
            )
        started.append(process)
        return process

    yield start
    for process in started:
        for pid in members(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait()


def printed(tmp_path: Path) -> str:
    return (tmp_path / "output.txt").read_text(errors="replace")[-6000:]


def members(session: int) -> dict[int, str]:
    """The processes of a session that have not ended, with their commands."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] not in "ZX":
                found[int(stat.parent.name)] = (
                    stat.with_name("cmdline").read_text().replace("\0", " ")
                )
        except OSError:
            continue
    return found


def workers_of(session: int) -> list[int]:
    """The workers that will die with their driver even while they are stopped: they take their name
    when that is arranged.
    """
    return [pid for pid in members(session) if name_of(pid) == "harness worker"]


def name_of(pid: int) -> str:
    """What `ps` calls a process; "" for one that has ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def all_gone_within(seconds: float, session: int) -> bool:
    """Whether a session ends in time, by the clock of this process, which stands still where the
    machine does.
    """
    begun = time.monotonic()
    while members(session):
        if time.monotonic() > begun + seconds:
            return False
        time.sleep(0.02)
    return True


def wait_for(condition: Callable[[], Any], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.02)


def progress(home: Path) -> tuple[int, int]:
    """What changes whenever the sweep has come on: the trials that have ended, and the checkpoints
    of the others.
    """
    folder = folder_of("sweep", "chaos", home)
    ended = len(list((folder / "spool").glob("[0-9]*-trial-*")))
    return ended, hash(frozenset(path.name for path in (folder / "checkpoints").glob("*.npz")))


def books(home: Path) -> dict[int, Any]:
    """The trials of MLflow without their clocks; that each is there once, in the spool too, and
    none is running.
    """
    from mlflow import MlflowClient

    spool = Spool(folder_of("sweep", "chaos", home) / "spool")
    assert spool.waiting == 0
    trials = [r.number for r in spool.records() if isinstance(r, TrialRun)]
    assert sorted(filter(None, trials)) == list(range(1, len(trials)))
    client = MlflowClient(f"sqlite:///{home}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("harness").experiment_id
    found: dict[int, Any] = {}
    runs = client.search_runs([experiment])
    assert Counter(run.info.status for run in runs) == {"FINISHED": len(trials) + 1}
    for run in runs:
        points = {}
        for key in run.data.metrics:
            history = client.get_metric_history(run.info.run_id, key)
            assert len({m.step for m in history}) == len(history), (
                f"{key} of {run.info.run_name} has a point twice"
            )
            if not key.startswith(("time/", "ship/", "best/")):
                points[key] = [(m.step, m.value) for m in history]
        if "harness.number" not in run.data.tags:
            continue  # the parent: its curve is in the order in which trials ended
        folder = Path(run.info.artifact_uri.removeprefix("file://"))
        files = {
            p.name: hashlib.sha256(p.read_bytes()).hexdigest()
            for p in folder.rglob("*")
            if p.is_file()
        }
        number = int(run.data.tags["harness.number"])
        assert number not in found
        found[number] = (
            run.info.run_name,
            run.data.tags["harness.state"],
            run.data.params,
            points,
            files,
        )
    assert sorted(found) == sorted(trials)
    return found


# The pruned sweeps are synchronous: which of their trials are pruned must not depend on the signals
# either
PRUNERS = {
    "none": "",
    "median": "MedianPruner(n_startup_trials=1)",
    "hyperband": "HyperbandPruner(min_resource=1, max_resource=8, reduction_factor=2)",
    "halving": "SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)",
}


# Without a number of signals `tox -e slow` runs two of them; `tox -e chaos` runs all.
CHOSEN = list(PRUNERS) if "HARNESS_CHAOS_KILLS" in os.environ else ["none", "median"]


@pytest.mark.parametrize("pruner", CHOSEN)
def test_random_kills_change_nothing(
    pruner: str,
    launch: Callable[..., subprocess.Popen],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    chance = random.Random(f"{SEED} {pruner}")
    home = tmp_path / "disturbed"
    trials = 8
    more = 4
    signals = KILLS
    pause = 0.3
    if pruner != "none":
        # Whole rounds, since the trials of a round are judged together; two of them, since the
        # median pruner compares with trials that have ended; and the signals are spread over both
        trials = 16
        more = 8
        signals = max(4, KILLS // 4)
        pause = 2.0
    sent: Counter[str] = Counter()
    launch = functools.partial(launch, PRUNER=PRUNERS[pruner])
    with capsys.disabled():
        print(f"\nchaos: {signals} signals, pruner {pruner}, HARNESS_CHAOS_SEED={SEED}")
    # What is killed before the sweep has come on may be a worker that has not started: then the
    # driver refuses to go on
    seen = progress(home)
    driver = launch(home, 2, trials, 0.2)
    while sum(sent.values()) < signals:
        # until it has come on: where processes die faster than anything can be trained, nothing
        # ever ends
        wait_for(
            lambda driver=driver, seen=seen: progress(home) != seen or driver.poll() is not None
        )
        if driver.poll() is not None:  # it has come to its end before the signals have
            assert driver.returncode == 0, printed(tmp_path)
            trials += more
            seen = progress(home)
            driver = launch(home, 2, trials, 0.2)
            continue
        seen = progress(home)
        time.sleep(chance.uniform(0, pause))
        victim = chance.choice([driver.pid, *workers_of(driver.pid)])
        how = chance.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
        who = "the driver" if victim == driver.pid else "a worker"
        try:
            os.kill(victim, how)
            sent[f"{how.name} to {who}"] += 1
            if how == signal.SIGSTOP:
                time.sleep(chance.uniform(0, 0.5))
                if who == "a worker" and chance.random() < 0.3:
                    driver.kill()
                    driver.wait()
                    sent["SIGKILL to the driver of a stopped worker"] += 1
                else:
                    os.kill(victim, signal.SIGCONT)
        except (ProcessLookupError, FileNotFoundError):  # it has ended by itself
            continue
        if (who == "the driver" and how != signal.SIGSTOP) or driver.poll() is not None:
            driver.wait()
            assert all_gone_within(5, driver.pid), members(driver.pid)
            seen = progress(home)
            driver = launch(home, 2, trials, 0.2)
    driver.terminate()
    driver.wait()
    last = launch(home, 2, trials)
    assert last.wait() == 0, printed(tmp_path)
    assert all_gone_within(5, last.pid), members(last.pid)
    whole = tmp_path / "whole"
    assert launch(whole, 1, trials).wait() == 0, printed(tmp_path)
    with capsys.disabled():
        print(
            f"chaos: {trials} trials; "
            + ", ".join(f"{count} x {what}" for what, count in sorted(sent.items()))
        )
    wanted = books(whole)
    assert books(home) == wanted, printed(tmp_path)
    pruned = sum(state == "PRUNED" for _, state, *_ in wanted.values())
    assert (pruned > 0) == (pruner != "none")


# One signal ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_stops_in_time_and_says_how_to_go_on(
    workers: int, script: Path, launch: Callable[..., subprocess.Popen], tmp_path: Path
) -> None:
    driver = launch(tmp_path, workers, 1000, 0.2)
    wait_for(lambda: progress(tmp_path)[0] >= 1)
    os.killpg(driver.pid, signal.SIGINT)  # as a terminal does
    assert all_gone_within(5, driver.pid), members(driver.pid)
    assert driver.wait() == 130
    said = printed(tmp_path)
    again = shlex.join([sys.executable, str(script), str(workers), "1000"])
    assert said.endswith(f"stopped; go on with: {again}\n")
    assert "Traceback" not in said


@pytest.mark.parametrize("stopped", [False, True])
def test_no_worker_outlives_its_driver(
    stopped: bool, launch: Callable[..., subprocess.Popen], tmp_path: Path
) -> None:
    driver = launch(tmp_path, 2, 1000, 0.2)
    wait_for(lambda: progress(tmp_path)[0] >= 1)
    workers = workers_of(driver.pid)
    assert len(workers) == 2
    if stopped:
        os.kill(workers[0], signal.SIGSTOP)
    driver.kill()
    driver.wait()
    assert all_gone_within(5, driver.pid), members(driver.pid)


@pytest.mark.parametrize("second", [False, True])
def test_ctrl_c_waits_for_no_server(
    second: bool, launch: Callable[..., subprocess.Popen], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # that takes calls and never answers
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        driver = launch(
            tmp_path, 2, 1000, 0.2, MLFLOW_TRACKING_URI=address, MLFLOW_HTTP_REQUEST_TIMEOUT="600"
        )
        connection, _ = server.accept()
        with connection:
            # Is held back for a while, in which the server may answer
            os.killpg(driver.pid, signal.SIGINT)
            if second:
                assert not all_gone_within(1, driver.pid)
                os.killpg(driver.pid, signal.SIGINT)
            assert all_gone_within(5, driver.pid), members(driver.pid)
    assert driver.wait() == 130
    assert "stopped; go on with: " in printed(tmp_path)
