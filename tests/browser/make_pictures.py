"""Makes the film and the screenshots of README.md and docs/ anew, in a few minutes:

    tox -e browser --notest; .tox/browser/bin/python tests/browser/make_pictures.py [NAME ...]

Without names it makes all: film, page, watch, view. What they show is trained for them, so
their numbers are those of this version. Look at each of them at its full size afterwards.
"""

import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from chromium import browser, close_assistant, free_port, missing, python, serving

DOCS = Path(__file__).resolve().parents[2] / "docs"

# README shows this command below its film.
FILM = [
    *("run", "--sizes", "784-100-50-10", "--learning-rate", "0.5", "--epochs", "3"),
    *("--film", "film(frames=44, spacing=log, units=27, columns=9, zoom=2, formats=[gif, html])"),
]

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


def write_sweep(home: Path) -> str:
    """Writes the script of both sweeps; its name."""
    (home / "digits.py").write_text(SWEEP)
    return "digits.py"


MADE: dict[str, Callable[[Path], None]] = {
    each.__name__: each for each in (film, page, watch, view)
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
