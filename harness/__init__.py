"""A research harness for multilayer perceptrons: plugins, a NumPy/CuPy engine, sweeps, films and verdicts.

    import harness
    net = harness.Model(layers=harness.mlp([784, 100, 50, 10]), update="sgd(0.5)").fit()

One BLAS thread a process: importing harness says so to the BLAS libraries, since their results depend on how many there
are.
"""

import os as _os
import sys as _sys
from typing import Any as _Any

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "BLIS_NUM_THREADS")
if "numpy" not in _sys.modules:
    _os.environ.update(dict.fromkeys(THREADS, "1"))
else:  # BLAS has read the environment already
    from threadpoolctl import threadpool_limits as _limits

    _limits(1, "blas")

# Built-in plugins register themselves when their rooms are imported, in the order of the rooms
from harness import activations, initializers, layers, losses, metrics, recorders, registry, schedules, tracing, updates  # noqa: E402, F401  # noqa: E402, F401
from harness.config import Config  # noqa: E402
from harness.engine import Rule, chain  # noqa: E402
from harness.errors import LearningWarning, UsageError  # noqa: E402
from harness.layers import mlp  # noqa: E402
from harness.registry import (  # noqa: E402
    Scalar,
    activation,
    dataset,
    initializer,
    layer,
    loss,
    metric,
    recorder,
    schedule,
    update_rule,
)  # fmt: skip

__version__ = "0.1.0"

# What needs a heavy package is imported when it is first asked for
_later = {
    "Model": "model",
    "load_model": "model",
    "results": "tracking",
    "load": "data",
}

__all__ = [
    "Config", "LearningWarning", "Model", "Rule", "Scalar", "UsageError", "activation", "chain", "dataset",
    "initializer", "layer", "load", "load_model", "loss", "metric", "mlp", "recorder", "results", "schedule",
    "update_rule",
]  # fmt: skip


def __getattr__(name: str) -> _Any:
    if name in _later:
        import importlib

        return getattr(importlib.import_module(f"harness.{_later[name]}"), name)
    raise AttributeError(f"module 'harness' has no attribute {name!r}")
