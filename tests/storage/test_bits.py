"""One flipped bit in any file that is read back is harmless, mended or named, and never passes for
what was written.
"""

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from siblings import quick
from stores import disconnect

from harness import load_model, tracking
from harness.builtin.layers import mlp
from harness.cli import main
from harness.config import Config
from harness.errors import UsageError
from harness.model import Model
from harness.storage import frames, journal
from harness.storage.formats import Damaged
from harness.storage.marks import read_mark
from harness.storage.networks import NetworkFolder
from harness.storage.record_folder import read_record
from harness.studies.books import folder_of
from harness.studies.study import storage
from harness.studies.sweep import Sweep
from harness.training.prepare import prepare
from harness.training.segment import segment
from harness.trials.checkpoints import Checkpoint, Checkpoints

SEED = int(os.environ.get("HARNESS_TEST_SEED", "1"))
FLIPS = 60  # in each file
DATABASE_FLIPS = 40

BENT = "import harness\n@harness.activation()\ndef bent(z):\n    return z / (1 + 0.1 * z * z)\n"


def space(trial: Any) -> Config:
    rate = trial.suggest_float("lr", 0.05, 1.0, log=True)
    layers = mlp([196, 8, 10], activation="bent")
    return Config(
        data="mnist14(rows=1000)", layers=layers, update=f"sgd({rate})", epochs=2, film=None
    )


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A root with a sweep of three trials, of which each test gives back what it has damaged."""
    from harness import registry

    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("home")
        patch.setenv("HARNESS_ROOT", str(root))
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
            patch.delenv(name, raising=False)
        (root / "bent.py").write_text(BENT)
        registry.load_plugin(str(root / "bent.py"))
        Sweep(space, "bits", sampler="RandomSampler", trials=3).run()
        yield root
        registry.unload_plugin(str(root / "bent.py"))


def flipped(content: bytes, what: str, count: int = FLIPS) -> Iterator[bytes]:
    """Copies of a file, each with one bit flipped at a random place that SEED decides; the last
    bits are among them.
    """
    bits = random.Random(f"{SEED} {what}").sample(
        range(8 * len(content)), min(count, 8 * len(content))
    )
    for bit in [*bits, *range(8 * len(content) - 8, 8 * len(content))]:
        data = bytearray(content)
        data[bit // 8] ^= 1 << bit % 8
        yield bytes(data)


def never_silent(
    file: Path, read: Callable[[], Any], known: Callable[[Any], bool], *named: type[Exception]
) -> None:
    """Flips bits of a file: `read` must raise one of `named`, or give what `known` knows. The file
    is put back.
    """
    content = file.read_bytes()
    assert known(read())
    silent = 0
    try:
        for damaged in flipped(content, file.name):
            file.write_bytes(damaged)
            try:
                found = read()
            except named:
                continue
            silent += 1
            assert known(found), damaged
    finally:
        file.write_bytes(content)
    assert not named or silent <= FLIPS // 4  # most of them must be noticed


@pytest.mark.parametrize("kind", ["trial", "parent"])
def test_records(kind: str) -> None:
    file = sorted((folder_of("sweep", "bits") / "spool").glob(f"*-{kind}-*/record.json"))[0]
    whole = read_record(file.parent)
    never_silent(file, lambda: read_record(file.parent), lambda found: found == whole, Damaged)


def test_marks() -> None:
    file = sorted((folder_of("sweep", "bits") / "spool").glob("*/logged"))[0]
    whole = read_mark(file.parent)
    never_silent(file, lambda: read_mark(file.parent), lambda found: found == whole, Damaged)


def test_journals(tmp_path: Path) -> None:
    """A last line without its end is one that a crash has torn, and what it said is asked again."""
    file = tmp_path / "journal.log"
    shutil.copy(folder_of("sweep", "bits") / "journal.log", file)
    content = file.read_bytes()
    whole = journal.read(file).entries

    def read() -> Any:
        storage(file)
        entries = journal.read(file).entries
        file.write_bytes(content)
        return entries

    plain = [{key: value for key, value in entry.items() if key != "harness"} for entry in whole]

    def known(entries: Any) -> bool:
        said = [
            {key: value for key, value in entry.items() if not key.startswith(("harn", "h"))}
            for entry in entries
        ]
        return said in (plain, plain[:-1])

    never_silent(file, read, known, UsageError)


def test_checkpoints(tmp_path: Path) -> None:
    config = space(type("Fixed", (), {"suggest_float": lambda *_, **__: 0.1})())
    kept = Checkpoints(tmp_path / "checkpoints")
    states = []
    state = None
    for _ in range(2):
        state, records = segment(config, prepare(config), state, 1)
        kept.write(0, "identity", Checkpoint(state, records, 5))
        states.append(
            {key: np.array(value) for key, value in state.items() if key != "film/frames"}
        )
    files = {path: path.read_bytes() for path in (tmp_path / "checkpoints").glob("*.npz")}
    newest = max(files)

    def read() -> Any:
        found = kept.read(0, "identity")
        damaged = newest.read_bytes() if newest.exists() else b""
        for path, content in files.items():
            path.write_bytes(damaged if path == newest and damaged else content)
        return found

    def known(found: Any) -> bool:
        return any(
            all(np.array_equal(found.state[k], v, equal_nan=True) for k, v in s.items())
            for s in states
        )

    never_silent(newest, read, known)


def test_films_of_arms(tmp_path: Path) -> None:
    frames.write(tmp_path, "arm", bytes(range(200)))
    (file,) = tmp_path.iterdir()
    never_silent(
        file,
        lambda: frames.read(tmp_path, "arm"),
        lambda found: found in (None, bytes(range(200))),
    )


@pytest.mark.parametrize(
    "path", quick(["config.json", "environment.json", "plugins/bent.py"], ["config.json"])
)
def test_artifacts(path: str, home: Path) -> None:
    whole = tracking.recorded("bits#1")
    assert path in whole.files
    run_id = whole.run_id if path == "config.json" else tracking.parents()[0].run_id
    file = home / "mlruns/artifacts" / run_id / "artifacts" / path
    never_silent(
        file, lambda: tracking.recorded("bits#1"), lambda found: found == whole, UsageError
    )


def test_saved_models(tmp_path: Path) -> None:
    rows = np.arange(16.0).reshape(8, 2)
    net = Model(layers=["dense(2)"], batch=2, epochs=1, valid=0.0, film=None).fit(
        rows, np.arange(8) % 2
    )
    net.save(tmp_path / "net")
    whole = net.predict_proba(rows)
    read: Callable[[], Any] = lambda: load_model(tmp_path / "net").predict_proba(rows)  # noqa: E731
    never_silent(tmp_path / "net.npz", read, lambda found: np.array_equal(found, whole), UsageError)


def test_kept_networks(home: Path) -> None:
    folder = folder_of("sweep", "bits")
    (file,) = (folder / "networks").glob("*.npz")
    networks = NetworkFolder(folder)
    whole = file.read_bytes()
    never_silent(file, lambda: networks.read(file.stem), lambda found: found in (whole, None))


@pytest.mark.slow
def test_the_database(home: Path) -> None:
    """Names of runs may be changed in the UI; all else that `results` and `verify` read is as in
    the spool, or said.
    """
    file = home / "mlruns/mlflow.db"

    def read() -> Any:
        table = tracking.results("bits").drop(columns="name")
        return json.loads(table.to_json()), replace(tracking.recorded("bits#1"), name="")

    whole = read()
    disconnect()
    for path in home.glob("mlruns/mlflow.db-*"):
        path.unlink()
    content = file.read_bytes()
    silent = []
    for damaged in flipped(content, file.name, DATABASE_FLIPS):
        file.write_bytes(damaged)
        done = CliRunner().invoke(main, ["doctor", "--dry-run"])
        assert done.exit_code in (0, 1, 2), done.output + repr(done.exception)
        assert isinstance(done.exception, SystemExit | None), repr(done.exception)
        if done.exit_code == 0:
            silent.append(read() == whole)
        disconnect()
        for path in home.glob("mlruns/mlflow.db-*"):
            path.unlink()
    file.write_bytes(content)
    assert all(silent)
    assert CliRunner().invoke(main, ["doctor"]).output.endswith("all is well\n")
