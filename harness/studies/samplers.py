"""Samplers and pruners of Optuna by their names, with answers that do not depend on restarts."""

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any

from harness import registry
from harness.errors import UsageError
from harness.ops import stream
from harness.trials.clock import monotonic

# What some samplers import only after their random start
NEEDS = {"GPSampler": "torch", "CmaEsSampler": "cmaes"}


def named(kind: str, text: str | dict[str, Any], **defaults: Any) -> Any:
    """A sampler or pruner by its Optuna name, such as "TPESampler" or
    "MedianPruner(n_startup_trials=3)".
    """
    import optuna

    if not isinstance(text, str | dict):
        raise UsageError(
            f"a {kind} must be named, such as 'TPESampler(n_startup_trials=5)', got {text!r}"
        )
    room = optuna.samplers if kind == "sampler" else optuna.pruners
    base = room.BaseSampler if kind == "sampler" else room.BasePruner
    classes = {
        name: getattr(room, name) for name in room.__all__ if isinstance(getattr(room, name), type)
    }
    names = [
        name
        for name, each in classes.items()
        if issubclass(each, base) and not name.startswith("Base")
    ]

    def make(spec: Any, **defaults: Any) -> Any:
        if not isinstance(spec, dict) or not isinstance(spec.get("name"), str):
            return spec
        if spec["name"] not in names:
            near = spec["name"] + kind.title()
            hint = (
                f"did you mean {near!r}?"
                if near in names
                else registry.suggest(spec["name"], names)
            )
            raise UsageError(f"unknown {kind} {spec['name']!r}; {hint}")
        if spec["name"] in NEEDS:
            __import__(NEEDS[spec["name"]])
        made = classes[spec["name"]]
        given = {
            key: value
            for key, value in defaults.items()
            if key in inspect.signature(made).parameters
        }
        # PatientPruner(MedianPruner(), patience=2) has another inside
        given |= {
            key: make(value, **defaults) for key, value in spec.items() if key not in ("name", "*")
        }
        return made(*(make(value, **defaults) for value in spec.get("*", ())), **given)

    spec = registry.parse(text) if isinstance(text, str) else text
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that some of them are experimental
            return make(spec, **defaults)
    except UsageError:
        raise
    except ImportError as error:
        raise UsageError(
            f"{kind} {text!r} needs the package {error.name!r}; install it or choose another"
        ) from None
    except Exception as error:
        raise UsageError(
            f"{kind} {text!r} cannot be made: {error}; see Optuna's documentation of it"
        ) from None


def sampler(text: str, seed: int, space: dict[str, Any]) -> Any:
    """A sampler whose answers depend on (seed, trial, parameter) and on the trials that it is told
    of, on nothing else.

    Optuna's own draw from one stream, so that a restart or another order of the questions changes
    every answer after it. Here each trial asks a fresh one, seeded by its number. space: the
    distributions of a first trial, which a quasi-random sequence spans. `base` is one of Optuna's
    own, to be asked what kind it is.
    """
    from optuna.samplers import BaseSampler, GridSampler, QMCSampler

    base = named("sampler", text)
    spec = registry.parse(text)
    seed = spec.pop("seed", seed)

    class Keyed(BaseSampler):
        def __init__(self, spec: dict[str, Any], one_seed: bool = False, **defaults: Any) -> None:
            self.spec, self.one_seed, self.defaults = spec, one_seed, defaults
            self.base = self.fresh("sampler", 0)
            self.asked: tuple[int, Any] = 0, self.base
            self.seconds = 0.0  # that Optuna's sampler has taken

        def fresh(self, purpose: str, number: int) -> Any:
            key = seed_of(seed, "sampler") if self.one_seed else seed_of(seed, purpose, number)
            return named("sampler", self.spec, seed=key, **self.defaults)

        def of(self, trial: Any) -> Any:
            """One sampler for all that is asked of a trial together: what it infers it also
            samples.
            """
            if self.asked[0] != trial.number:
                self.asked = trial.number, self.fresh("sampler", trial.number)
            return self.asked[1]

        @_clocked
        def infer_relative_search_space(self, study: Any, trial: Any) -> Any:
            return self.of(trial).infer_relative_search_space(study, trial)

        @_clocked
        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Any:
            return self.of(trial).sample_relative(study, trial, search_space)

        @_clocked
        def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
            return self.fresh(f"ask/{name}", trial.number).sample_independent(
                study, trial, name, distribution
            )

        @_clocked
        def before_trial(self, study: Any, trial: Any) -> None:
            self.of(trial).before_trial(study, trial)

        @_clocked
        def after_trial(self, study: Any, trial: Any, state: Any, values: Any) -> None:
            self.of(trial).after_trial(study, trial, state, values)

    class QuasiRandom(Keyed):
        """Trial k is point k of the sequence, whoever asks when; Optuna counts the questions, and a
        crash loses one.
        """

        def infer_relative_search_space(self, study: Any, trial: Any) -> Any:
            return dict(space)

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Any:
            made = self.of(trial)
            made._find_sample_id = lambda study, search_space: trial.number
            return made.sample_relative(study, trial, search_space)

    if isinstance(base, GridSampler):
        return Keyed(spec, one_seed=True)  # by which Optuna shuffles the grid
    independent = Keyed({"name": "RandomSampler"})
    if isinstance(base, QMCSampler):
        return QuasiRandom(
            spec, one_seed=True, independent_sampler=independent, warn_independent_sampling=False
        )
    return Keyed(spec, independent_sampler=independent)


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


def seed_of(seed: int, purpose: str, number: int = 0) -> int:
    return int(stream(seed, purpose, number).generate_state(1)[0])
