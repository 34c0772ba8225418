"""What a study shows when it has ended: through its public entry points, in a real store."""

import base64
import csv
import io
import json
import zlib
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import pytest

import harness
from harness import Config, compare, mlp
from harness.cli import main
from harness.pictures.reel import reels_in
from harness.storage import frames
from harness.studies.films import films_of_arms, keep_film, side_by_side, title_of
from harness.studies.gallery import Gallery, about, sweep_artifacts
from harness.studies.kept import optuna_study_of, read_study, result_of, study_called
from harness.studies.step_images import epochs_shown
from harness.studies.sweep import Sweep
from harness.tracking import connect
from harness.trials.job import Job, Trial
from harness.trials.work import work
from harness.workers.errands import Errand
from harness.workers.inline import Inline
from harness.workers.pool import engine


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
    return files_of_run(parent.run_id)


def files_of_trial(study: str, run: Any) -> dict[str, Path]:
    """The artifacts of the run of a trial, by their paths."""
    table = harness.results(study)
    (run_id,) = table["run_id"][table["number"] == run.number]
    return files_of_run(run_id)


def stems(files: dict[str, Path], prefix: str) -> set[str]:
    """The names without their endings of those below a folder."""
    return {Path(name).stem for name in files if name.startswith(prefix)}


def files_of_run(run_id: str) -> dict[str, Path]:
    above = connect.artifacts_folder()
    assert above is not None
    folder = above / run_id / "artifacts"
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in paths}


def artifact_of(run: Any, path: str) -> bytes:
    """The content of an artifact of a trial."""
    from harness.tracking.artifacts import artifact

    table = harness.results("shown")
    (run_id,) = table["run_id"][table["number"] == run.number]
    content = artifact(run_id, path)
    assert content is not None
    return content


def test_a_sweep_brings_pictures_a_table_and_a_report(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_REPORT", "1")
    result = Sweep(space, "shown", trials=4).run()
    files = artifacts_of("shown")
    pictures = {
        "history", "importances", "parallel", "slices", "timeline", "contact_sheet",
    }  # fmt: skip
    of_best = {
        "learning_curves", "confusion", "mistakes", "taken_apart", "units", "activation",
        "weights_over_time", "activations_over_time",
    }  # fmt: skip
    assert stems(files, "pictures/") == pictures
    assert not any(name.startswith("of_trials") for name in files)
    # Those of the best network are at its own run, and in the report.
    assert result.best is not None
    for run in result.trials:
        expected = of_best if run.number == result.best.number else set()
        assert stems(files_of_trial("shown", run), "pictures/") == expected
    rows = list(csv.DictReader(io.StringIO(files["trials.csv"].read_text())))
    assert [row["number"] for row in rows] == ["0", "1", "2", "3"]
    assert [float(row["accuracy"]) for row in rows] == [run.result.value for run in result.trials]
    page = files["report.html"].read_text()
    assert f"is #{result.best.number} with accuracy {result.best.result.value:.4f}" in page
    assert page.count("data:image/png;base64,") >= len(pictures) + len(of_best)
    assert str(root) not in page
    assert page.count("<iframe") == 2
    # The large film is that of the best, and those of the best few are beside each other.
    large = iio.imread(files["film.mp4"], plugin="pyav")
    assert max(large.shape[1:3]) >= 600
    assert {"films.html", "films.mp4", "films.png"} <= files.keys()
    together = reels_in(files["films.html"].read_bytes(), "the films")
    ranked = [f"#{run.number}" for run in result.ranked]
    assert [reel.name.split()[0] for reel in together] == ranked[:4]
    (alone,) = reels_in(artifact_of(result.best, "film.html"), "the film")
    assert together[0].moved == {k: alone.moved[k] for k in together[0].units}
    assert len({reel.limit for reel in together}) == 1


@pytest.mark.slow
def test_the_best_and_the_last_have_images_at_steps(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_REPORT", "1")
    result = Sweep(space, "steps", trials=6).run()
    assert result.best is not None
    shown = {run.number for run in result.ranked[:4]} | {5}
    client = connect.client_for(connect.store_uri())
    table = harness.results("steps")
    numbers = dict(zip(table["number"], table["run_id"], strict=True))
    for run in result.trials:
        images = [name for name in files_of_trial("steps", run) if name.startswith("images/")]
        # Of each of the two epochs there is an image and what stands for it in small.
        steps = sorted(int(name.split("+")[2]) for name in images)
        assert steps == ([1, 1, 2, 2] if run.number in shown else [])
        tags = client.get_run(numbers[run.number]).data.tags
        assert ("mlflow.loggedImages" in tags) is (run.number in shown)
    # The image of the last epoch is what the film ends with, on the scale of all.
    files = files_of_trial("steps", result.best)
    (last,) = [path for name, path in files.items() if "+step+2+" in name and ".png" in name]
    (small,) = [path for name, path in files.items() if "+step+2+" in name and ".webp" in name]
    # Eight tiles of 14 x 14 stand in three rows of three, with a pixel between them.
    assert iio.imread(last).shape[:2] == iio.imread(small).shape[:2] == (6 * 44, 6 * 44)
    assert iio.imread(last)[..., :3].std() > 20
    experiment = client.get_experiment_by_name("harness")
    assert experiment is not None
    (tag,) = [text for key, text in experiment.tags.items() if "sharedViewState" in key]
    packed = json.loads(tag)["state"].removeprefix("deflate;")
    state = json.loads(zlib.decompress(base64.b64decode(packed)))
    assert [each["name"] for each in state["compareRunSections"]] == [
        "Learning", "What mattered", "Weights", "Optimizer", "Time"
    ]  # fmt: skip
    (chart,) = [each for each in state["compareRunCharts"] if each["type"] == "IMAGE"]
    assert (chart["imageKeys"], chart["step"]) == (["weights"], 2)
    # Nothing is missing where doctor looks for it.
    with pytest.raises(SystemExit) as ended:
        main(["doctor"])
    assert not ended.value.code


def test_a_comparison_asks_for_its_films_and_model_before_it_waits_for_any(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []

    class Told(Errand[Any]):
        """An errand that says when it is asked for, and when it is waited for."""

        def __init__(self, function: Any, *arguments: Any) -> None:
            super().__init__(function, *arguments)
            self.name = function.__name__
            events.append(f"ask {self.name}")

        def value(self) -> Any:
            events.append(f"wait {self.name}")
            return super().value()

    monkeypatch.setattr(Inline, "errand", lambda self, *given: Told(*given))
    arms = {"relu": config(0.1), "tanh": config(0.1, "tanh")}
    compare("asked", arms, seeds=1)
    assert events == [
        "ask _models", "ask films_of_arms", "wait films_of_arms", "wait _models",
    ]  # fmt: skip
    assert {"films.html", "films.mp4", "films.png"} <= artifacts_of("asked").keys()


@pytest.mark.slow
def test_workers_draw_what_this_process_draws(root: Path) -> None:
    Sweep(space, "drawn", trials=3).run()
    study = read_study(study_called("drawn"))
    gallery = Gallery(study.spool, study.folder)
    result = result_of(study)
    said = about(study.parent, {})
    optuna_study = optuna_study_of(study)
    alone = sweep_artifacts(gallery, result, optuna_study, said)
    asked: list[Errand[Any]] = []

    def ask(function: Any, *arguments: Any) -> Errand[Any]:
        asked.append(pool.errand(function, *arguments))
        return asked[-1]

    with engine(2) as pool:
        together = sweep_artifacts(gallery, result, optuna_study, said, ask)
    # The pictures of the best network, those for which it is trained once more, the films of the
    # best, Optuna's plots, the timeline with the contact sheet, the images at steps.
    assert len(asked) == 6
    assert all(errand.was_answered for errand in asked)
    assert together.keys() == alone.keys() >= {"film.mp4", "films.html", "report.html"}
    assert {"pictures/history.png", "pictures/slices.png", "pictures/timeline.png"} <= alone.keys()
    assert [name for name in alone if alone[name] != together[name]] == []


def test_the_epochs_of_images() -> None:
    assert epochs_shown(0) == []
    assert epochs_shown(1) == [1]
    assert epochs_shown(3) == [1, 2, 3]
    assert epochs_shown(20) == [1, 5, 9, 12, 16, 20]


def test_a_comparison_brings_pictures_and_a_report(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_REPORT", "1")
    result = compare("arms", {"relu": config(0.1), "tanh": config(0.1, "tanh")}, seeds=2)
    files = artifacts_of("arms")
    assert stems(files, "pictures/") == {"curves", "differences", "seeds"}
    page = files["report.html"].read_text()
    assert f"{result.mean('tanh'):.4f}" in page
    assert page.count("<iframe") == 1
    together = reels_in(files["films.html"].read_bytes(), "the films")
    assert [reel.name for reel in together] == ["relu", "tanh"]
    assert iio.imread(files["films.mp4"], plugin="pyav").shape[0] == len(together[0].story.steps)
    # With one more arm the others' films are there, and damage to one is a sentence.
    monkeypatch.setenv("HARNESS_REPORT", "0")
    arms = {"relu": config(0.1), "tanh": config(0.1, "tanh"), "gelu": config(0.1, "gelu")}
    compare("arms", arms, seeds=2)
    together = reels_in(artifacts_of("arms")["films.html"].read_bytes(), "the films")
    assert [reel.name for reel in together] == ["relu", "tanh", "gelu"]


def test_a_damaged_film_of_an_arm_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = harness.Model(config(0.1)).fit().film(tmp_path / "a.html").read_bytes()
    for name in ("a", "b"):
        frames.write(tmp_path / "films", name, page)
    names = {"relu": "a", "tanh": "b"}
    assert films_of_arms(tmp_path / "films", names).keys() == {
        "films.html", "films.mp4", "films.png"
    }  # fmt: skip
    assert films_of_arms(tmp_path / "films", {**names, "gelu": "c"}) == {}
    assert films_of_arms(tmp_path / "films", {"relu": "a"}) == {}
    assert capsys.readouterr().err == ""
    (stored,) = frames.stored(tmp_path / "films", "b")
    stored.write_bytes(page[:-9])
    assert films_of_arms(tmp_path / "films", names) == {}
    assert "the film of arm 'tanh'" in capsys.readouterr().err
    other = harness.Model(config(0.1)).fit().film(tmp_path / "b.html", show="weights")
    assert side_by_side({"a": page, "b": other.read_bytes()}) == {}
    assert "must show the same" in capsys.readouterr().err


def test_a_film_that_is_logged_otherwise_is_kept_as_a_page(tmp_path: Path) -> None:
    spec = "film(frames=3, formats=[mp4], show=weights, scaling=rank)"
    (outcome,) = work(Job([Trial(0, config(0.1).replace(film=spec))]))
    assert "film.html" not in outcome.artifacts
    keep_film(tmp_path, "a", outcome)
    page = frames.read(tmp_path, "a")
    assert page is not None
    (reel,) = reels_in(page, "it")
    assert (reel.show, reel.scaling, len(reel.story.steps)) == ("weights", "rank", 3)
    (outcome,) = work(Job([Trial(0, config(0.1).replace(film=None))]))
    keep_film(tmp_path, "b", outcome)
    assert frames.read(tmp_path, "b") is None


def test_titles_of_films() -> None:
    assert title_of(2, "relu rate=0.18327812116 #2") == "#2 relu rate=0.183"
    assert title_of(2.0, "#2 relu rate=1.25e-05") == "#2 relu rate=1.25e-05"
    assert title_of(3, "rate=0.0000123456") == "#3 rate=1.23e-05"


def test_without_a_report_nothing_is_drawn(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_REPORT", "0")
    Sweep(space, "plain", trials=2).run()
    assert not any(name.startswith("pictures/") for name in artifacts_of("plain"))


def test_the_pictures_of_a_model(tmp_path: Path) -> None:
    net = harness.Model(config(0.1)).fit()
    files = net.pictures(tmp_path / "pictures")
    assert {file.name for file in files} >= {"learning_curves.png", "confusion.png", "units.png"}
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)
