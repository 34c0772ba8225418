"""harness show RUN: the pictures of a network, kept or trained again."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from harness.cli import main
from harness.cli.show import folder_for
from harness.pictures import style
from harness.tracking import connect
from harness.tracking.reader import parents

SWEEP = """
from harness import Config, mlp, sweep

@sweep(name="look", trials=2, film="none", sampler="RandomSampler")
def space(trial):
    rate = trial.suggest_float("rate", 0.1, 1.0)
    data = "mnist14(rows=600)"
    return Config(layers=mlp([196, 8, 10]), data=data, update=f"sgd({rate})", epochs=2, batch=50)
"""
SMALL = ("run", "--data", "mnist14(rows=600)", "--sizes", "196-8-10", "--epochs", "2")


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def good(*arguments: str) -> Result:
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A root with a sweep of two trials, and a run with pictures that is called relu."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_ROOT", str(folder))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(folder)
        # How it looks, and what it costs, is for the tests of pictures.
        patch.setattr(style, "png", lambda figure: repr(figure).encode())
        (folder / "look.py").write_text(SWEEP)
        good("sweep", "look.py")
        patch.setenv("HARNESS_REPORT", "1")
        good(*SMALL, "--name", "relu")
        yield folder


def names_in(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.png")}


def artifacts_of(run: str) -> Path:
    above = connect.artifacts_folder()
    assert above is not None
    (run_id,) = [parent.run_id for parent in parents() if parent.name == run]
    return above / run_id / "artifacts"


USUAL = {"learning_curves", "confusion", "mistakes", "taken_apart", "units", "activation"}
OVER_TIME = {"weights_over_time", "activations_over_time"}


def test_a_network_that_was_kept_is_drawn(home: Path) -> None:
    result = good("show", "look", "--out", "best", "--no-over-time")
    assert names_in(home / "best") == USUAL
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == [f"best/{path.name}" for path in _ordered(lines)]
    assert "best/confusion.png        which class it takes for which" in lines


def _ordered(lines: list[str]) -> list[Path]:
    return [Path(line.split()[0]) for line in lines]


def test_a_network_that_was_not_kept_is_trained_again(home: Path) -> None:
    worst = next(n for n in (0, 1) if "not kept" in call("show", f"look#{n}").stderr)
    result = good("show", f"look#{worst}")
    said = f"the network of 'look#{worst}' was not kept, so it is trained again\n"
    assert result.stderr == said
    assert names_in(home / f"look-{worst}") == USUAL | OVER_TIME


def test_what_departs_from_the_log_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.maintenance import run_pictures

    def other(reference: str) -> object:
        run = recorded(reference)
        run.metrics["valid/accuracy"][2] += 0.01
        return run

    recorded = run_pictures.recorded
    monkeypatch.setattr(run_pictures, "recorded", other)
    monkeypatch.setattr(run_pictures, "find_network", lambda reference: None)
    assert "departs from what was logged: harness verify 'look#0'" in good("show", "look#0").stderr


def test_a_run_has_pictures_and_a_name_goes_before_it(home: Path) -> None:
    assert names_in(artifacts_of("relu") / "pictures") == USUAL | OVER_TIME
    assert "is drawn in relu.png" in good("show", "relu").stdout
    good("show", "relu", "--kind", "run", "--out", "run")
    for name in USUAL | OVER_TIME:
        logged = artifacts_of("relu") / "pictures" / f"{name}.png"
        assert logged.read_bytes() == (home / "run" / f"{name}.png").read_bytes()


def test_pictures_are_logged_and_opened_where_asked_for(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(click, "launch", opened.append)
    result = good("show", "look", "--out", "logged", "--no-over-time", "--log", "--open")
    pictures = artifacts_of("look") / "pictures"
    assert names_in(pictures) == USUAL
    assert f"logged to the run {pictures.parts[-3]}" in result.stdout
    assert opened == ["logged"]


def test_what_takes_long_is_not_trained_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.maintenance import run_pictures

    monkeypatch.setattr(run_pictures, "QUICK", 0.0)
    result = good("show", "look", "--out", "long")
    assert names_in(home / "long") == USUAL
    assert "--over-time does it" in result.stderr
    good("show", "look", "--out", "long", "--over-time")
    assert names_in(home / "long") == USUAL | OVER_TIME


def test_a_saved_network_is_drawn(home: Path) -> None:
    good(*SMALL, "--no-log", "--save", "saved/digits")
    good("show", "saved/digits.npz")
    assert names_in(home / "digits") == USUAL | OVER_TIME


def test_folders_are_called_after_the_run() -> None:
    assert folder_for("first sweep#23") == "first-sweep-23"
    assert folder_for("models/digits.npz") == "digits"
    assert folder_for("#") == "pictures"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lok"], "there is no plugin 'lok'; harness list shows what there is; and there is no"),
        (["look#7"], "there is no look#7.npz, and no such run: a run is named by its run id"),
        (["none.npz"], "there is no none.npz; check the path of the saved model"),
        (["relu", "--log"], "--log is for a run, but 'relu' is a registered name"),
        (["tanh", "--kind", "run"], "there is no plugin 'tanh'"),
    ],
)
def test_what_is_not_there_is_told(words: list[str], said: str) -> None:
    result = call("show", *words)
    assert result.exit_code == 2
    assert said in result.stderr
