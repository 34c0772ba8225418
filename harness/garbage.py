"""When Python looks for garbage, which takes it 0.2 s where a driver has imported what it needs.

It looks whenever there are so many new objects. A program that imports half a million that stay is
held up by that for a second, and found is nothing.
"""

import atexit
import contextlib
import gc
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager

_BUFFERED = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)

_is_starting = False
_is_set_aside = False  # whether it was this module that has set objects aside


def quick_exit() -> None:
    """Lets this program end without a last look at all that it has imported, which takes a second.

    What `atexit` and the finalizers of `weakref` do is done, and open files are flushed.
    """
    # It is carried out once, however often it is asked for.
    atexit.unregister(_end)
    atexit.register(_end)


def _end() -> None:
    gc.unfreeze()
    for each in gc.get_objects():
        # A file in a cycle of references was flushed by the last look. `isinstance` would ask an
        # object for its class, which a proxy of what is gone answers with an error.
        if issubclass(type(each), _BUFFERED):
            with contextlib.suppress(Exception):
                each.flush()
    gc.freeze()


def set_aside() -> None:
    """What there is now is never looked at again."""
    global _is_set_aside
    gc.freeze()
    _is_set_aside = True


@contextmanager
def quick_start() -> Iterator[None]:
    """Within the block nothing is looked at until `started`, and after that new objects only.

    When the program ends nothing is looked at either (`quick_exit`). Where the collector is
    switched off, or somebody else has set objects aside, nothing else changes.
    """
    global _is_starting, _is_set_aside
    quick_exit()
    if _is_starting or not gc.isenabled() or _are_set_aside():
        yield
        return
    try:
        gc.disable()
        _is_starting = True
        yield
    finally:
        if _is_set_aside:
            gc.unfreeze()
        if _is_starting:
            gc.enable()
        _is_starting = False
        _is_set_aside = False


def started() -> None:
    """What takes part in a `quick_start` is there."""
    global _is_starting, _is_set_aside
    if _is_starting:
        # What has been thrown away meanwhile shall not stay as long as the block lasts.
        gc.collect()
        gc.freeze()
        gc.enable()
        _is_starting = False
        _is_set_aside = True


def _in_a_copy() -> None:
    """In a copy of this process that was made meanwhile the start does not come to its end."""
    global _is_starting
    if _is_starting:
        _is_starting = False
        gc.enable()


os.register_at_fork(after_in_child=_in_a_copy)


@contextmanager
def quick_collection() -> Iterator[None]:
    """While this lasts, a collection of garbage looks at new objects only.

    imageio collects garbage twice for each MP4 that it closes, read or written, and figures are so
    many objects that Python collects by itself. In a process that has MLflow or Optuna loaded each
    of these takes 0.1 s, which is ten times as long as a small film.
    """
    if _are_set_aside():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _are_set_aside() -> bool:
    """Whether objects are set aside, which cannot be told from others afterwards."""
    # They are counted one by one, which takes long where they are many.
    return _is_set_aside or gc.get_freeze_count() > 0
