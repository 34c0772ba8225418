"""A synchronous sweep with a pruner that is interrupted at any moment comes to the trials of an
undisturbed one.
"""

import contextlib
import os
import random
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from forks import copy_of
from siblings import quick

from harness.builtin.layers import mlp
from harness.config import Config
from harness.storage.journal import Lines
from harness.storage.records import TrialRun
from harness.storage.spool import Spool
from harness.studies.books import folder_of
from harness.studies.pruning import Judge
from harness.studies.sweep import Sweep
from harness.trials.checkpoints import Checkpoints
from harness.workers.dask import Dask
from harness.workers.inline import Inline

SEED = int(os.environ.get("HARNESS_CHAOS_SEED", 20261128))
PRUNERS = {
    "median": "MedianPruner(n_startup_trials=1)",
    "hyperband": "HyperbandPruner(min_resource=1, max_resource=6, reduction_factor=2)",
    "halving": "SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)",
}


NAME = "pruned"  # of all sweeps here, since it decides on the brackets of Hyperband


@pytest.fixture(scope="module", autouse=True)
def clean() -> Iterator[None]:
    """What workers import, and no server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture
def enter(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a root of this name, in which the sweeps from then on are."""

    def enter(name: str) -> None:
        monkeypatch.setenv("HARNESS_ROOT", str(copy_of(template, tmp_path / name)))

    return enter


def space(trial: Any) -> Config:
    """Few points, so that some trials are equal; some end early, and the longer ones are pruned"""
    rate = trial.suggest_categorical("rate", [0.0005, 0.002, 0.01, 0.05, 0.1])
    epochs = trial.suggest_categorical("epochs", [4, 6])
    return Config(
        data="friedman1(rows=100)",
        layers=mlp([10, 5, 1], activation="tanh"),
        loss="squared_error",
        metric="rmse",
        update=f"momentum({rate})",
        batch=20,
        epochs=epochs,
        patience=3,
        film=None,
    )


def made(pruner: str, **more: Any) -> Sweep:
    options: dict[str, Any] = {
        "trials": 14,
        "sampler": "RandomSampler",
        "seed": 5,
        "checkpoint": 0,
        **more,
    }
    return Sweep(space, NAME, pruner=PRUNERS[pruner], synchronous=True, models="none", **options)


def outcome() -> dict[int, Any]:
    """What became of each trial, and after how many others it ended."""
    records = Spool(folder_of("sweep", NAME) / "spool").records()
    trials = [run for run in records if isinstance(run, TrialRun)]
    told = ("state", "epochs", "values", "params", "digest")
    return {
        run.number or 0: (place, *(getattr(run.result, key) for key in told))
        for place, run in enumerate(trials)
    }


class Interruption:
    """Counts what a driver does, and presses Ctrl-C at one of these moments."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int) -> None:
        self.count = 0
        self.at = at
        self.patch = patch
        for owner, name in (
            (Checkpoints, "write"),
            (Spool, "write"),
            (Inline, "next"),
            (Judge, "verdict"),
            (Lines, "append"),
        ):
            self.watch(owner, name)

    def watch(self, owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.moment()
            value = original(*args, **kwargs)
            self.moment()
            return value

        self.patch.setattr(owner, name, call)

    def moment(self) -> None:
        self.count += 1
        if self.count == self.at:
            signal.raise_signal(signal.SIGINT)
            # The second one counts at once, also where the first one is held back
            signal.raise_signal(signal.SIGINT)


def whole(pruner: str) -> tuple[dict[int, Any], int]:
    """The undisturbed sweep, and how many moments it has."""
    with pytest.MonkeyPatch.context() as patch:
        seen = Interruption(patch, -1)
        made(pruner).run()
    return outcome(), seen.count


@pytest.mark.parametrize("pruner", quick(PRUNERS, ["median"]))
def test_what_is_pruned_depends_on_no_interruption(
    pruner: str, enter: Callable[[str], None]
) -> None:
    enter("whole")
    wanted, moments = whole(pruner)
    states = [each[1] for each in wanted.values()]
    assert states.count("PRUNED") > 1
    assert states.count("COMPLETE") > 1
    chance = random.Random(f"{SEED} {pruner}")
    enter("interrupted")
    for at in chance.sample(range(1, moments // 8), 6):
        with pytest.MonkeyPatch.context() as patch:
            Interruption(patch, at)
            # Checkpoints are written now and then only, so that the trials of a round stand at
            # different epochs
            often = chance.choice([0, 1e-3, 1e9])
            with pytest.raises(KeyboardInterrupt):
                made(pruner, checkpoint=often, population=chance.choice([1, 3])).run()
    made(pruner).run()
    assert outcome() == wanted


@pytest.mark.slow
@pytest.mark.parametrize("pruner", PRUNERS)
def test_what_is_pruned_depends_on_no_moment(pruner: str, enter: Callable[[str], None]) -> None:
    enter("whole")
    wanted, moments = whole(pruner)
    chance = random.Random(f"{SEED} every {pruner}")
    interrupted = 0
    for at in range(1, moments, max(1, moments // 20)):
        enter("interrupted")
        with pytest.MonkeyPatch.context() as patch:
            seen = Interruption(patch, at)
            # A driver that writes fewer checkpoints than the undisturbed one has fewer moments, and
            # may reach its end
            with contextlib.suppress(KeyboardInterrupt):
                made(pruner, checkpoint=chance.choice([0, 1e-3, 1e9])).run()
        interrupted += seen.count >= at
        made(pruner).run()
        assert outcome() == wanted, f"interrupted at {at} of {moments}"
    assert interrupted > 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pruner", "population"), [("median", 3), ("hyperband", 1), ("halving", 3)]
)
def test_what_is_pruned_depends_on_no_worker(
    pruner: str, population: int, enter: Callable[[str], None]
) -> None:
    enter("whole")
    wanted, _ = whole(pruner)
    enter("interrupted")
    chance = random.Random(f"{SEED} workers {pruner} {population}")
    for at in chance.sample(range(1, 60), 3):
        with pytest.MonkeyPatch.context() as patch:
            seen = Interruption(patch, at)
            seen.watch(Dask, "next")
            with pytest.raises(KeyboardInterrupt):
                made(
                    pruner, workers=2, population=population, checkpoint=chance.choice([0, 1e9])
                ).run()
    made(pruner, workers=2, population=population).run()
    assert outcome() == wanted


def test_a_changed_space_is_judged_by_its_own_values(enter: Callable[[str], None]) -> None:
    def other(trial: Any) -> Config:
        return space(trial).replace(batch=10)

    enter("one space")
    replace(made("halving"), space=other).run()
    wanted = outcome()
    enter("two spaces")
    with pytest.MonkeyPatch.context() as patch:
        Interruption(patch, 40)
        with pytest.raises(KeyboardInterrupt):
            made("halving").run()
    assert outcome() == {}
    replace(made("halving"), space=other).run()
    assert outcome() == wanted
