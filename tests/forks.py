"""Processes that may die: forked of one that has imported everything, each with a root of its own
for `mlruns/`.
"""

import gc
import json
import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

RAISED = 3  # the exit code of a child whose function has raised


def forked(home: Path, function: Callable[[], Any]) -> Any:
    """What a function returns in a process of its own, as JSON has it; None where that was killed
    in it.

    What it prints is in output.txt of its root.
    """
    said = home / "said.json"
    said.unlink(missing_ok=True)
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        try:
            with open(home / "output.txt", "ab") as output:
                for stream in (1, 2):
                    os.dup2(output.fileno(), stream)
            sys.stdout = sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115  not the one that pytest captures
            os.environ["HARNESS_ROOT"] = tempfile.tempdir = str(home)
            said.write_text(json.dumps(function()))
        except SystemExit:
            pass
        except KeyboardInterrupt:
            traceback.print_exc()
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(RAISED)
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGKILL)  # nothing is closed, as after any other crash
    _, status = os.waitpid(pid, 0)
    # An exception is no crash
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, printed(home)
    return json.loads(said.read_text()) if said.exists() else None


def printed(home: Path) -> str:
    return (home / "output.txt").read_text()


def empty_store(home: Path) -> None:
    """Makes an empty store, which takes a second: roots are copied from it."""
    from harness.tracking import connect, sqlite_store

    connect.import_mlflow("sqlite:///")  # here, for those that are forked
    forked(home, lambda: sqlite_store.prepare_sqlite(home / "mlruns" / "mlflow.db"))
    assert (home / "mlruns" / "mlflow.db").exists(), printed(home)
    gc.freeze()  # children write to less of what they share with this process


def copy_of(template: Path, home: Path) -> Path:
    shutil.rmtree(home, ignore_errors=True)
    return Path(shutil.copytree(template, home))
