"""Stopping a trial or a sweep from elsewhere, and the events of a sweep as another program reads
them.
"""

import json
import os
import pty
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from stores import prepare

from harness.cli import main
from harness.maintenance.stop import stop
from harness.maintenance.verify import verify
from harness.storage import stops
from harness.storage.records import TrialRun
from harness.storage.spool import Spool
from harness.storage.stops import Stop, Stops
from harness.studies.books import folder_of
from harness.tracking import results

REPOSITORY = Path(__file__).parents[2]
FOREVER = 1_000_000  # epochs: more than a test waits for

SCRIPT = """
import os
from harness import Config, mlp, sweep

print("the script is loaded")
os.write(1, b"written to the descriptor\\n")

@sweep(name={name!r}, trials={trials}, film="none", sampler="RandomSampler", checkpoint=0, population=1,
       enqueue=[{{"epochs": epochs}} for epochs in {epochs}])
def space(trial):
    epochs = trial.suggest_categorical("epochs", {choices})
    rate = trial.suggest_float("rate", 0.01, 0.1)
    print("the space is asked")
    inputs = 3 if epochs == 7 else 10  # the data have 10
    return Config(data="friedman1(rows=60)", layers=mlp([inputs, 4, 1]), loss="squared_error",
                  metric="rmse", update=f"sgd({{rate}})", epochs=epochs, film=None)

if __name__ == "__main__":
    space.run()
"""


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One root for all sweeps of this file; each test uses names of its own."""
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("home")
        patch.setenv("HARNESS_ROOT", str(root))
        patch.setenv("PYTHONPATH", str(REPOSITORY))
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "HARNESS_JSON"):
            patch.delenv(name, raising=False)
        patch.chdir(root)
        prepare(root)
        yield root


def write_script(name: str, epochs: list[int], trials: int | None = None) -> str:
    """A sweep whose first trials have these epochs."""
    script = SCRIPT.format(
        name=name,
        trials=trials or len(epochs),
        epochs=epochs,
        choices=sorted({*epochs, 2, 7, FOREVER}),
    )
    Path(f"{name}.py").write_text(script)
    return f"{name}.py"


class Driver:
    """`harness sweep --json` in a process, read event by event."""

    def __init__(self, *arguments: str, env: dict[str, str] | None = None) -> None:
        command = [sys.executable, "-m", "harness", "sweep", *arguments, "--json"]
        if env is not None:
            command = [sys.executable, *arguments]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )
        self.events: list[dict[str, Any]] = []

    def until(self, holds: Callable[[list[dict[str, Any]]], bool]) -> None:
        """Reads events until something holds of them."""
        while not holds(self.events):
            assert self.process.stdout is not None
            line = self.process.stdout.readline()
            assert line, self.process.communicate()[1]
            self.events.append(json.loads(line))

    def end(self) -> tuple[int, str]:
        """Reads what is left; the exit code and what came to stderr."""
        out, err = self.process.communicate()
        self.events += map(json.loads, out.splitlines())
        return self.process.returncode, err

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == kind]


def epochs_of(*numbers: int) -> Callable[[list[dict[str, Any]]], bool]:
    """Whether each of these trials has come to the end of an epoch."""
    return lambda events: {e["number"] for e in events if e["event"] == "epoch"} >= set(numbers)


def record_of(name: str, number: int) -> TrialRun:
    records = Spool(folder_of("sweep", name) / "spool", clean=False).records()
    return next(r for r in records if isinstance(r, TrialRun) and r.number == number)


def one_line(*arguments: str) -> str:
    """What a refused command says."""
    result = CliRunner().invoke(main, list(arguments), catch_exceptions=False)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    return line.removeprefix("Error: ")


# Stopping -----------------------------------------------------------------------------------------


def test_one_of_two_running_trials_is_stopped_and_not_trained_again() -> None:
    script = write_script("pair", [FOREVER, FOREVER])
    driver = Driver(script, "--workers", "2")
    driver.until(epochs_of(0, 1))
    said = CliRunner().invoke(main, ["stop", "pair#1"], catch_exceptions=False)
    assert said.output == "trial #1 of sweep 'pair' ends after its present segment\n"
    driver.until(lambda events: any(e["event"] == "trial_ended" for e in events))
    # The other one goes on.
    seen = len(driver.of("epoch"))
    driver.until(lambda events: sum(e["event"] == "epoch" for e in events) > seen)
    (ended,) = driver.of("trial_ended")
    assert (ended["number"], ended["state"]) == (1, "STOPPED")
    assert ended["reason"].startswith("stopped by ")
    assert 0 < ended["epochs"] < FOREVER
    assert one_line("stop", "pair#1") == (
        "only what is in training can be stopped, but trial #1 of sweep 'pair' has ended as STOPPED"
    )
    stop("pair")
    code, err = driver.end()
    assert code == 130
    assert "stopped after 1 trials; go on with: " in err
    end = driver.events[-1]
    assert (end["event"], end["finished"]) == ("study_ended", False)
    assert end["note"].startswith("stopped by ")
    assert not driver.of("failure")
    assert not driver.of("best_changed")

    # A request for a trial outlives its driver.
    assert stop("pair#0") == (
        "sweep 'pair' is not running; its trial #0 ends when somebody goes on with it"
    )
    trained = max(e["epoch"] for e in driver.of("epoch") if e["number"] == 0)
    again = Driver(script, "--trials", "3", "--enqueue", _points([2]))
    assert again.end()[0] == 0
    assert [e["number"] for e in again.of("trial_started")] == [0, 2]
    states = {e["number"]: e["state"] for e in again.of("trial_ended")}
    assert states == {0: "STOPPED", 2: "COMPLETE"}
    assert again.events[-1]["states"] == {"STOPPED": 2, "COMPLETE": 1}
    first = record_of("pair", 0)
    assert first.result.epochs >= trained
    assert (first.status, first.result.is_ranked) == ("KILLED", False)
    assert list(Stops(folder_of("sweep", "pair") / "stops").requests()) == []

    # What was measured is what the whole training begins with.
    for number in (0, 1):
        assert verify(f"pair#{number}", say=lambda text: None).identical
    frame = results("pair").set_index("number")
    assert list(frame["state"]) == ["STOPPED", "STOPPED", "COMPLETE"]
    assert frame["value"].notna().tolist() == [False, False, True]
    run_id = frame["run_id"][2]
    assert "trial #2 of sweep 'pair' has ended as COMPLETE" in one_line("stop", run_id)


def _points(epochs: list[int]) -> str:
    Path("points.json").write_text(json.dumps([{"epochs": each} for each in epochs]))
    return "points.json"


def test_a_request_that_was_left_stops_no_later_start() -> None:
    script = write_script("later", [2])
    Stops(folder_of("sweep", "later") / "stops").request(Stop(None, "somebody"))
    said = CliRunner().invoke(main, ["sweep", script, "--json"], catch_exceptions=False)
    assert said.exit_code == 0
    assert json.loads(said.stdout.splitlines()[-1])["finished"]


def test_what_cannot_be_stopped_is_one_line() -> None:
    script = write_script("odd#1", [2])
    assert CliRunner().invoke(main, ["sweep", script], catch_exceptions=False).exit_code == 0
    assert "there is none for 'nothing'" in one_line("stop", "nothing")
    assert "there is none for 'nothing#3'" in one_line("stop", "nothing#3")
    assert "sweep 'odd#1' is not" in one_line("stop", "odd#1")
    assert "has ended as COMPLETE" in one_line("stop", "odd#1#0")
    assert "has no trial #9 in training; the last one is #0 at most" in one_line("stop", "odd#1#9")
    assert "there is no run " in one_line("stop", "0" * 32)


def test_a_damaged_request_is_found_and_stops_nothing(tmp_path: Path) -> None:
    requests = Stops(tmp_path / "stops")
    assert requests.requests() == {}
    assert stops.check(tmp_path / "stops") == []
    for number in (None, 3, 1234567):
        requests.request(Stop(number, "somebody"))
    assert requests.requests()[1234567] == Stop(1234567, "somebody")
    assert stops.check(tmp_path / "stops") == []
    file = tmp_path / "stops" / "trial-000003"
    file.write_bytes(file.read_bytes().replace(b'"number": 3', b'"number": 2'))
    (tmp_path / "stops" / ".all.77.new").write_bytes(b"half")
    (tmp_path / "stops" / "notes.txt").write_bytes(b"mine")
    assert set(requests.requests()) == {None, 1234567}
    findings = stops.check(tmp_path / "stops")
    assert [finding.path.name for finding in findings] == [
        ".all.77.new",
        "notes.txt",
        "trial-000003",
    ]
    for finding in findings:
        assert finding.mend is not None
        finding.mend()
    assert stops.check(tmp_path / "stops") == []


# Events -------------------------------------------------------------------------------------------


def check_events(driver: Driver, trials: int) -> None:
    """Whether the events of a finished sweep fit together."""
    kinds = [event["event"] for event in driver.events]
    assert (kinds[0], kinds[-1]) == ("study_started", "study_ended")
    assert Counter(kinds)["trial_started"] == Counter(kinds)["trial_ended"] == trials
    assert [e["time_ms"] for e in driver.events] == sorted(e["time_ms"] for e in driver.events)
    for ended in driver.of("trial_ended"):
        own = [e for e in driver.events if e.get("number") == ended["number"]]
        order = [e["event"] for e in own if e["event"] not in ("best_changed", "failure")]
        assert order == ["trial_started", *["epoch"] * ended["epochs"], "trial_ended"]
        epochs = [e["epoch"] for e in own if e["event"] == "epoch"]
        assert epochs == list(range(1, ended["epochs"] + 1))
        assert ended["params"] == own[0]["params"]
    end = driver.events[-1]
    assert end["states"] == dict(Counter(e["state"] for e in driver.of("trial_ended")))
    assert end["ended"] == end["total"] == trials
    best = driver.of("best_changed")
    values = [e["value"] for e in best]
    assert values == sorted(values, reverse=True)
    assert end["best"]["number"] == best[-1]["number"]


@pytest.mark.slow
def test_events_are_all_that_comes_to_stdout() -> None:
    driver = Driver(write_script("told", [5, 7, 3, 9]), "--workers", "2")
    code, err = driver.end()  # every line of stdout was parsed
    assert code == 0
    check_events(driver, trials=4)
    assert driver.events[-1]["states"] == {"COMPLETE": 3, "FAILED": 1}
    (failure,) = driver.of("failure")
    assert failure["number"] == 1
    assert failure["reason"]
    assert any("trial #1 failed" in e["text"] for e in driver.of("message"))
    for words in ("the script is loaded", "written to the descriptor", "the space is asked"):
        assert words in err
    assert "told: 4 trials (3 complete, 1 failed)" in err
    assert "\x1b" not in err
    assert "\r" not in err
    again = Driver("told.py")
    assert again.end()[0] == 0
    assert [e["event"] for e in again.events] == ["study_started", "study_ended"]
    assert again.events[-1]["best"] == driver.events[-1]["best"]


def test_a_script_emits_events_where_the_environment_asks() -> None:
    Path("arms.py").write_text(
        "from harness import Config, compare, mlp\n"
        "config = Config(data='friedman1(rows=60)', layers=mlp([10, 4, 1]), epochs=2, film=None,\n"
        "                loss='squared_error', metric='rmse', update='sgd(0.01)')\n"
        "arms = {'slow': config.replace(update='sgd(0.001)'), 'fast': config}\n"
        "print(compare('arms', arms, seeds=2).table())\n"
    )
    driver = Driver("arms.py", env={"HARNESS_JSON": "1"})
    code, err = driver.end()
    assert code == 0
    start = driver.events[0]
    assert (start["kind"], start["name"], start["total"]) == ("comparison", "arms", 4)
    assert {e["params"]["arm"] for e in driver.of("trial_started")} == {"slow", "fast"}
    assert driver.events[-1]["states"] == {"COMPLETE": 4}
    assert "slow" in err
    wrong = Driver("arms.py", env={"HARNESS_JSON": "perhaps"})
    code, err = wrong.end()
    assert (code, wrong.events) == (2, [])
    assert err.endswith("HARNESS_JSON must be 1 or 0, got 'perhaps'; unset it for no events\n")


def test_a_reader_that_goes_away_ends_no_sweep() -> None:
    driver = Driver(write_script("unread", [30, 30, 30]))
    driver.until(epochs_of(0))
    assert driver.process.stdout is not None
    driver.process.stdout.close()
    assert driver.process.stderr is not None
    with driver.process.stderr as stream:
        err = stream.read()
    assert driver.process.wait() == 0
    assert "unread: 3 trials (3 complete)" in err


# On a terminal ------------------------------------------------------------------------------------


def on_a_terminal(script: str, term: str) -> str:
    """What a sweep writes to a pseudo terminal of 80 columns.

    It looks at a cache of loops of its own, since its line would say that another test compiles.
    """
    ours, theirs = pty.openpty()
    cache = Path(script).with_suffix(".cache")
    environment = {**os.environ, "HARNESS_KERNEL_CACHE": str(cache), "HARNESS_KERNELS": "numpy"}
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "sweep", script],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**environment, "TERM": term},
    )
    os.close(theirs)
    parts = []
    # Linux says by an error that nobody has the other end any more.
    while part := _read(ours):
        parts.append(part)
    os.close(ours)
    assert process.wait() == 0
    return b"".join(parts).decode()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:
        return b""


def test_a_sweep_on_a_terminal_has_its_lines_below_what_is_printed() -> None:
    sys.path.insert(0, str(REPOSITORY / "tests" / "studies"))
    from test_console import Screen

    shown = on_a_terminal(write_script("screen", [40, 7, 40, 40]), "xterm")
    screen = Screen(80, wraps=True)
    frames = []
    for part in shown.split("\r\x1b[1A"):
        screen.feed(part)
        frames.append(screen.lines[-2:])
        if len(frames) <= shown.count("\r\x1b[1A"):
            screen.feed("\r\x1b[1A")
    trained = {line for frame in frames for line in frame if line.startswith("training #")}
    # The first one has a frame as it begins; the others may have ended before the next one is drawn.
    numbers = {line.split()[1] for line in trained}
    assert "#0" in numbers
    assert numbers <= {"#0", "#1", "#2", "#3"}
    assert any("2/4 trials, best rmse" in line and " left" in line for f in frames for line in f)
    rows = "\n".join(screen.lines)
    assert rows.count("the space is asked") >= 4
    assert "trial #1 failed; the sweep goes on" in rows
    assert "4/4 trials" in rows
    assert rows.count("trials, best") == 1
    assert "training #" not in rows
    assert "screen: 4 trials (3 complete, 1 failed)" in rows


def test_a_dumb_terminal_gets_plain_lines() -> None:
    shown = on_a_terminal(write_script("dumb", [2, 2]), "dumb").replace("\r\n", "\n")
    assert "\x1b" not in shown
    assert "\r" not in shown
    assert "dumb: 0/2 trials; training #0 0/2\n" in shown
    assert "dumb: 2/2 trials, best rmse" in shown
