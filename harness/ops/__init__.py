"""Where arrays live: the only room that knows a device.

`cpu` and `gpu` offer the same names, and the engine and the plugins use nothing else of a device:
xp, empty, zeros, asarray, to_host, matmul, product, gather, uniform, generator, quiet, synchronize.
For kernels written in CUDA `gpu` has one more, kernel.
"""

import hashlib
import importlib
from types import ModuleType
from typing import Any

import numpy as np

from harness.errors import UsageError

Array = Any  # numpy.ndarray or cupy.ndarray, and the second may not be installed


def ops_for(device: str) -> ModuleType:
    """The operations of a device.

    Parameters
    ----------
    device
        "cpu" or "gpu".

    Raises
    ------
    UsageError
        For another device, and for "gpu" without CuPy or without a GPU that answers.
    """
    if device not in ("cpu", "gpu"):
        raise UsageError(f"device must be 'cpu' or 'gpu', got {device!r}")
    return importlib.import_module(f"harness.ops.{device}")


def stream(seed: int, purpose: str, epoch: int = 0) -> np.random.SeedSequence:
    """The seeds of one random stream.

    Parameters
    ----------
    seed
        The seed of a network.
    purpose
        What the stream is for, such as "weights".
    epoch
        The epoch, where each has a stream of its own.

    Returns
    -------
    A sequence that depends on these three alone: never on a process, an order of calls or a clock.
    """
    key = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little")
    return np.random.SeedSequence([int(seed), key, int(epoch)])
