"""Studies read again from their folders, and the reports that are made of them at any time."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from harness import Config, UsageError, compare, mlp
from harness.cli import main
from harness.pictures import style
from harness.studies.comparison import Comparison
from harness.studies.kept import (
    comparison_of,
    environment_of,
    optuna_study_of,
    read_study,
    result_of,
    study_called,
)
from harness.studies.report_again import report_of
from harness.studies.result import Result
from harness.studies.sweep import Sweep

SECRET = "mallory-at-home"  # a folder that no report may name


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A root for all studies of this module, with a table of numbers in a folder of its own."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_ROOT", str(folder))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(folder)
        # What is drawn, and what it costs, is for the tests of pictures.
        patch.setattr(style, "png", lambda figure: b"png")
        patch.setattr(style, "stacked_png", lambda figures: b"png")
        rng = np.random.default_rng(0)
        rows = rng.normal(size=(120, 2))
        table = folder / SECRET / "points.csv"
        table.parent.mkdir()
        lines = [f"{a:.3f},{b:.3f},{'up' if a + b > 0 else 'down'}" for a, b in rows]
        table.write_text("\n".join(["a,b,kind", *lines]))
        yield folder


def config(home: Path, rate: float, activation: str = "relu") -> Config:
    data = {"name": "csv", "path": str(home / SECRET / "points.csv"), "label": "kind"}
    layers = mlp([2, 4, 2], activation=activation)
    return Config(data=data, layers=layers, update=f"sgd({rate})", epochs=2, batch=20)


def space_of(home: Path, activation: str = "relu") -> Any:
    def space(trial: Any) -> Config:
        return config(home, trial.suggest_float("rate", 0.05, 0.5), activation)

    return space


@pytest.fixture(scope="module")
def swept(home: Path) -> Result:
    def space(trial: Any) -> Config:
        # A place on this machine may be a parameter, too.
        trial.suggest_categorical("place", [f"/home/{SECRET}/a", f"/home/{SECRET}/b"])
        trial.suggest_categorical("list", [[1, 2], [3]])
        return space_of(home)(trial)

    return Sweep(space, "kept sweep", trials=4).run()


@pytest.fixture(scope="module")
def compared(home: Path) -> Comparison:
    arms = {"relu": space_of(home), "tanh": space_of(home, "tanh"), "plain": config(home, 0.1)}
    return compare("kept arms", arms, seeds=3, points=2)


def test_a_sweep_is_read_again(swept: Result) -> None:
    study = read_study(study_called("kept sweep"))
    again = result_of(study)
    assert again.table() == swept.table()
    assert (again.finished, again.note) == (True, "")
    values = [trial.value for trial in optuna_study_of(study).trials]
    assert values == [run.result.value for run in swept.trials]


def test_a_comparison_is_read_again(compared: Comparison) -> None:
    again, runs = comparison_of(read_study(study_called("kept arms")))
    assert again.to_json() == compared.to_json()
    assert len(runs) == 9
    # Nothing that tuned an arm is among what is compared.
    assert all("seed" in run.result.params for run in runs)


def test_of_two_versions_of_an_arm_the_newer_one_counts(home: Path) -> None:
    for rate in (0.1, 0.2):
        now = compare("versions", {"a": config(home, rate), "b": config(home, 0.3)}, seeds=2)
    again, _ = comparison_of(read_study(study_called("versions")))
    assert again.values == now.values


def test_the_environment_is_that_of_the_training(swept: Result, tmp_path: Path) -> None:
    study = read_study(study_called("kept sweep"))
    (tmp_path / "environment.json").write_text(json.dumps({"numpy": "1.0"}))
    assert environment_of(study, tmp_path) == {"numpy": "1.0"}
    assert environment_of(study, None)["numpy"] == np.__version__


def test_a_report_names_nothing_of_the_machine(
    home: Path, swept: Result, compared: Comparison
) -> None:
    for name in ("kept sweep", "kept arms"):
        page = report_of(name).decode()
        assert SECRET not in page
        assert str(home) not in page
        assert "points.csv" in page
        assert "96 rows, 2 features, 2 classes" in page
    assert swept.best is not None
    assert (
        f"harness verify &#39;kept sweep#{swept.best.number}&#39;"
        in report_of("kept sweep").decode()
    )


def test_the_report_of_a_comparison_says_in_what_arms_differ(compared: Comparison) -> None:
    page = report_of("kept arms").decode()
    assert f"{compared.mean('tanh'):.4f}" in page
    assert "dense(units=4) &gt; tanh &gt; dense(units=2)" in page
    assert "In what the arms differ" in page
    assert page.index("In what the arms differ") < page.index("What the arms share")


def test_a_report_is_made_while_a_sweep_runs(home: Path) -> None:
    pages: list[str] = []

    def space(trial: Any) -> Config:
        if trial.number == 3:
            before = sorted(study_called("running").rglob("*"))
            pages.append(report_of("running").decode())
            assert sorted(study_called("running").rglob("*")) == before
        return space_of(home)(trial)

    assert Sweep(space, "running", trials=4).run().finished
    assert "The best of 3 trials is #" in pages[0]
    assert "It was still running when this report was made." in pages[0]
    assert "It was still running" not in report_of("running").decode()


def test_a_report_is_made_of_what_was_interrupted(home: Path) -> None:
    def space(trial: Any) -> Config:
        if trial.number == 2:
            signal.raise_signal(signal.SIGINT)
        return space_of(home)(trial)

    with pytest.raises(KeyboardInterrupt):
        Sweep(space, "stopped", trials=9).run()
    # The process that had the lock is this one, and goes on.
    page = report_of("stopped").decode()
    assert "It was stopped before its end" in page
    assert "The best of " in page


def test_a_damaged_film_keeps_nothing_else_back(
    home: Path, swept: Result, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = list((home / "mlruns" / "artifacts").rglob("film.html"))
    contents = {page: page.read_bytes() for page in pages}
    for page in pages:
        page.write_bytes(b"<p>another page</p>")
    try:
        report = report_of("kept sweep").decode()
    finally:
        for page, content in contents.items():
            page.write_bytes(content)
    assert "The best of 4 trials is #" in report
    assert "the film of the best trial is not made" in capsys.readouterr().err


def test_the_command_writes_a_file(home: Path, swept: Result) -> None:
    call = CliRunner().invoke(main, ["report", "kept sweep"])
    assert call.exit_code == 0, call.output
    page = (home / "kept-sweep.html").read_bytes()
    assert call.stdout == f"kept-sweep.html, {len(page) / 1e6:.1f} MB\n"
    assert page.startswith(b"<!doctype html>")
    call = CliRunner().invoke(main, ["report", "kept sweep", "--output", "r.txt"])
    assert call.exit_code == 2
    assert "--output must end with .html, got 'r.txt'" in call.stderr
    call = CliRunner().invoke(main, ["report", "nothing"])
    assert call.exit_code == 2
    assert "there is no sweep or comparison 'nothing' here" in call.stderr


def test_what_has_no_record_yet_is_told(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    with pytest.raises(UsageError, match="has no record yet; wait for its first trial"):
        read_study(tmp_path)
