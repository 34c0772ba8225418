"""HARNESS_DEBUG=1: arrays on which a breach of the plugins' contracts shows itself at once.

Buffers that are dead, or that nobody has written yet, hold NaN with a bit pattern of its own. Where
that pattern turns up in a result, PluginError names the plugin that read it. An array that a plugin
may not write is handed to it read-only. The arrays that a plugin sees refuse to become Python
numbers while it runs, because a GPU would have to be waited for.

The numbers stay the same. Without the variable all functions here return their argument unchanged,
and a training step calls none of them. Only NumPy's arrays are watched.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import numpy as np

from harness.errors import PluginError

on = os.environ.get("HARNESS_DEBUG", "") not in ("", "0")

# This NaN is quiet and has a payload that no arithmetic makes, but that arithmetic hands on. So a
# network that diverges on its own is not mistaken for one that reads dead buffers.
_DEAD_BITS: dict[Any, Any] = {
    np.dtype("f4"): np.uint32(0x7FC0DEAD),
    np.dtype("f8"): np.uint64(0x7FF8DEADDEADDEAD),
}

_running = 0  # how many plugins are running, one within the other


@contextmanager
def paused() -> Iterator[None]:
    """Switches the checks off for a while, to measure what a step allocates without them."""
    global on
    before = on
    on = False
    try:
        yield
    finally:
        on = before


def run(call: Callable[..., Any], *args: Any) -> Any:
    """Calls a plugin's function; meanwhile its arrays refuse to become Python numbers."""
    global _running
    _running += 1
    try:
        return call(*args)
    finally:
        _running -= 1


class Watched(np.ndarray):
    """An array as on a device: while a plugin runs, it has no truth value and gives no number."""

    def __getitem__(self, key: Any) -> Any:
        item = super().__getitem__(key)
        if isinstance(item, np.ndarray):
            return item
        # NumPy gives a scalar here, where CuPy gives an array without axes.
        return np.asarray(item).view(Watched)


def _refusing(name: str) -> Callable[..., Any]:
    """The method of ndarray of that name, which raises PluginError while a plugin runs."""
    plain = getattr(np.ndarray, name)

    @wraps(plain)
    def method(self: Any, *args: Any) -> Any:
        if on and _running:
            raise PluginError(
                f"a plugin must compute on whole arrays while it runs, and asked an array for "
                f"{name}, which makes "
                "Python wait for a GPU; use np.where instead of if, and arrays of one element "
                "instead of numbers"
            )
        return plain(self, *args)

    return method


for _name in ("__bool__", "__float__", "__int__", "__index__", "__complex__", "item", "tolist"):
    setattr(Watched, _name, _refusing(_name))


def watch(a: Any) -> Any:
    """The same memory as a `Watched` array, which is what a plugin sees."""
    if on and isinstance(a, np.ndarray):
        return a.view(Watched)
    return a


def unwatch(a: Any) -> Any:
    """The same memory as a plain array."""
    if isinstance(a, Watched):
        return a.view(np.ndarray)
    return a


def dead(a: Any) -> Any:
    """Fills an array with the NaN of dead memory, where it holds floats and may be written."""
    if on and isinstance(a, np.ndarray) and a.dtype.kind == "f" and a.flags.writeable:
        bits = _DEAD_BITS.get(a.dtype)
        if bits is None:
            a.fill(np.nan)
        else:
            a.view(bits.dtype)[...] = bits
    return a


def read_only(a: Any) -> Any:
    """The same memory, which must not be written through the array that is returned."""
    if on and isinstance(a, np.ndarray):
        a = watch(a)
        a.flags.writeable = False
    return a


def alive(a: Any, name: str) -> Any:
    """Checks that no element of a plugin's result comes from dead memory.

    Parameters
    ----------
    a
        The result.
    name
        What to call it in the message, such as "y of layer mine at '0'".

    Returns
    -------
    The same memory as a plain array.

    Raises
    ------
    PluginError
        If an element holds the NaN that `dead` writes.
    """
    if on and _has_dead(a):
        raise PluginError(
            f"{name} must not come from dead memory, and holds the NaN that HARNESS_DEBUG fills it "
            f"with; write all of "
            "a buffer before reading it, and read nothing that belongs to others by then"
        )
    return unwatch(a)


def apart(a: Any, *others: Any) -> bool:
    """Whether a value is an array that shares no memory with these others."""
    return isinstance(a, np.ndarray) and not any(np.may_share_memory(a, other) for other in others)


def _has_dead(a: Any) -> bool:
    """Whether an element holds the NaN that `dead` writes."""
    if not isinstance(a, np.ndarray) or a.dtype not in _DEAD_BITS:
        return False
    pattern = _DEAD_BITS[a.dtype]
    # Arithmetic may turn the sign, so the highest bit is left out.
    unsigned = unwatch(a).view(pattern.dtype) & np.iinfo(pattern.dtype).max // 2
    return bool((unsigned == pattern).any())
