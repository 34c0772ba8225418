"""Where arrays live. `cpu` and `gpu` offer the same names; the engine and the plugins use nothing
else of a device.

The seam: xp, empty, zeros, asarray, to_host, matmul, gather, uniform, generator, quiet,
synchronize.
"""

import hashlib
import importlib
from types import ModuleType
from typing import Any

import numpy as np

from harness.errors import UsageError

Array = Any  # numpy.ndarray or cupy.ndarray


def ops_for(device: str) -> ModuleType:
    """The operations of a device: "cpu" or "gpu"."""
    if device not in ("cpu", "gpu"):
        raise UsageError(f"device must be 'cpu' or 'gpu', got {device!r}")
    return importlib.import_module(f"harness.ops.{device}")


def stream(seed: int, purpose: str, epoch: int = 0) -> np.random.SeedSequence:
    """The random stream keyed by (seed, purpose, epoch): never by a process, an order of calls or a
    clock.
    """
    key = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little")
    return np.random.SeedSequence([int(seed), key, int(epoch)])
