"""The writer of a sweep within the process of its driver: it starts at once, and does at each wake
what the process does. Tests of the process itself ask for the fixture `own_writer`.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path

from harness.storage.lock import WRITER_LOCK, file_lock
from harness.tracking.sweep_writer import SweepWriter


def _never() -> bool:
    return False


class InlineWriter:
    """What books take for the process."""

    def __init__(self, folder: Path, project: str, say: Callable[[str], None]) -> None:
        self._open = contextlib.ExitStack()
        self._open.enter_context(file_lock(folder / WRITER_LOCK))
        try:
            self._writer = SweepWriter(folder, project, say)
        except BaseException:
            self._open.close()
            raise
        self.seconds = 0.0
        self.seconds_of_writing = 0.0

    def wake(self) -> None:
        self._writer.turn(_never)

    def drain(self, is_over: Callable[[], bool]) -> None:
        self._writer.drain(is_over)

    def finish(self, is_over: Callable[[], bool]) -> None:
        self._writer.finish(is_over)

    def stop(self, seconds: float) -> None:
        self._writer.finish(_never)

    def end(self) -> None:
        self._open.close()
