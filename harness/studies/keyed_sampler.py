"""Samplers of Optuna that are seeded anew for each trial, by its number.

This module imports Optuna, so it is imported where a study begins.
"""

import functools
from collections.abc import Callable
from typing import Any

from optuna.samplers import BaseSampler

from harness.ops import stream
from harness.studies.samplers import named
from harness.trials.clock import monotonic


def _clocked(method: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the time of a sampler's method to its `seconds`."""

    @functools.wraps(method)
    def call(self: Any, *arguments: Any) -> Any:
        begun = monotonic()
        try:
            return method(self, *arguments)
        finally:
            self.seconds += monotonic() - begun

    return call


class KeyedSampler(BaseSampler):
    """Asks a fresh sampler of Optuna for each trial.

    Parameters
    ----------
    spec : dict
        The sampler of Optuna.
    seed : int
        The seed of all of them.
    one_seed : bool
        Whether the number of the trial has no part in their seed.
    space : dict or None
        The distributions of a first trial.
    **defaults
        Arguments of the samplers of Optuna.
    """

    def __init__(
        self,
        spec: dict[str, Any],
        seed: int,
        one_seed: bool = False,
        space: dict[str, Any] | None = None,
        **defaults: Any,
    ) -> None:
        self.spec = spec
        self.seed = seed
        self.one_seed = one_seed
        self.space = space or {}
        self.defaults = defaults
        self.base = self.fresh("sampler", 0)
        self.seconds = 0.0
        # The sampler of the trial that was asked about last.
        self._number = 0
        self._sampler = self.base

    def fresh(self, purpose: str, number: int) -> Any:
        """A new sampler of Optuna for one purpose of one trial."""
        key = seed_of(self.seed, purpose, number)
        if self.one_seed:
            key = seed_of(self.seed, "sampler")
        return named("sampler", self.spec, seed=key, **self.defaults)

    def of(self, trial: Any) -> Any:
        """One sampler for all that is asked of a trial together.

        So it also samples what it infers.
        """
        if self._number != trial.number:
            self._number = trial.number
            self._sampler = self.fresh("sampler", trial.number)
        return self._sampler

    @_clocked
    def infer_relative_search_space(self, study: Any, trial: Any) -> Any:
        """What is sampled together."""
        return self.of(trial).infer_relative_search_space(study, trial)

    @_clocked
    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Any:
        """The values of what is sampled together."""
        return self.of(trial).sample_relative(study, trial, search_space)

    @_clocked
    def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
        """The value of a parameter that is sampled alone."""
        alone = self.fresh(f"ask/{name}", trial.number)
        return alone.sample_independent(study, trial, name, distribution)

    @_clocked
    def before_trial(self, study: Any, trial: Any) -> None:
        """Called before a trial is asked about."""
        self.of(trial).before_trial(study, trial)

    @_clocked
    def after_trial(self, study: Any, trial: Any, state: Any, values: Any) -> None:
        """Called after a trial has ended."""
        self.of(trial).after_trial(study, trial, state, values)


class QuasiRandomSampler(KeyedSampler):
    """Trial k always uses point k of the sequence.

    So a resumed sweep continues the same sequence, whereas Optuna counts the questions, and a
    crash loses one.
    """

    def infer_relative_search_space(self, study: Any, trial: Any) -> Any:
        """The distributions of a first trial, whatever has been sampled since."""
        return dict(self.space)

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Any:
        """The point of the sequence that the trial has by its number."""
        sequence = self.of(trial)
        sequence._find_sample_id = lambda study, search_space: trial.number
        return sequence.sample_relative(study, trial, search_space)


def seed_of(seed: int, purpose: str, number: int = 0) -> int:
    """A seed of 32 bits for one purpose of one trial."""
    return int(stream(seed, purpose, number).generate_state(1)[0])
