"""What a sweep can be told besides its space: a time, points to try first, points to skip, several
seeds.
"""

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from click.testing import CliRunner

import harness
from harness.builtin.layers import mlp
from harness.cli import main
from harness.config import Config
from harness.errors import UsageError
from harness.maintenance.verify import verify
from harness.recorders import Report
from harness.storage.records import TrialRun
from harness.storage.spool import Spool
from harness.studies.books import folder_of
from harness.studies.compare import compare
from harness.studies.enqueue import read_points
from harness.studies.sweep import Sweep
from harness.training.prepare import prepare
from harness.training.segment import segment
from harness.trials.params import name_of, words_in_short

hooks: dict[str, Callable[[Any], None]] = {}


@harness.recorder()
def ends() -> Callable[[Any], Report]:
    """Calls what a test has put into `hooks` at the end of each trial"""

    def record(trained: Any) -> Report:
        hooks.get("ends", lambda trained: None)(trained)
        return Report({}, {})

    return record


@pytest.fixture(autouse=True)
def at(fresh: Callable[[], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    root = fresh()
    monkeypatch.setenv("HARNESS_ROOT", str(root))
    monkeypatch.chdir(root)
    monkeypatch.setattr("test_sweep_options.hooks", {})
    return root


def made(rate: float, **more: Any) -> Config:
    given: dict[str, Any] = {"batch": 20, "epochs": 3, "film": None, "recorders": ["ends"], **more}
    return Config(
        data="friedman1(rows=100)", layers=mlp([10, 5, 1], activation="tanh"), loss="squared_error", metric="rmse",
        update=f"sgd({rate})", **given,
    )  # fmt: skip


def space(trial: Any, **more: Any) -> Config:
    rate = trial.suggest_float("rate", 0.001, 0.1, log=True)
    return made(rate, batch=trial.suggest_categorical("batch", [10, 20]), **more)


def start(function: Callable[[Any], Config] = space, name: str = "told", **options: Any) -> Any:
    # Networks in MLflow have tests of their own, and to log one takes as long as such a sweep.
    given = {"sampler": "RandomSampler", "trials": 4, "models": "none", **options}
    return Sweep(function, name, **given).run()


def by_number(result: Any) -> dict[int, TrialRun]:
    return {trial.number: trial for trial in result.trials}


# Time ---------------------------------------------------------------------------------------------


class Clock:
    """A clock that goes on only where a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        for module in ("driver", "plan"):
            monkeypatch.setattr(f"harness.studies.{module}.monotonic", lambda: self.now)

    def tick(self, trained: Any) -> None:
        self.now += 1


def test_a_sweep_stops_when_its_time_is_up_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        clock = Clock(patch)
        hooks["ends"] = clock.tick
        result = start(trials=5, timeout=2)
    assert len(result.trials) == 2
    assert not result.finished
    assert result.note == "its time of 2 s is up; starting the same sweep again goes on from here"
    assert len(start(trials=5, timeout=1000).trials) == 5
    start(trials=5, name="undisturbed")
    told, undisturbed = (folder_of("sweep", name) / "spool" for name in ("told", "undisturbed"))
    digests = [
        {run.number: run.result.digest for run in Spool(of).records() if isinstance(run, TrialRun)}
        for of in (told, undisturbed)
    ]
    assert digests[0] == digests[1]


@pytest.mark.parametrize("synchronous", [False, True])
def test_what_is_in_training_when_the_time_is_up_is_written_down(
    synchronous: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.workers.inline import Inline

    pruner = {"pruner": "MedianPruner", "synchronous": synchronous, "trials": 2}
    taken = Inline.next
    with monkeypatch.context() as patch:
        clock = Clock(patch)

        def ticking(self: Inline, seconds: float | None = None) -> Any:
            clock.now += 1
            return taken(self, seconds)

        patch.setattr(Inline, "next", ticking)
        assert start(timeout=2, **pruner).trials == []
    checkpoints = list((folder_of("sweep", "told") / "checkpoints").glob("*.npz"))
    assert checkpoints
    assert len(start(**pruner).trials) == 2


def test_the_command_line_says_that_the_time_is_up(at: Path) -> None:
    (at / "timed.py").write_text(TIMED)
    done = CliRunner().invoke(main, ["sweep", "timed.py", "--timeout", "0.000001"])
    assert done.exit_code == 0
    assert (
        "timed: 0 trials (); its time of 1e-06 s is up; starting the same sweep again goes on"
        in done.output
    )
    wrong = CliRunner().invoke(main, ["sweep", "timed.py", "--timeout", "0"])
    assert wrong.exit_code == 2


TIMED = """
from harness import Config, mlp
from harness import sweep

@sweep(trials=50, sampler="RandomSampler")
def timed(trial):
    rate = trial.suggest_float("rate", 0.01, 0.1)
    layers = mlp([196, 4, 10])
    return Config(data="mnist14(rows=500)", layers=layers, update=f"sgd({rate})", epochs=1, film=None)
"""


# Points that are known ----------------------------------------------------------------------------

KNOWN: list[dict[str, Any]] = [{"rate": 0.05, "batch": 10}, {"rate": 0.02}]


@pytest.mark.parametrize(
    "sampler", ["RandomSampler", "TPESampler(n_startup_trials=1)", "QMCSampler"]
)
@pytest.mark.parametrize("synchronous", [False, True])
def test_known_points_come_first(sampler: str, synchronous: bool) -> None:
    trials = by_number(start(trials=4, enqueue=KNOWN, sampler=sampler, synchronous=synchronous))
    assert trials[0].result.params == KNOWN[0]
    assert trials[1].result.params["rate"] == 0.02
    assert len({trial.result.params["rate"] for trial in trials.values()}) == 4


def test_points_that_are_enqueued_later_are_tried_next_and_each_once() -> None:
    start(trials=3, enqueue=KNOWN)
    later = [*KNOWN, {"rate": 0.07, "batch": 20}]
    trials = by_number(start(trials=5, enqueue=later))
    assert [
        n for n, trial in trials.items() if trial.result.params["rate"] in (0.05, 0.02, 0.07)
    ] == [0, 1, 3]


def test_points_come_from_json_and_csv(at: Path) -> None:
    (at / "known.json").write_text(json.dumps(KNOWN))
    (at / "known.csv").write_text("rate,batch\n0.05,10\n0.02,\n")
    assert read_points("known.json") == read_points("known.csv") == KNOWN


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ({"rate": 0.1}, "enqueue must be a list of points such as"),
        ([0.1], "each enqueued point must name parameters with their values"),
        ([{"rate": np.float32(0.05)}], "each enqueued point must hold finite numbers, texts"),
        (
            [{"rate": 7.0}],
            r"each enqueued point must lie in the space|lie in the search space, but "
            r'\{"rate": 7.0\}',
        ),
        ([{"rate": "fast"}], "lie in the search space"),
        ([{"batch": 11}], "lie in the search space"),
        ([{"rte": 0.05}], r"must name what the space suggests \(rate, batch\), but .* has 'rte'"),
    ],
)
def test_points_outside_the_space_are_one_sentence(points: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        start(enqueue=points)
    assert not folder_of("sweep", "told").exists()


@pytest.mark.parametrize("text", ["[1", "{}", "", "[[1]]"])
def test_a_file_without_points_is_one_sentence(text: str, at: Path) -> None:
    (at / "known.json").write_text(text)
    with pytest.raises(UsageError, match=r"must (be|name)"):
        read_points("known.json")
    with pytest.raises(UsageError, match="a file of points must be CSV"):
        read_points("nowhere.csv")


# Points that are skipped --------------------------------------------------------------------------


def choosy(trial: Any) -> Config:
    config = space(trial)
    if trial.params["batch"] == 10:
        raise optuna.TrialPruned("not with so small a batch")
    return config


@pytest.mark.parametrize("synchronous", [False, True])
@pytest.mark.parametrize("sampler", ["RandomSampler", "TPESampler(n_startup_trials=2)"])
def test_a_space_skips_points(sampler: str, synchronous: bool) -> None:
    first = start(choosy, trials=5, sampler=sampler, synchronous=synchronous)
    assert [trial.result.params["batch"] for trial in first.trials] == [20] * 5
    again = start(choosy, trials=9, sampler=sampler, synchronous=synchronous)
    assert len(again.trials) == 9
    assert len({trial.number for trial in again.trials}) == 9
    assert max(trial.number for trial in again.trials) > 8


def test_a_space_that_skips_all_is_told() -> None:
    def never(trial: Any) -> Config:
        raise optuna.TrialPruned

    with pytest.raises(
        UsageError,
        match=r"has raised TrialPruned for 1000 points in a row; "
        r"correct its condition",
    ):
        start(never)
    with pytest.raises(UsageError, match="has skipped all points"):
        compare("skipped", {"never": never}, points=4)


def test_a_grid_without_some_of_its_points() -> None:
    grid = "GridSampler({'rate': [0.01, 0.02, 0.05], 'batch': [10, 20]})"

    def choosy_too(trial: Any) -> Config:
        config = space(trial)
        if trial.params["batch"] == 10:
            raise harness.Skip
        return config

    result = start(choosy_too, trials=10, sampler=grid)
    assert sorted(trial.result.params["rate"] for trial in result.trials) == [0.01, 0.02, 0.05]


# Several seeds ------------------------------------------------------------------------------------


def alone(config: Config) -> list[dict[str, float]]:
    _, records = segment(config, prepare(config))
    return [record.metrics for record in records]


@pytest.mark.parametrize("population", [1, 2, 6])
@pytest.mark.parametrize("more", [{}, {"pruner": "MedianPruner", "checkpoint": 0}])
def test_the_value_of_several_seeds_is_their_mean(population: int, more: dict[str, Any]) -> None:
    result = start(trials=2, seeds=3, seed=4, population=population, **more)
    for trial in result.trials:
        params = trial.result.params
        config = made(params["rate"], batch=params["batch"], seed=4)
        of_each = [alone(config.replace(seed=4 + k)) for k in range(3)]
        means = [
            statistics.fmean(one[epoch]["valid/rmse"] for one in of_each) for epoch in range(3)
        ]
        assert [point[1] for point in trial.metrics if point[0] == "valid/rmse"] == means
        assert trial.result.value == means[-1]
        seeds = [point[1] for point in trial.metrics if point[0] == "seeds/rmse"]
        assert seeds == [one[-1]["valid/rmse"] for one in of_each]


def test_a_network_that_stops_early_counts_with_its_last_value() -> None:
    def impatient(trial: Any) -> Config:
        return made(trial.suggest_float("rate", 0.1, 0.3), epochs=30, patience=1)

    (trial,) = start(impatient, trials=1, seeds=3).trials
    config = made(trial.result.params["rate"], epochs=30, patience=1)
    of_each = [alone(config.replace(seed=k)) for k in range(3)]
    assert len({len(one) for one in of_each}) > 1
    assert trial.result.value == statistics.fmean(one[-1]["valid/rmse"] for one in of_each)


def test_several_seeds_go_on_after_an_interruption_to_the_same_bits() -> None:
    from harness.workers.inline import Inline

    options = {"trials": 3, "seeds": 2, "checkpoint": 0, "population": 1}
    wanted = {
        n: (t.result.value, t.result.digest)
        for n, t in by_number(start(name="whole", **options)).items()
    }
    taken = Inline.next
    calls = list[int]()

    def stopping(self: Inline, seconds: float | None = None) -> Any:
        calls.append(1)
        if len(calls) % 3 == 0:
            raise KeyboardInterrupt
        return taken(self, seconds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Inline, "next", stopping)
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):
                start(**options)
    found = by_number(start(**options))
    assert {n: (t.result.value, t.result.digest) for n, t in found.items()} == wanted


def test_film_and_weights_are_those_of_the_first_seed_and_can_be_verified() -> None:
    filmed = start(lambda trial: space(trial, film="film(frames=3)"), trials=1, seeds=2)
    single = start(lambda trial: space(trial, film="film(frames=3)"), trials=1, name="single")
    assert filmed.trials[0].result.digest == single.trials[0].result.digest
    assert filmed.trials[0].result.value != single.trials[0].result.value
    assert verify("told#0").identical


def test_another_number_of_seeds_needs_another_name() -> None:
    start(trials=1, seeds=2)
    with pytest.raises(UsageError, match="was started with the seeds 2, now it is 1"):
        start(trials=2)


# Shown in short -----------------------------------------------------------------------------------


def test_results_are_shown_in_a_few_lines() -> None:
    result = start(trials=12)
    for shown in (
        repr(result),
        repr(result.best),
        repr(compare("short", {"a": made(0.01), "b": made(0.02)}, seeds=2)),
    ):
        assert len(shown.splitlines()) < 20
        assert len(shown) < 2000
    assert "12 trials" in repr(result)


def test_a_trial_of_several_seeds_is_named_as_any_other_and_fails_again_where_it_is_verified() -> (
    None
):
    (trial,) = start(trials=1, seeds=2).trials
    params = trial.result.params
    assert trial.name == name_of(0, params)
    assert words_in_short({"rate": 0.0725161397, "rule": "adam"}) == "rate=0.07252 rule=adam"
    assert trial.tags["harness.seeds"] == "2"

    def broken(trained: Any) -> None:
        raise RuntimeError("no report")

    hooks["ends"] = broken
    (failed,) = start(trials=1, seeds=2, name="failing").trials
    assert failed.tags["harness.seeds"] == "2"
    assert failed.result.state == "FAILED"
    assert verify("failing#0").text.startswith("identical")
