"""Local workers talk to their driver and to nobody else, and no step of the system's clock stops
them.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from listening import listening
from siblings import quick

from harness.errors import UsageError
from harness.workers import local
from harness.workers.dask import Dask

HOME = str(Path(__file__).parents[2])


# Who may connect ----------------------------------------------------------------------------------

STRANGER = """
import asyncio, os, sys
from distributed.core import rpc
from harness.workers.keys import temporary_keys

own_keys = temporary_keys().get_connection_args("client")
if sys.argv[1] != "0":
    os.setgroups([])
    os.setgid(int(sys.argv[1]))
    os.setuid(int(sys.argv[1]))

async def ask(address, keys):
    async with rpc(address, connection_args=keys, timeout=5) as peer:
        return await asyncio.wait_for(peer.identity(), 5)

for port in sys.argv[2:]:
    for address, keys in (("tcp://127.0.0.1:" + port, {}), ("tls://127.0.0.1:" + port, own_keys)):
        try:
            print(os.getuid(), address, "answers", asyncio.run(ask(address, keys))["type"])
        except Exception as error:
            print(os.getuid(), address, "refuses", type(error).__name__)
"""


def ports_of(pid: int) -> list[int]:
    """The ports on which a process and its children listen."""
    process = psutil.Process(pid)
    found = [
        each
        for one in (process, *process.children(recursive=True))
        for each in one.net_connections("inet")
    ]
    assert all(each.laddr.ip == "127.0.0.1" for each in found if each.status == psutil.CONN_LISTEN)
    return sorted({each.laddr.port for each in found if each.status == psutil.CONN_LISTEN})


def told_to_a_stranger(uid: int, ports: list[int]) -> str:
    said = {**os.environ, "PYTHONPATH": HOME}
    command = [sys.executable, "-c", STRANGER, str(uid), *map(str, ports)]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=said).stdout


@pytest.fixture
def pool() -> Iterator[Dask]:
    made = Dask(2)
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.parametrize("who", ["this user", "another user"])
def test_nobody_else_is_answered(who: str, pool: Dask) -> None:
    if who == "another user" and os.getuid() != 0:
        pytest.skip("only root can become another user")
    ports = ports_of(os.getpid())
    assert len(ports) >= 3  # the scheduler, and what each worker listens on
    said = told_to_a_stranger(65534 if who == "another user" else 0, ports)
    assert said.count("refuses") == 2 * len(ports), said
    assert "answers" not in said


def test_the_driver_is_answered() -> None:
    from distributed.core import rpc

    cluster = local.start(1)
    address = cluster.scheduler_address
    keys = cluster.security.get_connection_args("client")

    async def ask() -> Any:
        async with rpc(address, connection_args=keys) as peer:
            return await peer.identity()

    try:
        assert asyncio.run(ask())["type"] == "Scheduler"
    finally:
        local.kill(cluster)
        cluster.close(timeout=5)
    assert address.startswith("tls://127.0.0.1:")


def test_no_file_ever_holds_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    def watch(event: str, arguments: Any) -> None:
        if (
            event == "open"
            and isinstance(arguments[0], str)
            and arguments[0].endswith((".pem", ".crt", ".key"))
        ):
            written.append(arguments[0])

    sys.addaudithook(watch)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    made = Dask(1)
    try:
        assert not written
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert not [path for path in files if b"PRIVATE KEY" in path.read_bytes()]
    finally:
        made.close()


def test_an_address_says_whether_it_is_encrypted() -> None:
    with pytest.raises(
        UsageError,
        match=r"must be an address such as tcp://127\.0\.0\.1:8786, got "
        r"'127\.0\.0\.1:1'",
    ):
        Dask(1, "127.0.0.1:1")


# The clock ----------------------------------------------------------------------------------------

SHIFTED = """
import os, time

file = os.environ.get("SHIFTED_CLOCK")
if file:
    seconds, nanoseconds = time.time, time.time_ns

    def shift():
        try:
            with open(file) as said:
                return int(said.read() or 0)
        except (OSError, ValueError):
            return 0

    time.time = lambda: seconds() + shift()
    time.time_ns = lambda: nanoseconds() + shift() * 1_000_000_000
"""

SCRIPT = """
import json, os, sys
from harness import Config, mlp
from harness import sweep

STEPS = [-600, 600, -7200, 0, 86400, -86400]

@sweep(name="clock", trials=10, sampler="RandomSampler", seed=1, film="none", checkpoint=0)
def space(trial):
    if sys.argv[1] == "shifted":
        with open(os.environ["SHIFTED_CLOCK"], "w") as file:
            file.write(str(STEPS[trial.number % len(STEPS)]))
    rate = trial.suggest_float("rate", 0.05, 0.5)
    return Config(data="mnist14(rows=500)", layers=mlp([196, 8, 10]), update=f"sgd({rate})", epochs=3)

if __name__ == "__main__":
    result = space.run(workers=int(sys.argv[2]))
    assert all(trial.end_ms >= trial.start_ms for trial in result.trials)
    print(json.dumps(sorted([trial.number, trial.result.digest] for trial in result.trials)))
"""


@pytest.mark.slow
def test_a_clock_that_steps_back_and_forth_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SHIFTED)
    script = tmp_path / "clock.py"
    script.write_text(SCRIPT)
    found = {}
    for kind, workers in (("steady", 1), ("shifted", 2)):
        root = tmp_path / kind
        root.mkdir()
        said = {
            **os.environ,
            "HARNESS_ROOT": str(root),
            "PYTHONPATH": f"{tmp_path}{os.pathsep}{HOME}",
        }
        said |= {"SHIFTED_CLOCK": str(root / "clock")}
        command = [sys.executable, str(script), kind, str(workers)]
        done = subprocess.run(command, capture_output=True, text=True, env=said)
        assert done.returncode == 0, done.stderr
        found[kind] = json.loads(done.stdout)
    assert found["shifted"] == found["steady"]
    assert len(found["shifted"]) == 10


def test_a_ctrl_c_while_workers_start_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    import distributed

    pids: list[int] = []

    class Interrupted(distributed.LocalCluster):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            pids.extend(nanny.pid for nanny in self.workers.values())
            # To this thread, which holds it back until the workers are there.
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    monkeypatch.setattr(distributed, "LocalCluster", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        Dask(1)
    assert len(pids) == 1
    end = time.monotonic() + 60
    while Path(f"/proc/{pids[0]}").exists() and time.monotonic() < end:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pids[0], os.WNOHANG)
    assert not Path(f"/proc/{pids[0]}").exists()


@pytest.mark.parametrize("workers", quick([1, 3], [3]))
def test_there_are_as_many_local_workers_as_asked_for(workers: int) -> None:
    # Dask would start one for each core of the machine.
    pool = Dask(workers)
    try:
        assert pool.workers == workers
        # Each of them listens, and so does the scheduler in this process.
        assert len(listening()) == 1 + workers
    finally:
        pool.close()
