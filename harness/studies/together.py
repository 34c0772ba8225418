"""How many trials of a sweep are trained together, where the user leaves it to the harness."""

import math
from typing import TYPE_CHECKING, Any

from harness import registry
from harness.config import Config
from harness.studies.samplers import learns
from harness.trials.population import population_that_pays

if TYPE_CHECKING:
    from harness.studies.sweep import Sweep

# The kinds of plugins that are given the arrays of all members at once.
_BATCHED = ("activation", "layer", "loss", "update_rule", "metric")


def members_of(sweep: "Sweep", sampler: Any, config: Config) -> int:
    """Networks that train as one batched computation, at most.

    Parameters
    ----------
    sweep : Sweep
        The sweep, with its population as it was given.
    sampler : optuna.samplers.BaseSampler
        Who proposes its trials.
    config : Config
        What its space proposes for a first trial.
    """
    if isinstance(sweep.population, int):
        return sweep.population
    # Who learns from each trial would know of fewer of them when the next one is asked for.
    if learns(sampler) or sweep.pruner or not all_are_ours(config):
        return 1
    return population_that_pays(config)


def all_are_ours(config: Config) -> bool:
    """Whether all that computes with a whole population is the harness's own.

    Somebody else's layer may forget the axis of the members, and nothing but `harness test` would
    show it. An activation that is one expression knows of no axis.
    """
    names = config.names()
    for entry in registry.entries():
        is_expression = entry.options.get("spelling") == "expression"
        is_ours = entry.module.startswith("harness.") or is_expression
        if entry.name in names and entry.kind in _BATCHED and not is_ours:
            return False
    return True


def evenly(members: int, networks: int, workers: int) -> int:
    """The size of populations of which each worker gets as many.

    Parameters
    ----------
    members : int
        The largest size.
    networks : int
        How many are to be trained in all.
    workers : int
        Who train them.
    """
    rounds = max(1, math.ceil(networks / (members * workers)))
    return max(1, math.ceil(networks / (rounds * workers)))
