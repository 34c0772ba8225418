"""The table of what one driver gets through can be printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "bench.py"


@pytest.mark.slow
def test_each_number_of_instant_workers_has_a_row() -> None:
    done = subprocess.run(
        [sys.executable, str(BENCH), "--ceiling", "16"],
        capture_output=True,
        text=True,
        env=dict(os.environ),
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.findall(r"^\| (\d+) \| -?\d+ \| -?[\d.]+ \|$", done.stdout, re.MULTILINE) == [
        "1", "4", "16", "64",
    ]  # fmt: skip
