"""Sweeps: a search space, how to search it, and the start of the search.

@sweep(name="first sweep", trials=24)
def space(trial) -> Config:
    activation = trial.suggest_categorical("activation", ["relu", "tanh"])
    return Config(layers=mlp([784, 100, 10], activation=activation))

if __name__ == "__main__":
    space.run()
"""

import contextlib
import inspect
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, overload

from harness import registry
from harness.config import Config
from harness.errors import UsageError, argument, plain_end
from harness.storage.ranking import Objective
from harness.studies.books import Books, open_books
from harness.studies.driver import Driver
from harness.studies.enqueue import check_point
from harness.studies.labels import labels
from harness.studies.levels import Levels
from harness.studies.networks import Networks
from harness.studies.objectives import objectives
from harness.studies.plan import Settings
from harness.studies.progress import Expected, tell_finished_before
from harness.studies.pruning import Judge
from harness.studies.result import Result
from harness.studies.samplers import named, sampler
from harness.studies.space import SKIPPED_IN_A_ROW, Skip, propose
from harness.studies.study import JOURNAL, storage
from harness.studies.sweep_checks import check, check_several
from harness.studies.sweep_plan import SweepPlan
from harness.studies.writing import writer_ahead
from harness.studies.yardstick import Yardstick, Yardsticks
from harness.trials.checkpoints import Checkpoints
from harness.trials.data_inputs import data_inputs
from harness.trials.identity import begin_with_data_as_they_are
from harness.trials.interrupts import term_stops
from harness.trials.population import population_that_pays


@dataclass
class Sweep:
    """A search space and how to search it.

    `run` starts the search, or goes on where it stopped.

    Attributes
    ----------
    space : callable
        trial -> Config.
    name : str
        The sweep; started again under its name it goes on.
    trials : int
        How many trials must have ended in all.
    sampler : str
        The name of a sampler of Optuna with its arguments, "TPESampler(n_startup_trials=5)".
    pruner : str or None
        The name of a pruner of Optuna with its arguments; None for no pruning.
    seed : int
        Decides what is tried, and the networks where neither the space nor a trial sets a seed.
    workers : int
        Processes that train. Like `population` they change the speed only, and what a sampler that
        learns knows when it is asked.
    population : int or "auto"
        Networks of one shape that train as one batched computation; "auto" for as many as pay.
    synchronous : bool
        Whether trials go in rounds of 8 and are told in the order of their numbers, so that
        neither what is asked nor what is pruned depends on the workers.
    objectives : list of str
        What is optimized, of the config's metric, "loss" and "train_s"; empty for the metric.
    checkpoint : float
        Seconds of training after which a trial's state is written down; 0 after each epoch.
    trial_timeout : float or None
        Seconds of training after which a trial has failed.
    timeout : float or None
        Seconds after which this start of the sweep stops, so that the next one goes on.
    enqueue : list of dict
        Points that are tried first, by parameter; what a point leaves out is sampled.
    seeds : int
        Networks of each trial, trained with the config's seed and those that follow it. The value
        is their mean, film and weights are the first one's.
    film : str
        Whose film to keep: "all", "best" (of trials that were the best when they ended) or "none".
    models : str
        Whose network to keep, and to make a model of in MLflow: "best", "all" or "none".
    register : str or None
        The name under which MLflow registers the best network, with the alias "best".
    project : str
        The MLflow experiment.
    tags : dict
        Tags for the run of the sweep and those of its trials: texts by name. They are added to
        those that it was started with before.
    note : str or None
        Markdown that begins the description of its run.
    inputs : str
        Which trials have their data among the inputs of their run, as the sweep itself has: "all",
        "best" (those that were the best when they ended) or "none". It takes MLflow some ms each.
    scheduler : str or None
        The address of a Dask cluster, or its scheduler file; its workers train, whatever `workers`
        says.
    plugins : list of str
        Files and modules that are loaded first.
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
    models: str = "best"
    register: str | None = None
    project: str = "harness"
    tags: dict[str, Any] = field(default_factory=dict)
    note: str | None = None
    inputs: str = "best"
    scheduler: str | None = None
    plugins: list[str] = field(default_factory=list)

    def __call__(self, trial: Any) -> Config:
        """What the space proposes for a trial, so that a sweep can be the arm of a comparison."""
        return self.space(trial)

    def run(self, **options: Any) -> Result:
        """Runs the sweep until `trials` trials have ended.

        Parameters
        ----------
        **options
            Any attribute but the space, in place of what the decorator has said; tags are added to
            those that it has said.

        Returns
        -------
        Result
            All trials that have ended, the best of them, and a table.

        Raises
        ------
        UsageError
            An option or the space is wrong. Where the script of the space is the program, it ends
            with that sentence and exit code 2.
        """
        for name in options:
            _check_option(name)
        if "workers" in options and options.get("scheduler") is not None:
            raise UsageError(
                f"a cluster has workers of its own, so {argument('workers')} and "
                f"{argument('scheduler')} cannot both be given; leave one out"
            )
        if isinstance(self.tags, dict) and isinstance(options.get("tags"), dict):
            options["tags"] = {**self.tags, **options["tags"]}
        with plain_end(self.script), warnings.catch_warnings():
            # Choices may be lists, since the journal can write them.
            warnings.filterwarnings("ignore", "Choices for a categorical distribution", UserWarning)
            # In a notebook Optuna's import asks for widgets, which nothing here shows.
            warnings.filterwarnings("ignore", "IProgress not found")
            sweep = replace(self, **options)
            check(sweep)
            with writer_ahead():
                return _start(sweep)

    @property
    def script(self) -> Path | None:
        """The file in which the search space is written."""
        try:
            file = inspect.getsourcefile(inspect.unwrap(self.space))
        except TypeError:  # It is no function but an object that can be called.
            file = None
        if not file or not Path(file).is_file():
            return None
        return Path(file).resolve()


# All sweeps that this process has defined, in order: so `harness sweep SCRIPT` finds them.
defined: list[Sweep] = []


@overload
def sweep(space: Callable[[Any], Config], /) -> Sweep: ...


@overload
def sweep(space: None = None, /, **options: Any) -> Callable[[Callable[[Any], Config]], Sweep]: ...


def sweep(space: Callable[[Any], Config] | None = None, /, **options: Any) -> Any:
    """Makes a function trial -> Config a sweep.

    Parameters
    ----------
    space : callable
        The function, where the decorator stands without options.
    **options
        The attributes of `Sweep`; `name` is the function's name unless it is given.
    """

    def decorate(space: Callable[[Any], Config]) -> Sweep:
        for name in options:
            _check_option(name)
        made = Sweep(space, **{"name": space.__name__, **options})
        defined.append(made)
        return made

    if space is None:
        return decorate
    return decorate(space)


def _check_option(name: str) -> None:
    """UsageError for an option that no sweep has."""
    allowed = [option for option in Sweep.__dataclass_fields__ if option != "space"]
    if name not in allowed:
        raise UsageError(f"a sweep has no option {name!r}; {registry.suggest(name, allowed)}")


def _start(sweep: Sweep) -> Result:
    """Checks all there is to check before anything is written, then drives the sweep."""
    begin_with_data_as_they_are()
    for reference in sweep.plugins:
        registry.load_plugin(reference)
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # A wrong name is told before anything is written.
    sampler(sweep.sampler, sweep.seed, {})
    pruner = optuna.pruners.NopPruner()
    if sweep.pruner:
        pruner = named("pruner", sweep.pruner)
    trial, config = _first(sweep)
    for point in sweep.enqueue:
        check_point(sweep, point)
    goals = objectives(sweep.objectives, config)
    about: dict[str, Any] = {
        "study_name": sweep.name,
        "directions": [goal.direction for goal in goals],
        "sampler": sampler(sweep.sampler, sweep.seed, trial.distributions),
        "pruner": pruner,
    }
    if len(goals) > 1:
        check_several(sweep, about)
    if sweep.population == "auto":
        sweep = replace(sweep, population=population_that_pays(config))
    return _drive(sweep, config, goals, about)


def _drive(sweep: Sweep, config: Config, goals: list[Objective], about: dict[str, Any]) -> Result:
    """Opens the books and trains.

    Parameters
    ----------
    sweep : Sweep
        The sweep, checked.
    config : Config
        What its space proposes for a first trial.
    goals : list of Objective
        What it is optimized by.
    about : dict
        The arguments of Optuna's study.
    """
    import optuna

    params = {
        "sampler": sweep.sampler,
        "pruner": sweep.pruner or "none",
        "seed": sweep.seed,
        "metric": config.metric["name"],
        "objectives": ", ".join(goal.name for goal in goals),
        "seeds": sweep.seeds,
    }
    tags = {
        "harness.source": sweep.script.name if sweep.script else "interactive",
        "harness.metric": goals[0].name,
        "harness.direction": goals[0].direction,
    }
    books = open_books(
        "sweep",
        sweep.name,
        params=params,
        tags=tags,
        labels=labels(sweep.tags, sweep.note),
        script=sweep.script,
        inputs=data_inputs(config),
        project=sweep.project,
    )
    with books as opened:
        _check_same(sweep, opened, params)
        yardstick = Yardstick.of(config)
        if opened.before and opened.before.yardstick:
            before = Yardstick(**opened.before.yardstick)
            Yardsticks(sweep.name, opened.trials()).check_first(before, yardstick)
        opened.parent.yardstick = asdict(yardstick)
        ended = Result(sweep.name, opened.trials(), goals, True)
        networks = Networks(sweep.models, opened.folder, sweep.register)
        if networks.are_complete(ended.ranked, opened.parent) and opened.finished(sweep.trials):
            tell_finished_before(_expected(sweep, ended))
            return ended
        with term_stops():
            journal = storage(opened.folder / JOURNAL)
            study = optuna.create_study(storage=journal, load_if_exists=True, **about)
            plan = SweepPlan(sweep, study, opened, goals)
            _driver(plan, opened).run(_expected(sweep, plan.result))
            return plan.result


def _expected(sweep: Sweep, result: Result) -> Expected:
    """What the progress of a sweep counts, with what is known at its start."""
    before = list(result.trials)
    return Expected(
        sweep.name,
        total=max(sweep.trials, len(before)),
        ended=len(before),
        unit="trial",
        curve=result.objectives[0].key_of_epochs,
        about={
            "kind": "sweep",
            "project": sweep.project,
            "metric": result.metric,
            "objectives": [objective.name for objective in result.objectives],
            "directions": [objective.direction for objective in result.objectives],
        },
        before=before,
        best=result.best,
    )


def _driver(plan: SweepPlan, books: Books) -> Driver:
    from optuna.pruners import NopPruner

    sweep = plan.sweep
    settings = Settings(
        workers=sweep.workers,
        scheduler=sweep.scheduler,
        script=sweep.script,
        seeds=sweep.seeds,
        together=plan.population,
        checkpoint=sweep.checkpoint,
        trial_timeout=sweep.trial_timeout,
        timeout=sweep.timeout,
        in_rounds=sweep.synchronous,
    )
    judge = None if isinstance(plan.study.pruner, NopPruner) else Judge(plan.study)
    levels = Levels(judge, plan.result.metric, sweep.synchronous)
    checkpoints = Checkpoints(books.folder / "checkpoints")
    ended = [run.number or 0 for run in plan.trials]
    return Driver(plan, settings, books, levels, checkpoints, ended)


def _check_same(sweep: Sweep, books: Books, params: dict[str, Any]) -> None:
    """UsageError where the sweep was started with something that cannot change any more."""
    if books.before is None:
        return
    for name in ("metric", "objectives", "seeds"):
        was = books.before.params.get(name, "")
        now = params[name]
        if was != now:
            raise UsageError(
                f"sweep {sweep.name!r} was started with the {name} {was!r}, now it is {now!r}; "
                "start it under another name"
            )


def _first(sweep: Sweep) -> tuple[Any, Config]:
    """A first trial of the space, always the same, and the config that it proposes for that."""
    import optuna

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(SKIPPED_IN_A_ROW):
        trial = study.ask()
        with contextlib.suppress(Skip):
            return trial, propose(sweep, trial)
    raise UsageError(
        "the search space must return a Config now and then, but has raised TrialPruned for "
        f"{SKIPPED_IN_A_ROW} points in a row; correct its condition"
    )
