"""Nothing that is loaded is code, no name becomes a path, what we start listens on loopback, no
password is written.
"""

import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from stores import prepare

import harness as package
from harness.errors import UsageError
from harness.studies.books import folder_of
from harness.workers.pool import engine

EVIL = [
    "../../x",
    "/etc/x",
    "..",
    ".",
    "a/../../b",
    "a\\..\\b",
    "a\0b",
    "~/x",
    "%2e%2e%2fx",
    "x\n../y",
]
SECRET = "s3cret-Word"


def harness(*words: str, folder: Path, code: int = 0, **environment: str) -> str:
    """What a command says, in a process and a folder of its own."""
    said = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parents[1]), **environment}
    done = subprocess.run(
        [sys.executable, "-m", "harness", *words],
        cwd=folder,
        env=said,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


# Credentials --------------------------------------------------------------------------------------

SCRIPT = """
import os
import numpy as np
from harness import Config, activation, mlp
from harness import sweep

@activation()
def telltale(z, n=0):
    if n == 1:
        raise RuntimeError("cannot reach " + os.environ["MLFLOW_TRACKING_URI"])
    return np.tanh(z)

@sweep(name="telling", trials=3, sampler="RandomSampler")
def space(trial):
    n = trial.suggest_int("n", trial.number, trial.number)
    return Config(data="mnist14(rows=1000)", layers=mlp([196, 4, 10], activation=f"telltale({n})"), film=None, epochs=1)
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("kind", ["http", "postgresql"])
def test_no_password_is_said_or_written(root: Path, kind: str, workers: str) -> None:
    """Not where MLflow cannot be reached, not where a plugin's error quotes it, and not by sync and
    doctor after it.
    """
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    if kind == "http":
        uri = f"http://ann:{SECRET}@127.0.0.1:{port}/base"
        code = 0
    else:
        uri = f"postgresql+nothing://ann:{SECRET}@127.0.0.1:{port}/runs"
        code = 2
    (root / "telling.py").write_text(SCRIPT)
    given = {"folder": root, "MLFLOW_TRACKING_URI": uri, "HARNESS_ROOT": str(root)}
    said = harness("sweep", "telling.py", "--workers", workers, code=code, **given)  # type: ignore[arg-type]
    if kind == "http":
        network = [
            "--data",
            "mnist14(rows=1000)",
            "--sizes",
            "196-4-10",
            "--epochs",
            "1",
            "--activation",
            "telltale(1)",
        ]
        said += harness("run", *network, "--plugin", "telling.py", code=1, **given)  # type: ignore[arg-type]
        said += harness("sync", code=1, **given)  # type: ignore[arg-type]
    for words, code in ((["doctor"], 1), (["results"], 2)):
        said += harness(*words, code=code, **given)  # type: ignore[arg-type]
    assert SECRET not in said
    assert "ann:***@127.0.0.1" in said
    assert [path for path in files(root / "mlruns") if SECRET.encode() in path.read_bytes()] == []
    if kind == "http":
        assert any(
            b"cannot reach http://ann:***@" in path.read_bytes() for path in files(root / "mlruns")
        )


# Names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVIL)
def test_a_name_is_no_path(root: Path, name: str) -> None:
    folder = folder_of("sweep", name)
    assert folder.parent == root / "mlruns/sweeps"
    assert folder.resolve() == folder
    assert folder.name.isprintable()
    with pytest.raises(UsageError):
        package.activation(name)(lambda z: z)


def test_names_lead_nowhere(tmp_path: Path) -> None:
    """A sweep, a data file, its label, its classes and a new plugin with such names write into
    mlruns/ alone.
    """
    root = tmp_path / "a/b/root"
    root.mkdir(parents=True)
    rows = [f"{n},{n * n % 7},../../../class{n % 2}" for n in range(40)]
    (root / "data.csv").write_text("\n".join(["../../x,/etc/y,../../label", *rows]) + "\n")
    (root / "s.py").write_text(
        "from harness import Config, mlp\nfrom harness import sweep\n"
        "@sweep(name='../../x', trials=2, sampler='RandomSampler')\n"
        "def space(trial):\n"
        "    act = trial.suggest_categorical('../../act', ['relu', 'tanh'])\n"
        "    return Config(data={'name': 'csv', 'path': 'data.csv', 'label': '../../label'}, "
        "layers=mlp([2, 3, 2], activation=act), epochs=1, batch=4, film='film(frames=3)')\n"
    )
    before = {
        path
        for path in files(tmp_path)
        if "mlruns" not in path.parts and "__pycache__" not in path.parts
    }
    given = {"folder": root, "HARNESS_ROOT": str(root)}
    prepare(root)
    harness("sweep", "s.py", **given)  # type: ignore[arg-type]
    harness("sweep", "s.py", "--name", "../../y", "--project", "../../p", **given)  # type: ignore[arg-type]
    assert "Error: " in harness("new", "activation", "../evil", code=2, **given)  # type: ignore[arg-type]
    after = {
        path
        for path in files(tmp_path)
        if "mlruns" not in path.parts and "__pycache__" not in path.parts
    }
    assert after == before
    assert len(files(root / "mlruns")) > 10


# Code ---------------------------------------------------------------------------------------------


class Bomb:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_data_is_not_unpickled(root: Path) -> None:
    bomb = Bomb(root / "exploded")
    pickle.loads(pickle.dumps(bomb))
    assert (root / "exploded").exists()
    (root / "exploded").unlink()
    x = np.empty((20, 2), object)
    x[:] = bomb
    np.savez(root / "evil.npz", x=x, y=np.arange(20) % 2)
    with open(root / "evil.npy", "wb") as file:
        np.save(file, x)
    for name in ("evil.npz", "evil.npy"):
        said = harness("run", "--data", name, "--epochs", "1", folder=root, code=2)
        assert said.startswith("Error: ")
    assert not (root / "exploded").exists()


# Servers ------------------------------------------------------------------------------------------


def family() -> Iterator[int]:
    """This process and all that it has started."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has just ended
            continue
    for process in parents:
        above = process
        while above not in (0, os.getpid()):
            above = parents.get(above, 0)
        if above:
            yield process


def listening(processes: list[int]) -> set[str]:
    """The addresses, as the kernel writes them, at which these processes listen."""
    sockets = set()
    for process in processes:
        try:
            sockets.update(
                os.readlink(path)
                for path in Path(f"/proc/{process}/fd").iterdir()
                if path.is_symlink()
            )
        except OSError:
            continue
    found = set()
    for table in ("tcp", "tcp6"):
        if not Path(f"/proc/net/{table}").exists():
            continue
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            cells = line.split()
            if cells[3] == "0A" and f"socket:[{cells[9]}]" in sockets:
                found.add(cells[1].split(":")[0])
    return found


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="it reads Linux's /proc")
def test_workers_listen_on_loopback_only() -> None:
    before = listening([os.getpid()])
    with engine(2) as pool:
        assert pool.workers == 2
        processes = list(family())
        assert len(processes) >= 3
        found = listening(processes)
        assert [address for address in found - before if address != "0100007F"] == []  # 127.0.0.1
        assert found
        with socket.create_server(("0.0.0.0", 0)):  # the look would see one that is open to all
            assert "00000000" in listening(processes)
