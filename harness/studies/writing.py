"""The start of the writer of a sweep, and what it says on a terminal."""

import sys
from pathlib import Path

from harness.escapes import printable
from harness.tracking.writer_process import WriterProcess


def start_writer(folder: Path, project: str) -> WriterProcess:
    """Starts the process that writes a sweep into MLflow."""
    return WriterProcess(folder, project, say)


def say(sentence: str) -> None:
    """Says a sentence on stderr, above the bar where there is one."""
    from tqdm import tqdm

    tqdm.write(printable(sentence), file=sys.stderr)
