"""Sweeps: an Optuna study of trials, ask -> train -> tell, and the books brought into line at every
start.

    @sweep(name="first sweep", trials=24)
    def space(trial) -> Config:
        return Config(layers=mlp([784, 100, 10], activation=trial.suggest_categorical("activation",
        ["relu", "tanh"])))

    if __name__ == "__main__":
        space.run()

The only room that imports optuna: study.py has what is Optuna's, driver.py the one process that
keeps the books, result.py what comes of it.
"""

import contextlib
import inspect
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from harness import checks, registry
from harness.config import Config
from harness.errors import UsageError, argument, plain_end
from harness.studies.books import open_books
from harness.studies.driver import Driver
from harness.studies.enqueue import check_point, check_points, read_points
from harness.studies.result import Objective, Result, objectives
from harness.studies.samplers import named, sampler
from harness.studies.space import SKIPPED_IN_A_ROW, Skip, Yardstick, Yardsticks, propose
from harness.studies.study import JOURNAL, storage
from harness.trials.identity import begin_with_data_as_they_are
from harness.trials.interrupts import term_stops
from harness.trials.population import population_that_pays
from harness.workers.pool import engine, plugins_for, refuse_in_worker

__all__ = ["Objective", "Result", "Sweep", "defined", "read_points", "sweep"]

FILMS = ("all", "best", "none")


@dataclass
class Sweep:
    """A search space and how to search it. `run` starts it, or goes on where it stopped.

    trials: how many must have ended in all. sampler, pruner: names of Optuna with their arguments,
    such as "TPESampler(n_startup_trials=5)". seed: decides what is tried, and the networks where
    neither the space nor a trial sets a seed. workers: processes that train. population: networks
    of one shape that train as one batched computation, or "auto" for as many as pay. Both change
    the speed only, and what a sampler that learns knows when it is asked. synchronous: rounds of 8
    trials, told in the order of the trials, so that neither what is asked nor what is pruned
    depends on the workers. objectives: what is optimized, of the config's metric, "loss" and
    "train_s"; default: the metric alone. checkpoint: seconds of training after which a trial's
    state is written down (0: after each epoch). trial_timeout: seconds of training after which a
    trial has failed. timeout: seconds after which this start of the sweep stops, written down so
    that the next one goes on. enqueue: points that are tried first, as dicts of parameters with
    their values; what a point leaves out is sampled. seeds: networks of each trial, trained with
    the config's seed and those that follow it; the value is their mean, film and weights are the
    first one's. film: whose film to keep, "all", "best" (of trials that were the best so far when
    they ended) or "none". project: the MLflow experiment. plugins: files and modules that are
    loaded first. scheduler: the address of a Dask cluster, or its scheduler file; the workers are
    then those that it has, whatever `workers` says. UsageError for bad input.
    """

    space: Callable[[Any], Config]
    name: str
    trials: int = 20
    sampler: str = "TPESampler"
    pruner: str | None = None
    seed: int = 0
    workers: int = 1
    population: int | str = 1
    synchronous: bool = False
    objectives: list[str] = field(default_factory=list)
    checkpoint: float = 30
    trial_timeout: float | None = None
    timeout: float | None = None
    enqueue: list[dict[str, Any]] = field(default_factory=list)
    seeds: int = 1
    film: str = "all"
    project: str = "harness"
    scheduler: str | None = None
    plugins: list[str] = field(default_factory=list)

    def __call__(self, trial: Any) -> Config:
        return self.space(trial)

    def run(self, **options: Any) -> "Result":
        """Runs the sweep until `trials` trials have ended; options override those of the
        decorator.
        """
        names = [f for f in self.__dataclass_fields__ if f != "space"]
        for key in options:
            if key not in names:
                raise UsageError(f"a sweep has no option {key!r}; {registry.suggest(key, names)}")
        if "workers" in options and options.get("scheduler") is not None:
            raise UsageError(
                f"a cluster has workers of its own, so {argument('workers')} and "
                f"{argument('scheduler')} cannot both "
                "be given; leave one out"
            )
        with plain_end(self.script), warnings.catch_warnings():
            # choices that are lists: the journal can write them
            warnings.filterwarnings("ignore", "Choices for a categorical distribution", UserWarning)
            return _drive(replace(self, **options))

    @property
    def script(self) -> Path | None:
        """The file in which the search space is written."""
        try:
            file = inspect.getsourcefile(inspect.unwrap(self.space))
        except TypeError:  # no function: an object that can be called
            file = None
        return Path(file).resolve() if file and Path(file).is_file() else None


# All that this process has seen, in order: how `harness sweep SCRIPT` finds them
defined: list[Sweep] = []


def sweep(space: Callable[[Any], Config] | None = None, **options: Any) -> Any:
    """Makes a function trial -> Config a sweep. Options: see Sweep; `name` defaults to the
    function's name.
    """

    def decorate(space: Callable[[Any], Config]) -> Sweep:
        try:
            made = Sweep(space, **{"name": space.__name__, **options})
        except TypeError:
            allowed = [f for f in Sweep.__dataclass_fields__ if f != "space"]
            wrong = next(k for k in options if k not in allowed)
            raise UsageError(
                f"a sweep has no option {wrong!r}; {registry.suggest(wrong, allowed)}"
            ) from None
        defined.append(made)
        return made

    return decorate(space) if space else decorate


def _drive(sweep: Sweep) -> Result:
    _check(sweep)
    begin_with_data_as_they_are()
    for reference in sweep.plugins:
        registry.load_plugin(reference)
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler(sweep.sampler, sweep.seed, {})  # a wrong name is told before anything is written
    pruner = named("pruner", sweep.pruner) if sweep.pruner else optuna.pruners.NopPruner()
    first, probe = _look_at(sweep)
    for point in sweep.enqueue:
        check_point(sweep, point)
    goals, metric = objectives(sweep.objectives, probe), probe.metric["name"]
    about: dict[str, Any] = {
        "sampler": sampler(sweep.sampler, sweep.seed, first.distributions),
        "pruner": pruner,
    }
    about |= {"study_name": sweep.name, "directions": [goal.direction for goal in goals]}
    if len(goals) > 1:
        _check_several(sweep, about)
    if sweep.population == "auto":
        sweep = replace(sweep, population=population_that_pays(probe))
    params = {
        "sampler": sweep.sampler,
        "pruner": sweep.pruner or "none",
        "seed": sweep.seed,
        "metric": metric,
    }
    params["objectives"] = ", ".join(goal.name for goal in goals)
    params["seeds"] = sweep.seeds
    tags = {"harness.source": sweep.script.name if sweep.script else "interactive"}
    tags |= {"harness.metric": goals[0].name, "harness.direction": goals[0].direction}
    with open_books(
        "sweep", sweep.name, params=params, tags=tags, project=sweep.project, start=False
    ) as books:
        for what in ("metric", "objectives", "seeds"):
            was, now = [
                said.get(what, "")
                for said in (books.before.params if books.before else params, params)
            ]
            if was != now:
                raise UsageError(
                    f"sweep {sweep.name!r} was started with the {what} {was!r}, now it is {now!r}; "
                    "start it under another name"
                )
        yardstick = Yardstick.of(probe)
        if books.before and (before := books.before.yardstick):
            Yardsticks(sweep.name, books.trials()).check_first(Yardstick(**before), yardstick)
        books.parent.yardstick = asdict(yardstick)
        if books.finished(sweep.trials):
            return Result(sweep.name, books.trials(), goals, True)
        with term_stops(), engine(sweep.workers, sweep.scheduler) as pool:
            study = optuna.create_study(
                storage=storage(books.folder / JOURNAL), load_if_exists=True, **about
            )
            return Driver(sweep, study, books, goals, pool, plugins_for(pool, sweep.script)).run()


def _look_at(sweep: Sweep) -> tuple[Any, Config]:
    """A first trial of the space, always the same, and the config that it proposes for that."""
    import optuna

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(SKIPPED_IN_A_ROW):
        trial = study.ask()
        with contextlib.suppress(Skip):
            return trial, propose(sweep, trial)
    raise UsageError(
        f"the search space must return a Config now and then, but has raised TrialPruned for "
        f"{SKIPPED_IN_A_ROW} "
        "points in a row; correct its condition"
    )


def _check_several(sweep: Sweep, about: dict[str, Any]) -> None:
    """Several objectives: no pruner of Optuna takes them, and not every sampler."""
    import optuna

    if sweep.pruner:
        raise UsageError(
            f"a sweep with several objectives can have no pruner, got "
            f"{sweep.pruner!r}; leave it out"
        )
    try:
        with contextlib.suppress(Skip):
            propose(sweep, optuna.create_study(**about).ask())
    except UsageError as error:
        if isinstance(error.__cause__, ValueError):
            raise UsageError(
                f"a sweep with several objectives needs a sampler for them, but {sweep.sampler!r} "
                f"says: "
                f"{error.__cause__}; use TPESampler, NSGAIISampler or RandomSampler"
            ) from None
        raise


def _check(sweep: Sweep) -> None:
    for name in ("trials", "workers", "population", "seeds"):
        value = getattr(sweep, name)
        if name == "population" and value == "auto":
            continue
        setattr(sweep, name, checks.whole(argument(name), value, 1))
    sweep.seed = checks.whole(argument("seed"), sweep.seed, 0)
    _seconds("checkpoint", sweep.checkpoint, zero=True)
    if sweep.trial_timeout is not None:
        _seconds("trial_timeout", sweep.trial_timeout)
    if sweep.timeout is not None:
        _seconds("timeout", sweep.timeout)
    check_points(sweep.enqueue)
    if isinstance(sweep.objectives, str):
        raise UsageError(
            f"objectives must be a list such as ['accuracy', 'train_s'], got {sweep.objectives!r}"
        )
    if sweep.film not in FILMS:
        raise UsageError(f"film must be one of {', '.join(map(repr, FILMS))}, got {sweep.film!r}")
    refuse_in_worker("sweep")


def _seconds(name: str, value: Any, zero: bool = False) -> None:
    bound = "0 or more" if zero else "more than 0"
    checks.real(
        argument(name),
        value,
        lambda s: s > 0 or (zero and s == 0),
        f"must be a number of seconds, {bound}",
    )
