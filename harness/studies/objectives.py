"""What the trials of a sweep are ranked by."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from harness.config import Config
from harness.errors import UsageError
from harness.registry.known import find, suggest
from harness.trials.outcome import Outcome, direction

OTHERS = {"loss": "minimize", "train_s": "minimize"}  # what can be an objective beside the metric


class Objective(NamedTuple):
    """One of the numbers that a sweep is about.

    Attributes
    ----------
    name : str
        The metric, "loss" or "train_s".
    direction : str
        "maximize" or "minimize".
    """

    name: str
    direction: str

    @property
    def sign(self) -> int:
        """The factor that turns a value so that less is better."""
        return -1 if self.direction == "maximize" else 1

    def of(self, outcome: Outcome) -> float | None:
        """Its value for a trial that has ended."""
        if self.name == "train_s":
            return outcome.metrics.get("time/train_s")
        if self.name != "loss":
            return outcome.value
        if not outcome.records:
            return None
        return outcome.records[-1].metrics.get("valid/loss")


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
