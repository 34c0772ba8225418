"""States that tell the truth: how each way to fail is logged, what is said of it, and that the
sweep goes on.
"""

import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import registry
from harness.builtin.layers import mlp
from harness.config import Config
from harness.errors import UsageError
from harness.maintenance.verify import verify
from harness.storage.spool import Spool
from harness.studies.books import folder_of
from harness.studies.result import Result
from harness.studies.sweep import Sweep

DATA = "friedman1(rows=120)"

# Plugins that go wrong, in a file that workers load
PLUGIN = """
import ctypes, os, signal
import numpy as np
import harness
from harness.recorders import Report

@harness.recorder()
def wrong(how="not"):
    def record(trained):
        if how == "loops":
            while True:  # the line that loops
                pass
        if how == "sleeps":
            ctypes.CDLL(None).sleep(3600)  # the line that sleeps
        if how == "kills":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "exits":
            os._exit(1)
        if how == "wants":
            np.empty(1 << 50)
        if how == "fills":
            raise OSError(28, "No space left on device")
        if how == "divides":
            1 / 0  # the line that divides
        return Report({}, {})
    return record
"""


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One root for all sweeps of this file; each test uses names of its own."""
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("home")
        patch.setenv("HARNESS_ROOT", str(root))
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
            patch.delenv(name, raising=False)
        yield root


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    file = tmp_path_factory.mktemp("plugin") / "wrongs.py"
    file.write_text(PLUGIN)
    registry.load_plugin(file)
    yield file
    # A process that is handed more tests of this module makes it again, in another folder.
    registry.unload_plugin(file)


def line_of(plugin: Path, words: str) -> int:
    return next(k for k, line in enumerate(plugin.read_text().splitlines(), 1) if words in line)


def config(**more: Any) -> Config:
    given = {
        "layers": mlp([10, 4, 1]),
        "update": "sgd(0.01)",
        "epochs": 2,
        "film": None,
        "batch": 24,
        **more,
    }
    return Config(data=DATA, loss="squared_error", metric="rmse", **given)


def one_of_three(how: str) -> Callable[[Any], Config]:
    """The second of three trials goes wrong."""

    def space(trial: Any) -> Config:
        rate = trial.suggest_float("lr", 0.001, 0.01)
        said = how if trial.number == 1 else "not"
        return config(update=f"sgd({rate})", recorders=[{"name": "wrong", "how": said}])

    return space


def run(name: str, space: Callable[[Any], Config], **options: Any) -> Result:
    given = {"sampler": "RandomSampler", "trials": 3, "models": "none", **options}
    return Sweep(space, name, **given).run()


def children_of(name: str) -> dict[int, Any]:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{os.environ['HARNESS_ROOT']}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("harness").experiment_id
    (parent,) = client.search_runs(
        [experiment], f"tags.\"harness.kind\" = 'sweep' and attributes.run_name = '{name}'"
    )
    found = client.search_runs(
        [experiment], f"tags.\"mlflow.parentRunId\" = '{parent.info.run_id}'"
    )
    return {int(run.data.tags["harness.number"]): run for run in found}


def traceback_of(run: Any) -> str:
    return (Path(run.info.artifact_uri.removeprefix("file://")) / "traceback.txt").read_text()


def states(name: str, result: Result) -> list[tuple[str, str]]:
    """(state, status in MLflow) of the trials, the same in the tag."""
    children = children_of(name)
    assert {n: r.data.tags["harness.state"] for n, r in children.items()} == {
        t.number: t.result.state for t in result.trials
    }
    return [
        (children[n].data.tags["harness.state"], children[n].info.status) for n in sorted(children)
    ]


# One trial of three goes wrong --------------------------------------------------------------------

COMPLETE = ("COMPLETE", "FINISHED")
WAYS = {
    "loops": ("TIMED_OUT", "timed out after 1 s", "the line that loops"),
    "wants": ("OUT_OF_MEMORY", "out of memory", "np.empty"),
    "fills": ("DISK_FULL", "the disk is full", "raise OSError"),
    "divides": ("FAILED", "ZeroDivisionError: division by zero", "the line that divides"),
}


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("how", WAYS)
def test_a_trial_says_how_it_failed(
    how: str,
    workers: int,
    plugin: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "plugins", lambda: {str(plugin): ""})  # of this test alone
    state, reason, words = WAYS[how]
    name = f"{how} {workers}"
    more = {"trial_timeout": 1} if how == "loops" else {}
    result = run(name, one_of_three(how), workers=workers, plugins=[str(plugin)], **more)
    assert result.finished
    assert states(name, result) == [COMPLETE, (state, "FAILED"), COMPLETE]
    lost = children_of(name)[1]
    assert lost.data.tags["harness.reason"].startswith(reason)
    assert f"line {line_of(plugin, words)}, in record" in traceback_of(lost)
    said = capfd.readouterr().err
    if how == "divides":
        assert f"({plugin}, line {line_of(plugin, words)})" in lost.data.tags["harness.reason"]
        assert f'File "{plugin}", line {line_of(plugin, words)}' in said
        assert '"how": "divides"' in said or '"how":"divides"' in said  # its config
    assert f"to train it again: harness verify '{name}#1' --plugin {plugin}\n" in said
    if workers == 1:
        verdict = verify(f"{name}#1")  # under the same time limit
        assert verdict.identical
        assert verdict.text.startswith(f"identical: {lost.info.run_name!r} fails again: {reason}")


@pytest.mark.slow
@pytest.mark.parametrize("population", [1, 3])
def test_a_worker_that_does_not_come_back_is_ended(population: int, plugin: Path) -> None:
    name = f"sleeps {population}"
    options: dict[str, Any] = {
        "workers": 2,
        "plugins": [str(plugin)],
        "trial_timeout": 1,
        "population": population,
    }
    result = run(name, one_of_three("sleeps"), **options)
    assert states(name, result) == [COMPLETE, ("TIMED_OUT", "FAILED"), COMPLETE]
    lost = children_of(name)[1]
    assert (
        lost.data.tags["harness.reason"]
        == "timed out after 1 s and did not come back: its worker has been ended"
    )
    assert f"line {line_of(plugin, 'the line that sleeps')}, in record" in traceback_of(lost)


@pytest.mark.slow
@pytest.mark.parametrize("population", [1, 3])
@pytest.mark.parametrize("how", ["kills", "exits"])
def test_a_trial_that_kills_its_workers_is_killed(how: str, population: int, plugin: Path) -> None:
    name = f"{how} {population}"
    result = run(name, one_of_three(how), workers=2, plugins=[str(plugin)], population=population)
    assert states(name, result) == [COMPLETE, ("KILLED", "KILLED"), COMPLETE]
    assert (
        children_of(name)[1]
        .data.tags["harness.reason"]
        .startswith("4 worker processes died while they trained it")
    )


def test_layers_too_wide_for_this_machine(capfd: pytest.CaptureFixture[str]) -> None:
    def wide(trial: Any) -> Config:
        rate = trial.suggest_float("lr", 0.001, 0.01)
        return config(
            update=f"sgd({rate})", layers=mlp([10, 1 << 40 if trial.number == 1 else 4, 1])
        )

    result = run("wide", wide)
    assert states("wide", result) == [COMPLETE, ("OUT_OF_MEMORY", "FAILED"), COMPLETE]
    assert "Unable to allocate" in children_of("wide")[1].data.tags["harness.reason"]


def test_what_is_infinite_never_becomes_a_number() -> None:
    from mlflow import MlflowClient

    def wild(trial: Any) -> Config:
        trial.suggest_float("x", 0, 1)
        return config(update=f"sgd({1e6 if trial.number == 1 else 0.01})", epochs=3)

    result = run("wild", wild)
    assert states("wild", result) == [COMPLETE, ("DIVERGED", "FAILED"), COMPLETE]
    child = children_of("wild")[1]
    assert int(child.data.tags["harness.bad_step"]) >= 1
    assert f"at step {child.data.tags['harness.bad_step']} " in child.data.tags["harness.reason"]
    assert "train/loss" in child.data.tags["harness.nonfinite"]
    client = MlflowClient(f"sqlite:///{os.environ['HARNESS_ROOT']}/mlruns/mlflow.db")
    for run_ in children_of("wild").values():
        for key in run_.data.metrics:
            points = [m.value for m in client.get_metric_history(run_.info.run_id, key)]
            # what is not finite is NaN there: no earlier epoch passes for the last one, and inf for
            # no number
            assert all(math.isnan(value) or abs(value) < 1e300 for value in points), key


def test_three_equal_failures_are_one_message(
    plugin: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(trial: Any) -> Config:
        rate = trial.suggest_float("lr", 0.001, 0.01)
        how = "divides" if trial.number else "not"
        return config(update=f"sgd({rate})", recorders=[{"name": "wrong", "how": how}])

    with pytest.raises(
        UsageError, match="3 trials in a row failed alike, so the sweep stops: ZeroDivisionError"
    ):
        run("three", broken, trials=20)
    assert capfd.readouterr().err.count("Traceback") == 1
    assert sorted(children_of("three")) == [0, 1, 2, 3]


# A full disk --------------------------------------------------------------------------------------

SCRIPT = """
import sys
import harness
from harness import sweep

@sweep(name="full", trials=6, sampler="RandomSampler", checkpoint=0)
def space(trial):
    rate = trial.suggest_float("lr", 0.001, 0.01)
    rest = {"data": "friedman1(rows=120)", "loss": "squared_error", "metric": "rmse", "batch": 24, "epochs": 3}
    return harness.Config(layers=harness.mlp([10, 200, 200, 1]), update=f"momentum({rate})", film=None, **rest)

if __name__ == "__main__":
    print(space.run().finished)
"""


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 12 MB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(place)]
    if mount is None or os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small disk can be mounted by root alone, and not everywhere")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("left", [0, 30_000, 400_000])
def test_a_full_disk_is_one_sentence_and_goes_on(left: int, small: Path, tmp_path: Path) -> None:
    script = tmp_path / "full.py"
    script.write_text(SCRIPT)
    clean = {
        k: v for k, v in os.environ.items() if k not in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID")
    }

    def start(home: Path) -> subprocess.CompletedProcess:
        said = {**clean, "HARNESS_ROOT": str(home), "PYTHONPATH": str(Path(__file__).parents[2])}
        return subprocess.run(
            [sys.executable, str(script)], env=said, text=True, capture_output=True, timeout=600
        )

    def results(home: Path) -> list[Any]:
        records = [
            r
            for r in Spool(folder_of("sweep", "full", home) / "spool").records()
            if r.kind == "trial"
        ]
        points = [[p[:3] for p in r.metrics if not p[0].startswith("time/")] for r in records]
        return [
            (r.name, r.status, r.result.values, p) for r, p in zip(records, points, strict=True)
        ]

    whole = start(tmp_path / "whole")
    assert whole.stdout == "True\n", whole.stderr
    (small / "mlruns").mkdir()
    # There is a store already
    shutil.copy(tmp_path / "whole" / "mlruns" / "mlflow.db", small / "mlruns")
    filler = small / "filler"
    free = shutil.disk_usage(small).free
    with open(filler, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, free - left if left else free)
    full = start(small)
    assert full.returncode == 2, full.stderr
    assert full.stdout == ""
    assert "Traceback" not in full.stderr
    sentence = full.stderr.strip().splitlines()[-1]
    assert sentence.startswith("Error: ")
    assert "full" in sentence
    filler.unlink()
    again = start(small)
    assert again.stdout == "True\n", again.stderr
    assert results(small) == results(tmp_path / "whole")
