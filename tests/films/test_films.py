"""harness.film and `harness film`: of trials, arms, networks and pages, in a real store."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import pytest
from click.testing import CliRunner, Result

import harness
from harness import Config, Model, UsageError, compare, mlp
from harness.cli import main
from harness.films import again
from harness.maintenance import verify
from harness.studies.sweep import Sweep
from harness.tracking import artifacts
from harness.tracking.artifacts import artifact
from harness.tracking.connect import artifacts_folder


def config(activation: str, epochs: int = 2, **changes: Any) -> Config:
    layers = mlp([196, 8, 10], activation=activation)
    data = "mnist14(rows=300)"
    config = Config(data=data, layers=layers, update="sgd(0.2)", epochs=epochs, batch=50, film=FILM)
    return config.replace(**changes)


FILM = "film(frames=4)"


def space(trial: Any) -> Config:
    rate = trial.suggest_float("rate", 0.05, 0.5)
    return config("relu", update=f"sgd({rate})")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A root with a sweep of three trials, and a comparison of two arms with two seeds."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_ROOT", str(home))
        patch.setenv("HARNESS_REPORT", "0")
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        Sweep(space, "first", trials=3).run()
        compare("arms", {"relu": config("relu"), "longer": config("tanh", epochs=4)}, seeds=2)
        yield home


@pytest.fixture
def here(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_ROOT", str(home))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def panels(page: Path) -> list[dict[str, Any]]:
    film = json.loads(re.search(r"const film = (.*);\n", page.read_text())[1])  # type: ignore[index]
    return film["panels"]


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["film", *words])


def run_id(name: str, number: int = 0) -> str:
    table = harness.results(name)
    return str(table["run_id"][number])


def test_trials_beside_each_other(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, movie = harness.film(["first#0", "first#2"])
    assert (page.name, movie.name) == ("films.html", "films.mp4")
    assert page.parent == Path()
    first, second = panels(page)
    assert [first["name"][:2], second["name"][:2]] == ["#0", "#2"]
    assert first["steps"] == second["steps"]
    assert len(iio.imread(movie, plugin="pyav")) == len(first["steps"]) == 4
    # What the trials have kept is enough.
    assert capsys.readouterr().err == ""
    before = page.read_bytes(), movie.read_bytes()
    harness.film(["first#0", run_id("first", 2)], "films.html", "films.mp4")
    assert (page.read_bytes(), movie.read_bytes()) == before


def test_a_sweep_is_its_best_trials(here: Path) -> None:
    table = harness.results("first").sort_values("value", ascending=False, kind="stable")
    page, movie = harness.film("first")
    assert (page.name, movie.name) == ("film.html", "film.mp4")
    assert max(iio.imread(movie, plugin="pyav").shape[1:3]) >= 600
    harness.film("first", "two.html", best=2)
    names = [panel["name"].split()[0] for panel in panels(Path("two.html"))]
    assert names == [f"#{number}" for number in table["number"][:2]]


def test_the_arms_of_a_comparison(here: Path) -> None:
    assert run("arms", "--output", "arms.html", "--output", "arms.png").exit_code == 0
    relu, longer = panels(Path("arms.html"))
    assert [relu["name"], longer["name"]] == ["relu", "longer"]
    assert longer["steps"][-1] == 2 * relu["steps"][-1]
    assert Path("arms.png").read_bytes().startswith(b"\x89PNG")
    assert run("arms", "--all-seeds", "--output", "all.html").exit_code == 0
    names = [panel["name"] for panel in panels(Path("all.html"))]
    assert names == [
        "#0 relu seed=0",
        "#2 relu seed=1",
        "#1 longer seed=0",
        "#3 longer seed=1",
    ]
    assert [panel["at"][0] > 0 for panel in panels(Path("all.html"))] == [False, True, True, True]


def test_runs_of_several_studies_and_pages_and_networks(here: Path) -> None:
    nets = [Model(config(name)).fit() for name in ("relu", "tanh")]
    Path("mine.html").write_bytes(nets[0].film("mine.html").read_bytes())
    done = harness.film(["first#1", "arms", Path("mine.html"), *nets], "some.html", "some.gif")
    names = [panel["name"] for panel in panels(done[0])]
    assert names[0].startswith("first #1 ")
    assert names[1:] == ["arms relu", "arms longer", "mine", "relu", "tanh"]
    assert done[1].read_bytes()[:6] == b"GIF89a"
    # The page has the same film as the network, but for what a video loses.
    mine, own = panels(done[0])[3:5]
    assert mine["moved"] == own["moved"]
    harness.film([done[0], nets[0]], "more.html", titles=[f"film {k}" for k in range(7)])
    assert [panel["name"] for panel in panels(Path("more.html"))][5:] == ["film 5", "film 6"]


def test_another_layer_is_trained_again(here: Path) -> None:
    done = run("first#0", "arms", "--layer", "1", "--frames", "3", "--output", "layer.html")
    assert done.exit_code == 0, done.output
    assert done.stderr.count("again: ") == 3
    assert "training" in done.stderr
    for panel in panels(Path("layer.html")):
        assert (panel["layer"], len(panel["steps"])) == (1, 3)
        assert panel["units"][3] == "class 3"
        assert "second layer" in panel["title"]


def test_a_film_that_was_not_kept_is_made_again(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    harness.film("first#1", "kept.html")
    folder = artifacts_folder()
    assert folder is not None
    page = folder / run_id("first", 1) / "artifacts" / "film.html"
    kept = page.read_bytes()
    try:
        for damage in (b"<html>", None):
            page.unlink() if damage is None else page.write_bytes(damage)
            harness.film("first#1", "again.html")
            assert "training" in capsys.readouterr().err
            was = panels(Path("kept.html"))[0]
            now = panels(Path("again.html"))[0]
            assert now["moved"] == was["moved"]
            assert now["curve"] == was["curve"]
        # Trained to other weights it would be the film of another network.
        monkeypatch.setattr(verify, "digest", lambda state, records: "another")
        with pytest.raises(UsageError, match="departs in its last weights"):
            harness.film("first#1", "no.html")
    finally:
        page.write_bytes(kept)
    assert not Path("no.html").exists()


def test_an_artifact_is_read_where_it_is(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = artifact(run_id("first", 0), "film.html")
    assert page is not None
    assert b"const film = " in page
    assert artifact(run_id("first", 0), "film.gif") is None
    # A server has no folder that is seen from here.
    monkeypatch.setattr(artifacts, "artifacts_folder", lambda root: None)
    assert artifact(run_id("first", 0), "film.html") == page
    assert artifact(run_id("first", 0), "film.gif") is None
    assert artifact(run_id("first", 0), "plugins/a.py") is None


def test_a_trial_that_was_trained_before_has_the_film_of_that_one(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Sweep(lambda trial: config("relu", epochs=1), "same", trials=2).run()
    capsys.readouterr()
    harness.film(["same#0", "same#1"], "same.html")
    assert capsys.readouterr().err == ""
    first, second = panels(Path("same.html"))
    assert first["moved"] == second["moved"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing"], "there is none for 'nothing'"),
        (["first#9"], "there is none for 'first#9'"),
        (["first", "--output", "a.txt"], "must end in .html, .mp4, .gif or .png"),
        (["first", "--output", "no/a.mp4"], "no/a.mp4"),
        (["gone.html"], "gone.html"),
        (["film.mp4"], "read back from its page"),
        (["first", "--layer", "7"], "layer must be one of 0..1"),
        (["first", "--best", "0"], "--best must be"),
        (["first", "--title", "a", "--title", "b"], "one for each of the 1 films"),
        (["first", "--units", "0"], "--units must be"),
    ],
)
def test_what_cannot_be_is_one_sentence(here: Path, words: list[str], said: str) -> None:
    done = run(*words)
    assert done.exit_code == 2
    assert isinstance(done.exception, SystemExit)
    assert said in done.stderr
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert list(here.iterdir()) == []


def test_networks_without_a_film(here: Path) -> None:
    net = Model(config("relu", film=None)).fit()
    with pytest.raises(UsageError, match="set film and fit"):
        harness.film(net)
    net = Model(config("relu")).fit()
    with pytest.raises(UsageError, match="fit has recorded, which is 0"):
        harness.film(net, layer=1)
    with pytest.raises(UsageError, match=r"film='film\(frames=2\)'"):
        harness.film(net, frames=2)
    with pytest.raises(UsageError, match="got nothing"):
        harness.film([])
    with pytest.raises(UsageError, match="got int"):
        harness.film([3])
    harness.film(net, "net.html")
    with pytest.raises(UsageError, match="shows 'change' by 'root'"):
        harness.film("net.html", show="weights")


def test_a_network_with_nothing_to_film(here: Path) -> None:
    layers = ["frozen(dense(8))", "relu", "dense(10)"]
    only = config("relu", layers=layers, film=None, epochs=1)
    wanted = again.Wanted(show="change", scaling="root", layer=0, matrix=None, frames=None)
    assert again.film_spec(only, wanted) == {"name": "film", "layer": 0, "show": "change"}
    assert again.film_spec(config("relu"), wanted)["frames"] == 4
    Sweep(lambda trial: only, "flat", trials=1).run()
    with pytest.raises(UsageError, match="can have no film"):
        harness.film("flat#0")
