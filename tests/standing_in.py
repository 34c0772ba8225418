"""Runs the tests of a file that are marked `gpu` on the stand-in for CuPy."""

import os
import subprocess
import sys
from pathlib import Path

STAND_IN = Path(__file__).parent / "stand_in"


def run_on_the_stand_in(file: str) -> None:
    """Fails where one of them fails or is skipped.

    It takes a process of its own, in which CuPy is the stand-in from the start.
    """
    path = os.pathsep.join(filter(None, [str(STAND_IN), os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "gpu", file],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert "skipped" not in done.stdout, done.stdout[-500:]
