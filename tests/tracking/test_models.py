"""The model of a run is served by MLflow, logged to a server, and sent when that is back."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas
import pytest
import requests
from click.testing import CliRunner

from harness import load_model
from harness.cli import main
from harness.tracking.connect import client_for, store_uri

PATIENCE = 120  # seconds until a process that starts must answer


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def hide_harness(folder: Path) -> dict[str, str]:
    """An environment in which a process of Python finds no harness."""
    hidden = folder / "hidden"
    hidden.mkdir()
    (hidden / "harness.py").write_text("raise ModuleNotFoundError('harness is hidden')\n")
    # MLflow starts uvicorn by its name.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"PATH": path, "PYTHONPATH": str(hidden), "MLFLOW_DISABLE_TELEMETRY": "true"}
    return {**os.environ, **own}


@contextlib.contextmanager
def serving(command: list[str], url: str, environment: dict[str, str]) -> Iterator[None]:
    """A server of MLflow's, until the block ends; it answers when the block begins."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", *command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        end = time.monotonic() + PATIENCE
        while not _answers(url):
            assert process.poll() is None, process.communicate()[0].decode()
            assert time.monotonic() < end, "it does not answer"
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False


def harness(*arguments: str) -> str:
    done = CliRunner().invoke(main, list(arguments))
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done.output


@pytest.fixture
def pets(root: Path) -> pandas.DataFrame:
    random = np.random.default_rng(0)
    table = pandas.DataFrame(
        {
            "key": [f"{k:03d}" for k in range(120)],
            "size": random.normal(size=120),
            "legs": random.integers(0, 5, 120),
            "color": random.choice(["red", "green"], 120),
        }
    )
    table["kind"] = np.where(table.legs > 2, "cat", np.where(table["size"] > 0, "dog", "eel"))
    table.loc[5, "size"] = np.nan
    table.to_csv(root / "pets.csv", index=False)
    return table


def train(root: Path, *options: str) -> str:
    return harness(
        *("run", "--data", str(root / "pets.csv"), "--label", "kind", "--drop", "key"),
        *("--missing", "mean", "--sizes", "5-6-3", "--epochs", "3", "--film", "none"),
        *("--name", "pets", *options),
    )


@pytest.mark.slow
def test_mlflow_serves_the_model_where_there_is_no_harness(
    root: Path, pets: pandas.DataFrame
) -> None:
    train(root, "--register", "pets")
    wanted = load_model("pets")
    client = client_for(store_uri())
    version = client.get_model_version_by_alias("pets", "best")
    port = free_port()
    command = ["models", "serve", "-m", version.source, "-p", str(port), "--env-manager", "local"]
    rows = pets.head(9).drop(columns=["key", "kind"])
    with serving(command, f"http://127.0.0.1:{port}/ping", hide_harness(root)):
        records = json.loads(rows.to_json(orient="records"))
        answer = requests.post(
            f"http://127.0.0.1:{port}/invocations",
            json={"dataframe_records": records},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
        refused = requests.post(
            f"http://127.0.0.1:{port}/invocations",
            json={"dataframe_records": [{"size": 1.0, "legs": "many", "color": "red"}]},
            timeout=60,
        )
    table = pandas.DataFrame(answer.json()["predictions"])
    assert list(table) == ["prediction", "cat", "dog", "eel"]
    assert table.prediction.tolist() == wanted.predict(rows).tolist()
    np.testing.assert_array_equal(
        table[["cat", "dog", "eel"]].to_numpy(np.float32), wanted.predict_proba(rows)
    )
    assert refused.status_code == 400
    assert "column 'legs' must hold numbers" in refused.text


def test_what_the_model_of_a_run_is_made_of(root: Path, pets: pandas.DataFrame) -> None:
    train(root)
    client = client_for(store_uri())
    (model,) = client.search_logged_models([client.get_experiment_by_name("harness").experiment_id])
    folder = Path(model.artifact_location)
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"MLmodel", "network_model.py", "artifacts/network.npz", "input_example.json"} <= files
    # Nothing is pickled.
    assert not [name for name in files if name.endswith((".pkl", ".pickle", ".joblib"))]
    pins = (folder / "requirements.txt").read_text().split()
    assert [pin.partition("==")[0] for pin in pins] == ["numpy", "mlflow", "pandas"]
    assert all("==" in pin for pin in pins)
    about = (folder / "MLmodel").read_text()
    assert model.source_run_id in about
    assert "signature" in about
    assert load_model(model.source_run_id).features == ("size", "legs", "color")


def test_without_a_model(root: Path, pets: pandas.DataFrame) -> None:
    train(root, "--models", "none")
    client = client_for(store_uri())
    experiment = client.get_experiment_by_name("harness").experiment_id
    assert list(client.search_logged_models([experiment])) == []
    done = CliRunner().invoke(main, ["predict", "pets", str(root / "pets.csv")])
    assert done.exit_code == 2
    assert "the network of 'pets' was not kept" in done.output


@pytest.mark.slow
def test_a_server_gets_the_model_when_it_is_there(
    root: Path, pets: pandas.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert "it waits in the spool" in train(root, "--register", "pets")
    (waiting,) = (root / "mlruns/runs/pending").glob("*.npz")
    folder = root / "server"
    command = ["server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}.db"]
    command += ["--artifacts-destination", str(folder)]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    with serving(command, f"{address}/health", environment):
        assert "1 sent" in harness("sync")
        assert not waiting.exists()
        assert load_model("pets").features == ("size", "legs", "color")
        version = client_for(address).get_model_version_by_alias("pets", "best")
        assert version.source.startswith("models:/m-")
        # A second look at the spool sends nothing twice.
        harness("sync")
        experiment = client_for(address).get_experiment_by_name("harness").experiment_id
        assert len(client_for(address).search_logged_models([experiment])) == 1
