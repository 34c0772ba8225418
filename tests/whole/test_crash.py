"""A driver that dies before, in the middle of or after any write of a sweep: what goes on from
there comes to the books of a sweep that nobody has disturbed."""

import hashlib
import json
import os
import secrets
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forks import forked, printed

import harness
from harness.builtin.layers import mlp
from harness.config import Config
from harness.recorders import Report
from harness.storage.journal import Lines
from harness.storage.records import TrialRun
from harness.storage.spool import Spool
from harness.studies.books import folder_of
from harness.studies.sweep import Sweep
from harness.tracking.local_client import LocalClient
from harness.trials.checkpoints import Checkpoints

pytestmark = pytest.mark.slow

DATA = "friedman1(rows=120)"
NAME = "crash"


@harness.recorder()
def weights() -> Callable[[Any], Report]:
    """The SHA-256 of all that has been trained"""

    def record(trained: Any) -> Report:
        arrays = {k: v for k, v in trained.state.items() if isinstance(v, np.ndarray)}
        said = {k: hashlib.sha256(v.tobytes()).hexdigest() for k, v in sorted(arrays.items())}
        return Report({}, {"weights.json": json.dumps(said).encode()})

    return record


def made(rate: float, **more: Any) -> Config:
    layers = mlp([10, 6, 1], activation="tanh", dropout=0.1)
    given: dict[str, Any] = {"batch": 24, "epochs": 2, "film": None, "select": "best", **more}
    return Config(
        data=DATA, layers=layers, loss="squared_error", metric="rmse", recorders=["weights"],
        update=f"momentum({rate})", **given,
    )  # fmt: skip


def grid(trial: Any) -> Config:
    return made(trial.suggest_float("lr", 0.01, 0.1))


def filmed(trial: Any) -> Config:
    return made(trial.suggest_float("lr", 0.01, 0.1, log=True), epochs=4, film="film(frames=3)")


def several(trial: Any) -> Config:
    rate = trial.suggest_float("lr", 0.001, 0.1, log=True)
    return made(rate, batch=trial.suggest_categorical("batch", [12, 24]))


def stepped(trial: Any) -> Config:
    """Few points, so that some are equal, and three epochs"""
    rate = trial.suggest_categorical("lr", [0.001, 0.003, 0.01, 0.03, 0.1])
    return made(rate, batch=trial.suggest_categorical("batch", [12, 24]), epochs=3)


SWEEPS: dict[str, tuple[Callable[[Any], Config], dict[str, Any]]] = {
    "random": (filmed, {"sampler": "RandomSampler", "trials": 2}),
    # After a crash trials of several shapes end in another order, in which the best so far is told,
    # and those that were asked for are asked for anew. So these are trained one by one.
    "grid": (
        grid,
        {"sampler": "GridSampler({'lr': [0.01, 0.02, 0.05]})", "trials": 4, "population": 1},
    ),
    "quasi-random": (several, {"sampler": "QMCSampler", "trials": 3, "population": 1}),
    "model": (
        several,
        {"sampler": "TPESampler(n_startup_trials=4)", "trials": 11, "synchronous": True},
    ),
}
PRUNERS = {
    "halved": "SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)",
    "hyperband": "HyperbandPruner(min_resource=1, max_resource=3, reduction_factor=2)",
    "median": "MedianPruner(n_startup_trials=1, n_min_trials=1)",
}
SWEEPS |= {
    kind: (
        stepped,
        {"sampler": "RandomSampler", "trials": 16, "synchronous": True, "pruner": pruner},
    )
    for kind, pruner in PRUNERS.items()
}


# Writes -------------------------------------------------------------------------------------------


class Writes:
    """Counts the durable writes of this process, and ends it at one of three points of each:
    before, within, after.
    """

    def __init__(self, at: int = -1) -> None:
        self.points = 0
        self.at = at

    def point(self) -> None:
        if self.points == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.points += 1

    def watch(self, owner: Any, name: str, torn: Callable[..., Any] | None = None) -> None:
        original = getattr(owner, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            self.point()
            if torn is not None:
                if self.points == self.at:
                    torn(*args, **kwargs)
                self.point()
            value = original(*args, **kwargs)
            self.point()
            return value

        setattr(owner, name, watched)

    def watch_all(self) -> None:
        for name in ("fsync", "replace", "rename", "link", "unlink", "rmdir", "truncate"):
            self.watch(os, name)
        self.watch(shutil, "rmtree")
        for name in (
            "create_run",
            "log_batch",
            "set_terminated",
            "update_run",
            "create_experiment",
            "create_logged_model",
            "finalize_logged_model",
            "log_outputs",
            "commit",
        ):
            self.watch(LocalClient, name)
        self.watch(Spool, "mark_logged")
        self.watch(Checkpoints, "write")
        self.watch(Lines, "append", torn)


def torn(lines: Lines, file: Path, logs: list[dict[str, Any]]) -> None:
    """Half of what would be appended to a journal."""
    written = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
    with open(file, "a", encoding="utf-8") as journal:
        journal.write(written[: len(written) // 2])


def _key(id: str) -> str:
    return hashlib.sha256(id.encode()).hexdigest()[:32]


def go(kind: str, **more: Any) -> None:
    function, options = SWEEPS[kind]
    Sweep(function, NAME, **{**options, "checkpoint": 0, **more}).run()


def crash(kind: str, at: int) -> int:
    """Runs a sweep up to a point of its writes. Returns how many there are if it was never
    reached.
    """
    writes = Writes(at)
    writes.watch_all()
    go(kind)
    return writes.points


# The books ----------------------------------------------------------------------------------------


def books() -> dict[str, Any]:
    """All that must not depend on a crash: spool, journal and MLflow without their clocks."""
    from mlflow import MlflowClient
    from mlflow.entities import ViewType

    folder = folder_of("sweep", NAME)
    spool = Spool(folder / "spool")
    assert spool.waiting == 0
    trials = {r.number or 0: r for r in spool.records() if isinstance(r, TrialRun)}
    assert len(trials) == len(spool) - 1, "a trial is in the spool twice"
    assert not list((folder / "checkpoints").glob("*.npz")), "checkpoints of trials that have ended"
    client = MlflowClient(f"sqlite:///{os.environ['HARNESS_ROOT']}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("harness").experiment_id
    logged = {}
    for run in client.search_runs([experiment], run_view_type=ViewType.ALL):
        data = run.data
        info = run.info
        assert info.lifecycle_stage == "active"
        place = Path(info.artifact_uri.removeprefix("file://"))
        files = {
            str(p.relative_to(place)): p.read_bytes()
            for p in sorted(place.rglob("*"))
            if p.is_file()
        }
        points = {}
        for key in data.metrics:
            history = client.get_metric_history(info.run_id, key)
            assert len({m.step for m in history}) == len(history), (
                f"{key} of {info.run_name} has a point twice"
            )
            if not key.startswith(("time/", "ship/")):
                points[key] = [
                    [m.step, repr(m.value)] for m in sorted(history, key=lambda m: m.step)
                ]
        number = data.tags.get("harness.number", "parent")
        assert number not in logged, f"{info.run_name} is logged twice"
        logged[number] = {
            "status": info.status,
            "name": info.run_name,
            "points": points,
            "params": dict(data.params),
            "state": data.tags.get("harness.state"),
            "files": {path: hashlib.sha256(content).hexdigest() for path, content in files.items()},
        }
    return {
        "logged": dict(sorted(logged.items())),
        "spool": {str(n): [r.status, r.result.state, r.result.values, r.result.config, r.result.params]
                  for n, r in sorted(trials.items())},
        "journal": journal(folder / "journal.log"),
    }  # fmt: skip


def journal(file: Path) -> list[Any]:
    """Optuna's trials, as Optuna reads them."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    study = optuna.load_study(
        study_name=NAME, storage=JournalStorage(JournalFileBackend(str(file)))
    )
    return [[t.number, t.state.name, t.values, t.params] for t in study.get_trials(deepcopy=False)]


@pytest.fixture(scope="module", autouse=True)
def warm(template: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """This process has swept once, elsewhere, so that those forked of it start warm."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_ROOT", str(tmp_path_factory.mktemp("warm")))
        go("random")
        books()


def whole(kind: str, home: Path) -> Any:
    """(the books of an undisturbed sweep, how many points its writes have)"""
    points = forked(home, lambda: crash(kind, -1))
    assert points, printed(home)
    return forked(home, books), points


def resumed(kind: str, home: Path) -> Any:
    def call() -> Any:
        go(kind)
        return books()

    return forked(home, call)


# By so many writes one run may have fewer than another, as when two trials are logged together
SLACK = 12
# Each run begins at another point, so that runs together come to all of them.
STRIDE = {
    "random": 23,
    "grid": 31,
    "quasi-random": 31,
    "model": 53,
    **dict.fromkeys(PRUNERS, 151),
}


@pytest.mark.parametrize("kind", SWEEPS)
def test_a_crash_at_any_write_changes_nothing(
    kind: str, fresh: Callable[[], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    wanted, points = whole(kind, fresh())
    assert wanted is not None
    cut = sum(run["state"] == "PRUNED" for run in wanted["logged"].values())
    assert (cut > 0) == (kind in PRUNERS)
    assert all(run["status"] == "FINISHED" for run in wanted["logged"].values())
    tried = 0
    for at in range(secrets.randbelow(STRIDE[kind]), points, STRIDE[kind]):
        root = fresh()
        # It came to its end before that point
        if forked(root, lambda at=at: crash(kind, at)) is not None:
            assert at > points - SLACK, f"point {at} of {points} was not reached"
            break
        assert resumed(kind, root) == wanted, f"{kind}: crash at {at} of {points}\n{printed(root)}"
        tried += 1
    with capsys.disabled():
        print(f"\n{kind}: {tried} of {points} crash points tried")
