"""How many trials of a sweep are trained together where the user leaves it to the harness."""

from pathlib import Path
from typing import Any

import pytest

from harness import registry
from harness.builtin.layers import mlp
from harness.config import Config
from harness.studies.samplers import learns, sampler
from harness.studies.sweep import Sweep
from harness.studies.together import evenly, members_of

SMALL = {"data": "mnist14", "layers": mlp([196, 32, 10]), "batch": 32}


def space(trial: Any) -> Config:
    return Config(**SMALL, update=f"sgd({trial.suggest_float('lr', 0.1, 1.0)})")


def members(name: str, config: Config, **options: Any) -> int:
    return members_of(Sweep(space, "together", **options), sampler(name, 0, {}), config)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("RandomSampler", False),
        ("QMCSampler", False),
        ("GridSampler({'lr': [0.1, 0.2]})", False),
        ("BruteForceSampler", False),
        ("TPESampler", True),
        ("TPESampler(n_startup_trials=50)", True),
        ("NSGAIISampler", True),
    ],
)
def test_who_learns(name: str, expected: bool) -> None:
    assert learns(sampler(name, 0, {})) is expected


def test_small_networks_train_together_where_nobody_learns() -> None:
    small = Config(**SMALL)
    assert members("RandomSampler", small) == 8
    assert members("QMCSampler", small) == 8
    assert members("TPESampler", small) == 1
    assert members("RandomSampler", small, pruner="MedianPruner") == 1
    assert members("TPESampler", small, population=5) == 5
    assert members("RandomSampler", small, population=1) == 1
    large = small.replace(layers=mlp([196, 1000, 1000, 10]))
    assert members("RandomSampler", large) == 1


def test_a_plugin_that_may_forget_the_members_trains_alone() -> None:
    before = list(registry.entries())

    @registry.activation()
    def leaning(z: Any) -> Any:
        return z / (1 + abs(z))

    @registry.layer()
    def centred() -> Any:
        def bind(ctx: Any, I: int) -> Any:
            def forward(x: Any, train: bool) -> Any:
                return x - x.mean(axis=0), lambda dy: dy

            return forward, I

        return bind

    small = Config(**SMALL)
    try:
        # What is one expression is elementwise, whoever wrote it.
        elementwise = small.replace(layers=mlp([196, 32, 10], activation="leaning"))
        assert members("RandomSampler", elementwise) == 8
        mixing = small.replace(layers=[*mlp([196, 32, 10]), "centred"])
        assert members("RandomSampler", mixing) == 1
    finally:
        registry.withdraw([entry for entry in registry.entries() if entry not in before])


def test_a_plugin_that_comes_later_trains_alone_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    axes = set()

    @registry.layer()
    def looking() -> Any:
        def bind(ctx: Any, I: int) -> Any:
            def forward(x: Any, train: bool) -> Any:
                axes.add(x.ndim)
                return x, lambda dy: dy

            return forward, I

        return bind

    def later(trial: Any) -> Config:
        layers = mlp([196, 8, 10])
        if trial.number:
            layers = [*layers, "looking"]
        rate = trial.suggest_float("lr", 0.1, 1.0)
        rest = {"data": "mnist14(rows=200)", "epochs": 1, "film": None}
        return Config(layers=layers, update=f"sgd({rate})", **rest)

    options = {"sampler": "RandomSampler", "trials": 4, "models": "none"}
    result = Sweep(later, "later", **options).run()
    assert len(result.trials) == 4
    # With a population x would be (P, B, I).
    assert axes == {2}


@pytest.mark.parametrize(
    ("networks", "workers", "size"),
    [(24, 2, 6), (60, 2, 8), (10, 2, 5), (3, 2, 2), (1, 1, 1), (8, 1, 8), (9, 1, 5), (0, 4, 1)],
)
def test_each_worker_gets_as_many(networks: int, workers: int, size: int) -> None:
    assert evenly(8, networks, workers) == size
