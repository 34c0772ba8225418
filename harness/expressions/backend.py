"""Which backend runs a graph: compiled loops on the processor, or passes of the array module."""

import hashlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import PluginError, UsageError
from harness.expressions import passes
from harness.expressions.graph import Node
from harness.ops import Array, debug

VARIABLE = "HARNESS_KERNELS"
BACKENDS = ("numba", "numpy")

# For so many shapes the buffers are kept; more than a training and an evaluation batch are rare.
SHAPES = 8

_in_use: list[str] = []  # what `using` has set, the innermost last


def kernels() -> str:
    """Return the backend of this process, "numba" or "numpy".

    It is what HARNESS_KERNELS says; without it "numba", where Numba is installed.

    Raises
    ------
    UsageError
        If HARNESS_KERNELS names no backend, or "numba" where Numba is not installed.
    """
    if _in_use:
        return _in_use[-1]
    asked = os.environ.get(VARIABLE, "")
    if asked not in ("", *BACKENDS):
        raise UsageError(f"{VARIABLE} must be 'numba' or 'numpy', got {asked!r}; unset it")
    if asked == "numba" and not has_numba():
        raise UsageError(
            f"{VARIABLE} is 'numba', which is not installed; install it with pip, or set "
            f"{VARIABLE}=numpy"
        )
    if asked:
        return asked
    return "numba" if has_numba() else "numpy"


@contextmanager
def using(backend: str) -> Iterator[None]:
    """Build networks with this backend, whatever the environment says.

    Parameters
    ----------
    backend
        As `kernels` returns it in the process that decides.

    Raises
    ------
    UsageError
        If it is "numba" where Numba is not installed.
    """
    if backend == "numba" and not has_numba():
        raise UsageError(
            "what is trained with compiled kernels needs Numba, which is not installed in "
            f"{sys.prefix}; install it there with pip, or start with {VARIABLE}=numpy"
        )
    _in_use.append(backend)
    try:
        yield
    finally:
        _in_use.pop()


def described(backend: str | None = None) -> str:
    """Return a backend with what its bits depend on, for a fingerprint.

    Parameters
    ----------
    backend
        "numba" or "numpy"; that of this process by default.
    """
    if (backend or kernels()) == "numpy" or not has_numba():
        return "numpy"
    return f"numba {metadata.version('numba')} {sources()[:8]}"


@cache
def sources() -> str:
    """Return the digest of what decides over the bits of a compiled loop."""
    own = hashlib.sha256()
    for name in (
        "angles",
        "cuda",
        "cuda_kernels",
        "cuda_normal",
        "cuda_written",
        "exponentials",
        "gated",
        "gaussian",
        "largest",
        "loops",
        "normal",
        "scalars",
        "wide",
        "written",
    ):
        own.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return own.hexdigest()


@cache
def has_numba() -> bool:
    """Return whether Numba is installed; it is not imported for that."""
    return importlib.util.find_spec("numba") is not None


def compiles(xp: Any, dtype: Any) -> bool:
    """Whether arrays of this module and type are computed by compiled loops where they can be."""
    return xp is np and dtype in (np.float32, np.float64) and kernels() == "numba"


def launches(xp: Any, dtype: Any) -> bool:
    """Whether arrays of this module and type are computed by kernels on a GPU, one launch each.

    Where the backend is "numpy", passes run on a GPU too.
    """
    return xp.__name__ == "cupy" and dtype in (np.float32, np.float64) and kernels() == "numba"


def runner(root: Node, given: dict[int, int]) -> Callable[..., None]:
    """Make run(xp, z, a, out), which leaves the value of root in out.

    Parameters
    ----------
    root
        The node that is computed.
    given
        From the index of a node to 0, 1 or 2 where its value comes in z, a or out.
    """
    plans: dict[Any, Callable[..., None]] = {}

    def run(xp: Any, z: Any, a: Any, out: Any) -> None:
        key = (xp, z.shape, z.dtype)
        if key not in plans:
            if len(plans) >= SHAPES:
                plans.clear()
            plans[key] = _plan(xp, root, given, z)
        plans[key](z, a, out)

    # For whoever makes one loop of this and of what stands beside it.
    run.graph = root, given  # type: ignore[attr-defined]
    return run


def _plan(xp: Any, root: Node, given: dict[int, int], z: Any) -> Callable[..., None]:
    from harness.expressions.loops import Unlowered

    # What neither of them computes runs in passes.
    with suppress(Unlowered):
        if compiles(xp, z.dtype):
            # Numba takes its time to import, and nobody but who trains needs it.
            from harness.expressions.numba_loops import plan

            return plan(root, given, z)
        if launches(xp, z.dtype):
            from harness.expressions.cuda_kernels import plan

            return plan(root, given, z)
    return passes.plan(xp, root, given, z)


def flat(array: Array) -> Array:
    """Return the elements of an array in one row; a view where they lie in a row already."""
    if debug.on:
        array = debug.unwatch(array)
        # A loop is compiled for arrays that may be written. It writes no other than its outputs.
        if not array.flags.writeable:
            array = array.copy()
    return array.reshape(-1)


def float_row(array: Array, dtype: Any) -> Array:
    """Return the elements of an array in one row, as a compiled loop of that type takes them.

    A view of the array, or a copy without a `base` where its elements lie in another way or are
    of another type. Whoever writes into a copy must put it back.
    """
    array = debug.unwatch(array)
    if array.flags.carray and array.dtype == dtype:
        return array.reshape(-1)
    row = np.empty(array.size, dtype)
    np.copyto(row.reshape(array.shape), array)
    return row


def check_shape(name: str, array: Array, *shapes: tuple[int, ...]) -> None:
    """Raise PluginError unless an array has one of some shapes.

    Parameters
    ----------
    name
        What it is called.
    array
        What has come, perhaps from a plugin.
    *shapes
        Those that it may have.
    """
    shape = getattr(array, "shape", None)
    if shape not in shapes:
        came = f"the shape {shape}" if shape is not None else type(array).__name__
        must = " or ".join(map(str, dict.fromkeys(shapes)))
        raise PluginError(
            f"{name} must be an array of the shape {must}, got {came}; check the plugin that has "
            "returned it"
        )


def flattener(name: str, dtype: Any, *shapes: tuple[int, ...]) -> Callable[[Array], Array]:
    """Return `float_row` for a place to which mostly the same array comes, which is quicker.

    A compiled loop does not look where its arrays end, so that one of another shape, which a plugin
    may have returned, would make it read what lies behind.

    Parameters
    ----------
    name
        What the array is called in errors.
    dtype
        Of the loop.
    *shapes
        Those that it may have.
    """
    nothing = object()
    seen: Any = nothing
    row: Array = None

    def flatten(array: Array) -> Array:
        nonlocal seen, row
        if array is not seen:
            check_shape(name, array, *shapes)
            row = float_row(array, dtype)
            # A copy is of what the array holds now, and must be made anew.
            seen = nothing if row.base is None else array
        return row

    return flatten


def span_of(row: Array) -> tuple[Array, int, int]:
    """Return the memory from the row (..., 1, O) of the first member to that of the last, flat.

    It is of one kind for a network and for a population, whose rows lie apart in an arena, so that
    a loop is compiled once for both.

    Returns
    -------
    The memory, which may be written, how far it is in it from one row to the next, and O.
    """
    rows = rows_of(row)
    members, O = rows.shape
    step = rows.strides[0] // rows.itemsize if members > 1 else O
    size = (members - 1) * step + O
    return np.lib.stride_tricks.as_strided(rows, (size,), (rows.itemsize,)), step, O


def rows_of(row: Array) -> Array:
    """Return a row (..., 1, O) of each member as (P, O): a view, which may be written."""
    rows = debug.unwatch(row).reshape(-1, row.shape[-1])
    assert np.shares_memory(rows, row)
    return rows
