"""Comparing: the same seeds for every arm, the same points to tune it with, films side by side.

    compare("relu or tanh", {"relu": Config(...), "tanh": Config(...)}, seeds=5)
    compare("relu or tanh, tuned", {"relu": space_a, "tanh": space_b}, points=16, seeds=5)

A search space is tuned first: its points are trained with one seed that is used for nothing else,
and the best of them goes on. So what is compared are means over seeds that had no part in the
choice.
"""

import inspect
import json
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from harness import checks, registry
from harness.config import Config
from harness.errors import UsageError, plain_end
from harness.garbage import quick_start
from harness.studies.books import Books, open_books
from harness.studies.compare_plan import ComparePlan
from harness.studies.compared import Network
from harness.studies.comparison import Comparison
from harness.studies.driver import Driver
from harness.studies.labels import Labels, labels
from harness.studies.levels import Levels
from harness.studies.networks import Networks, check_models
from harness.studies.plan import Settings
from harness.studies.points import MOST, coordinates, trials_at
from harness.studies.progress import Expected
from harness.studies.space import Skip, propose
from harness.studies.sweep import Sweep
from harness.studies.wanted import to_preload
from harness.studies.writing import writer_ahead
from harness.trials.checkpoints import Checkpoints
from harness.trials.data_inputs import data_inputs
from harness.trials.identity import begin_with_data_as_they_are
from harness.trials.interrupts import term_stops
from harness.trials.outcome import direction
from harness.workers.ahead import refuse_in_worker, workers_ahead

Space = Callable[[Any], Config]

TUNING = (1 << 32) - 1  # the seed of all points, which no arm is judged by


def compare(
    name: str,
    arms: Mapping[str, Config | Space],
    *,
    seeds: int | Iterable[int] = 5,
    points: int = 16,
    workers: int = 1,
    scheduler: str | None = None,
    project: str = "harness",
    tags: Mapping[str, Any] | None = None,
    note: str | None = None,
    models: str = "best",
    register: str | None = None,
) -> Comparison:
    """Trains every arm with the same seeds and says which is better, and how sure that is.

    The arms share data split, data order and masks. All is logged below one parent run. Started
    again, a comparison goes on where it stopped and repeats nothing, also with more arms, points
    or seeds.

    Parameters
    ----------
    name : str
        The comparison.
    arms : mapping of Config or search space
        For each arm a config, or a function trial -> Config. A space is tuned first, at points
        that are the same for all spaces, and the point with the best value is the arm.
    seeds : int or iterable of int
        How many seeds, or which.
    points : int
        Points at which a space is tuned, best a power of 2. They have a seed of their own.
    workers : int
        Processes that train.
    scheduler : str or None
        A Dask cluster's address or scheduler file, whose workers train instead.
    project : str
        The MLflow experiment.
    tags : mapping, optional
        Tags for its run and those of its networks: texts by name. They are added to those that it
        was started with before.
    note : str, optional
        Markdown that begins the description of its run.
    models : str
        Whose network to keep, and to make a model of in MLflow: "best", of all networks that are
        compared, "all" or "none".
    register : str or None
        The name under which MLflow registers the best network, with the alias "best".

    Returns
    -------
    Comparison
        Values, means, intervals and verdicts; `print(result.table())` shows them.

    Raises
    ------
    UsageError
        The arms differ in metric, data or validation part, or something else given is wrong. Where
        the script that calls it is the program, it ends with that sentence and exit code 2.
    """
    script = _script()
    with plain_end(script), term_stops():
        refuse_in_worker("comparison")
        _check_arms(arms)
        which = _seeds(seeds)
        written = labels(tags or {}, note)
        check_models(models, register)
        with quick_start(), workers_ahead(workers, scheduler, *to_preload()), writer_ahead():
            tried = {arm: _tried(arm, space, points) for arm, space in arms.items()}
            _check_configs([network.config for networks in tried.values() for network in networks])
            settings = Settings(workers=workers, scheduler=scheduler, script=script)
            return _drive(name, tried, which, settings, project, written, (models, register))


def _drive(
    name: str,
    tried: dict[str, list[Network]],
    seeds: list[int],
    settings: Settings,
    project: str,
    written: Labels,
    models: tuple[str, str | None],
) -> Comparison:
    """Trains what is missing and closes the books."""
    begin_with_data_as_they_are()
    config = next(iter(tried.values()))[0].config
    result = Comparison(name, config.metric["name"], direction(config), seeds)
    # These are tags, since MLflow keeps the first value of a param, and a comparison may grow.
    tags = {
        "harness.source": settings.script.name if settings.script else "interactive",
        "harness.metric": result.metric,
        "harness.direction": result.direction,
        "harness.arms": json.dumps(list(tried)),
        "harness.seeds": ", ".join(map(str, seeds)),
        "harness.points": str(max(map(len, tried.values()))),
    }
    opened = open_books(
        "comparison",
        name,
        params={},
        tags=tags,
        labels=written,
        script=settings.script,
        inputs=data_inputs(config),
        project=project,
    )
    with opened as books:
        checkpoints = Checkpoints(books.folder / "checkpoints")
        before = books.trials()
        which, register = models
        kept = Networks(which, books.folder, register)
        plan = ComparePlan(result, tried, books, before, checkpoints, settings.script, kept)
        _check_metric(result, books, bool(plan.done))
        ended = [run.number or 0 for run in before]
        levels = Levels(None, result.metric, in_rounds=False)
        driver = Driver(plan, settings, books, levels, checkpoints, ended)
        about = {
            "kind": "comparison",
            "project": project,
            "metric": result.metric,
            "objectives": [result.metric],
            "directions": [result.direction],
        }
        driver.run(Expected(name, plan.total, 0, "run", about))
    return result


def _check_metric(result: Comparison, books: Books, has_runs: bool) -> None:
    """UsageError where the networks so far were measured by another metric."""
    if books.before is None or not has_runs:
        return
    was = books.before.tags.get("harness.metric")
    if was != result.metric:
        raise UsageError(
            f"comparison {result.name!r} was started with the metric {was!r}, now it is "
            f"{result.metric!r}; start it under another name"
        )


def _check_arms(arms: Any) -> None:
    is_mapping = isinstance(arms, Mapping) and len(arms) > 0
    if not is_mapping or not all(callable(a) or isinstance(a, Config) for a in arms.values()):
        raise UsageError(
            "arms must name at least one Config or search space each, such as {'relu': "
            "Config(...), 'tanh': space}"
        )
    # Names of arms become names of runs and metrics, rows of tables and titles in films.
    for arm in arms:
        checks.line("an arm's name", arm, "rename it")


def _seeds(seeds: Any) -> list[int]:
    """The seeds as a list of different whole numbers."""
    seeds = checks.plain(seeds)
    which: list[Any] = []
    if checks.is_whole(seeds) and seeds <= MOST:
        which = list(range(seeds))
    elif isinstance(seeds, Iterable):
        which = [checks.plain(seed) for seed in seeds]
    are_seeds = all(checks.is_whole(seed) and 0 <= seed < TUNING for seed in which)
    if not which or not are_seeds or len(set(which)) != len(which):
        raise UsageError(
            f"seeds must be how many, at most {MOST}, or different whole numbers below {TUNING}, "
            f"got {checks.shown(seeds)}; correct them"
        )
    return which


def _tried(arm: str, space: Config | Space, points: int) -> list[Network]:
    """The networks that an arm is tuned with; the one that it is where there is nothing to tune."""
    if isinstance(space, Config):
        return [Network(arm, space, {})]
    sweep = space
    if not isinstance(sweep, Sweep):
        sweep = Sweep(sweep, arm)
    for reference in sweep.plugins:
        registry.load_plugin(reference)
    networks: dict[str, Network] = {}
    with warnings.catch_warnings():
        # Choices may be lists, since the spool can write them.
        warnings.filterwarnings("ignore", "Choices for a categorical distribution", UserWarning)
        # In a notebook Optuna's import asks for widgets, which nothing here shows.
        warnings.filterwarnings("ignore", "IProgress not found")
        for trial in trials_at(coordinates(points)):
            try:
                config = propose(sweep, trial, taken=("arm", "point")).replace(seed=TUNING)
            except Skip:
                continue
            _check_choices(trial.params)
            # The seed is ours, whatever the space has suggested for it.
            suggested = {name: value for name, value in trial.params.items() if name != "seed"}
            network = Network(arm, config, suggested, trial.number)
            networks.setdefault(config.digest(), network)
    if not networks:
        raise UsageError(
            f"the search space of arm {arm!r} must return a Config, but has skipped all points; "
            "correct it"
        )
    return list(networks.values())


def _check_choices(params: dict[str, Any]) -> None:
    """UsageError for what cannot be written down."""
    for name, value in params.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError):
            raise UsageError(
                f"{name}: choices must be texts, numbers, True, False, None, or lists and dicts of "
                f"these, since they are written down, got {value!r:.60}; suggest a name for it"
            ) from None


def _check_configs(configs: list[Config]) -> None:
    """UsageError for configs whose values cannot be compared."""
    for field in ("metric", "data", "valid", "split_seed"):
        different = list(dict.fromkeys(str(getattr(config, field)) for config in configs))
        if len(different) > 1:
            raise UsageError(
                f"all arms must share {field}, or they cannot be compared, got {different[0]} and "
                f"{different[1]}; make it equal"
            )
    if configs[0].valid == 0:
        raise UsageError(
            "a comparison needs a validation part, got valid=0; give a share such as valid=0.2"
        )


def _script() -> Path | None:
    """The script that called compare."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    if frame is None:
        return None
    path = Path(frame.f_code.co_filename)
    # At a prompt and in a notebook there is no such file.
    if path.suffix != ".py" or not path.is_file():
        return None
    return path.resolve()
