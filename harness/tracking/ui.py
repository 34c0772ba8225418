"""The MLflow UI: started, opened on the right page, and ended with all that it started."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.escapes import printable
from harness.storage.secrets import mask
from harness.tracking.connect import ENVIRONMENT, artifact_location, is_server, store_uri
from harness.tracking.reader import existing
from harness.tracking.text import one_line
from harness.tracking.writer import follow

if TYPE_CHECKING:
    pass


def _print(sentence: str) -> None:
    print(printable(sentence), flush=True)  # the reader may be a pipe


# --- the UI ---------------------------------------------------------------------------------------
def ui_command(root: Path | None = None, host: str = "127.0.0.1", port: int = 5000) -> list[str]:
    """The command of the MLflow server that shows the store. A URI with credentials is not in it
    (`serve_ui`).
    """
    uri = store_uri(root)
    store = ["--backend-store-uri", uri] if mask(uri) == uri else []
    place = ["--default-artifact-root", artifact_location(uri, root), "--no-serve-artifacts"]
    where = ["--host", host, "--port", str(port), "--workers", "1"]
    return [sys.executable, "-m", "mlflow", "server", *store, *place, *where]


def serve_ui(
    root: Path | None = None,
    host: str = "127.0.0.1",
    port: int = 5000,
    project: str = "harness",
    say: Callable[[str], None] = _print,
) -> None:
    """Run the MLflow UI in the foreground until Ctrl-C, and say its address when it answers.

    Raises UsageError if there is no store yet, or if the port cannot be had. With a tracking server
    in MLFLOW_TRACKING_URI there is nothing to run: its address is said.
    """
    uri = store_uri(root)
    if is_server(uri):
        say(f"The runs are on a tracking server: open {mask(uri)} in a browser.")
        return
    existing(uri)
    follow(root)
    _check_port(host, port)
    environment = {
        **ENVIRONMENT,
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": uri,
        # Seven helper processes that nobody here needs
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    for name in ("MLFLOW_RUN_ID", "MLFLOW_TRACKING_URI"):
        environment.pop(name, None)
    with tempfile.TemporaryFile() as log, _signals_as_ctrl_c():
        server = subprocess.Popen(
            ui_command(root, host, port),
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            address = f"http://{host}:{port}"
            say(f"The MLflow UI is starting at {address}, which takes some seconds ...")
            while server.poll() is None and not _answers(f"{address}/health"):
                time.sleep(0.2)
            if server.poll() is None:
                say(f"MLflow UI: {address}/{_page(address, project)}  (Ctrl-C ends it)")
            if server.wait():
                log.seek(0)
                lines = log.read().decode(errors="replace").split("\n")
                reason = next((line for line in reversed(lines) if line.strip()), "no reason given")
                raise UsageError(one_line(f"the MLflow server must start, but it ended: {reason}"))
        except KeyboardInterrupt:
            say("The MLflow UI has ended.")
        finally:
            _end_group(server)


# What browsers refuse to open: https://fetch.spec.whatwg.org/#port-blocking
_BLOCKED = """
1 7 9 11 13 15 17 19 20 21 22 23 25 37 42 43 53 69 77 79 87 95 101 102 103 104 109 110 111 113 115 117 119 123 135 137
139 143 161 179 389 427 465 512 513 514 515 526 530 531 532 540 548 554 556 563 587 601 636 989 990 993 995 1719 1720
1723 2049 3659 4045 4190 5060 5061 6000 6566 6665 6666 6667 6668 6669 6679 6697 10080
"""


def _check_port(host: str, port: int) -> None:
    if str(port) in _BLOCKED.split():
        raise UsageError(
            f"the UI needs a port that browsers open, and they block {port}; use "
            f"another one: --port 5001"
        )
    try:
        # As servers do, past connections that are being closed
        with socket.create_server((host, port)):
            pass
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"the UI needs a free port, but {host}:{port} cannot be had "
            f"({getattr(error, 'strerror', None) or error}); "
            f"use another one: --port {port + 1 if 1024 <= port < 65535 else 5001}"
        ) from error


def _get(address: str) -> bytes | None:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return answer.read()
    except (urllib.error.URLError, OSError):
        return None


def _answers(address: str) -> bool:
    return _get(address) is not None


def _page(address: str, project: str) -> str:
    """The part of the address that leads to the project's runs, past the GenAI view."""
    query = urllib.parse.urlencode({"experiment_name": project})
    answer = _get(f"{address}/api/2.0/mlflow/experiments/get-by-name?{query}")
    page = (
        f"experiments/{json.loads(answer)['experiment']['experiment_id']}/runs"
        if answer
        else "experiments"
    )
    return f"#/{page}?workflowType=machine_learning"


@contextlib.contextmanager
def _signals_as_ctrl_c() -> Iterator[None]:
    """SIGTERM and SIGHUP end the UI as Ctrl-C does, so that no server is left behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # SIGINT too: a shell's background job ignores it
    names = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    before = [signal.signal(name, signal.default_int_handler) for name in names]
    try:
        yield
    finally:
        for name, handler in zip(names, before, strict=True):
            signal.signal(name, handler)


def _end_group(server: subprocess.Popen) -> None:
    """End a server and what it started: politely, then after 3 s for certain."""
    for how, patience in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0)):
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(server.pid, how)
            server.wait(patience)
