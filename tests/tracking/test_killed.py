"""Whatever of a sweep is killed beside a server: at the end MLflow, Optuna's journal and the files
are those of an undisturbed one, and no process is left.

HARNESS_CHAOS_SEED: what is killed, and when.
"""

import contextlib
import os
import random
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
from optuna.storages.journal import JournalFileBackend
from test_outages import Server, everything

from harness.workers import template

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not template.can_be_copied(), reason="workers have no template here"),
]

SEED = int(os.environ.get("HARNESS_CHAOS_SEED", secrets.randbelow(1 << 32)))
TRIALS = 4
KINDS = ["driver", "group", "writer", "worker", "template"]

# Its rounds and inputs do not depend on which worker is the first to end.
SCRIPT = f"""
import os, time
import numpy as np
import harness

@harness.metric(task="classification", direction="maximize")
def slow():
    def measure(predictions, y):
        time.sleep(float(os.environ["SLOW"]))
        return np.mean(predictions.argmax(axis=-1) == y, axis=-1)
    return measure

@harness.sweep(
    name="killed", trials={TRIALS}, sampler="RandomSampler", checkpoint=0, synchronous=True,
    inputs="all", models="all",
)
def space(trial):
    rate = trial.suggest_float("lr", 0.05, 0.5, log=True)
    layers = harness.mlp([196, 8, 10], dropout=0.1)
    rest = {{"data": "mnist14(rows=500)", "epochs": 8, "film": "film(frames=3)"}}
    return harness.Config(layers=layers, update=f"momentum({{rate}})", metric="slow", **rest)

if __name__ == "__main__":
    space.run(workers=2)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "server").mkdir()
    made = Server(tmp_path / "server")
    try:
        made.start()
        yield made
    finally:
        made.kill()


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., psutil.Popen]]:
    """Starts the sweep in a process group of its own; what is left of it at last is killed."""
    (tmp_path / "killed.py").write_text(SCRIPT)
    started: list[psutil.Popen] = []

    def start(home: Path, slow: float, address: str = "") -> psutil.Popen:
        given = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
        given |= {
            "HARNESS_ROOT": str(home),
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "SLOW": str(slow),
        }
        if address:
            given["MLFLOW_TRACKING_URI"] = address
        with open(tmp_path / "output.txt", "ab") as output:
            process = psutil.Popen(
                [sys.executable, str(tmp_path / "killed.py")],
                env=given, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        for each in family(process).values():
            for one in each:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
        process.wait()


def family(driver: psutil.Popen) -> dict[str, list[psutil.Process]]:
    """The processes of a sweep by what they are; none of one that has ended."""
    found: dict[str, list[psutil.Process]] = {kind: [] for kind in [*KINDS, "other"]}
    found["driver"].append(driver)
    with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        found["group"].append(driver)
        for child in driver.children():
            command = " ".join(child.cmdline())
            kind = "other"
            if "writer_main" in command:
                kind = "writer"
            elif "multiprocessing.forkserver" in command:
                kind = "template"
                found["worker"] += child.children()
            found[kind].append(child)
    return found


def wait_for(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.02)


def kill_one(driver: psutil.Popen, kind: str, pause: float) -> None:
    """Kills a process of a kind some time after there is one, or all at once; nothing of a driver
    that has ended.
    """
    wait_for(lambda: family(driver)[kind] or driver.poll() is not None)
    time.sleep(pause)
    everybody = [one for each in family(driver).values() for one in each]
    if driver.poll() is not None:
        return
    with contextlib.suppress(psutil.NoSuchProcess, IndexError, ProcessLookupError):
        if kind == "group":
            os.killpg(driver.pid, signal.SIGKILL)
        else:
            family(driver)[kind][0].kill()
    if kind in ("group", "driver"):
        driver.wait()
        _, alive = psutil.wait_procs(everybody, timeout=20)
        assert not alive


def without_clocks(found: dict[str, Any]) -> dict[str, Any]:
    for had in found.values():
        if "keys" in had:
            had["keys"] = [key for key in had["keys"] if not key.startswith(("time/", "ship/"))]
    # How long it took is in the description.
    del found["parent"]["tags"]["mlflow.note.content"]
    return found


def journal(home: Path) -> list[Any]:
    (file,) = (home / "mlruns/sweeps").glob("*/journal.log")
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(file)))
    trials = optuna.load_study(study_name="killed", storage=storage).trials
    return [(trial.number, trial.state, trial.params, trial.values) for trial in trials]


def files_of_the_sweep(home: Path) -> set[str]:
    """What the sweep has below mlruns/, without ids.

    `live` is there where trials lasted long, and films where their runs are on a server.
    """
    (folder,) = (home / "mlruns/sweeps").iterdir()
    paths = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return {
        re.sub(r"[0-9a-f]{8,}", "ID", path)
        for path in paths
        if not path.startswith(("live", "films"))
    }


def test_what_is_killed_changes_nothing(
    server: Server,
    launch: Callable[..., psutil.Popen],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    chance = random.Random(SEED)
    with capsys.disabled():
        print(f"\nkilled: HARNESS_CHAOS_SEED={SEED}")
    home = tmp_path / "disturbed"
    whole = tmp_path / "whole"
    for folder in (home, whole):
        folder.mkdir()
    driver = launch(home, 0.2, server.address)
    for kind in chance.sample(KINDS, len(KINDS)):
        kill_one(driver, kind, chance.uniform(0, 1.0))
        if driver.poll() is not None:
            driver = launch(home, 0.2, server.address)
    output = tmp_path / "output.txt"
    assert driver.wait() == 0, output.read_text()[-3000:]
    assert launch(whole, 0.0).wait() == 0, output.read_text()[-3000:]
    assert "Traceback" not in output.read_text()
    monkeypatch.setenv("HARNESS_ROOT", str(home))
    found = without_clocks(everything(server.address, "killed"))
    monkeypatch.setenv("HARNESS_ROOT", str(whole))
    wanted = without_clocks(everything(f"sqlite:///{whole}/mlruns/mlflow.db", "killed"))
    assert found.keys() == wanted.keys()
    for name, had in wanted.items():
        assert found[name] == had, name
    assert journal(home) == journal(whole)
    assert files_of_the_sweep(home) == files_of_the_sweep(whole)
