"""Chromium without a window, and the studies that tests and pictures look at in it.

It is that of the system, since nothing is installed here: `HARNESS_CHROMIUM` names it, else it is
looked for on the PATH. The package `playwright` drives it.
"""

import contextlib
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Nothing but the page that is looked at shall ask the network for anything.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--metrics-recording-only",
    "--no-first-run",
]
PATIENCE_S = 90

SWEEP = """
from harness import Config, mlp, sweep


@sweep(name="demo", trials=5, sampler="RandomSampler")
def space(trial):
    activation = trial.suggest_categorical("activation", ["relu", "tanh"])
    rate = trial.suggest_float("learning_rate", 0.05, 1.0, log=True)
    layers = mlp([196, 36, 10], activation=activation)
    return Config(data="mnist14", layers=layers, update=f"sgd({rate})", epochs=4)


@sweep(name="slow", trials=3)
def slow_space(trial):
    rate = trial.suggest_float("learning_rate", 0.005, 0.02, log=True)
    layers = mlp([196, 36, 10], activation="relu")
    return Config(data="mnist14", layers=layers, update=f"sgd({rate})", epochs=4000, batch=20)
"""

COMPARISON = """
from harness import Config, compare, mlp

arms = {
    name: Config(
        data="mnist14",
        layers=mlp([196, 25, 10], activation=name),
        update="momentum(0.05)",
        epochs=3,
        film=None,
    )
    for name in ("relu", "tanh")
}
compare("relu or tanh", arms, seeds=2)
"""


def chromium() -> str:
    """The program; "" where there is none."""
    given = os.environ.get("HARNESS_CHROMIUM", "")
    found = [shutil.which(name) for name in ([given] if given else NAMES)]
    return next((path for path in found if path), "")


def missing() -> str:
    """Why nothing can be looked at here; "" where it can."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "no package playwright (tox -e browser has it)"
    if not chromium():
        return "no Chromium on the PATH (HARNESS_CHROMIUM names one that is elsewhere)"
    return ""


@contextlib.contextmanager
def browser(**options: Any) -> Iterator[Any]:
    """Chromium, driven by Playwright; the options are those of a context of pages."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        program = driver.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        try:
            yield program.new_context(**{"viewport": {"width": 1500, "height": 950}, **options})
        finally:
            program.close()


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


# The harness, in processes of its own ------------------------------------------------------------


def _environment(home: Path) -> dict[str, str]:
    environment = {**os.environ, "HARNESS_ROOT": str(home), "HARNESS_REPORT": "1"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    return environment


def python(home: Path, *words: object) -> None:
    """Runs Python in a folder, and waits for its end."""
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(
        command, cwd=home, env=_environment(home), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"


@contextlib.contextmanager
def serving(home: Path, *words: object, until: str = r"http://\S+") -> Iterator[str]:
    """Runs a command of the harness as long as the block lasts; gives what it prints first.

    Parameters
    ----------
    home : Path
        The folder.
    *words
        The command.
    until : str
        A pattern; the first line that has it ends the wait, and what matches is given.
    """
    command = [sys.executable, "-m", "harness", *map(str, words)]
    process = subprocess.Popen(
        command,
        cwd=home,
        env=_environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: queue.Queue[str] = queue.Queue()
    assert process.stdout is not None
    reader = threading.Thread(target=lambda: [lines.put(line) for line in process.stdout or []])
    reader.start()
    try:
        yield _first(lines, process, until)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join()
        process.stdout.close()


def _first(lines: "queue.Queue[str]", process: "subprocess.Popen[str]", until: str) -> str:
    said = ""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        with contextlib.suppress(queue.Empty):
            line = lines.get(timeout=0.2)
            said += line
            if match := re.search(until, line):
                return match[0]
            continue
        assert process.poll() is None, f"it has ended: {said}"
    raise AssertionError(f"{until} is not said: {said}")


# What is seen ------------------------------------------------------------------------------------


class Complaints:
    """What pages of ours say of their errors, in the console or by what they ask for in vain.

    Parameters
    ----------
    page : playwright.sync_api.Page
        A page.
    theirs : str
        What the addresses of MLflow's own programs begin with, whose errors are not ours.
    """

    def __init__(self, page: Any, theirs: str = "") -> None:
        self.ours: list[str] = []
        self.theirs = theirs
        page.on("console", self.hear)
        # MLflow catches errors of its own; an error that nobody catches is counted.
        page.on("pageerror", lambda error: self.ours.append(str(error)))

    def hear(self, message: Any) -> None:
        address = message.location.get("url", "")
        is_theirs = bool(self.theirs) and address.startswith(self.theirs)
        if message.type == "error" and not is_theirs:
            self.ours.append(f"{message.text} ({address})")


def close_assistant(page: Any) -> None:
    """Closes the panel that MLflow opens beside its pages."""
    panel = page.get_by_text("Ask questions about")
    panel.wait_for()
    page.get_by_role("button", name="Close", exact=True).last.click()
    panel.wait_for(state="hidden")


def wait_for_top(page: Any, first: str) -> Any:
    """Waits until the name of the uppermost run of a table begins so; its link.

    The order in the document is another one: MLflow's table moves its rows.
    """
    links = page.get_by_role("link", name=re.compile(r"^#\d+ "))
    heights = "all => all.map(each => each.getBoundingClientRect().y)"
    name = ""
    for _ in range(100):
        places = links.evaluate_all(heights)
        if places:
            top = links.nth(places.index(min(places)))
            name = top.inner_text()
            if name.startswith(first):
                return top
        # The rows of the page before stay until those of this one have come.
        page.wait_for_timeout(100)
    raise AssertionError(f"the uppermost run is {name!r}, not {first!r}")


def check_view(page: Any, sections: list[str], first: str) -> None:
    """Waits until a saved view in its charts is shown as it was meant; AssertionError otherwise.

    Parameters
    ----------
    page : playwright.sync_api.Page
        A page that is being opened on it.
    sections : list of str
        The sections of charts, from top to bottom.
    first : str
        What the name of the first run begins with.
    """
    broken = page.get_by_text("Something went wrong")
    runs = page.get_by_role("link", name=re.compile(r"^#\d+ "))
    broken.or_(runs).first.wait_for(timeout=30_000)
    assert not broken.count(), "MLflow does not understand the view"
    wait_for_top(page, first)
    heads = page.get_by_text(re.compile(rf"^({'|'.join(sections)})( \(\d+\))?$"))
    heads.first.wait_for(timeout=15_000)
    shown = [re.sub(r" \(\d+\)$", "", text) for text in heads.all_inner_texts()]
    assert shown == sections, shown


def film_in(page: Any) -> Any:
    """The frame of a page in which MLflow shows an HTML file."""
    page.locator("iframe").first.wait_for(timeout=20_000)
    for _ in range(100):
        for frame in page.frames[1:]:
            if frame.locator("canvas.film").count():
                return frame
        page.wait_for_timeout(100)
    raise AssertionError("there is no frame with a film")


def plays(frame: Any) -> bool:
    """Whether a film moves after a click on Play: its frame and its picture change."""
    look = """() => [document.documentElement.dataset.frame,
                     document.querySelector('canvas.film').toDataURL()]"""
    ready = "() => document.documentElement.dataset.frame !== undefined"
    frame.wait_for_function(ready, timeout=20_000)
    frame.get_by_role("button", name="Play").click()
    before = frame.evaluate(look)
    for _ in range(50):
        time.sleep(0.1)
        now = frame.evaluate(look)
        if now[0] != before[0] and now[1] != before[1]:
            return True
    return False
