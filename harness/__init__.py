"""A research harness for multilayer perceptrons: plugins, a NumPy/CuPy engine, sweeps and films.

    import harness
    net = harness.Model(layers=harness.mlp([784, 100, 50, 10]), update="sgd(0.5)").fit()

The names in `__all__`, and what `harness.data` and `harness.testing` list in theirs, are the public
face: they are documented and stay. Everything else is private and may move.

Importing harness limits BLAS to one thread a process, because the last bits of a result depend on
the number of threads.
"""

import os as _os
import sys as _sys
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from harness.threads import ONE_THREAD as _ONE_THREAD

if _sys.platform == "win32":
    raise ImportError(
        "harness runs on Linux and macOS, but this is Windows; use it in WSL, the Windows "
        "Subsystem for Linux"
    )

if "numpy" not in _sys.modules:
    _os.environ.update(_ONE_THREAD)
else:
    # BLAS has read the environment already, so its libraries are told directly.
    from threadpoolctl import threadpool_limits as _limits

    _limits(1, "blas")

if _TYPE_CHECKING:
    from harness.builtin.layers import mlp
    from harness.builtin.losses.regression import on_differences
    from harness.builtin.updates.elementwise import elementwise
    from harness.config import Config
    from harness.data import load
    from harness.engine.chain import chain
    from harness.engine.contracts import Rule
    from harness.errors import LearningWarning, PluginError, UsageError, plain_end
    from harness.films.film import film
    from harness.maintenance.models import load_model
    from harness.model import Model
    from harness.pictures.film import settings as film_settings
    from harness.pictures.tiles import frames
    from harness.recorders import Report
    from harness.registry import (
        ActivationSpec,
        InitSpec,
        LayerSpec,
        RuleSpec,
        Scalar,
        activation,
        dataset,
        initializer,
        layer,
        load_plugin,
        loss,
        make,
        metric,
        recorder,
        schedule,
        update_rule,
    )
    from harness.storage.root import find_root
    from harness.studies.compare import compare
    from harness.studies.comparison import Comparison
    from harness.studies.result import Result
    from harness.studies.space import Skip
    from harness.studies.sweep import Sweep, sweep
    from harness.tracking.table import results
    from harness.training.film_steps import steps as film_steps
    from harness.training.prepare import prepare
    from harness.training.segment import segment
    from harness.trials.population import population_that_pays

__version__ = "0.1.0"

# Each name is imported when it is first used, because most of them need NumPy and some a good deal
# more: `harness --help` answers at once.
_LAZY = {
    "ActivationSpec": ("harness.registry", "ActivationSpec"),
    "Comparison": ("harness.studies.comparison", "Comparison"),
    "Config": ("harness.config", "Config"),
    "InitSpec": ("harness.registry", "InitSpec"),
    "LayerSpec": ("harness.registry", "LayerSpec"),
    "LearningWarning": ("harness.errors", "LearningWarning"),
    "Model": ("harness.model", "Model"),
    "PluginError": ("harness.errors", "PluginError"),
    "Report": ("harness.recorders", "Report"),
    "Result": ("harness.studies.result", "Result"),
    "Rule": ("harness.engine.contracts", "Rule"),
    "RuleSpec": ("harness.registry", "RuleSpec"),
    "Scalar": ("harness.registry", "Scalar"),
    "Skip": ("harness.studies.space", "Skip"),
    "Sweep": ("harness.studies.sweep", "Sweep"),
    "UsageError": ("harness.errors", "UsageError"),
    "activation": ("harness.registry", "activation"),
    "chain": ("harness.engine.chain", "chain"),
    "compare": ("harness.studies.compare", "compare"),
    "dataset": ("harness.registry", "dataset"),
    "elementwise": ("harness.builtin.updates.elementwise", "elementwise"),
    "film": ("harness.films.film", "film"),
    "film_settings": ("harness.pictures.film", "settings"),
    "film_steps": ("harness.training.film_steps", "steps"),
    "find_root": ("harness.storage.root", "find_root"),
    "frames": ("harness.pictures.tiles", "frames"),
    "initializer": ("harness.registry", "initializer"),
    "layer": ("harness.registry", "layer"),
    "load": ("harness.data", "load"),
    "load_model": ("harness.maintenance.models", "load_model"),
    "load_plugin": ("harness.registry", "load_plugin"),
    "loss": ("harness.registry", "loss"),
    "make": ("harness.registry", "make"),
    "metric": ("harness.registry", "metric"),
    "mlp": ("harness.builtin.layers", "mlp"),
    "on_differences": ("harness.builtin.losses.regression", "on_differences"),
    "plain_end": ("harness.errors", "plain_end"),
    "population_that_pays": ("harness.trials.population", "population_that_pays"),
    "prepare": ("harness.training.prepare", "prepare"),
    "recorder": ("harness.registry", "recorder"),
    "results": ("harness.tracking.table", "results"),
    "schedule": ("harness.registry", "schedule"),
    "segment": ("harness.training.segment", "segment"),
    "sweep": ("harness.studies.sweep", "sweep"),
    "update_rule": ("harness.registry", "update_rule"),
}

__all__ = [
    "ActivationSpec",
    "Comparison",
    "Config",
    "InitSpec",
    "LayerSpec",
    "LearningWarning",
    "Model",
    "PluginError",
    "Report",
    "Result",
    "Rule",
    "RuleSpec",
    "Scalar",
    "Skip",
    "Sweep",
    "UsageError",
    "activation",
    "chain",
    "compare",
    "dataset",
    "elementwise",
    "film",
    "film_settings",
    "film_steps",
    "find_root",
    "frames",
    "initializer",
    "layer",
    "load",
    "load_model",
    "load_plugin",
    "loss",
    "make",
    "metric",
    "mlp",
    "on_differences",
    "plain_end",
    "population_that_pays",
    "prepare",
    "recorder",
    "results",
    "schedule",
    "segment",
    "sweep",
    "update_rule",
]


def __getattr__(name: str) -> _Any:
    import importlib

    if name in ("data", "testing"):
        return importlib.import_module(f"harness.{name}")
    if name not in _LAZY:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    module, attribute = _LAZY[name]
    value = getattr(importlib.import_module(module), attribute)
    # Kept here, so that the next access does not come through this function.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "data", "testing"})
