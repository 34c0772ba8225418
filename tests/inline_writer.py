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
        self.opened = contextlib.ExitStack()
        self.opened.enter_context(file_lock(folder / WRITER_LOCK))
        try:
            self.writer = SweepWriter(folder, project, say)
        except BaseException:
            self.opened.close()
            raise
        self.seconds = 0.0
        self.seconds_of_writing = 0.0

    def wake(self) -> None:
        self.writer.turn(_never)

    def drain(self, is_over: Callable[[], bool]) -> None:
        self.writer.drain(is_over)

    def finish(self, is_over: Callable[[], bool]) -> None:
        self.writer.finish(is_over)

    def stop(self, seconds: float) -> None:
        self.writer.finish(_never)

    def end(self) -> None:
        self.opened.close()
