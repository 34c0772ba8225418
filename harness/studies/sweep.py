"""Sweeps: a search space, how to search it, and the start of the search.

@sweep(name="first sweep", trials=24)
def space(trial) -> Config:
    activation = trial.suggest_categorical("activation", ["relu", "tanh"])
    return Config(layers=mlp([784, 100, 10], activation=activation))

if __name__ == "__main__":
    space.run()
"""

import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from harness import registry
from harness.config import Config
from harness.errors import UsageError, argument, plain_end
from harness.garbage import quick_start
from harness.studies.wanted import to_preload
from harness.workers.ahead import refuse_in_worker, workers_ahead

if TYPE_CHECKING:
    from harness.studies.result import Result


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
        Networks of one shape that train as one batched computation. "auto" stands for as many as
        pay; it is one where the sampler or a pruner learns from each trial, and where a layer, a
        loss, an update rule or a metric is not the harness's own.
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
    population: int | str = "auto"
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

    def run(self, **options: Any) -> "Result":
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
            refuse_in_worker("sweep")
            ahead = workers_ahead(sweep.workers, sweep.scheduler, *to_preload())
            with quick_start(), ahead:
                # It imports a good deal, as the workers' template does meanwhile.
                from harness.studies.sweeping import start

                return start(sweep)

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
