"""The start of the writer of a sweep, and what it says on a terminal."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from harness.escapes import printable
from harness.storage.marks import waiting_in
from harness.storage.networks import NetworkFolder
from harness.tracking.writer_process import WriterProcess, let_go, warm_up

__all__ = ["say", "say_what_was_waited_for", "start_writer", "warm_up", "writer_ahead"]

# What was waited for at the end is said where it took so many seconds, and such a part of all.
LONG_WAIT = 5.0
LARGE_PART = 0.1


def start_writer(folder: Path, project: str) -> WriterProcess:
    """Starts the process that writes a sweep into MLflow."""
    return WriterProcess(folder, project, say)


def say_what_was_waited_for(seconds: float, whole: float, folder: Path) -> None:
    """Says how long a study has waited for MLflow where that was long, and what still waits.

    Parameters
    ----------
    seconds : float
        How long it has waited for what was being written.
    whole : float
        How long it took in all.
    folder : Path
        Its folder.
    """
    parts = []
    if seconds > LONG_WAIT and seconds > LARGE_PART * whole:
        parts.append(
            f"{seconds:.0f} of {whole:.0f} s were spent on waiting for MLflow, which was slower "
            "than the training; a server that is nearer is faster"
        )
    if left := waiting_in(folder / "spool"):
        records = "1 record waits" if left == 1 else f"{left} records wait"
        parts.append(f"{records} in the spool for `harness sync`")
    elif NetworkFolder(folder).waiting():
        parts.append("a model waits for `harness sync`")
    if parts:
        say(f"tracking: {'; '.join(parts)}")


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
