"""sync, doctor and gc on real sweeps in a real store: what they say, what they change, and what
they leave alone.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import socket
import sqlite3
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from siblings import quick
from stores import disconnect

from harness import tracking
from harness.builtin.layers import mlp
from harness.cli import main
from harness.config import Config
from harness.maintenance import folders, gc
from harness.storage import checkpoints as stored
from harness.storage.lock import file_lock
from harness.storage.records import ParentRun, TrialRun
from harness.storage.spool import Spool
from harness.studies.books import folder_of
from harness.studies.sweep import Sweep
from harness.tracking import connect, reader


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One root for all tests of this file; each has sweeps of its own and leaves them whole."""
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("home")
        patch.setenv("HARNESS_ROOT", str(root))
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
            patch.delenv(name, raising=False)
        yield root


def space(trial: Any) -> Config:
    rate = trial.suggest_float("lr", 0.05, 1.0, log=True)
    film = "film(frames=3)"
    return Config(
        data="mnist14(rows=1000)",
        layers=mlp([196, 8, 10]),
        update=f"sgd({rate})",
        epochs=1,
        film=film,
    )


def run(name: str, trials: int = 3) -> Path:
    """A sweep of a few networks with films; its folder."""
    Sweep(space, name, sampler="RandomSampler", trials=trials).run()
    return folder_of("sweep", name)


def harness(*words: str, code: int = 0, **options: Any) -> list[str]:
    """What a command says, line by line."""
    done = CliRunner().invoke(main, words, **options)
    assert done.exit_code == code, done.output + repr(done.exception)
    assert "Traceback" not in done.output
    return done.output.splitlines()


def about(name: str, lines: list[str]) -> list[str]:
    """The doctor's lines about one sweep, without its name."""
    return [line.replace(f": {name}: ", ": ") for line in lines if f": {name}: " in line]


def runs_of(name: str) -> dict[int | None, Any]:
    """The runs of a sweep in MLflow by number, each once; the sweep's own has the number None."""
    client = connect.client_for(tracking.store_uri())
    (parent,) = [each for each in tracking.parents() if each.name == name]
    children = reader.search(
        client, [parent.experiment_id], f"tags.\"mlflow.parentRunId\" = '{parent.run_id}'"
    )
    found = [(int(child.data.tags["harness.number"]), child) for child in children]
    assert len(dict(found)) == len(found)
    return {None: client.get_run(parent.run_id), **dict(found)}


def content(name: str) -> dict[Any, Any]:
    """Everything that is logged of a sweep's runs: points, params, states, artifacts."""
    client = connect.client_for(tracking.store_uri())
    said = {}
    for number, each in runs_of(name).items():
        folder = Path(each.info.artifact_uri.removeprefix("file://"))
        points = [
            client.get_metric_history(each.info.run_id, key) for key in sorted(each.data.metrics)
        ]
        said[number] = (
            each.info.status,
            each.data.params,
            [(p.key, p.value, p.step, p.timestamp) for history in points for p in history],
            {
                p.name: hashlib.sha256(p.read_bytes()).hexdigest()
                for p in sorted(folder.rglob("*"))
                if p.is_file()
            },
        )
    return said


@contextlib.contextmanager
def server_that_is_down(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", address)
        yield address


def test_sync_sends_what_an_outage_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    with server_that_is_down(monkeypatch) as address:
        for name in ("down a", "down b"):
            run(name, 2)
        lines = harness("sync", code=1)
        reason = f"{address} cannot be used (Connection refused)"
        assert lines == [
            f"down a: 3 wait: {reason}",
            f"down b: 3 wait: {reason}",
            f"0 sent to {address}, 6 wait",
        ]
    store = tracking.place()
    with file_lock(folder_of("sweep", "down b") / "lock", wait=False):
        owner = f"process {os.getpid()} on {socket.gethostname()}"
        assert harness("sync", code=1) == [
            "down a: 3 sent",
            f"down b: skipped, {owner} works on it; 2 wait",
            f"3 sent to {store}, 2 wait",
        ]
    assert harness("sync", "--name", "down b") == [
        "down b: 3 sent",
        f"3 sent to {store}, nothing waits",
    ]
    assert harness("sync") == [f"0 sent to {store}, nothing waits"]
    for name in ("down a", "down b"):
        assert [each.info.status for each in runs_of(name).values()] == ["FINISHED"] * 3
    assert "did you mean 'down a'" in harness("sync", "--name", "dwn a", code=2)[0]


def test_sync_does_not_split_a_sweep_over_two_stores(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    folder = run("split", 2)
    here = tracking.place()
    Spool(folder / "spool").mark_waiting(
        next(r.id for r in Spool(folder / "spool").records() if r.number == 1)
    )
    other = f"sqlite:///{home}/other.db"
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", other)
        line, end = harness("sync", code=1)
        assert line.startswith(
            f"split: 1 wait: its other runs are in {here}; set MLFLOW_TRACKING_URI to that"
        )
        assert end == f"0 sent to {other}, 1 waits"
        for words in (["doctor"], ["doctor", "--dry-run"]):
            assert about("split", harness(*words, code=1)) == [
                f"note: 2 of its runs are in {here}, which was not looked at",
                f"WRONG: 1 record waits: its other runs are in {here}; set MLFLOW_TRACKING_URI to "
                "that",
            ]
    assert harness("sync") == ["split: 1 sent", f"1 sent to {here}, nothing waits"]


def left_running(folder: Path) -> None:
    """As a driver leaves it that is killed: the sweep says RUNNING, here and in MLflow."""
    spool = Spool(folder / "spool")
    spool.write(ParentRun(**{**vars(spool.parent()), "status": "RUNNING", "end_ms": None}))  # type: ignore[arg-type]
    tracking.open_tracker(say=pytest.fail).catch_up(spool)


@pytest.mark.parametrize("how", quick(["sync", "doctor"], ["sync"]))
def test_what_a_killed_driver_has_left_running_ends(how: str) -> None:
    folder = run(f"killed {how}", 2)
    left_running(folder)
    assert runs_of(f"killed {how}")[None].info.status == "RUNNING"
    lines = harness(how)
    if how == "doctor":
        repaired = ["repaired: its driver is gone without a word: it ends as KILLED"]
        assert about("killed doctor", lines) == [*repaired, "repaired: sent 1 record that waited"]
    ended = runs_of(f"killed {how}")
    assert [each.info.status for each in ended.values()] == ["KILLED", "FINISHED", "FINISHED"]
    assert ended[None].info.end_time == max(ended[0].info.end_time, ended[1].info.end_time)
    run(f"killed {how}", 3)  # and it goes on
    assert [each.info.status for each in runs_of(f"killed {how}").values()] == ["FINISHED"] * 4


def test_a_healthy_root_is_well() -> None:
    run("healthy")
    for words in (["doctor"], ["doctor", "--dry-run"]):
        lines = harness(*words)
        assert about("healthy", lines) == ["ok: 4 records"]
        assert lines[-1] == "all is well"
        assert "numpy 2." in lines[0]
        assert "openblas" in lines[0]
        assert any(line.startswith("ok: disk: ") for line in lines)
        assert any(
            line.startswith(f"ok: store {tracking.place()}: whole, schema ") for line in lines
        )


def tear_journal(folder: Path) -> None:
    with open(folder / "journal.log", "a") as file:
        file.write('{"op_code": 4, "worker_id": "x')


def half_written(folder: Path) -> None:
    (folder / "spool/.new/files").mkdir(parents=True)
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints/.new").write_bytes(b"x")


def checkpoint() -> bytes:
    """A checkpoint that is sound, of a trial that nobody trains."""
    return stored.pack(stored.Content("identity", {"epoch": 1}, {"theta": np.zeros(3)}))


def checkpoints(folder: Path, damaged: bool = True) -> None:
    (folder / "checkpoints").mkdir(exist_ok=True)
    for epoch in (1, 2):
        data = checkpoint()
        if damaged and epoch == 2:
            data = data[:-1] + b"?"
        (folder / "checkpoints" / f"000007-{epoch:06d}.npz").write_bytes(data)


def damage_record(folder: Path) -> None:
    path = sorted((folder / "spool").glob("*-trial-*/record.json"))[1]
    path.write_bytes(path.read_bytes()[:-30])


def forget_run(folder: Path) -> None:
    """As after a power cut: MLflow has lost a trial, and the end of the next one."""
    spool = Spool(folder / "spool")
    ids = [spool.run_id(record.id) for record in spool.records() if isinstance(record, TrialRun)]
    with (
        contextlib.closing(sqlite3.connect(f"{os.environ['HARNESS_ROOT']}/mlruns/mlflow.db")) as db,
        db,
    ):
        for table in ("metrics", "latest_metrics", "params", "tags", "runs"):
            db.execute(f"DELETE FROM {table} WHERE run_uuid = ?", (ids[1],))
        db.execute(
            "UPDATE runs SET status = 'RUNNING', end_time = NULL WHERE run_uuid = ?", (ids[2],)
        )


def twin(folder: Path) -> None:
    client = connect.client_for(tracking.store_uri())
    spool = Spool(folder / "spool")
    old = client.get_run(spool.run_id(next(iter(spool.records())).id))
    client.create_run(old.info.experiment_id, 1, old.data.tags)


DAMAGES = {
    "torn journal": (tear_journal, ["cut off the torn last line of journal.log"]),
    "half written": (half_written, ["removed", "removed"]),
    "checkpoint": (checkpoints, ["removed the damaged checkpoint 000007-000002"]),
    "record": (damage_record, ["a trial's record is damaged"]),
    "lost": (
        forget_run,
        ["2 records that MLflow had lost wait again", "sent 2 records that waited"],
    ),
    "twin": (twin, ["'sweep/twin/"]),
}


@pytest.mark.parametrize("name", quick(DAMAGES, ["record", "lost"]))
def test_the_doctor_repairs(name: str) -> None:
    damage, said = DAMAGES[name]
    folder = run(name)
    before = content(name)
    journal = (folder / "journal.log").read_bytes()
    damage(folder)
    files = {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "lock"
    }
    dry = [
        line
        for line in about(name, harness("doctor", "--dry-run", code=1))
        if not line.startswith("note")
    ]
    # Nothing is done
    assert not any(
        word in " ".join(dry) for word in ("removed", "moved to", "sent", " was ", "had")
    )
    # what a dry run cannot know is that what is to be sent again will then wait
    assert [line.split(": ")[0] for line in dry] == ["to repair"] * (
        1 if name == "lost" else len(said)
    )
    assert files == {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "lock"
    }
    lines = [line for line in about(name, harness("doctor")) if not line.startswith("note")]
    assert [
        line.startswith(f"repaired: {word}") for line, word in zip(lines, said, strict=True)
    ] == [True] * len(said)
    assert harness("doctor")[-1] == "all is well"
    assert content(name) == before
    assert (folder / "journal.log").read_bytes() == journal
    assert not list(folder.glob("*/.new"))
    assert len(list((folder / "checkpoints").glob("*.npz"))) == (name == "checkpoint")
    assert len(list((folder / "damaged").glob("*"))) == (name == "record")
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    run(name, 4)
    assert len(runs_of(name)) == 5


LOST = {
    "random": {"sampler": "RandomSampler"},
    "grid": {"sampler": "GridSampler({'lr': [0.1, 0.2, 0.4, 0.8]})"},
    "quasi-random": {"sampler": "QMCSampler"},
    "model": {"sampler": "TPESampler(n_startup_trials=2)"},
    "pruned": {"sampler": "RandomSampler", "pruner": "ThresholdPruner(lower=0.9)"},
}


@pytest.mark.parametrize("name", quick(LOST, ["model"]))
def test_a_trial_whose_record_is_lost_is_trained_again(name: str) -> None:
    def longer(trial: Any) -> Config:
        return space(trial).replace(epochs=2)

    sweep = Sweep(longer, f"lost {name}", trials=4, **LOST[name])
    folder = folder_of("sweep", sweep.name)
    assert sweep.run().finished

    def bits() -> dict[Any, Any]:
        return {
            k: (status, params, films)
            for k, (status, params, _, films) in content(sweep.name).items()
        }

    before = bits()
    journal = (folder / "journal.log").read_bytes()
    for path in sorted((folder / "spool").glob("*-trial-*"))[1:3]:
        shutil.rmtree(path)
    again = sweep.run()
    assert again.finished
    assert sorted(t.number for t in again.trials) == [0, 1, 2, 3]
    assert {t.result.state for t in again.trials} == {"PRUNED" if name == "pruned" else "COMPLETE"}
    assert bits() == before
    assert (folder / "journal.log").read_bytes().startswith(journal)
    assert len(sweep.run(trials=5).trials) == (4 if name == "grid" else 5)


@pytest.mark.slow
def test_after_a_power_cut_everything_is_sent_again(home: Path) -> None:
    """sqlite goes back to an earlier state, whole; then it is gone. The spools have it all, but for
    the artifacts.
    """
    run("power", 1)
    disconnect()
    with (
        contextlib.closing(sqlite3.connect(home / "mlruns/mlflow.db")) as db,
        contextlib.closing(sqlite3.connect(home / "earlier.db")) as copy,
    ):
        db.backup(copy)
    run("power", 3)
    before = content("power")
    assert all("film.html" in before[number][3] for number in range(3))
    for how in ("back", "gone"):
        disconnect()
        for path in (home / "mlruns").glob("mlflow.db*"):
            path.unlink()
        if how == "back":
            shutil.copy(home / "earlier.db", home / "mlruns/mlflow.db")
        lines = about("power", harness("doctor"))
        # going back, the sweep is there too, but ended with fewer trials: that cannot be seen, and
        # does no harm
        assert (
            lines[0]
            == f"repaired: {2 if how == 'back' else 4} records that MLflow had lost wait again"
        )
        after = content("power")
        for number in range(3):
            assert after[number] == before[number]
        assert after[None][0] == "FINISHED"
    # what the first driver said of its time was the first end of the sweep, and its record has the
    # last one only
    assert [point for point in after[None][2] if point[2] == 3] == [
        point for point in before[None][2] if point[2] == 3
    ]
    assert (after[None][1], after[None][3]) == (before[None][1], before[None][3])
    assert harness("doctor")[-1] == "all is well"


def test_what_was_deleted_in_the_ui_stays_deleted() -> None:
    run("deleted", 2)
    client = connect.client_for(tracking.store_uri())
    for each in runs_of("deleted").values():
        client.delete_run(each.info.run_id)
    assert about("deleted", harness("doctor")) == ["ok: 3 records"]
    assert "deleted" not in [each.name for each in tracking.parents()]


def test_runs_of_strangers_are_only_mentioned() -> None:
    tracker = tracking.open_tracker()
    run_id = tracker.start(ParentRun(id="stranger", name="a stranger"))
    (line,) = [line for line in harness("doctor") if "no spool here knows" in line]
    assert (
        line
        == "note: 1 run is RUNNING in MLflow that no spool here knows, and let be: 'a stranger'"
    )
    assert tracker.client.get_run(run_id).info.status == "RUNNING"
    tracker.client.delete_run(run_id)


def test_what_somebody_works_on_is_left_alone() -> None:
    folder = run("busy", 2)
    left_running(folder)
    tear_journal(folder)
    with file_lock(folder / "lock", wait=False):
        lines = harness("doctor")
        assert about("busy", lines) == [
            f"note: left alone, process {os.getpid()} on {socket.gethostname()} works on it"
        ]
        assert "no spool here knows" not in "\n".join(lines)
        for option in ("--films-of-lost", "--checkpoints"):
            assert "busy: left alone" in "\n".join(harness("gc", option, "--yes"))
    assert len(about("busy", harness("doctor"))) == 3


WRONG = {
    "journal line": r"journal.log, line 2 of \d+ is damaged: .*, so the sweep cannot go on",
    "no journal": "journal.log is missing",
    "short journal": "journal.log must know all trials, but #2 is missing",
    "parent": r"-parent-.* is damaged \(.*\); restore it from a copy",
}


@pytest.mark.parametrize("name", quick(WRONG, ["parent"]))
def test_what_cannot_be_repaired_is_said(name: str) -> None:
    folder = run(name)
    file = folder / "journal.log"
    if name == "parent":
        (file,) = (folder / "spool").glob("*-parent-*/record.json")
    whole = file.read_bytes()
    lines = whole.splitlines(keepends=True)
    if name == "no journal":
        file.unlink()
    elif name == "short journal":
        third = [n for n, line in enumerate(lines) if json.loads(line)["op_code"] == 4][2]
        file.write_bytes(b"".join(lines[:third]))
    else:
        file.write_bytes(whole.replace(lines[1], b'{"x\n') if len(lines) > 1 else whole[:-20])
    left = {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "lock"
    }
    (line,) = about(folder.name if name == "parent" else name, harness("doctor", code=1))
    assert line.startswith("WRONG: ")
    assert re.search(WRONG[name], line)
    assert left == {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "lock"
    }
    file.write_bytes(whole)
    assert harness("doctor")[-1] == "all is well"


@pytest.mark.parametrize("how", ["damaged", "newer", "older", "no database"])
def test_a_store_that_is_not_well(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    run("store", 1)
    (tmp_path / "mlruns").mkdir()
    file = tmp_path / "mlruns/mlflow.db"
    with (
        contextlib.closing(sqlite3.connect(home / "mlruns/mlflow.db")) as db,
        contextlib.closing(sqlite3.connect(file)) as copy,
        copy,
    ):
        db.backup(copy)
        if how in ("newer", "older"):
            version = {"newer": "ffffffffffff", "older": "451aebb31d03"}[how]
            copy.execute("UPDATE alembic_version SET version_num = ?", (version,))
    if how == "damaged":
        content = bytearray(file.read_bytes())
        content[len(content) // 2 :] = b"\xa5" * (len(content) - len(content) // 2)
        file.write_bytes(content)
    elif how == "no database":
        file.write_bytes(b"x" * 5000)
    monkeypatch.setenv("HARNESS_ROOT", str(tmp_path))
    (line,) = [line for line in harness("doctor", code=1) if line.startswith("WRONG")]
    said = {"newer": "by an MLflow newer than 3.", "older": "by an MLflow older than 3."}.get(
        how, "it is damaged ("
    )
    assert f"store {tracking.place()}: " in line
    assert said in line


def test_a_disk_that_is_nearly_full(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**12, 0, 999 * 10**6))
    (line,) = [line for line in harness("doctor", code=1) if line.startswith("WRONG")]
    assert line.startswith("WRONG: disk: 999.0 MB free in ")


def test_an_empty_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_ROOT", str(tmp_path))
    assert harness("doctor")[-1] == "all is well"
    assert harness("gc") == ["nothing lies below mlruns/ yet"]
    assert harness("sync") == [f"0 sent to sqlite:///{tmp_path}/mlruns/mlflow.db, nothing waits"]
    assert list(tmp_path.iterdir()) == []


# gc -----------------------------------------------------------------------------------------------


def test_gc_shows_what_takes_space(home: Path) -> None:
    folder = run("space", 2)
    checkpoints(folder)
    (each,) = [each for each in gc.usage() if each.name == "space"]
    places = [Path(r.info.artifact_uri.removeprefix("file://")) for r in runs_of("space").values()]
    files = {
        path: path.stat().st_size for place in places for path in place.rglob("*") if path.is_file()
    }
    films = sum(count for path, count in files.items() if path.name.startswith("film."))
    assert films > 1000
    assert each.films == films
    assert each.artifacts == sum(files.values()) - films
    assert each.checkpoints == 2 * len(checkpoint())
    kept = [*folder.glob("networks/*"), *folder.glob("pending/*")]
    assert each.networks == sum(path.stat().st_size for path in kept) > 1000
    assert each.journal == (folder / "journal.log").stat().st_size
    assert each.spool == sum(
        path.stat().st_size for path in (folder / "spool").rglob("*") if path.is_file()
    )
    lines = harness("gc")
    assert lines[0].split() == [
        "sweep",
        "spool",
        "journal",
        "checkpoints",
        "networks",
        "films",
        "artifacts",
        "all",
    ]
    (line,) = [line for line in lines if line.startswith("space ")]
    assert line.split() == [
        "space",
        *(word for n in (*each[1:], sum(each[1:])) for word in gc.size(n).split()),
    ]
    shutil.rmtree(folder / "checkpoints")


def test_gc_keeps_the_film_of_the_best() -> None:
    folder = run("films", 4)
    result = Sweep(space, "films", sampler="RandomSampler", trials=4).run()
    before = content("films")
    freed = sum(
        path.stat().st_size
        for number, each in runs_of("films").items()
        if number not in (None, result.best.number)
        for path in Path(each.info.artifact_uri.removeprefix("file://")).glob("film.*")
    )
    others = [
        spool.run_id(record.id)
        for spool in [Spool(each / "spool") for each in folders.folders() if each != folder]
        for record in spool.records()
    ]
    assert freed > 0
    assert harness("gc", "--films-of-lost", input="n\n")[-1].endswith("Delete them? [y/N]: n")
    assert content("films") == before
    known = {path for path in gc.films_of_lost() if path.parts[-3] not in others}
    assert len(known) == 3 * 2  # film.png, film.html
    assert sum(path.stat().st_size for path in known) == freed
    assert "freed" in harness("gc", "--films-of-lost", "--yes")[-1]
    after = content("films")
    for number in range(4):
        kept = (
            before[number][3]
            if number == result.best.number
            else {
                name: digest
                for name, digest in before[number][3].items()
                if not name.startswith("film.")
            }
        )
        assert after[number] == (*before[number][:3], kept)
    assert harness("gc", "--films-of-lost") == [
        "films of trials that are not the best of their sweep: 0 files, 0 B"
    ]
    assert harness("doctor")[-1] == "all is well"


@pytest.mark.parametrize("status", ["KILLED", "FINISHED"])
def test_gc_deletes_checkpoints_of_what_has_ended(status: str) -> None:
    folder = run(f"ended {status}", 2)
    spool = Spool(folder / "spool")
    if status == "KILLED":
        spool.write(ParentRun(**{**vars(spool.parent()), "status": status}))  # type: ignore[arg-type]
    checkpoints(folder, damaged=False)  # of trial 7, which has not ended
    old = folder / "checkpoints" / "000001-000001.npz"
    old.write_bytes(checkpoint())
    lines = harness("gc", "--checkpoints", "--yes")
    count = 1 if status == "KILLED" else 3
    freed = count * len(checkpoint())
    assert lines[-2:] == [
        f"checkpoints of what has ended: {count} files, {gc.size(freed)}",
        f"deleted, {gc.size(freed)} freed",
    ]
    assert len(list((folder / "checkpoints").iterdir())) == 3 - count
    shutil.rmtree(folder / "checkpoints")
    harness("sync")


@pytest.mark.parametrize(
    "words", [["sync"], ["doctor"], ["doctor", "--dry-run"], ["gc", "--films-of-lost", "--yes"]]
)
def test_a_folder_that_cannot_be_written_is_one_sentence(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_ROOT", str(tmp_path))
    (tmp_path / "mlruns/runs/spool").mkdir(parents=True)
    (tmp_path / "mlruns/runs/lock").mkdir()  # what keeps root too from writing it
    assert (
        "runs/lock must be a file that can be written, but: Is a directory"
        in harness(*words, code=2)[-1]
    )


def test_a_store_in_a_read_only_folder_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Sqlite says the same: unable to open database file
    (tmp_path / "mlruns/mlflow.db").mkdir(parents=True)
    assert tracking.check_store(tmp_path).problem.startswith("it is damaged")
    monkeypatch.setattr(os, "access", lambda *_: False)
    problem = tracking.check_store(tmp_path).problem
    assert (
        problem == "its folder must be one that can be written (unable to open database file); "
        "correct its permissions"
    )
