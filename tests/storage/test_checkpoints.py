"""Checkpoints: to the last bit, the last two of a trial, damaged ones told from sound, and training
that goes on.
"""

import hashlib
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forks import copy_of, forked, printed
from siblings import quick

import harness
from harness import registry
from harness.builtin.layers import mlp
from harness.config import Config
from harness.storage.checkpoints import KEPT, Content, check, pack, trial_of, unpack
from harness.storage.formats import Damaged
from harness.storage.spool import Spool
from harness.studies.books import folder_of
from harness.studies.sweep import Sweep
from harness.training.prepare import prepare
from harness.training.segment import segment
from harness.training.state import Record
from harness.trials.checkpoints import Checkpoint, Checkpoints, from_content, to_content
from harness.trials.job import Job, Trial
from harness.trials.work import work

DATA = "mnist14(rows=1000)"


def config(**more: Any) -> Config:
    layers = [
        {"name": "dense", "units": 8},
        "batch_norm",
        "relu",
        {"name": "dropout", "rate": 0.2},
        "dense(10)",
    ]
    given: dict[str, Any] = {"layers": layers, "update": "momentum(0.1)", "epochs": 4, "batch": 50}
    given |= {"film": "film(frames=5)", "select": "best", "patience": 3}
    return Config(data=DATA, **{**given, **more})


def alike(a: Any, b: Any) -> bool:
    """Equal to the last bit, and of the same types."""
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and (a.dtype, a.shape, a.tobytes()) == (
            b.dtype,
            b.shape,
            b.tobytes(),
        )
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(alike(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, Record):
        return isinstance(b, Record) and alike(vars(a), vars(b))
    return type(a) is type(b) and (a == b or (math.isnan(a) and math.isnan(b)))


def trained(epochs: int | None = 2, **more: Any) -> Checkpoint:
    given = config(**more)
    return Checkpoint(*segment(given, prepare(given), None, epochs), 1234567890123)


# The file -----------------------------------------------------------------------------------------


def test_a_checkpoint_comes_back_to_the_last_bit() -> None:
    made = trained()
    assert any(name.startswith("layer/") for name in made.state)
    assert any(name.startswith("rule/") for name in made.state)
    assert {"best/theta", "best/value", "best/epoch", "lowest"} <= made.state.keys()
    assert any(name.startswith("best/layer/") for name in made.state)
    assert len(made.state["film/frames"]) == len(made.state["film/steps"]) == 3
    content = unpack(pack(to_content("0123456789abcdef", made)), Path("here"))
    assert content.identity == f"0123456789abcdef {harness.__version__}"
    back = from_content(content)
    assert alike(made.state, back.state)
    assert alike(made.records, back.records)
    assert back.start_ms == 1234567890123


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_no_number_comes_back_too(dtype: str) -> None:
    odd = np.array([math.inf, -math.inf, math.nan, -0.0, 5e-324], dtype)
    metrics = {
        "train/loss": math.inf,
        "valid/loss": math.nan,
        "valid/a": -math.inf,
        "valid/b": -0.0,
        "valid/c": 0.1,
    }
    record = Record(1, 7, metrics, odd, {"train_s": 1e-9}, 3)
    state = {
        "theta": odd,
        "rule/step": np.array(3, dtype),
        "epoch": 1,
        "step": 7,
        "stopped": 1,
        "waited": 0,
    }
    state |= {"film/steps": [], "film/frames": [], "lowest": math.inf}
    made = Checkpoint(state, [record, Record(2, 14, {}, odd[:0])], 0)
    content = unpack(pack(to_content("", made)), Path("here"))
    back = from_content(content)
    assert alike(tuple(made), tuple(back))
    assert math.copysign(1, back.records[0].metrics["valid/b"]) == -1


def test_nothing_in_it_is_code() -> None:
    with pytest.raises(ValueError, match="allow_pickle=False"):
        pack(Content("", {}, {"theta": np.array([print], dtype=object)}))


# The folder ---------------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints")


def at(epoch: int) -> Checkpoint:
    state = {"theta": np.full(3, epoch, np.float32), "epoch": epoch, "film/frames": []}
    return Checkpoint(state, [Record(k, k, {}, np.zeros(1)) for k in range(1, epoch + 1)], 0)


def test_the_last_two_are_kept(kept: Checkpoints) -> None:
    assert kept.numbers() == set()
    for epoch in (1, 2, 9, 10):
        kept.write(3, "a", at(epoch))
        kept.write(30, "b", at(epoch))
    assert kept.numbers() == {3, 30}
    names = sorted(path.name[:13] for path in kept.folder.iterdir())
    assert names == ["000003-000009", "000003-000010", "000030-000009", "000030-000010"]
    assert len(names) == 2 * KEPT
    found = kept.read(3, "a")
    assert found is not None
    assert alike(tuple(found), tuple(at(10)))
    kept.drop(3)
    assert kept.numbers() == {30}
    assert kept.read(3, "a") is None


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "flipped":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif how == "cut":
        path.write_bytes(content[:-1])
    elif how == "empty":
        path.write_bytes(b"")
    else:  # a disk that cannot read it: neither can anybody read a folder
        path.unlink()
        path.mkdir()


@pytest.mark.parametrize("how", ["flipped", "cut", "empty", "unreadable"])
def test_a_damaged_one_is_passed_over(kept: Checkpoints, how: str) -> None:
    for epoch in (1, 2, 3):
        kept.write(0, "a", at(epoch))
    older, newer = sorted(kept.folder.iterdir())
    assert check(kept.folder) == []
    damage(newer, how)
    found = kept.read(0, "a")
    assert found is not None
    assert (found.state["epoch"], len(found.records)) == (2, 2)
    damage(older, how)
    assert kept.read(0, "a") is None


def test_every_flipped_bit_is_seen(kept: Checkpoints) -> None:
    kept.write(0, "a", at(1))
    (path,) = kept.folder.iterdir()
    content = path.read_bytes()
    for k in range(0, 8 * len(content), 37):
        flipped = bytearray(content)
        flipped[k // 8] ^= 1 << k % 8
        with pytest.raises(Damaged):
            unpack(bytes(flipped), path)
    assert unpack(content, path).identity.startswith("a ")


def test_that_of_another_trial_is_none(kept: Checkpoints) -> None:
    kept.write(0, "a", at(1))
    assert kept.read(1, "a") is None
    assert kept.read(0, "a") is not None
    assert kept.read(0, "b") is None
    assert kept.numbers() == set()  # it would count as one of the two that are kept


def test_what_a_crash_has_torn_is_none(kept: Checkpoints) -> None:
    kept.write(0, "a", at(1))
    (kept.folder / ".new").write_bytes(pack(to_content("a", at(2)))[:100])
    found = kept.read(0, "a")
    assert found is not None
    assert found.state["epoch"] == 1
    assert kept.numbers() == {0}
    kept.write(0, "a", at(2))
    assert not (kept.folder / ".new").exists()


def test_what_has_another_name_is_no_checkpoint(tmp_path: Path) -> None:
    assert trial_of(tmp_path / "mine.npz") is None
    assert trial_of(tmp_path / "000012-000003.npz") == 12
    (tmp_path / "mine.npz").write_bytes(b"")
    assert Checkpoints(tmp_path).numbers() == set()


# Going on -----------------------------------------------------------------------------------------

KINDS: dict[str, dict[str, Any]] = {
    "momentum": {},
    "adam": {"update": "adam", "patience": None},
    "last": {"select": "last", "layers": mlp([196, 8, 10])},
    "population": {"update": "momentum(0.05)"},
}


@pytest.mark.parametrize("stop", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_training_goes_on_to_the_same_bits(kept: Checkpoints, kind: str, stop: int) -> None:
    given = config(**KINDS[kind])
    (whole,) = work(Job([Trial(0, given)]))
    configs = [given, given.replace(seed=1)] if kind == "population" else [given]
    for number, outcome in enumerate(
        work(Job([Trial(k, each) for k, each in enumerate(configs)], epochs=stop))
    ):
        assert not outcome.ended
        assert outcome.state is not None
        kept.write(number, "a", Checkpoint(outcome.state, outcome.records, 0))
    found = [kept.read(number, "a") for number in range(len(configs))]
    states = [f.state for f in found if f]
    records = [f.records for f in found if f]
    first, *_ = work(
        Job([Trial(k, *each) for k, each in enumerate(zip(configs, states, records, strict=True))])
    )
    assert whole.state is not None
    assert first.state is not None
    assert alike(first.state, whole.state)
    clockless = [
        [(r.epoch, r.step, r.metrics, r.losses, r.bad_step) for r in o.records]
        for o in (whole, first)
    ]
    assert alike(*clockless)
    assert {"film.html", "history.npz"} <= first.artifacts.keys()
    assert first.artifacts == whole.artifacts
    assert first.value == whole.value


# Sweeps -------------------------------------------------------------------------------------------


@harness.metric(task="classification", direction="maximize")
def watched() -> Callable[..., Any]:
    """The accuracy, which writes a line for each epoch, and stops its process when a test wants
    it
    """

    def measure(predictions: np.ndarray, y: np.ndarray) -> float:
        seen = Path(os.environ["HARNESS_ROOT"]) / "seen"
        with open(seen, "a") as file:
            file.write("an epoch\n")
        how, _, when = os.environ.get("STOP", "").partition(" ")
        if how and epochs(seen.parent) == int(when):
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            signal.raise_signal(signal.SIGINT)
        return float(np.mean(predictions.argmax(axis=-1) == y))

    return measure


def epochs(home: Path) -> int:
    """How many have been trained there."""
    return len((home / "seen").read_text().splitlines())


def space(trial: Any) -> Config:
    rate = trial.suggest_float("lr", 0.05, 0.5)
    return config(update=f"momentum({rate})", epochs=5, patience=None, metric="watched")


def sweep(stop: str = "") -> list[Any]:
    """Two trials of five epochs, and what MLflow has of them, without the clocks."""
    from mlflow import MlflowClient

    os.environ["STOP"] = stop
    result = Sweep(space, "watched", trials=2, sampler="RandomSampler", checkpoint=0).run()
    assert result.finished
    client = MlflowClient(f"sqlite:///{os.environ['HARNESS_ROOT']}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("harness").experiment_id
    found = []
    for run in client.search_runs([experiment], "tags.\"harness.kind\" = 'trial'"):
        folder = Path(run.info.artifact_uri.removeprefix("file://"))
        files = {
            p.name: hashlib.sha256(p.read_bytes()).hexdigest()
            for p in folder.rglob("*")
            if p.is_file()
        }
        points = {}
        for key in run.data.metrics:
            history = [[m.step, m.value] for m in client.get_metric_history(run.info.run_id, key)]
            assert len({step for step, _ in history}) == len(history)
            if not key.startswith("time/"):
                points[key] = history
        found.append(
            [
                run.info.run_name,
                run.info.status,
                dict(run.data.params),
                dict(sorted(files.items())),
                points,
            ]
        )
    return sorted(found, key=lambda each: each[0].split("#")[1])


@pytest.fixture(scope="module")
def whole(template: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The undisturbed sweep."""
    home = copy_of(template, tmp_path_factory.mktemp("whole") / "root")
    prepare(config())  # here, for those that are forked
    found = forked(home, sweep)
    assert found, printed(home)
    assert epochs(home) == 10
    assert [len(points["valid/loss"]) for *_, points in found] == [5, 5]
    assert all("film.html" in files for *_, files, _ in found)
    return found


@pytest.mark.parametrize(
    ("damaged", "again", "stop"),
    quick(
        [
            (damaged, again, stop)
            for damaged, again in (([], 3), (["newest"], 4), (["newest", "oldest"], 5))
            for stop in ("kill", "interrupt")
        ],
        [(["newest"], 4, "kill")],
    ),
    ids=lambda given: "-".join(given) or "sound" if isinstance(given, list) else str(given),
)
def test_a_sweep_goes_on_from_its_checkpoint(
    stop: str, damaged: list[str], again: int, fresh: Callable[[], Path], whole: list[Any]
) -> None:
    home = fresh()
    # In the third epoch of the second trial
    assert forked(home, lambda: sweep(f"{stop} 8")) is None
    assert epochs(home) == 8, printed(home)
    assert ("KeyboardInterrupt" in printed(home)) == (stop == "interrupt")
    folder = folder_of("sweep", "watched", home) / "checkpoints"
    files = sorted(folder.glob("*.npz"))
    assert [path.name[:13] for path in files] == ["000001-000001", "000001-000002"]
    for which in damaged:
        damage(files[-1] if which == "newest" else files[0], "flipped")
    found = forked(home, sweep)
    assert found == whole, printed(home)
    assert epochs(home) - 8 == again
    assert list(folder.iterdir()) == []
    assert forked(home, sweep) == whole
    assert epochs(home) - 8 == again  # nothing was left to do


def test_what_another_plugin_has_trained_is_not_gone_on_from(
    fresh: Callable[[], Path], tmp_path: Path
) -> None:
    home = fresh()
    file = tmp_path / "leaning.py"

    def leaning() -> Any:
        registry.load_plugin(file)
        os.environ["STOP"] = "kill 3" if not (home / "seen").exists() else ""
        given = {
            "layers": mlp([196, 8, 10], activation="leaning"),
            "epochs": 5,
            "metric": "watched",
        }
        return (
            Sweep(lambda trial: config(**given), "leaning", trials=1, checkpoint=0).run().finished
        )

    source = "import harness\n\n@harness.activation()\ndef leaning(z):\n    return z * {}\n"
    file.write_text(source.format(0.5))
    assert forked(home, leaning) is None
    file.write_text(source.format(0.75))
    assert forked(home, leaning) is True, printed(home)
    assert epochs(home) == 3 + 5


def test_a_checkpoint_that_cannot_be_written_is_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HARNESS_ROOT", str(tmp_path))
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)

    def space(trial: Any) -> Config:
        rate = trial.suggest_float("lr", 0.05, 0.5)
        return Config(
            data=DATA, layers=mlp([196, 8, 10]), update=f"sgd({rate})", epochs=3, film=None
        )

    folder = folder_of("sweep", "full")
    folder.mkdir(parents=True)
    (folder / "checkpoints").write_text("no folder")
    result = Sweep(space, "full", trials=1, sampler="RandomSampler", checkpoint=0).run()
    assert result.finished
    assert result.trials[0].result.state == "COMPLETE"
    said = capfd.readouterr().err
    assert said.count("without a checkpoint") == 1
    once = "trial #0 goes on without a checkpoint (this is said once): "
    assert f"{once}{folder / 'checkpoints'} must be" in said
    assert len(Spool(folder / "spool")) == 2


@pytest.mark.parametrize("seconds", [0, 1000])
def test_how_often_is_up_to_the_user(
    seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_ROOT", str(tmp_path))
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    written: list[int] = []
    write = Checkpoints.write

    def watch(self: Any, number: int, identity: str, checkpoint: Any) -> None:
        written.append(checkpoint.state["epoch"])
        write(self, number, identity, checkpoint)

    monkeypatch.setattr(Checkpoints, "write", watch)

    def space(trial: Any) -> Config:
        return Config(data=DATA, layers=mlp([196, 8, 10]), epochs=4, film=None)

    result = Sweep(space, "often", trials=1, sampler="RandomSampler", checkpoint=seconds).run()
    assert result.finished
    assert written == ([1, 2, 3] if seconds == 0 else [])
