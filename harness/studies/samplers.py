"""Samplers and pruners of Optuna by their names, with answers that do not depend on restarts."""

import functools
import inspect
import warnings
from typing import Any

from harness import registry
from harness.errors import UsageError

# What some samplers import only after their random start.
NEEDS = {"GPSampler": "torch", "CmaEsSampler": "cmaes"}


def named(kind: str, text: str | dict[str, Any], **defaults: Any) -> Any:
    """A sampler or pruner by its Optuna name.

    Parameters
    ----------
    kind : str
        "sampler" or "pruner".
    text : str or dict
        Its spec, "TPESampler" or "MedianPruner(n_startup_trials=3)".
    **defaults
        Arguments that it gets where it takes them and the spec does not say otherwise.
    """
    if not isinstance(text, str | dict):
        raise UsageError(
            f"a {kind} must be named, such as 'TPESampler(n_startup_trials=5)', got {text!r}"
        )
    spec = registry.parse(text) if isinstance(text, str) else text
    try:
        with warnings.catch_warnings():
            # Optuna warns that some of them are experimental.
            warnings.simplefilter("ignore")
            return _make(kind, spec, defaults)
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


def _make(kind: str, spec: Any, defaults: dict[str, Any]) -> Any:
    """What a spec stands for, and anything else as it is.

    A spec may hold others: PatientPruner(MedianPruner(), patience=2).
    """
    if not isinstance(spec, dict) or not isinstance(spec.get("name"), str):
        return spec
    made = _class_of(kind, spec["name"])
    parameters = _parameters_of(made)
    given = {key: value for key, value in defaults.items() if key in parameters}
    for key, value in spec.items():
        if key not in ("name", "*"):
            given[key] = _make(kind, value, defaults)
    return made(*(_make(kind, value, defaults) for value in spec.get("*", ())), **given)


# A sampler is made anew for each trial, so what is always the same is looked up once.
@functools.cache
def _parameters_of(made: type) -> frozenset[str]:
    return frozenset(inspect.signature(made).parameters)


@functools.cache
def _class_of(kind: str, name: str) -> Any:
    """The class of Optuna with this name. UsageError where there is none of this kind."""
    import optuna

    if kind == "sampler":
        room: Any = optuna.samplers
        base: Any = optuna.samplers.BaseSampler
    else:
        room = optuna.pruners
        base = optuna.pruners.BasePruner
    classes = {}
    for each in room.__all__:
        found = getattr(room, each)
        if isinstance(found, type) and issubclass(found, base) and not each.startswith("Base"):
            classes[each] = found
    if name not in classes:
        near = name + kind.title()
        hint = registry.suggest(name, list(classes))
        if near in classes:
            hint = f"did you mean {near!r}?"
        raise UsageError(f"unknown {kind} {name!r}; {hint}")
    if name in NEEDS:
        __import__(NEEDS[name])
    return classes[name]


def learns(sampler: Any) -> bool:
    """Whether what a sampler of `sampler` proposes depends on the trials that have ended."""
    from optuna import samplers

    draws = (
        samplers.RandomSampler,
        samplers.QMCSampler,
        samplers.GridSampler,
        samplers.BruteForceSampler,
    )
    return not isinstance(sampler.base, draws)


def sampler(text: str, seed: int, space: dict[str, Any]) -> Any:
    """A sampler whose answers depend on (seed, trial, parameter) and on the trials it is told of.

    Samplers of Optuna draw from one stream, so that a restart, or another order of the questions,
    changes every answer after it. Here each trial asks a fresh one, seeded by its number.

    Parameters
    ----------
    text : str
        The name of a sampler of Optuna with its arguments.
    seed : int
        Its seed, unless its arguments have one.
    space : dict
        The distributions of a first trial, which a quasi-random sequence spans.

    Returns
    -------
    optuna.samplers.BaseSampler
        Its `base` is one of Optuna's own, to be asked what kind it is; its `seconds` are those
        that Optuna's samplers have taken.
    """
    from optuna.samplers import GridSampler, QMCSampler

    from harness.studies.keyed_sampler import KeyedSampler, QuasiRandomSampler

    base = named("sampler", text)
    spec = registry.parse(text)
    seed = spec.pop("seed", seed)
    if isinstance(base, GridSampler):
        # Optuna shuffles the grid by its seed, so all trials must have the same.
        return KeyedSampler(spec, seed, one_seed=True)
    independent = KeyedSampler({"name": "RandomSampler"}, seed)
    if isinstance(base, QMCSampler):
        return QuasiRandomSampler(
            spec,
            seed,
            one_seed=True,
            space=space,
            independent_sampler=independent,
            warn_independent_sampling=False,
        )
    return KeyedSampler(spec, seed, independent_sampler=independent)
