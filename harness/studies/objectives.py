"""What the trials of a sweep are ranked by."""

from collections.abc import Iterable
from typing import Any

from harness.config import Config
from harness.errors import UsageError
from harness.registry.known import find, suggest
from harness.storage.ranking import Objective
from harness.trials.outcome import Outcome, direction

OTHERS = {"loss": "minimize", "train_s": "minimize"}  # what can be an objective beside the metric


def value_of(objective: Objective, outcome: Outcome) -> float | None:
    """The value of a trial that has ended, by an objective."""
    if objective.name == "train_s":
        return outcome.metrics.get("time/train_s")
    return outcome.value_by(objective)


def objectives(names: Iterable[str], config: Config) -> list[Objective]:
    """The objectives of a sweep.

    Parameters
    ----------
    names : iterable of str
        The config's metric, "loss", "train_s"; nothing for the metric alone.
    config : Config
        What a first trial is.
    """
    metric = config.metric["name"]
    known = {**OTHERS, metric: direction(config)}
    chosen = list(dict.fromkeys(names)) or [metric]
    for name in chosen:
        if name not in known:
            raise UsageError(
                f"an objective must be the config's metric ({metric!r}), 'loss' or 'train_s', got "
                f"{name!r}; {suggest(str(name), list(known))}"
            )
    return [Objective(name, known[name]) for name in chosen]


def recorded_objectives(params: dict[str, Any]) -> list[Objective]:
    """The objectives of a sweep that has been logged.

    Parameters
    ----------
    params : dict
        The params of its run. UsageError for a metric that nobody knows here.
    """
    recorded = []
    for name in str(params["objectives"]).split(", "):
        way = OTHERS.get(name) or find("metric", name).options["direction"]
        recorded.append(Objective(name, way))
    return recorded
