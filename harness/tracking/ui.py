"""The MLflow UI: started, opened on the right page, and ended with all that it started.

MLflow's command is a child here, and not executed in place of this process, for three reasons that
were measured with MLflow 3.17. A hangup ends the command but not the server below it, which keeps
the port. Ctrl-C prints a traceback of thirty lines. And the address that it prints, after ten
seconds, is not that of a view.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from harness.errors import UsageError
from harness.escapes import printable
from harness.storage.secrets import mask
from harness.tracking.connect import ENVIRONMENT, artifact_location, is_server, store_uri
from harness.tracking.sqlite_store import follow_move, require_store
from harness.tracking.text import one_line
from harness.tracking.ui_page import fetch, page_of

_PATIENCE_S = 3.0  # how long a server may take to end before it is killed

# Browsers refuse to open these ports: https://fetch.spec.whatwg.org/#port-blocking
_BLOCKED_PORTS = """
1 7 9 11 13 15 17 19 20 21 22 23 25 37 42 43 53 69 77 79 87 95 101 102 103 104 109 110 111 113 115
117 119 123 135 137 139 143 161 179 389 427 465 512 513 514 515 526 530 531 532 540 548 554 556 563
587 601 636 989 990 993 995 1719 1720 1723 2049 3659 4045 4190 5060 5061 6000 6566 6665 6666 6667
6668 6669 6679 6697 10080
"""


def _print(sentence: str) -> None:
    # Whoever reads the address through a pipe wants it now.
    print(printable(sentence), flush=True)


def ui_command(root: Path | None = None, host: str = "127.0.0.1", port: int = 5000) -> list[str]:
    """Return the command of the MLflow server that shows the store.

    A URI with credentials is not in it, because every user of the machine can read commands;
    `serve_ui` passes it in the environment.
    """
    uri = store_uri(root)
    command = [sys.executable, "-m", "mlflow", "server"]
    if mask(uri) == uri:
        command += ["--backend-store-uri", uri]
    command += ["--default-artifact-root", artifact_location(uri, root), "--no-serve-artifacts"]
    command += ["--host", host, "--port", str(port), "--workers", "1"]
    return command


def serve_ui(
    root: Path | None = None,
    host: str = "127.0.0.1",
    port: int = 5000,
    project: str = "harness",
    say: Callable[[str], None] = _print,
    name: str | None = None,
) -> None:
    """Run the MLflow UI in the foreground until Ctrl-C, and say its address when it answers.

    With a tracking server in MLFLOW_TRACKING_URI there is nothing to run: its address is said.

    Parameters
    ----------
    root
        The folder that holds mlruns/; None to look for it from here.
    host, port
        Where to listen.
    project
        The MLflow experiment that the address leads to.
    say
        Gets each message for the user.
    name
        The sweep or comparison whose view the address leads to; None for the newest.

    Raises
    ------
    UsageError
        If there is no store yet, the port cannot be had, the server ends by itself with an error,
        or nothing has that name.
    """
    uri = store_uri(root)
    if is_server(uri):
        say(f"The runs are on a tracking server: open {mask(uri)} in a browser.")
        return
    require_store(uri)
    follow_move(root)
    check_port(host, port)
    address = f"http://{host}:{port}"
    command = ui_command(root, host, port)
    with tempfile.TemporaryFile() as log, _signals_as_ctrl_c():
        # The server and what it starts are a process group, which can be ended as one.
        server = subprocess.Popen(
            command, env=_environment(uri), stdout=log, stderr=log, start_new_session=True
        )
        try:
            say(f"The MLflow UI is starting at {address}, which takes some seconds ...")
            if _wait_for_answer(server, address):
                say(f"MLflow UI: {address}/{page_of(address, project, name)}  (Ctrl-C ends it)")
            if server.wait():
                reason = _last_line(log)
                raise UsageError(one_line(f"the MLflow server must start, but it ended: {reason}"))
        except KeyboardInterrupt:
            say("The MLflow UI has ended.")
        finally:
            _end_group(server)


def _environment(uri: str) -> dict[str, str]:
    environment = {
        **ENVIRONMENT,
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": uri,
        # MLflow would start seven helper processes that nobody here needs.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    for name in ("MLFLOW_RUN_ID", "MLFLOW_TRACKING_URI"):
        environment.pop(name, None)
    return environment


def _wait_for_answer(server: subprocess.Popen[bytes], address: str) -> bool:
    """Wait for a server; return False if it ends before it answers."""
    while server.poll() is None:
        if fetch(f"{address}/health") is not None:
            return True
        time.sleep(0.2)
    return False


def _last_line(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode(errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "no reason given")


def check_port(host: str, port: int) -> None:
    """Look whether a server can listen on a port, and browsers open it.

    Raises
    ------
    UsageError
        If not; it suggests another port.
    """
    if str(port) in _BLOCKED_PORTS.split():
        raise UsageError(
            f"the UI needs a port that browsers open, and they block {port}; use another one: "
            "--port 5001"
        )
    try:
        # As servers do, this takes a port with connections that are just being closed.
        with socket.create_server((host, port)):
            pass
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        other_port = port + 1 if 1024 <= port < 65535 else 5001
        raise UsageError(
            f"the UI needs a free port, but {host}:{port} cannot be had ({reason}); use another "
            f"one: --port {other_port}"
        ) from error


@contextlib.contextmanager
def _signals_as_ctrl_c() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the UI as Ctrl-C does, so that no server is left behind."""
    # Python allows only the main thread to set handlers.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # SIGINT is among them because a shell lets its background jobs ignore it.
    handlers = {
        number: signal.signal(number, signal.default_int_handler)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _end_group(server: subprocess.Popen[bytes]) -> None:
    """End a server and what it started: politely, then for certain."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(server.pid, number)
            server.wait(_PATIENCE_S)
