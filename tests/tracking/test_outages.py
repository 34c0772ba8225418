"""Sweeps while their tracking server is down, dies, hangs, answers 500, loses its answers, and
comes back.

A real `mlflow server` with proxied artifacts stands behind a proxy that can be told to misbehave.
What is asked each time: the results are those of an undisturbed sweep, there is one message of the
outage and one of its end, and at last each run and each point is in MLflow once, with its
artifacts, and no run is RUNNING.
"""

import base64
import contextlib
import hashlib
import http.client
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from click.testing import CliRunner
from siblings import quick

import harness
from harness import tracking
from harness.builtin.layers import mlp
from harness.cli import main
from harness.config import Config
from harness.recorders import Report
from harness.storage.records import ParentRun, TrialRun
from harness.storage.spool import Spool
from harness.studies.books import folder_of
from harness.studies.result import Result
from harness.studies.sweep import Sweep
from harness.tracking import connect, reader, ui
from harness.tracking.backoff import BackOff

TRIALS = 4
SLOW = float(os.environ.get("HARNESS_TEST_SLOW", "1"))  # seconds
# What is to happen while a trial trains, by how many have begun
hooks: dict[int, Callable[[], Any]] = {}
begun: list[int] = []


@harness.recorder()
def outage_hook() -> Callable[[Any], Report]:
    """Does what a test has put into `hooks`, after the training of a trial and before it is
    logged
    """

    def record(trained: Any) -> Report:
        begun.append(len(begun))
        hooks.pop(begun[-1], lambda: None)()
        return Report({}, {})

    return record


def space(trial: Any) -> Config:
    rate = trial.suggest_float("lr", 0.05, 1.0, log=True)
    given: dict[str, Any] = {"epochs": 2, "film": "film(frames=3)", "recorders": ["outage_hook"]}
    return Config(
        data="mnist14(rows=1000)", layers=mlp([196, 8, 10]), update=f"sgd({rate})", **given
    )


def run(name: str, **options: Any) -> Result:
    begun.clear()
    # One trial after the other, since what happens is counted in trials.
    given = {"sampler": "RandomSampler", "trials": TRIALS, "population": 1, **options}
    return Sweep(space, name, **given).run()


# A server and a proxy -----------------------------------------------------------------------------


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


class Server:
    """A real `mlflow server` on loopback with a store and artifacts of its own; it may be killed
    and started again.
    """

    def __init__(self, folder: Path, store: str = ""):
        self.folder = folder
        self.port = free_port()
        self.store = store or f"sqlite:///{folder}/server.db"
        self.process: Any = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns when it answers. The command is that of docs/servers.md."""
        page = (Path(__file__).parents[2] / "docs/servers.md").read_text()
        (command,) = re.findall(r"^mlflow (server .*)$", page, re.MULTILINE)
        for shown, real in (
            ("5000", str(self.port)),
            ("/srv/mlflow", str(self.folder / "artifacts")),
        ):
            assert command.count(shown) == 1
            command = command.replace(shown, real)
        said = {
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_BACKEND_STORE_URI": self.store,
        }
        environment = {
            k: v for k, v in os.environ.items() if k not in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID")
        }
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", *command.split()],
                env={**environment, **said}, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        while ui.fetch(f"{self.address}/health") is None:
            assert self.process.poll() is None, (self.folder / "server.log").read_text()[-3000:]
            time.sleep(0.1)

    def send(self, number: int) -> None:
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.send(signal.SIGKILL)
            self.process.wait()
            self.process = None


class Proxy(http.server.ThreadingHTTPServer):
    """In front of a server: passes requests on, unless `mode` says otherwise. `turn` sets the mode
    of a coming request.

    "500": answers that. "hang": never answers. "cut": passes the request on and drops the answer.
    "late": as "hang", and the request reaches the server when `released` is set. "slow": answers
    after SLOW seconds.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, behind: Server):
        self.behind = behind
        self.mode = "pass"
        self.turns = dict[int, str]()
        self.kind = ""
        self.seen = list[str]()
        self.over = threading.Event()
        self.released = threading.Event()
        self.held = threading.Semaphore(0)
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def be(self, mode: str) -> None:
        self.mode = mode
        patience(1 if mode == "hang" else 60)

    def turn(self, at: int, mode: str, kind: str = "") -> None:
        """The `at`-th request of a kind from now on, from 1, is treated so; others are passed on.

        A kind is the end of a request, such as "/runs/create".
        """
        self.seen.clear()
        self.turns = {at: mode}
        self.kind = kind

    def mode_of(self, request: str) -> str:
        """How a request is treated that has come now."""
        self.seen.append(request)
        if not request.endswith(self.kind):
            return self.mode
        count = sum(each.endswith(self.kind) for each in self.seen)
        return self.turns.pop(count, self.mode)

    def close(self) -> None:
        self.over.set()
        self.released.set()
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    server: Proxy

    def treat(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        mode = self.server.mode_of(f"{self.command} {self.path.split('?')[0]}")
        self.close_connection = True
        if mode == "hang":
            self.server.over.wait()
        elif mode == "500":
            self.send_error(500, "broken")
        elif mode == "late":
            self.server.released.wait()
            self.forward(body)
            self.server.held.release()
        else:
            if mode == "slow":
                self.server.over.wait(SLOW)
            status, headers, content = self.forward(body)
            if mode in ("pass", "slow"):
                self.send_response(status)
                for name, value in headers:
                    if name.lower() not in (
                        "transfer-encoding",
                        "connection",
                        "content-length",
                        "date",
                        "server",
                    ):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = treat

    def forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.behind.port)
        try:
            headers = {
                k: v
                for k, v in self.headers.items()
                if k.lower() not in ("connection", "accept-encoding")
            }
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("server"))
    try:
        made.start()
        yield made
    finally:
        made.kill()


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    made = Proxy(server)
    yield made
    made.close()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Any]:
    """What the sweep gives that every test here starts, on sqlite and in peace."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_ROOT", str(tmp_path_factory.mktemp("peace")))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        run("peace")
        return logged(tracking.store_uri(), "peace")


@pytest.fixture(autouse=True)
def _tracked(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tracker that asks again at once, instead of after 5 s."""
    hooks.clear()
    monkeypatch.setenv("PYTHONPATH", str(Path(harness.__file__).parents[1]))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    monkeypatch.setattr(BackOff, "longest_pause_s", 0.0)


def patience(seconds: int) -> None:
    """How long an answer is waited for from now on: little while none can come, much on a busy
    machine.
    """
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(seconds)


def logged(uri: str, name: str) -> dict[int, Any]:
    """A sweep's trials as MLflow has them, without their clocks; each run and each point once, with
    its artifacts.
    """
    client = connect.client_for(uri)
    experiments = [each.experiment_id for each in client.search_experiments()]
    every = [
        each
        for each in reader.search(client, experiments, "")
        if each.data.tags["harness.id"].startswith(f"sweep/{name}/")
    ]
    assert [each.info.run_name for each in every if each.info.status == "RUNNING"] == []
    (parent,) = [
        r for r in every if r.info.run_name == name and r.data.tags["harness.kind"] == "sweep"
    ]
    assert parent.info.status == "FINISHED"
    history = client.get_metric_history(parent.info.run_id, "best/accuracy")
    # MLflow sorts them by time. Two workers may end in another order than the driver takes them.
    assert sorted(point.step for point in history) == list(range(1, TRIALS + 1))
    said = {}
    for each in every:
        if each.data.tags.get("mlflow.parentRunId") != parent.info.run_id:
            continue
        points = [
            p for key in each.data.metrics for p in client.get_metric_history(each.info.run_id, key)
        ]
        assert len({(p.key, p.step) for p in points}) == len(points)
        with tempfile.TemporaryDirectory() as folder:
            client.download_artifacts(each.info.run_id, "", folder)
            files = {
                p.name: hashlib.sha256(p.read_bytes()).hexdigest()
                for p in Path(folder).rglob("*")
                if p.is_file()
            }
        assert "film.html" in files
        numbers = sorted((p.key, p.step, p.value) for p in points if not p.key.startswith("time/"))
        number = int(each.data.tags["harness.number"])
        assert number not in said
        said[number] = (
            each.info.status,
            each.data.tags["harness.state"],
            each.data.params,
            numbers,
            files,
        )
    assert sorted(said) == list(range(TRIALS))
    return said


def messages(capfd: pytest.CaptureFixture[str]) -> list[str]:
    """What was said of tracking on stderr; the progress bar may stand before it."""
    lines = capfd.readouterr().err.replace("\r", "\n").split("\n")
    return ["tracking: " + line.split("tracking: ")[1] for line in lines if "tracking: " in line]


def said(address: str, reason: str, back: bool = True) -> list[str]:
    down = f"tracking: {address} cannot be used ({reason}); the work goes on, and what it logs waits in the spool"
    return [down, f"tracking: {address} is back"] if back else [down]


def left(count: int) -> str:
    """What a sweep says at last where records wait."""
    return f"tracking: {count} records wait in the spool for `harness sync`"


def waiting(name: str) -> int:
    return Spool(folder_of("sweep", name) / "spool").waiting


# In peace -----------------------------------------------------------------------------------------

# What has clocks in it
CLOCKED = ("timeline.png", "report.html", "trials.csv", "history.npz", "environment.json")


def everything(uri: str, name: str) -> dict[str, Any]:
    """What MLflow has of a study but for its clocks, by "parent", "#0", "#1", ..."""
    client = connect.client_for(uri)
    experiment = client.get_experiment_by_name("harness")
    runs = list(reader.search(client, [experiment.experiment_id], ""))
    (parent,) = [each for each in runs if each.info.run_name == name]
    names = {parent.info.run_id: "parent"}
    for each in runs:
        if each.data.tags.get("mlflow.parentRunId") == parent.info.run_id:
            names[each.info.run_id] = f"#{each.data.tags['harness.number']}"

    def plain(text: str) -> str:
        for run_id, known in names.items():
            text = text.replace(run_id, known)
        # Times of descriptions and ids of records, and experiments that have other numbers
        return re.sub(r"[0-9.]*[0-9]", "N", text)

    had: dict[str, Any] = {}
    for each in runs:
        if each.info.run_id not in names:
            continue
        points = [
            (point.key, point.step, point.value)
            for key in each.data.metrics
            for point in client.get_metric_history(each.info.run_id, key)
        ]
        with tempfile.TemporaryDirectory() as folder:
            client.download_artifacts(each.info.run_id, "", folder)
            files = {
                re.sub(r"timestamp\+\d+", "", path.relative_to(folder).as_posix()): (
                    hashlib.sha256(path.read_bytes()).hexdigest()
                )
                for path in Path(folder).rglob("*")
                if path.is_file()
            }
        had[names[each.info.run_id]] = {
            "status": each.info.status,
            "name": each.info.run_name,
            "params": each.data.params,
            "tags": {
                key: plain(text)
                for key, text in each.data.tags.items()
                if key not in ("harness.record", "harness.checksums")
            },
            "points": sorted(p for p in points if not p[0].startswith(("time/", "ship/"))),
            "keys": sorted(each.data.metrics),
            "files": {
                path: "" if path.endswith(CLOCKED) else digest for path, digest in files.items()
            },
            "inputs": [each.dataset.digest for each in each.inputs.dataset_inputs],
        }
    models = client.search_logged_models([experiment.experiment_id])
    had["models"] = sorted(
        (names[model.source_run_id], model.tags["harness.network"], str(model.status))
        for model in models
        if model.source_run_id in names
    )
    view = json.loads(experiment.tags[f"mlflow.sharedViewState.{parent.info.run_id}"])
    state = zlib.decompress(base64.b64decode(view["state"].removeprefix("deflate;")))
    had["view"] = plain(state.decode())
    return had


def arms(name: str) -> None:
    config = space(optuna.trial.FixedTrial({"lr": 0.3}))
    given = {"relu": config, "tanh": config.replace(layers=mlp([196, 8, 10], activation="tanh"))}
    harness.compare(name, given, seeds=2)


def twice(name: str) -> None:
    """A sweep that goes on: what is shown at its end is of trials of both starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_REPORT", "0")
        run(name, trials=2)
    run(name)


@pytest.mark.slow
@pytest.mark.parametrize("start", [twice, arms])
def test_a_server_gets_what_sqlite_gets(
    server: Server, root: Path, monkeypatch: pytest.MonkeyPatch, start: Callable[[str], Any]
) -> None:
    monkeypatch.setenv("HARNESS_REPORT", "1")
    study = f"peaceful {start.__name__}"
    start(study)
    here = everything(tracking.store_uri(), study)
    monkeypatch.setenv("HARNESS_ROOT", str(root / "elsewhere"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    start(study)
    there = everything(server.address, study)
    assert there.keys() == here.keys() == {"parent", "#0", "#1", "#2", "#3", "models", "view"}
    assert (there.pop("models"), there.pop("view")) == (here["models"], here["view"])
    for name, had in there.items():
        for kind, content in had.items():
            assert content == here[name][kind], (name, kind)
    # It was not little: what is drawn of the study, and of its networks.
    assert {"report.html", "films.html", "films.mp4"} <= here["parent"]["files"].keys()
    assert "parent" in {owner for owner, *_ in here["models"]}
    if start is twice:
        assert sum("images/weights" in path for path in here["#0"]["files"]) == 4
        assert len(here["#0"]["points"]) == 10


# The drills ---------------------------------------------------------------------------------------

REASONS = {
    "500": "too many 500 error responses",
    "hang": "Read timed out",
    "cut": "Remote end closed connection without response",
}


MOMENTS = ["from the start", "in the middle", "until the end"]
QUICK = {("cut", "in the middle")}


@pytest.mark.parametrize(
    ("how", "when"),
    quick([(how, when) for how in REASONS for when in MOMENTS], QUICK),
)
def test_a_server_that_misbehaves(
    proxy: Proxy,
    undisturbed: dict[int, Any],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    how: str,
    when: str,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.address)
    name = f"{how} {when}"
    if when == "from the start":
        proxy.be(how)
    else:
        hooks[1] = lambda: proxy.be(how)
    if when != "until the end":
        hooks[3] = lambda: proxy.be("pass")
    result = run(name)
    assert result.finished
    heard = messages(capfd)
    if when == "until the end":
        assert heard in (
            [*said(proxy.address, REASONS[how], back=False), left(TRIALS)],
            [*said(proxy.address, "Connection aborted", back=False), left(TRIALS)],
        )
        assert waiting(name) == TRIALS - 1 + 1  # all but the first, and the sweep's end
        sync = CliRunner().invoke(main, ["sync"])
        assert (
            sync.exit_code,
            f"{name}: 4 wait: {proxy.address} cannot be used" in sync.output,
        ) == (1, True)
        proxy.be("pass")
        sync = CliRunner().invoke(main, ["sync"])
        assert (sync.exit_code, sync.output.splitlines()[0]) == (0, f"{name}: 4 sent")
    else:
        assert heard == said(proxy.address, REASONS[how])
    assert waiting(name) == 0
    assert logged(proxy.address, name) == undisturbed


@pytest.mark.slow
def test_a_server_that_is_down_at_the_start(
    server: Server,
    undisturbed: dict[int, Any],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    server.kill()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    hooks[2] = server.start
    assert run("down").finished
    assert messages(capfd) == said(server.address, "Connection refused")
    assert waiting("down") == 0
    assert logged(server.address, "down") == undisturbed


@pytest.mark.slow
def test_a_server_that_is_killed_and_started_again(
    server: Server,
    undisturbed: dict[int, Any],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    hooks.update({1: server.kill, 3: server.start})
    assert run("killed").finished
    assert messages(capfd) == said(server.address, "Connection refused")
    assert logged(server.address, "killed") == undisturbed


@pytest.mark.slow
def test_a_server_that_is_stopped_and_goes_on(
    server: Server,
    undisturbed: dict[int, Any],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)

    def stop() -> None:
        server.send(signal.SIGSTOP)
        patience(1)

    def go_on() -> None:
        server.send(signal.SIGCONT)
        patience(60)
        # It has what it was asked meanwhile to do first
        while ui.fetch(f"{server.address}/health") is None:
            pass

    hooks.update({1: stop, 3: go_on})
    try:
        assert run("stopped").finished
    finally:
        server.send(signal.SIGCONT)
    assert messages(capfd) == said(server.address, "Read timed out")
    assert logged(server.address, "stopped") == undisturbed


@pytest.mark.slow
def test_workers_train_while_the_server_hangs(
    proxy: Proxy,
    undisturbed: dict[int, Any],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.address)
    proxy.be("hang")
    assert run("workers", workers=2, plugins=[__file__]).finished
    down = said(proxy.address, "Read timed out", back=False)
    assert messages(capfd) == [*down, left(TRIALS + 1)]
    assert waiting("workers") == TRIALS + 1
    proxy.be("pass")
    assert CliRunner().invoke(main, ["sync", "--name", "workers"]).exit_code == 0
    assert logged(proxy.address, "workers") == undisturbed


@pytest.mark.slow
def test_a_server_that_is_slow_holds_up_no_training(
    own_writer: None,
    proxy: Proxy,
    undisturbed: dict[int, Any],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The time is spent at the end, where it is measured and said."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.address)
    proxy.be("slow")
    assert run("slow").finished
    asked = len(proxy.seen)
    proxy.be("pass")
    assert logged(proxy.address, "slow") == undisturbed
    (parent,) = [each for each in tracking.parents() if each.name == "slow"]
    assert asked > 20
    assert parent.metrics["time/log_s"] < SLOW * asked / 4
    assert parent.metrics["time/waited_for_mlflow_s"] > SLOW * TRIALS
    # It has said what it waits for while it waits, and last of all for how long.
    sentences = messages(capfd)
    assert any("still to be written to MLflow" in sentence for sentence in sentences)
    assert re.search(r"(\d+) of \d+ s were spent on waiting for MLflow", sentences[-1])


# Each request in turn: what it was for has happened, or not yet, and the driver does not know -----


def books(folder: Path, name: str) -> Spool:
    """A sweep that has ended, with two trials, in a spool."""
    spool = Spool(folder / name)
    for number in range(2):
        points = [("loss", 1 / (number + epoch), epoch, epoch) for epoch in (1, 2)]
        given: dict[str, Any] = {
            "params": {"rate": 0.5},
            "metrics": points,
            "start_ms": 1,
            "end_ms": 2,
        }
        files = {"film.html": bytes(100)}
        spool.write(
            TrialRun(
                id=f"{name}/{number}", name=f"#{number}", number=number, artifacts=files, **given
            )
        )
    ended: dict[str, Any] = {"status": "FINISHED", "end_ms": 3, "metrics": [("best", 1.0, 1, 1)]}
    spool.write(
        ParentRun(
            id=name, name=name, params={"trials": 2}, start_ms=1, artifacts={"a.txt": b"a"}, **ended
        )
    )
    return spool


def whole(address: str, name: str) -> None:
    client = connect.client_for(address)
    experiment = client.get_experiment_by_name("harness").experiment_id
    found = [
        r
        for r in reader.search(client, [experiment], "")
        if r.data.tags["harness.id"].startswith(name)
    ]
    assert sorted(r.data.tags["harness.id"] for r in found) == [name, f"{name}/0", f"{name}/1"]
    assert {r.info.status for r in found} == {"FINISHED"}
    assert {len(client.list_artifacts(r.info.run_id)) for r in found} == {1}
    (parent,) = [r for r in found if r.data.tags["harness.id"] == name]
    for each in found:
        if each is not parent:
            assert each.data.tags["mlflow.parentRunId"] == parent.info.run_id
            assert len(client.get_metric_history(each.info.run_id, "loss")) == 2
            assert each.data.params == {"rate": "0.5"}


def told(
    proxy: Proxy, root: Path, name: str, at: int, how: str, kind: str = ""
) -> tuple[Spool, tracking.Tracker, bool]:
    """A sweep whose `at`-th request of a kind fails so, the tracker that has tried to send it, and
    whether there were so many.
    """
    heard: list[str] = []
    spool = books(root, name)
    tracker = tracking.Tracker(proxy.address, "harness", None, heard.append)
    proxy.turn(at, how, kind)
    left = tracker.catch_up(spool)
    assert (left > 0) == (len(heard) == 1) == tracker.down
    struck = not proxy.turns
    proxy.turns = {}
    assert struck or not heard
    return spool, tracker, struck


@pytest.mark.slow
@pytest.mark.parametrize("how", ["cut", "500"])
def test_a_failure_at_any_request(proxy: Proxy, root: Path, how: str) -> None:
    at = 0
    struck = True
    while struck:  # until every request has failed once
        at += 1
        name = f"{how} at {at}."
        spool, tracker, struck = told(proxy, root, name, at, how)
        assert tracker.catch_up(spool, force=True) == 0
        whole(proxy.address, name)
    assert at > 15


@pytest.mark.slow
def test_a_run_that_is_created_after_all(proxy: Proxy, root: Path) -> None:
    """A request that its sender has given up reaches the server when the run has been created by
    another.
    """
    runs_of_a_sweep = 3
    for at in range(1, runs_of_a_sweep + 1):
        proxy.released.clear()
        patience(5)
        spool, tracker, struck = told(proxy, root, f"late at {at}.", at, "late", "/runs/create")
        assert struck
        patience(60)
        parent = tracker.start(spool.parent())
        assert parent is not None
        for record in spool.pending():
            if isinstance(record, TrialRun):
                assert tracker.log(record, parent) is not None
        proxy.released.set()
        assert proxy.held.acquire(timeout=60)
        client = connect.client_for(proxy.address)
        experiment = client.get_experiment_by_name("harness").experiment_id
        runs = [
            r
            for r in reader.search(client, [experiment], "")
            if r.data.tags["harness.id"].startswith("late at")
        ]
        assert len(runs) == at * runs_of_a_sweep + 1  # here it is twice
        assert tracker.catch_up(spool, force=True) == 0
        whole(proxy.address, f"late at {at}.")
