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

_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS",
)
if "numpy" not in _sys.modules:
    _os.environ.update(dict.fromkeys(_THREADS, "1"))
else:
    # BLAS has read the environment already, so its libraries are told directly.
    from threadpoolctl import threadpool_limits as _limits

    _limits(1, "blas")

# Importing `builtin`, `data` and `recorders` registers the plugins that come with the harness.
from harness import builtin, data, expressions, recorders  # noqa: E402, F401
from harness.builtin.layers import mlp  # noqa: E402
from harness.config import Config  # noqa: E402
from harness.data import load  # noqa: E402
from harness.engine.chain import chain  # noqa: E402
from harness.engine.contracts import Rule  # noqa: E402
from harness.errors import LearningWarning, PluginError, UsageError, plain_end  # noqa: E402
from harness.recorders import Report  # noqa: E402
from harness.registry import (  # noqa: E402
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
from harness.storage.root import find_root  # noqa: E402

if _TYPE_CHECKING:
    from harness.model import Model, load_model
    from harness.pictures.film import settings as film_settings
    from harness.pictures.tiles import frames
    from harness.studies.compare import compare
    from harness.studies.comparison import Comparison
    from harness.studies.result import Result
    from harness.studies.space import Skip
    from harness.studies.sweep import Sweep, sweep
    from harness.tracking.table import results
    from harness.training.prepare import prepare
    from harness.training.segment import segment
    from harness.training.steps import steps as film_steps
    from harness.trials.population import population_that_pays

__version__ = "0.1.0"

# These names are imported when they are first used, because their modules are slow to import.
_LAZY = {
    "Comparison": ("harness.studies.comparison", "Comparison"),
    "Model": ("harness.model", "Model"),
    "Result": ("harness.studies.result", "Result"),
    "Skip": ("harness.studies.space", "Skip"),
    "Sweep": ("harness.studies.sweep", "Sweep"),
    "compare": ("harness.studies.compare", "compare"),
    "film_settings": ("harness.pictures.film", "settings"),
    "film_steps": ("harness.training.steps", "steps"),
    "frames": ("harness.pictures.tiles", "frames"),
    "load_model": ("harness.model", "load_model"),
    "population_that_pays": ("harness.trials.population", "population_that_pays"),
    "prepare": ("harness.training.prepare", "prepare"),
    "results": ("harness.tracking.table", "results"),
    "segment": ("harness.training.segment", "segment"),
    "sweep": ("harness.studies.sweep", "sweep"),
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

    if name == "testing":
        return importlib.import_module("harness.testing")
    if name not in _LAZY:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    module, attribute = _LAZY[name]
    value = getattr(importlib.import_module(module), attribute)
    # Kept here, so that the next access does not come through this function.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "testing"})
