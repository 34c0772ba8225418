"""The start of the writer of a sweep, and what it says on a terminal."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from harness.escapes import printable
from harness.tracking.writer_process import WriterProcess, let_go, warm_up

__all__ = ["say", "start_writer", "warm_up", "writer_ahead"]


def start_writer(folder: Path, project: str) -> WriterProcess:
    """Starts the process that writes a sweep into MLflow."""
    return WriterProcess(folder, project, say)


@contextlib.contextmanager
def writer_ahead() -> Iterator[None]:
    """Lets the writer import MLflow from the beginning of the block on, in another process."""
    warm_up()
    try:
        yield
    finally:
        # Nothing was to be written.
        let_go()


def say(sentence: str) -> None:
    """Says a sentence on stderr, above the bar where there is one."""
    from tqdm import tqdm

    tqdm.write(printable(sentence), file=sys.stderr)
