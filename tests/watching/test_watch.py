"""harness watch: what the page is told, who may ask, and that nothing is left of it."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import Config, UsageError, mlp, prepare, segment
from harness.data import from_arrays
from harness.storage.frames import BestFilms
from harness.storage.live import LiveTrial, LiveTrials, live_folder
from harness.storage.lock import file_lock
from harness.storage.records import ParentRun, Point, RunStatus, TrialRun
from harness.storage.result import TrialResult, TrialState
from harness.storage.spool import Spool
from harness.storage.watch import MOST_FRAMES, Watch
from harness.studies.books import folder_of
from harness.studies.kept import study_called
from harness.studies.sweep import Sweep
from harness.trials.still import still_of
from harness.watching.server import application
from harness.watching.snapshot import Watched, newest_study

TOKEN = "secret"
PORT = 5099


@pytest.fixture
def study(root: Path) -> Path:
    """A sweep with two trials that have ended, and one in training."""
    folder = folder_of("sweep", "<b>sweep</b>")
    spool = Spool(folder / "spool")
    tags = {"harness.direction": "maximize"}
    spool.write(ParentRun(id="p", name="<b>sweep</b>", params={"metric": "accuracy"}, tags=tags))
    for number, value in ((0, 0.5), (1, 0.75)):
        result = TrialResult(state=TrialState.COMPLETE, value=value, values=[value])
        spool.write(TrialRun(id=f"p/{number}", name=f"#{number}", number=number, result=result))
    trial = LiveTrial(2, "p/2", "#2 relu", {"config.epochs": 9}, {}, 1000)
    for epoch in (1, 2):
        points = [
            Point("valid/accuracy", 0.1 * epoch, epoch, 1000 + epoch),
            Point("time/epoch_train_s", 1.0, epoch, 1000 + epoch),
        ]
        LiveTrials(live_folder(folder)).extend(trial, points)
    return folder


def test_what_the_page_is_told(study: Path) -> None:
    watched = Watched(study)
    watched.watch.renew()
    watched.watch.add(2, 40, b"png")
    told = watched.snapshot()
    assert (told["name"], told["count"], told["metric"]) == ("<b>sweep</b>", 2, "valid/accuracy")
    assert told["best"]["number"] == 1
    assert [entry["value"] for entry in told["ended"]] == [0.5, 0.75]
    (trial,) = told["training"]
    assert (trial["number"], trial["epoch"], trial["epochs"]) == (2, 2, 9)
    assert trial["curves"] == {"valid/accuracy": [[1, 0.1], [2, 0.2]]}
    assert trial["steps"] == [40]


def test_a_trial_that_has_ended_trains_no_more(study: Path) -> None:
    result = TrialResult(state=TrialState.FAILED, reason="why")
    Spool(study / "spool").write(TrialRun(id="p/2", name="#2", number=2, result=result))
    told = Watched(study).snapshot()
    assert told["training"] == []
    assert told["ended"][-1] == {
        "number": 2, "name": "#2", "state": "FAILED", "value": None, "reason": "why"
    }  # fmt: skip


def test_who_drives_it(study: Path) -> None:
    assert not Watched(study).snapshot()["is_running"]
    with file_lock(study / "lock"):
        assert Watched(study).snapshot()["is_running"]
    # This process had the lock and goes on, as a notebook does whose sweep has ended.
    told = Watched(study).snapshot()
    assert not told["is_running"]
    assert not told["is_finished"]
    spool = Spool(study / "spool")
    parent = spool.parent()
    assert parent is not None
    spool.write(replace(parent, status=RunStatus.FINISHED, files=None))
    assert Watched(study).snapshot()["is_finished"]
    # Who goes on with more trials is not finished yet.
    with file_lock(study / "lock"):
        assert not Watched(study).snapshot()["is_finished"]


def test_the_last_frames_of_what_has_ended(root: Path) -> None:
    def space(trial: Any) -> Config:
        config = Config(layers=mlp([196, 8, 10]), data="mnist14(rows=500)", epochs=1)
        return config.replace(update=f"sgd({(0.5, 0.001, 0.1)[trial.number]})")

    result = Sweep(space, "filmed", trials=3).run()
    assert result.best is not None
    folder = study_called("filmed")
    watched = Watched(folder)
    films = watched.snapshot()["films"]
    assert [film["number"] for film in films] == [run.number for run in result.ranked]
    best = result.best.number or 0
    here = f"127.0.0.1:{PORT}"
    client = application(watched, TOKEN, PORT).test_client()

    def answer(number: int, token: str = TOKEN) -> Any:
        return client.get(f"/films/{number}.png?token={token}", headers={"Host": here})

    (still,) = (root / "mlruns/artifacts").glob(f"{run_id_of(folder, best)}/artifacts/film.png")
    assert answer(best).data == still.read_bytes()
    assert answer(best).mimetype == "image/png"
    assert answer(best, "other").status_code == 403
    assert answer(99).status_code == 404
    # As where a server has the artifacts: those that are kept of the best.
    BestFilms(folder / "films").take(best, {"film.png": b"kept"}, {best})
    still.unlink()
    assert answer(best).data == b"kept"
    # And as where nothing was sent yet, or there is no film at all.
    for kept in (folder / "films").iterdir():
        kept.unlink()
    assert answer(best).status_code == 404
    assert best not in [film["number"] for film in watched.snapshot()["films"]]


def run_id_of(folder: Path, number: int) -> str | None:
    spool = Spool(folder / "spool", clean=False)
    parent = spool.parent()
    assert parent is not None
    return spool.run_id(f"{parent.id}/{number}")


def test_the_last_frame_of_a_trial_that_waits_to_be_sent(study: Path) -> None:
    result = TrialResult(state=TrialState.COMPLETE, value=0.9, values=[0.9])
    artifacts = {"film.png": b"waits"}
    run = TrialRun(id="p/2", name="#2", number=2, result=result, artifacts=artifacts)
    Spool(study / "spool").write(run)
    watched = Watched(study)
    assert watched.last_frame(2) is None
    assert [film["number"] for film in watched.snapshot()["films"]] == [2]
    assert watched.last_frame(2) == b"waits"


def test_who_may_ask(study: Path) -> None:
    client = application(Watched(study), TOKEN, PORT).test_client()
    here = f"127.0.0.1:{PORT}"

    def status(path: str, host: str = here, **headers: str) -> int:
        return client.get(path, headers={"Host": host, **headers}).status_code

    for path in ("/", "/state"):
        assert status(f"{path}?token={TOKEN}") == 200
        assert status(path) == 403
        assert status(f"{path}?token=other") == 403
        assert status(f"{path}?token={TOKEN}", host=f"evil.example:{PORT}") == 403
        assert status(f"{path}?token={TOKEN}", Origin="http://evil.example") == 403
        assert status(f"{path}?token={TOKEN}", Origin=f"http://{here}") == 200
    assert status(f"/weights/2/40.png?token={TOKEN}") == 404
    Watch(study).add(2, 40, b"png")
    assert client.get(f"/weights/2/40.png?token={TOKEN}", headers={"Host": here}).data == b"png"


def test_the_page_asks_nobody_else(study: Path) -> None:
    client = application(Watched(study), TOKEN, PORT).test_client()
    answer = client.get(f"/?token={TOKEN}", headers={"Host": f"localhost:{PORT}"})
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    # Names come as JSON, which the page writes as text.
    assert "<b>sweep" not in answer.text
    assert "http://www.w3.org/2000/svg" in answer.text
    assert answer.text.count("http") == 1


def test_a_lease_runs_out_and_all_goes(study: Path) -> None:
    watch = Watch(study)
    assert not watch.is_on()
    watch.renew()
    assert watch.is_on()
    os.utime(watch.folder / "lease", (1, 1))
    assert not watch.is_on()
    watch.end()
    assert not watch.folder.exists()


def test_old_pictures_are_thinned_and_the_newest_stays(study: Path) -> None:
    watch = Watch(study)
    watch.renew()
    for step in range(MOST_FRAMES + 1):
        watch.add(0, step, b"png")
    steps = watch.steps(0)
    assert len(steps) == MOST_FRAMES // 2 + 1
    assert steps[-1] == MOST_FRAMES


def test_a_name_that_there_is_not(root: Path) -> None:
    with pytest.raises(UsageError, match="there is no sweep or comparison 'nothing'"):
        study_called("nothing")
    with pytest.raises(UsageError, match="there must be a sweep or comparison to watch"):
        newest_study()


def test_a_picture_of_what_was_learned() -> None:
    x = np.random.default_rng(0).integers(0, 255, (60, 16), dtype=np.uint8)
    data = from_arrays("x", x, np.arange(60) % 3)
    config = Config(layers=mlp([16, 4, 3]), valid=0.0, epochs=2, batch=20)
    prepared = prepare(config, data)
    state, _ = segment(config, prepared, None, 1)
    first = still_of(config, prepared, state)
    later, _ = segment(config, prepared, state, 1)
    assert first.startswith(b"\x89PNG")
    assert first == still_of(config, prepared, state)
    assert first != still_of(config, prepared, later)


def test_weights_are_written_only_while_somebody_watches(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch(folder_of("sweep", "watched"))
    seen: list[list[int]] = []

    def space(trial: Any) -> Config:
        rate = trial.suggest_float("rate", 0.1, 0.2)
        if trial.number == 1:
            watch.renew()
        if trial.number == 2:
            seen.append(watch.steps(1))
            watch.end()
        data = "mnist14(rows=500)"
        layers = mlp([196, 8, 10])
        return Config(data=data, layers=layers, update=f"sgd({rate})", epochs=3, batch=50)

    monkeypatch.setattr("harness.storage.watch.LASTS", 1000.0)
    # Each epoch is a segment of its own.
    monkeypatch.setattr("harness.studies.dispatch.LIVE", 0.0)
    Sweep(space, "watched", trials=3).run()
    assert seen == [[8, 16]]
    assert not watch.folder.exists()
