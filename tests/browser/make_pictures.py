"""Makes the film, the pictures and the screenshots of README.md and docs/ anew, in a few minutes:

    tox -e browser --notest; .tox/browser/bin/python tests/browser/make_pictures.py [NAME ...]

Without names it makes all: film, mnist, mnist14, together, over_time, page, watch, view, and curves, those of the catalogue. What
they show is trained for them, so their numbers are those of this version. Look at each of them at its full size afterwards.
"""

import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from chromium import browser, close_assistant, free_port, missing, python, serving
from decided import decided

DOCS = Path(__file__).resolve().parents[2] / "docs"

# README shows this command below its film.
FILM = [
    *("run", "--sizes", "784-100-50-10", "--learning-rate", "0.5", "--epochs", "3"),
    *("--film", "film(frames=44, spacing=log, units=27, columns=9, zoom=2, formats=[gif, html])"),
]

# docs/films.md shows these commands.
SIDE_BY_SIDE = {
    "relu": ["--learning-rate", "0.3"],
    "tanh": ["--activation", "tanh", "--learning-rate", "0.3"],
    "adam": ["--update", "adam(0.005)", "--batch", "50"],
}

SWEEP = """
from harness import Config, mlp, sweep


@sweep(name="first sweep", trials=16)
def space(trial):
    activation = trial.suggest_categorical("activation", ["relu", "tanh", "gelu"])
    rate = trial.suggest_float("learning_rate", 0.02, 1.0, log=True)
    units = trial.suggest_int("units", 16, 96)
    layers = mlp([196, units, 10], activation=activation)
    return Config(data="mnist14", layers=layers, update=f"sgd({rate})", epochs=8)


@sweep(name="digits", trials=3, workers=3, sampler="RandomSampler")
def watched(trial):
    activation = trial.suggest_categorical("activation", ["relu", "tanh", "gelu"])
    rate = trial.suggest_float("learning_rate", 0.01, 0.1, log=True)
    layers = mlp([784, 64, 10], activation=activation)
    return Config(layers=layers, update=f"sgd({rate})", epochs=20, valid=0.1)
"""


def artifact(home: Path, name: str) -> Path:
    """The newest file of a name among the artifacts."""
    files = (home / "mlruns" / "artifacts").rglob(name)
    return max(files, key=lambda file: file.stat().st_mtime)


def film(home: Path) -> None:
    """The film that README opens with."""
    python(home, "-m", "harness", *FILM)
    shutil.copy(artifact(home, "film.gif"), DOCS / "learns.gif")


def mnist(home: Path) -> None:
    """What decided the way in which films show weights, on MNIST."""
    decided(DOCS / "films" / "mnist.png", "mnist", [784, 100, 50, 10], epochs=3, zoom=1)


def mnist14(home: Path) -> None:
    """The same for pictures of 14 x 14 pixels."""
    decided(DOCS / "films" / "mnist14.png", "mnist14", [196, 100, 10], epochs=20, zoom=2)


def together(home: Path) -> None:
    """Three networks side by side, by the commands above their picture."""
    run = ["run", "--data", "mnist14", "--sizes", "196-32-10", "--epochs", "4"]
    for name, words in SIDE_BY_SIDE.items():
        python(home, "-m", "harness", *run, *words, "--name", name)
    where = ["--out", DOCS / "films" / "together.png"]
    python(home, "-m", "harness", "film", *SIDE_BY_SIDE, *where)


def over_time(home: Path) -> None:
    """How the values after each layer spread, as `harness show` draws it."""
    run = ["run", "--data", "mnist14", "--sizes", "196-48-24-10", "--epochs", "8", "--name", "one"]
    python(home, "-m", "harness", *run)
    show = ["show", "one", "--kind", "run", "--over-time", "--out", home / "one"]
    python(home, "-m", "harness", *show)
    name = "activations_over_time.png"
    shutil.copy(home / "one" / name, DOCS / "watching" / name)


def page(home: Path) -> None:
    """The page that plays a film, with a unit enlarged."""
    python(home, "-m", "harness", "run", "--epochs", "3", "--learning-rate", "0.5")
    with browser(viewport={"width": 1000, "height": 880}) as context:
        shown = context.new_page()
        shown.goto(artifact(home, "film.html").as_uri())
        shown.wait_for_function("() => document.documentElement.dataset.frame !== undefined")
        shown.wait_for_timeout(1500)
        shown.locator("canvas.film").click(position={"x": 30, "y": 90})
        shown.screenshot(path=DOCS / "films" / "page.png")


def watch(home: Path) -> None:
    """Three networks in training, side by side."""
    script = write_sweep(home)
    training = serving(home, "sweep", script, "--name", "digits", until="digits")
    far = """() => {
        const at = [...document.querySelectorAll('.card .at')].map(
            each => Number((each.textContent.match(/epoch (\\d+)/) || [])[1]));
        const pictures = [...document.querySelectorAll('#cards img')];
        return at.length === 3 && Math.min(...at) >= 6
            && pictures.every(each => each.naturalWidth > 50);
    }"""
    size = {"width": 1100, "height": 660}
    with (
        training,
        serving(home, "watch", "digits") as address,
        browser(viewport=size) as context,
    ):
        shown = context.new_page()
        shown.goto(address)
        shown.wait_for_function(far, timeout=240_000)
        shown.screenshot(path=DOCS / "watching" / "watch.png")


def view(home: Path) -> None:
    """The saved view of a sweep in MLflow."""
    python(home, "-m", "harness", "sweep", write_sweep(home), "--name", "first sweep")
    until = r"http://\S+workflowType\S+"
    serves = serving(home, "ui", "first sweep", "--port", free_port(), until=until)
    with serves as address, browser(viewport={"width": 1500, "height": 1180}) as context:
        shown = context.new_page()
        shown.goto(address)
        shown.get_by_role("link", name=re.compile(r"^#\d+ ")).first.wait_for()
        close_assistant(shown)
        shown.wait_for_timeout(5000)
        shown.screenshot(path=DOCS / "watching" / "view.png")
        # Charts are drawn when they come into sight.
        shown.get_by_text("Optimizer", exact=True).first.scroll_into_view_if_needed()
        shown.locator("img[src*='weights%2Bstep']").first.wait_for()
        head = shown.get_by_text("Weights", exact=True).first
        head.evaluate("line => line.scrollIntoView({block: 'start'})")
        shown.wait_for_timeout(2000)
        corner = head.bounding_box()
        # The section is between the names of the runs and the right end.
        clip = {"x": 518, "y": corner["y"] - 4, "width": 950, "height": 744}
        shown.screenshot(path=DOCS / "watching" / "weights.png", clip=clip)


def curves(home: Path) -> None:
    """The curves of all activations, with the catalogue that shows them."""
    python(home, "-m", "harness.cli.catalogue", DOCS / "catalogue.md")


def write_sweep(home: Path) -> str:
    """Writes the script of both sweeps; its name."""
    (home / "digits.py").write_text(SWEEP)
    return "digits.py"


MADE: dict[str, Callable[[Path], None]] = {
    each.__name__: each
    for each in (film, mnist, mnist14, together, over_time, page, watch, view, curves)
}


def main() -> None:
    if reason := missing():
        sys.exit(f"nothing can be looked at: {reason}")
    names = sys.argv[1:] or list(MADE)
    if unknown := [name for name in names if name not in MADE]:
        sys.exit(f"there is no {', '.join(unknown)}; there are {', '.join(MADE)}")
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            MADE[name](Path(folder))
            print(name, flush=True)


if __name__ == "__main__":
    main()
