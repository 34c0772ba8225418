"""What a study shows when it has ended: through its public entry points, in a real store."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest

import harness
from harness import Config, compare, mlp
from harness.studies.sweep import Sweep
from harness.tracking import connect


def config(rate: float, activation: str = "relu") -> Config:
    layers = mlp([196, 8, 10], activation=activation)
    data = "mnist14(rows=600)"
    return Config(data=data, layers=layers, update=f"sgd({rate})", epochs=2, batch=50)


def space(trial: Any) -> Config:
    activation = trial.suggest_categorical("activation", ["relu", "tanh"])
    return config(trial.suggest_float("rate", 0.05, 0.5), activation)


def artifacts_of(name: str) -> dict[str, Path]:
    """The artifacts of the run of a study, by their paths."""
    from harness.tracking import parents

    (parent,) = [each for each in parents() if each.name == name]
    above = connect.artifacts_folder()
    assert above is not None
    folder = above / parent.run_id / "artifacts"
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in paths}


def test_a_sweep_brings_pictures_a_table_and_a_report(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_REPORT", "1")
    result = Sweep(space, "shown", trials=4).run()
    files = artifacts_of("shown")
    pictures = {
        "history", "importances", "parallel", "slices", "timeline", "contact_sheet",
        "learning_curves", "confusion", "mistakes", "taken_apart", "units", "activation",
    }  # fmt: skip
    assert {Path(name).stem for name in files if name.startswith("pictures/")} == pictures
    rows = list(csv.DictReader(io.StringIO(files["trials.csv"].read_text())))
    assert [row["number"] for row in rows] == ["0", "1", "2", "3"]
    assert [float(row["accuracy"]) for row in rows] == [run.result.value for run in result.trials]
    page = files["report.html"].read_text()
    assert result.best is not None
    assert f"is #{result.best.number} with accuracy {result.best.result.value:.4f}" in page
    assert page.count("data:image/png;base64,") >= len(pictures)
    assert str(root) not in page


def test_a_comparison_brings_pictures_and_a_report(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_REPORT", "1")
    result = compare("arms", {"relu": config(0.1), "tanh": config(0.1, "tanh")}, seeds=2)
    files = artifacts_of("arms")
    names = {Path(name).stem for name in files if name.startswith("pictures/")}
    assert names == {"curves", "differences", "seeds"}
    assert f"{result.mean('tanh'):.4f}" in files["report.html"].read_text()


def test_without_a_report_nothing_is_drawn(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_REPORT", "0")
    Sweep(space, "plain", trials=2).run()
    assert not any(name.startswith("pictures/") for name in artifacts_of("plain"))


def test_the_pictures_of_a_model(tmp_path: Path) -> None:
    net = harness.Model(config(0.1)).fit()
    files = net.pictures(tmp_path / "pictures")
    assert {file.name for file in files} >= {"learning_curves.png", "confusion.png", "units.png"}
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)
