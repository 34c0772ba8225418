"""Where jobs run: this process and Dask workers give the same, one BLAS thread each, and nothing is
left behind.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import registry
from harness.builtin.layers import mlp
from harness.config import Config
from harness.errors import UsageError
from harness.trials.job import Job, Trial
from harness.trials.outcome import Outcome
from harness.trials.population import population_that_pays
from harness.trials.work import work
from harness.workers.dask import Dask
from harness.workers.inline import Inline
from harness.workers.pool import engine

# A plugin that the workers load from its file: it reports on the process in which it runs, or ends
# that process.
PLUGIN = """
import json, os, signal, sys
import numpy as np
import harness
from harness.recorders import Report

@harness.activation()
def bent(z, k=0.1):
    return z / (1 + k * np.abs(z))

@harness.recorder()
def witness():
    def record(trained):
        from threadpoolctl import threadpool_info
        said = {
            "pid": os.getpid(),
            "threads": [p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"],
            "openblas": os.environ.get("OPENBLAS_NUM_THREADS"),
            "mlflow_run": os.environ.get("MLFLOW_RUN_ID"),
            "main": str(getattr(sys.modules["__main__"], "__file__", None)),
            "interrupt": signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []),
            "heavy": [m for m in ("mlflow", "optuna", "pandas") if m in sys.modules],
        }
        return Report({}, {"witness.json": json.dumps(said).encode()})
    return record

@harness.activation()
def ends(z, when=0.0):
    if np.any(np.asarray(when) > 0.5):
        os._exit(1)
    return z

@harness.recorder()
def crash():
    def record(trained):
        os._exit(1)
    return record
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    file = tmp_path_factory.mktemp("plugin") / "witnesses.py"
    file.write_text(PLUGIN)
    registry.load_plugin(file)
    yield str(file)
    registry.unload_plugin(file)


@pytest.fixture(scope="module")
def pool() -> Iterator[Dask]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_RUN_ID", "of somebody else")
        with engine(2) as made:
            assert isinstance(made, Dask)
            yield made


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


def same(a: Outcome, b: Outcome) -> bool:
    """Everything but the clocks, and which plugins a process happens to have."""
    assert a.state is not None
    assert b.state is not None
    assert a.state["theta"].tobytes() == b.state["theta"].tobytes()
    assert [r.metrics for r in a.records] == [r.metrics for r in b.records]
    assert all(
        np.array_equal(x.losses, y.losses) for x, y in zip(a.records, b.records, strict=True)
    )
    assert a.digest == b.digest != ""
    others = ("witness.json", "environment.json")
    found = [{k: v for k, v in each.artifacts.items() if k not in others} for each in (a, b)]
    assert found[0] == found[1]
    return (a.number, a.config, a.value, a.notes, a.ended) == (
        b.number,
        b.config,
        b.value,
        b.notes,
        b.ended,
    )


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


# Populations --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "batch", "members"),
    [
        ([64, 32, 10], 32, 8),  # 75,776 multiplications
        ([64, 32, 16, 10], 100, 8),  # 272,000
        ([196, 32, 10], 45, 8),  # 296,640
        ([196, 32, 10], 46, 4),  # 303,232
        ([784, 100, 50, 10], 32, 4),  # 2,684,800
        ([784, 100, 50, 10], 36, 2),  # 3,020,400
        ([784, 100, 50, 10], 100, 2),
        ([784, 100, 50, 10], 119, 2),  # 9,984,100
        ([784, 100, 50, 10], 120, 1),  # 10,068,000
        ([64, 32, 10], "full", 1),
    ],
)
def test_the_population_that_pays_follows_the_work_of_a_step(
    sizes: list[int], batch: Any, members: int
) -> None:
    assert population_that_pays(Config(layers=mlp(sizes), batch=batch)) == members


def test_the_population_that_pays_counts_layers_within_layers() -> None:
    """100 (20 k + 20 20 + 20 10) multiplications: 296,000 for k = 118, 336,000 for k = 138."""
    layers = ["dense(20)", "residual(dense(20), tanh)", "dense(10)"]
    assert population_that_pays(Config(layers=layers), inputs=118) == 8
    assert population_that_pays(Config(layers=layers), inputs=138) == 4
    assert population_that_pays(Config(layers=layers)) == 4
    shallow = Config(layers=["dense(20)", "dense(10)"])
    assert population_that_pays(shallow, inputs=138) == 8  # without what is inside: 296,000


# One job ------------------------------------------------------------------------------------------


def test_a_job_in_segments_is_the_job_at_once() -> None:
    (whole,) = work(Job([Trial(3, config(film="film(frames=4)"))]))
    (first,) = work(Job([Trial(3, config(film="film(frames=4)"))], epochs=1))
    assert first.state is not None
    assert (first.ended, len(first.records), first.artifacts) == (False, 1, {})
    (last,) = work(Job([Trial(3, first.config, first.state, first.records)], 1))
    assert same(whole, last)
    # Pruned: only recorded
    (cut,) = work(Job([Trial(3, first.config, first.state, first.records)], 0))
    assert cut.ended
    assert [r.metrics for r in cut.records] == [r.metrics for r in whole.records[:1]]
    assert {"film.html", "history.npz"} <= set(cut.artifacts)


def test_a_job_of_several_is_each_alone() -> None:
    configs = [config(seed=s, update=f"sgd({r})") for s, r in enumerate((0.05, 0.1, 0.4))]
    together = work(Job([Trial(k, each) for k, each in enumerate(configs)]))
    for number, each in enumerate(configs):
        assert same(together[number], work(Job([Trial(number, each)]))[0])


def test_of_a_job_that_fails_only_the_guilty_fail() -> None:
    layers = [
        [
            {"name": "dense", "units": 8},
            {"name": "dropout", "rate": r},
            {"name": "dense", "units": 10},
        ]
        for r in (0.1, 1.5, 0.3)
    ]
    outcomes = work(Job([Trial(k, config(layers=each)) for k, each in enumerate(layers)]))
    assert [bool(o.refused) for o in outcomes] == [False, True, False]
    assert "rate" in outcomes[1].refused
    assert outcomes[0].value is not None
    (lost,) = work(Job([Trial(0, config())], plugins=["/nowhere/plugin.py"]))
    assert "there is no file '/nowhere/plugin.py'" in lost.refused


def test_a_state_that_nobody_wants_is_left_behind() -> None:
    (ended,) = work(Job([Trial(0, config())], keep_state=False))
    (between,) = work(Job([Trial(0, config())], epochs=1, keep_state=False))
    assert ended.state is None
    assert between.state is not None


@pytest.mark.parametrize("workers", [0, -1, 1.5, "2", True])
def test_workers_are_counted(workers: Any) -> None:
    with (
        pytest.raises(UsageError, match="workers must be a whole number of at least 1"),
        engine(workers),
    ):
        pass


def test_one_worker_is_this_process() -> None:
    with engine(1) as inline:
        assert isinstance(inline, Inline)
        inline.submit(Job([Trial(0, config(0))]))
        inline.submit(Job([Trial(1, config(1))]))
        assert [inline.next()[0].number, inline.next()[0].number] == [0, 1]


# Dask ---------------------------------------------------------------------------------------------


def test_workers_give_what_this_process_gives(pool: Dask, plugin: str) -> None:
    layers = mlp([196, 12, 10], activation="bent(k=0.3)", dropout=0.2)
    configs = [
        config(seed, layers=layers, film="film(frames=4)", recorders=["witness"])
        for seed in range(6)
    ]
    for number, each in enumerate(configs):
        pool.submit(Job([Trial(number, each)], plugins=[plugin]))
    outcomes = sorted((pool.next()[0] for _ in configs), key=lambda o: o.number)
    for number, outcome in enumerate(outcomes):
        assert same(outcome, work(Job([Trial(number, configs[number])]))[0])
    said = [json.loads(outcome.artifacts["witness.json"]) for outcome in outcomes]
    assert len({each["pid"] for each in said}) == 2
    assert os.getpid() not in {each["pid"] for each in said}
    for each in said:
        assert set(each["threads"]) == {1}
        assert each["openblas"] == "1"
        assert each["mlflow_run"] is None
        # Ctrl-C in a terminal goes to all its processes; it is the driver's
        assert each["interrupt"]
        assert each["heavy"] == []


def test_segments_travel(pool: Dask) -> None:
    (whole,) = work(Job([Trial(0, config(film="film(frames=30)"))]))
    pool.submit(Job([Trial(0, config(film="film(frames=30)"))], epochs=1))
    (first,) = pool.next()
    assert first.state is not None
    pool.submit(Job([Trial(0, first.config, first.state, first.records)], 1))
    (last,) = pool.next()
    # The record of the first epoch is here already.
    assert last.left_out == [1]
    last.records = [*first.records, *last.records]
    assert same(last, whole)


def test_a_worker_that_dies_is_replaced(pool: Dask, plugin: str) -> None:
    pool.submit(Job([Trial(0, config(recorders=["crash"]))], plugins=[plugin]))
    pool.submit(Job([Trial(1, config(recorders=["witness"]))], plugins=[plugin]))
    outcomes = sorted((pool.next()[0] for _ in range(2)), key=lambda o: o.number)
    assert outcomes[0].ended
    assert (outcomes[0].failure, outcomes[0].reason[:23]) == ("KILLED", "4 worker processes died")
    assert outcomes[1].value is not None
    for number in range(6):
        pool.submit(Job([Trial(number, config(number, recorders=["witness"]))], plugins=[plugin]))
    said = [json.loads(pool.next()[0].artifacts["witness.json"]) for _ in range(6)]
    assert all(each["interrupt"] and each["threads"] == [1] * len(each["threads"]) for each in said)


def test_who_waits_is_not_blamed_for_a_death(plugin: str) -> None:
    """One worker, which dies four times of the first job while the others are in its hands too."""
    with contextlib.closing(Dask(1)) as alone:
        alone.submit(Job([Trial(0, config(recorders=["crash"]))], plugins=[plugin]))
        for number in range(1, 4):
            alone.submit(
                Job([Trial(number, config(number, recorders=["witness"]))], plugins=[plugin])
            )
        outcomes = {o.number: o for o in [alone.next()[0] for _ in range(4)]}
    assert outcomes[0].failure == "KILLED"
    for number in range(1, 4):
        assert (outcomes[number].failure, outcomes[number].refused) == (None, "")
        assert same(
            outcomes[number], work(Job([Trial(number, config(number, recorders=["witness"]))]))[0]
        )


def test_of_a_population_that_kills_only_the_guilty_is_killed(pool: Dask, plugin: str) -> None:
    layers = [mlp([196, 8, 10], activation=f"ends(when={when})") for when in (0.0, 1.0, 0.0)]
    pool.submit(
        Job([Trial(k, config(layers=each)) for k, each in enumerate(layers)], plugins=[plugin])
    )
    outcomes = sorted((pool.next()[0] for _ in range(3)), key=lambda o: o.number)
    assert [o.failure for o in outcomes] == [None, "KILLED", None]
    assert outcomes[0].value is not None


def test_closing_waits_for_no_trial(plugin: str, capfd: pytest.CaptureFixture[str]) -> None:
    with engine(2) as pool:
        for number in range(2):
            pool.submit(
                Job([Trial(number, config(recorders=["witness"], epochs=1))], plugins=[plugin])
            )
        pids = {json.loads(pool.next()[0].artifacts["witness.json"])["pid"] for _ in range(2)}
        for number in range(2):
            pool.submit(Job([Trial(number, config(epochs=100_000))]))
        time.sleep(0.3)
        begun = time.monotonic()
    assert time.monotonic() - begun < 60  # the two jobs would take many minutes
    assert all(gone(pid) for pid in pids)
    assert capfd.readouterr() == ("", "")


def test_no_scheduler_is_one_sentence() -> None:
    with (
        pytest.raises(UsageError, match=r"no Dask scheduler answers at 'tcp://127\.0\.0\.1:1'"),
        engine(1, "tcp://127.0.0.1:1"),
    ):
        pass
