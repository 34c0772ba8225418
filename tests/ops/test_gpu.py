"""CuPy equals NumPy, for everything registered and for whole runs; without a GPU, on a stand-in for
CuPy.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import Config, Model, load_model, mlp, prepare
from harness.ops import ops_for
from harness.registry.known import entries, find
from harness.registry.specs import canonical, text
from harness.testing.device import DEVICE, device_distance
from harness.testing.samples import examples
from harness.training.networks import construct
from harness.trials.job import Job, Trial
from harness.trials.outcome import Outcome
from harness.trials.work import work

STAND_IN = Path(__file__).parents[1] / "stand_in"
KINDS = ("activation", "layer", "loss", "update_rule")
CASES = [
    (kind, text(spec)) for kind in KINDS for entry in entries(kind) for spec in examples(entry, {})
]


def trained(*changes: dict[str, Any]) -> tuple[list[Outcome], list[Outcome]]:
    """Networks trained on the GPU and on NumPy, in a population if there are several."""
    fields = {
        "data": "mnist14(rows=600)",
        "layers": mlp([196, 16, 10]),
        "epochs": 2,
        "film": "film(frames=4)",
    }
    configs = [Config(**{**fields, **each}) for each in changes]
    numbers = list(range(len(configs)))
    there, here = (
        work(
            Job([Trial(n, c.replace(device=where)) for n, c in zip(numbers, configs, strict=True)])
        )
        for where in ("gpu", "cpu")
    )
    for each in (*there, *here):
        assert (each.error, each.refused) == ("", "")
    return there, here


def close(there: list[Outcome], here: list[Outcome], limit: float = 1e-4) -> None:
    """Whole runs magnify what a step departs by."""
    for a, b in zip(there, here, strict=True):
        assert a.state is not None
        assert b.state is not None
        assert np.linalg.norm(a.state["theta"] - b.state["theta"]) <= limit * np.linalg.norm(
            b.state["theta"]
        )
        assert a.records[-1].metrics == pytest.approx(b.records[-1].metrics, rel=1e-3, abs=0.02)


def test_numpy_equals_itself() -> None:
    assert device_distance(find("update_rule", "adam"), {"name": "adam"}, "cpu") == 0.0


@pytest.mark.gpu
@pytest.mark.parametrize(("kind", "spec"), CASES)
def test_a_step_of_everything_registered(kind: str, spec: str) -> None:
    made = canonical(kind, spec)
    assert device_distance(find(kind, made["name"]), made) <= DEVICE


@pytest.mark.gpu
@pytest.mark.parametrize(
    "changes",
    [
        [{}],
        [{"seed": seed, "update": f"momentum({0.05 * (seed + 1)})"} for seed in range(3)],
        [{"select": "best", "patience": 1, "epochs": 4, "update": "adam(0.01)"}],
        [{"class_weight": "balanced", "scale": "standardize", "dtype": "float64"}],
        [{"update": "sgd(cosine(0.2))"}],
        [
            {
                "layers": ["dense(16)", "batch_norm", "relu", "dense(10)"],
                "recorders": ["health"],
                "seed": 1,
            }
        ],
        [{"batch": "full", "loss": "focal"}, {"batch": "full", "loss": "focal", "seed": 1}],
        [{"update": "schedule_free_sgd(0.2)"}],
    ],
    ids=["plain", "population", "best", "weights", "schedule", "health", "full", "averages"],
)
def test_whole_runs(changes: list[dict[str, Any]]) -> None:
    close(*trained(*changes))


@pytest.mark.gpu
def test_a_run_goes_on_from_its_state() -> None:
    config = Config(
        data="mnist14(rows=600)",
        layers=mlp([196, 16, 10]),
        epochs=2,
        update="adam(0.01)",
        device="gpu",
    )
    (first,) = work(Job([Trial(0, config)], epochs=1))
    (second,) = work(Job([Trial(0, config, first.state, first.records)]))
    (whole,) = work(Job([Trial(0, config)]))
    assert second.state["theta"].tobytes() == whole.state["theta"].tobytes()


@pytest.mark.gpu
def test_a_model(tmp_path: Path) -> None:
    model = Model(
        Config(
            data="mnist14(rows=600)", layers=mlp([196, 16, 10], dropout=0.2), epochs=2, device="gpu"
        )
    )
    x = np.random.default_rng(0).integers(0, 256, (30, 196)).astype(np.uint8)
    model.fit()
    model.partial_fit(x, np.arange(30) % 10)
    probabilities = model.predict_proba(x)
    assert type(probabilities) is np.ndarray
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    model["0/W"] = 2 * model["0/W"]
    model.save(tmp_path / "model")
    assert np.array_equal(load_model(tmp_path / "model").predict_proba(x), model.predict_proba(x))


@pytest.mark.gpu
def test_training_never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the stand-in can tell: no number is asked for in a step."""
    import cupy

    if not hasattr(cupy, "waits"):
        pytest.skip("CuPy itself does not count; the stand-in does")
    before = cupy.waits
    trained(
        {
            "update": "adamw(cosine(0.01))",
            "layers": ["dense(16)", "batch_norm", "relu", "dropout(0.2)", "dense(10)"],
        }
    )
    assert cupy.waits == before


def launches_of_a_step(members: int) -> int:
    """What a step asks of the device."""
    import cupy

    if not hasattr(cupy, "launches"):
        pytest.skip("CuPy itself does not count; the stand-in does")
    config = Config(
        data="mnist14(rows=300)",
        layers=mlp([196, 16, 12, 10], activation="gelu", dropout=0.5),
        update="adam",
        film=None,
        device="gpu",
    )
    data = prepare(config)
    network = construct([config.replace(seed=k) for k in range(members)], data)
    network.initialize()
    network.rekey(1)
    ops = ops_for("gpu")
    x = ops.asarray(np.random.default_rng(0).random((100, 196), dtype=np.float32))
    t = ops.asarray(np.eye(10, dtype=np.float32)[np.arange(100) % 10])
    network.step(x, t, 0.0)
    before = cupy.launches
    network.step(x, t, 0.0)
    return cupy.launches - before


@pytest.mark.gpu
def test_a_step_is_as_many_launches_for_a_population() -> None:
    # 3 products forward, 5 back and 3 that sum for the biases; 2 biases with gelu and 1 without, 2
    # pullbacks; 2 dropouts with their random numbers, and back; the loss, its mean, and the rule.
    assert launches_of_a_step(1) == 11 + 3 + 2 + 6 + 2 + 1
    assert launches_of_a_step(20) == launches_of_a_step(1)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None, reason="the stand-in compiles kernels with gcc")
def test_on_the_stand_in() -> None:
    """All of the above where there is no GPU: that CuPy has what is asked of it."""
    path = os.pathsep.join(filter(None, [str(STAND_IN), os.environ.get("PYTHONPATH", "")]))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-m",
        "gpu",
        str(Path(__file__)),
    ]
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert f"{len(CASES) + 12} passed" in done.stdout, done.stdout[-500:]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None, reason="the stand-in compiles kernels with gcc")
def test_the_benchmark_of_a_gpu_runs_on_the_stand_in() -> None:
    script = STAND_IN.parent / "gpu_bench.py"
    command = [sys.executable, str(script), "--stand-in"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    checked = {row[0].removeprefix("| "): int(row[1]) for row in rows if row[1].isdigit()}
    assert set(checked) == set(KINDS)
    assert sum(checked.values()) == len(CASES)
    assert "harness, a population of 4" in done.stdout
    assert "a step as a graph | NotImplementedError" in done.stdout
