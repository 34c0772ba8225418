"""Compiled loops, kept on disk: each source is compiled once on a machine, by one process."""

import fcntl
import hashlib
import importlib.util
import os
import platform
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from harness.expressions.backend import sources
from harness.expressions.compiling import VARIABLE, announced, caches
from harness.expressions.loops import Loop
from harness.ops import Array

# The loops of so many versions and processors are kept.
VERSIONS = 4

loaded: dict[str, Any] = {}  # the functions of this process, by their source
ready: dict[Any, Any] = {}  # the same, by their source and the types of their arguments


def compile_loop(loop: Loop, arrays: list[Array], rest: Sequence[Any]) -> Callable[..., None]:
    """Return the compiled function of a loop: from this process, from disk, or compiled anew.

    Parameters
    ----------
    loop
        Its source.
    arrays, rest
        Arrays of the types with which it will be called: those of the loop, and after them its
        scalars and numbers.
    """
    # A trial asks some sixty times, and Numba takes half a millisecond to name the types of arrays.
    key = (loop.source, *map(_kind, arrays), None, *map(_kind, rest))
    if key not in ready:
        ready[key] = _compiled(loop, arrays, rest)
    return ready[key]


def _kind(value: Any) -> Any:
    """Return what the type of an argument depends on, of those that Numba tells apart."""
    if not isinstance(value, np.ndarray):
        return type(value)
    flags = value.flags
    layout = (flags.c_contiguous, flags.f_contiguous, flags.aligned)
    return value.dtype, value.ndim, layout, flags.writeable


def _compiled(loop: Loop, arrays: list[Array], rest: Sequence[Any]) -> Callable[..., None]:
    import numba

    if loop.source not in loaded:
        loaded[loop.source] = load(loop.source, loop.name)
    kernel = loaded[loop.source]
    kinds = [numba.types.Array(numba.typeof(a).dtype, 1, "C") for a in arrays]
    signature = (*kinds, *(numba.typeof(a) for a in rest))
    if signature not in kernel.overloads:
        with _alone(kernel):
            try:
                kernel.compile(signature)
            except OSError as error:
                # It is compiled, and could not be written down.
                if signature not in kernel.overloads:
                    raise
                _warn(error)
    return kernel


@cache
def version() -> str:
    """Return what the bits of a compiled loop depend on, as a short digest.

    That is our sources, the versions of Numba, NumPy and Python, and the processor.
    """
    import numba
    from llvmlite import binding

    own = hashlib.sha256(sources().encode())
    processor = f"{binding.get_host_cpu_name()} {binding.get_host_cpu_features().flatten()}"
    versions = f"{numba.__version__} {np.__version__} {platform.python_version()} {processor}"
    own.update(versions.encode())
    return own.hexdigest()[:16]


@cache
def folder_in_use() -> Path:
    """Where the loops of this machine and these versions lie; a temporary one where none can."""
    folder = caches() / version()
    try:
        if not folder.exists():
            _make_room()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"a full disk shows itself when something is written")
            file.flush()
    except OSError as error:
        _warn(error)
        return Path(tempfile.mkdtemp(prefix="harness-kernels-"))
    return folder


def _make_room() -> None:
    """Delete the loops of the versions that came first, where there are many versions."""
    if not caches().exists():
        return
    folders = [path for path in caches().iterdir() if path.is_dir()]
    versions = sorted(folders, key=lambda path: path.stat().st_mtime)
    for old in versions[: max(0, len(versions) - VERSIONS + 1)]:
        shutil.rmtree(old, ignore_errors=True)


def _warn(error: OSError) -> None:
    warnings.warn(
        f"compiled loops could not be kept in {caches()}, and are compiled anew in each process: "
        f"{error}; set {VARIABLE} to a folder that can be written",
        RuntimeWarning,
        stacklevel=2,
    )


@contextmanager
def _alone(kernel: Any) -> Iterator[None]:
    """Hold the lock of one source, so that no two processes compile it at the same time."""
    source = Path(kernel.py_func.__code__.co_filename)
    with ExitStack() as stack:
        # What Numba has kept beside the source takes some milliseconds, and nobody is told.
        if not any((source.parent / "__pycache__").glob(f"{source.stem}.*.nbi")):
            stack.enter_context(announced())
        # Where the folder has been emptied meanwhile, there is nothing to wait for.
        with suppress(OSError):
            file = stack.enter_context(open(f"{source}.lock", "w"))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def load(source: str, function: str) -> Callable[..., None]:
    """Import a source as a module, and return its function.

    Numba keeps what it compiles beside the file.

    Parameters
    ----------
    source
        A module of Python.
    function
        The name of its function.
    """
    name = f"kernel_{hashlib.sha256(source.encode()).hexdigest()[:20]}"
    try:
        path = _written(source, name)
    except OSError:
        # The disk may have become full, or the folder may have been emptied. It is looked at anew.
        folder_in_use.cache_clear()
        path = _written(source, name)
    spec = importlib.util.spec_from_file_location(f"harness_kernels.{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Numba looks it up there
    spec.loader.exec_module(module)
    return getattr(module, function)


def _written(source: str, name: str) -> Path:
    """Write a source down, where it is not yet, and return its file."""
    path = folder_in_use() / f"{name}.py"
    if not path.exists():
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(source)
        # Numba tells by the time and size of a file whether what it has kept is of this source.
        os.utime(temporary, (0, 0))
        os.replace(temporary, path)
    return path
