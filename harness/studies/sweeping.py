"""The start of a sweep: what is checked first, its books, its plan and its driver."""

import contextlib
from dataclasses import asdict
from typing import Any

from harness import registry
from harness.config import Config
from harness.errors import UsageError
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
from harness.studies.sweep import Sweep
from harness.studies.sweep_checks import check, check_several
from harness.studies.sweep_plan import SweepPlan
from harness.studies.together import members_of
from harness.studies.writing import writer_ahead
from harness.studies.yardstick import Yardstick, Yardsticks
from harness.trials.checkpoints import Checkpoints
from harness.trials.data_inputs import data_inputs
from harness.trials.identity import begin_with_data_as_they_are
from harness.trials.interrupts import term_stops


def start(sweep: Sweep) -> Result:
    """Runs a sweep until its trials have ended, or goes on where it stopped (`Sweep.run`)."""
    check(sweep)
    with writer_ahead():
        return _start(sweep)


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
            members = members_of(sweep, study.sampler, config)
            plan = SweepPlan(sweep, study, opened, goals, members)
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
