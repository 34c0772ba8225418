"""An MLflow server on PostgreSQL with proxied artifacts, as a group of people would have it: `tox
-e postgres`.

The database comes from the system's packages and runs as an unprivileged user, in a temporary
folder, on loopback.
"""

import contextlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from test_outages import TRIALS, Server, free_port, hooks, logged, messages, run, waiting

from harness import tracking
from harness.cli import main
from harness.tracking import ui
from harness.tracking.backoff import BackOff

pytest.importorskip("psycopg2", reason="psycopg2 is not installed: tox -e postgres has it")
pytestmark = pytest.mark.slow
PASSWORD = "s3cret/Pass word"


def binaries() -> Path | None:
    """The folder of PostgreSQL's server programs: on the path, or where Debian and Red Hat put
    them.
    """
    found = [Path(p).resolve().parent for p in [shutil.which("initdb")] if p]
    found += sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name), reverse=True
    )
    found += [Path("/usr/bin"), *sorted(Path("/usr").glob("pgsql-*/bin"), reverse=True)]
    needed = ("initdb", "postgres", "pg_isready")
    return next(
        (folder for folder in found if all((folder / name).is_file() for name in needed)), None
    )


class Database:
    """PostgreSQL on a loopback port, with a user of its own; it may be killed and started again."""

    def __init__(self, programs: Path, folder: Path):
        self.programs = programs
        self.folder = folder
        self.port = free_port()
        self.process = None
        self.who: dict[str, Any] = {}
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            names = [entry.pw_name for entry in pwd.getpwall()]
            entry = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
            self.who = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
            os.chown(folder, entry.pw_uid, entry.pw_gid)
        secret = folder / "password"
        secret.write_text(PASSWORD + "\n")
        how = [
            "-D",
            str(folder / "data"),
            "-U",
            "harness",
            "-A",
            "scram-sha-256",
            "--pwfile",
            str(secret),
            "-E",
            "UTF8",
        ]
        subprocess.run(
            [programs / "initdb", *how], check=True, capture_output=True, cwd=folder, **self.who
        )

    def uri(self, name: str = "postgres") -> str:
        return f"postgresql+psycopg2://harness:{urllib.parse.quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/{name}"

    def create(self, name: str) -> None:
        import psycopg2

        connection = psycopg2.connect(self.uri().replace("+psycopg2", ""))
        connection.autocommit = True
        connection.cursor().execute(f"CREATE DATABASE {name}")
        connection.close()

    def start(self) -> None:
        """Returns when it answers; while those that a killed one has left are still ending, it is
        started again.
        """
        command = [
            self.programs / "postgres",
            "-D",
            "data",
            "-h",
            "127.0.0.1",
            "-p",
            str(self.port),
            "-k",
            self.folder,
        ]
        ready = [self.programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while True:
            if self.process is None or self.process.poll() is not None:
                with open(self.folder / "log", "ab") as log:
                    self.process = subprocess.Popen(
                        command, cwd=self.folder, stdout=log, stderr=log, **self.who
                    )
            if subprocess.run(ready).returncode == 0:
                return
            time.sleep(0.1)

    def kill(self, how: int = signal.SIGKILL) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(how)
            self.process.wait()
            self.process = None


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    programs = binaries()
    if programs is None:
        pytest.skip("no PostgreSQL server here: install the system's package, such as postgresql")
    # Pytest's own folders are closed to others
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        made = Database(programs, Path(name))
        try:
            made.start()
            yield made
        finally:
            made.kill(signal.SIGINT)


@pytest.fixture(scope="module")
def server(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("server"), database.uri())
    try:
        made.start()
        yield made
    finally:
        made.kill()


@pytest.fixture
def peace(root: Path, monkeypatch: pytest.MonkeyPatch) -> dict[int, Any]:
    """What the sweep gives on sqlite, undisturbed."""
    hooks.clear()
    monkeypatch.setattr(BackOff, "longest_pause_s", 0.0)
    run("peace")
    return logged(tracking.store_uri(), "peace")


def test_a_sweep_while_the_database_dies_and_comes_back(
    database: Database,
    server: Server,
    peace: dict[int, Any],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    hooks.update({1: database.kill, 3: database.start})
    assert run("pg").finished
    down, *back = messages(capfd)
    assert down.startswith(f"tracking: {server.address} cannot be used (")
    if waiting("pg"):  # the server still had connections that had died
        sync = CliRunner().invoke(main, ["sync"])
        assert sync.exit_code == 0, sync.output
    else:
        assert back == [f"tracking: {server.address} is back"]
    assert logged(server.address, "pg") == peace
    table = tracking.results("pg")
    assert list(table.number) == list(range(TRIALS))
    film = ui.fetch(f"{server.address}/get-artifact?path=film.html&run_uuid={table.run_id[0]}")
    assert film is not None
    assert film.startswith(b"<!doctype html>")
    said = CliRunner().invoke(main, ["doctor"])
    assert (said.exit_code, said.output.splitlines()[-1]) == (0, "all is well")


def test_a_sweep_while_the_database_is_down_to_the_end(
    database: Database, server: Server, peace: dict[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    hooks[1] = database.kill
    assert run("pg later").finished
    assert waiting("pg later") == 4
    failed = CliRunner().invoke(main, ["sync"])
    assert (failed.exit_code, "4 wait: " in failed.output) == (1, True)
    database.start()
    # Until the server has done with dead connections
    while (sync := CliRunner().invoke(main, ["sync"])).exit_code:
        assert "cannot be used" in sync.output
    assert "pg later: 4 sent" in sync.output or waiting("pg later") == 0
    assert logged(server.address, "pg later") == peace


def test_a_database_without_a_server(
    database: Database,
    peace: dict[int, Any],
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Possible, though its password is then on every machine; it is nowhere in what is said and
    written.
    """
    database.create("direct")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database.uri("direct"))
    hooks.update({1: database.kill, 3: database.start})
    assert run("direct").finished
    heard = messages(capfd)
    assert heard[0].startswith(
        f"tracking: postgresql+psycopg2://harness:***@127.0.0.1:{database.port}/direct cannot be "
        f"used"
    )
    for _ in range(2):
        lines = (
            CliRunner().invoke(main, ["sync"]).output + CliRunner().invoke(main, ["doctor"]).output
        )
        assert not re.search("s3cret|Pass word", lines)
    assert lines.splitlines()[-1] == "all is well", lines
    assert logged(database.uri("direct"), "direct") == peace
    files = [path for path in (root / "mlruns").rglob("*") if path.is_file()]
    assert len(files) > 20
    assert [path for path in files if b"s3cret" in path.read_bytes()] == []
    assert "s3cret" not in "".join(heard)
