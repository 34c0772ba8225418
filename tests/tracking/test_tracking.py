import contextlib
import http.server
import json
import math
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from pathlib import Path

import pytest
from mlflow.exceptions import RestException
from stores import engine_of

from harness import Config, mlp, tracking
from harness.errors import UsageError
from harness.escapes import escape_markdown
from harness.storage import secrets
from harness.storage.formats import upgraded
from harness.storage.lock import file_lock
from harness.storage.records import ParentRun, TrialRun
from harness.storage.result import TrialResult, TrialState
from harness.storage.root import find_root
from harness.storage.spool import Spool
from harness.studies.sweep import Sweep
from harness.tracking import connect, reader
from harness.tracking import ui as mlflow_ui
from harness.tracking.backoff import BackOff

PROJECT = Path(tracking.__file__).parents[2]
FILM = bytes(range(256)) * 40


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "HARNESS_ROOT", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")


def trial(number, sweep="sweep", **fields):
    """A trial with two metrics over three epochs and one film."""
    start = 1_700_000_000_000 + 1000 * number
    points = [("train/loss", 1 / (epoch + 1 + number), epoch, start + epoch) for epoch in range(3)]
    points += [("valid/accuracy", 0.5 + epoch / 10, epoch, start + epoch) for epoch in range(3)]
    given = {
        "params": {
            "activation": "relu",
            "learning_rate": 0.05 * (number + 1),
            "nesterov": True,
            "sizes": "784-100-10",
        },
        "metrics": points,
        "artifacts": {"films/weights.mp4": FILM},
        "start_ms": start,
        "end_ms": start + 500,
    }
    return TrialRun(
        id=f"{sweep}/{number}", name=f"relu #{number}", number=number, **{**given, **fields}
    )


def python(script, *arguments, **options):
    quiet = "ignore:This process:DeprecationWarning"  # Python 3.12 and later, where a script forks
    command = [sys.executable, "-W", quiet, "-c", textwrap.dedent(script), *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def processes_with(text):
    """The processes whose command has this text, as their /proc/PID/cmdline."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # one that has just ended
            if text in path.read_bytes().replace(b"\0", b" ").decode(errors="replace"):
                found.append(path)
    return found


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A root whose name is not easy, with a store."""
    folder = tmp_path_factory.mktemp("it's my root")
    tracking.open_tracker(folder)
    return folder


# --- the spool ------------------------------------------------------------------------------------


def test_a_record_comes_back_as_it_was_written(tmp_path):
    result = TrialResult(TrialState.PRUNED, value=0.1 + 0.2, values=[0.1 + 0.2], params={"ü": [1]})
    first = trial(0, result=result, tags={"a": "ü"})
    first.metrics.append(("valid/loss", math.inf, 3, 7))
    second = trial(1, status="FAILED", description="*x*")
    spool = Spool(tmp_path / "spool")
    for record in (first, second, ParentRun(id="sweep", name="my sweep")):
        spool.write(record)

    for each in (spool, Spool(tmp_path / "spool")):
        back = list(each.records())
        assert [record.id for record in back] == ["sweep/0", "sweep/1", "sweep"]
        assert isinstance(back[0], TrialRun)
        assert isinstance(back[2], ParentRun)
        assert (back[0].params, back[0].metrics, back[0].result) == (
            first.params,
            first.metrics,
            result,
        )
        assert (back[1].status, back[1].description, back[1].tags) == ("FAILED", "*x*", {})
        assert (back[0].files / "films/weights.mp4").read_bytes() == FILM
        assert each.parent().name == "my sweep"
        assert (len(each), each.waiting, "sweep/1" in each, "sweep/2" in each) == (
            3,
            3,
            True,
            False,
        )


def test_numpy_scalars_are_numbers_in_a_record(tmp_path):
    numpy = pytest.importorskip("numpy")
    spool = Spool(tmp_path)
    points = [("loss", numpy.float32(0.5), numpy.int64(3), 1)]
    spool.write(trial(0, metrics=points, params={"rate": numpy.float32(0.25)}))
    back = spool.read("sweep/0")
    assert (back.metrics, back.params) == ([("loss", 0.5, 3, 1)], {"rate": 0.25})


def test_logged_records_keep_their_json_and_lose_their_artifacts(tmp_path):
    spool = Spool(tmp_path)
    for number in range(3):
        spool.write(trial(number))
    spool.mark_logged("sweep/1", "run")
    (tmp_path / "00000000-trial-0").mkdir()  # no record's name: ignored
    for each in (spool, Spool(tmp_path)):
        assert [each.is_logged(f"sweep/{number}") for number in range(4)] == [
            False,
            True,
            False,
            False,
        ]
        assert [record.id for record in each.pending()] == ["sweep/0", "sweep/2"]
        assert (each.read("sweep/1").files, each.read("sweep/1").metrics) == (
            None,
            trial(1).metrics,
        )
    # a crash between the mark and the deletion is put right when the spool is opened
    folder = next(tmp_path.glob("00000001-*"))
    (folder / "files").mkdir()
    assert Spool(tmp_path).read("sweep/1").files is None
    assert not (folder / "files").exists()


def test_writing_an_id_again_replaces_its_record(tmp_path):
    spool = Spool(tmp_path)
    spool.write(ParentRun(id="sweep", name="sweep", artifacts={"a/b.txt": b"x"}))
    spool.write(trial(0))
    spool.mark_logged("sweep/0")
    spool.write(trial(0, status="FAILED"))
    parent = spool.parent()
    parent.status = "FINISHED"
    spool.write(parent)
    for each in (spool, Spool(tmp_path)):
        assert [(record.id, record.status) for record in each.records()] == [
            ("sweep/0", "FAILED"),
            ("sweep", "FINISHED"),
        ]
        assert not each.is_logged("sweep/0")
        assert (each.parent().files / "a/b.txt").read_bytes() == b"x"
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 2


def test_a_record_that_mlflow_has_lost_waits_again(tmp_path):
    spool = Spool(tmp_path / "spool")
    for number in range(2):
        spool.write(trial(number))
        spool.mark_logged(f"sweep/{number}", f"run {number}", "sqlite:////x")
    (tmp_path / "logged/films").mkdir(parents=True)
    (tmp_path / "logged/films/weights.mp4").write_bytes(FILM)
    spool.mark_waiting("sweep/1", tmp_path / "logged")
    for each in (spool, Spool(tmp_path / "spool")):
        assert [(each.run_id(f"sweep/{n}"), each.store(f"sweep/{n}")) for n in (0, 1)] == [
            ("run 0", "sqlite:////x"),
            (None, ""),
        ]
        (back,) = each.pending()
        assert (back.files / "films/weights.mp4").read_bytes() == FILM
    spool.mark_waiting("sweep/0", tmp_path / "nothing")
    assert [record.files for record in spool.pending()] == [back.files, None]


def test_a_record_of_the_version_before_is_brought_up_to_date(tmp_path):
    trial_v1 = {"id": "sweep/3", "name": "#3", "number": 3, "kind": "trial", "metrics": []}
    trial_v1["extra"] = {"state": "DIVERGED", "values": None, "train_s": 1.5, "identity": "abc"}
    now = upgraded("record", 1, trial_v1, tmp_path)
    assert now["result"] == {
        "state": "DIVERGED",
        "values": [],
        "train_seconds": 1.5,
        "identity": "abc",
    }
    assert "extra" not in now
    parent_v1 = {"id": "sweep", "name": "my sweep", "kind": "sweep", "metrics": []}
    parent_v1["extra"] = {"sitting": 2, "records": 9}
    parent_v1["start_ms"] = 1_700_000_000_000
    now = upgraded("record", 1, parent_v1, tmp_path)
    assert ParentRun(**now) == ParentRun(
        id="sweep", name="my sweep", sitting=2, records=9, start_ms=1_700_000_000_000
    )


def test_no_secret_gets_into_a_record(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ann:s%40cret1@host:5000")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "tok-12345")
    text = "http://ann:s%40cret1@host:5000/x tok-12345 s@cret1 (s%40cret1)"
    said = "http://ann:***@host:5000/x *** *** (***)"
    given = trial(0, params={"a": text, "b": 1.5}, tags={"t": text}, description=text)
    given.result = TrialResult(reason=text, params={"p": [text, {"deep": text}]})
    given.artifacts = {"traceback.txt": text.encode(), "a.bin": b"\xff"}
    spool = Spool(tmp_path)
    spool.write(given)
    back = spool.read("sweep/0")
    assert (back.params, back.tags, back.description) == ({"a": said, "b": 1.5}, {"t": said}, said)
    assert back.result == TrialResult(reason=said, params={"p": [said, {"deep": said}]})
    spool.write(ParentRun(id="sweep", name="sweep", yardstick={"spec": text}))
    parent = spool.parent()
    assert parent is not None
    assert parent.yardstick == {"spec": said}
    assert (back.files / "traceback.txt").read_text() == said
    assert (back.files / "a.bin").read_bytes() == b"\xff"


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "", ".", "a\\b", "a\0b"])
def test_names_never_become_paths(tmp_path, path):
    spool = Spool(tmp_path / "spool")
    with pytest.raises(UsageError, match="must be relative"):
        spool.write(trial(0, artifacts={path: b"x"}))
    evil = TrialRun(id=f"../../{path}", name="../../x")
    spool.write(evil)
    assert spool.read(evil.id).name == "../../x"
    assert [entry.name for entry in tmp_path.iterdir()] == ["spool"]
    assert len(list((tmp_path / "spool").iterdir())) == 1


def test_damaged_records_and_unusable_folders_are_said_in_one_sentence(tmp_path):
    spool = Spool(tmp_path / "spool")
    spool.write(trial(0))
    record = next((tmp_path / "spool").glob("*/record.json"))
    record.write_bytes(record.read_bytes()[:-20])
    with pytest.raises(UsageError, match=r"00000000-trial-.*is damaged.*trained again"):
        Spool(tmp_path / "spool").read("sweep/0")
    with pytest.raises(
        UsageError, match="must be a folder that can be written, but: Not a directory"
    ):
        Spool(record / "spool")
    with pytest.raises(
        UsageError,
        match="status must be one of RUNNING, FINISHED, FAILED, KILLED, but it is 'DONE'",
    ):
        spool.write(trial(1, status="DONE"))


def test_a_writer_killed_at_any_point_leaves_whole_records_only(tmp_path, monkeypatch):
    # Matters after a power cut only, and takes its time
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    # The steps of a writer are counted, and those of coverage would be among them.
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    script = """
        import os, signal, sys
        from harness.storage.records import TrialRun
        from harness.storage.spool import Spool
        os.fsync = lambda handle: None
        steps = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"}
        for at in range(1, 1000):
            spool = Spool(f"{sys.argv[1]}/{at}")
            spool.write(TrialRun(id="old", name="first", artifacts={"a/b": b"x" * 100}))
            child = os.fork()
            if not child:
                left = at
                def die(event, arguments):
                    global left
                    if event not in steps:
                        return
                    left -= 1
                    if left == 0:
                        os.kill(os.getpid(), signal.SIGKILL)
                sys.addaudithook(die)
                spool.write(TrialRun(id="new", name="new", artifacts={"a/b": b"y" * 100, "c": b"z"}))
                spool.write(TrialRun(id="old", name="second", artifacts={"a/b": b"z" * 100}))
                spool.mark_logged("new")
                os._exit(0)
            if os.waitpid(child, 0)[1] == 0:
                break
    """
    with python(script, tmp_path) as process:
        assert process.communicate(timeout=240) == ("", "")
    seen = []
    for folder in sorted(tmp_path.iterdir(), key=lambda path: int(path.name)):
        spool = Spool(folder)
        records = {record.id: record for record in spool.records()}
        old = records["old"]
        assert (old.files / "a/b").read_bytes() == {"first": b"x", "second": b"z"}[old.name] * 100
        if "new" in records and not spool.is_logged("new"):
            assert (records["new"].files / "a/b").read_bytes() == b"y" * 100
            assert (records["new"].files / "c").read_bytes() == b"z"
        seen.append((len(records), old.name, spool.waiting))
        spool.write(TrialRun(id="next", name="next"))
        assert [record.id for record in Spool(folder).records()][-1] == "next"
    states = [(1, "first", 1), (2, "first", 2), (2, "second", 2), (2, "second", 1)]
    assert list(dict.fromkeys(seen)) == states
    assert len(seen) > 20


def test_a_lock_names_its_owner(tmp_path):
    owner = f"process {os.getpid()} on {socket.gethostname()}"
    with file_lock(tmp_path / "lock", wait=False), pytest.raises(UsageError, match=owner):
        file_lock(tmp_path / "lock", wait=False).__enter__()
    with file_lock(tmp_path / "lock", wait=False):
        pass


def test_root(tmp_path, monkeypatch):
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    assert find_root(deep) == deep
    (tmp_path / "pyproject.toml").touch()
    assert find_root(deep) == tmp_path
    (tmp_path / "a" / "mlruns").mkdir()
    assert find_root(deep) == tmp_path / "a"
    monkeypatch.chdir(deep)
    assert find_root() == tmp_path / "a"
    monkeypatch.setenv("HARNESS_ROOT", str(tmp_path / "elsewhere"))
    assert find_root(deep) == tmp_path / "elsewhere"


# --- text -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql://ann:s3cret@db:5432/runs", "postgresql://ann:***@db:5432/runs"),
        (
            "failed: http://ann:p/w@d@host:5000/x, again",
            "failed: http://ann:***@host:5000/x, again",
        ),
        ("https://ghp_token@host/x", "https://***@host/x"),
        ("mysql://db/x?user=ann&password=s3cret&a=b", "mysql://db/x?user=ann&password=***&a=b"),
        ("sqlite:////data/mlruns/mlflow.db", "sqlite:////data/mlruns/mlflow.db"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
    ],
)
def test_credentials_are_masked(uri, shown):
    assert secrets.mask(uri) == shown


def test_markdown_is_escaped():
    assert (
        escape_markdown("a*b_c\n[x](y) <img> & `q`")
        == r"a\*b\_c \[x\]\(y\) &lt;img&gt; &amp; \`q\`"
    )


def test_mlflow_is_imported_late():
    with python(
        "import harness.tracking, sys; print([m in sys.modules for m in ('mlflow', 'pandas')])"
    ) as process:
        assert process.stdout.read() == "[False, False]\n"


# --- the store ------------------------------------------------------------------------------------


def runs_of(root, parent=None):
    """Every run in the store but the parents: (name, status, points, params, tags)."""
    client = connect.client_for(tracking.store_uri(root))
    condition = (
        f"tags.\"mlflow.parentRunId\" = '{parent}'" if parent else "tags.\"harness.kind\" = 'trial'"
    )
    return list(
        reader.search(client, [e.experiment_id for e in client.search_experiments()], condition)
    )


def points_of(root, run_id):
    with contextlib.closing(sqlite3.connect(root / "mlruns/mlflow.db")) as connection, connection:
        rows = connection.execute(
            "select key, value, step, timestamp from metrics where run_uuid = ?", (run_id,)
        )
        return sorted(rows.fetchall())


def test_four_processes_make_one_store(tmp_path, capfd):
    connect.import_mlflow("sqlite:")
    children = []
    for number in range(4):
        with warnings.catch_warnings():
            # Python 3.12 and later: this process may have threads
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if not child:
            done = None
            try:
                done = tracking.open_tracker(tmp_path).start(
                    ParentRun(id=str(number), name=f"sweep {number}")
                )
            finally:
                os._exit(0 if done else 1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0, 0]
    assert capfd.readouterr() == ("", "")
    assert sorted(parent.name for parent in tracking.parents(tmp_path)) == [
        f"sweep {number}" for number in range(4)
    ]
    with (
        contextlib.closing(sqlite3.connect(tmp_path / "mlruns/mlflow.db")) as connection,
        connection,
    ):
        assert connection.execute("pragma journal_mode").fetchone() == ("wal",)
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
        # Default and ours
        assert connection.execute("select count(*) from experiments").fetchone() == (2,)
    assert not list((tmp_path / "mlruns").glob(".*.new*"))


@pytest.mark.parametrize(
    "how", ["a file", "no folder can be made", "not a database", "another version", "%3f"]
)
def test_a_store_that_cannot_be_used_is_one_sentence(tmp_path, root, how):
    mlruns = tmp_path / "mlruns"
    place = tmp_path
    sentence = (
        r"must be a (folder|sqlite file) that can be written, but: .*set HARNESS_ROOT to another "
        r"folder"
    )
    if how == "a file":
        mlruns.touch()
    elif how == "no folder can be made":
        place = Path("/proc/self/fdinfo")  # where root itself cannot make a folder
    elif how == "not a database":
        mlruns.mkdir()
        (mlruns / "mlflow.db").write_bytes(b"x" * 5000)
        sentence = "must be a sqlite file that can be written, but: file is not a database; `harness doctor` says what"
    elif how == "another version":
        mlruns.mkdir()
        with (
            contextlib.closing(sqlite3.connect(root / "mlruns/mlflow.db")) as source,
            contextlib.closing(sqlite3.connect(mlruns / "mlflow.db")) as copy,
            copy,
        ):
            source.backup(copy)
            copy.execute("update alembic_version set version_num = 'abc'")
        sentence = r"must be able to log to .*mlflow.db, but: .*out-of-date database schema"
    else:
        place = tmp_path / how
        sentence = "path has no '\\?' and no '%' code"
    with pytest.raises(UsageError, match=sentence) as caught:
        tracking.open_tracker(place, say=pytest.fail)
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_tracking_uri(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(tmp_path))
    with pytest.raises(UsageError, match="must be a server or a database, but it is the folder"):
        tracking.open_tracker()


def test_a_trial_in_mlflow(root):
    tracker = tracking.open_tracker(root)
    parent = tracker.start(
        ParentRun(id="one", name="one", params={"trials": 1}, description="**x**")
    )
    long = {f"p{n}": n for n in range(250)} | {"text": "y" * 9000, "a b(c)/": "odd"}
    given = trial(
        3, "one", params=long, description="how *it* went", tags={"harness.state": "PRUNED"}
    )
    steps = [("many", float(step), step, 1) for step in range(2000)]
    given.metrics += [
        ("valid/loss", math.inf, 7, 1),
        ("valid/loss", math.nan, 8, 1),
        ("w", -math.inf, 9, 1),
        *steps,
    ]
    run_id = tracker.log(given, parent)
    run = tracker.client.get_run(run_id)
    assert (run.info.run_name, run.info.status) == ("relu #3", "FINISHED")
    assert (run.info.start_time, run.info.end_time) == (given.start_ms, given.end_ms)
    assert run.data.params["p249"] == "249"
    assert run.data.params["text"].endswith("yyy... (cut: 9000 characters)")
    (odd,) = [key for key in run.data.params if key.startswith("a b_c_ ")]
    assert (run.data.params[odd], run.data.tags[f"harness.param.{odd[-8:]}"]) == ("odd", "a b(c)/")
    assert len(run.data.params) == 252
    expected = {
        "harness.id": "one/3",
        "harness.kind": "trial",
        "harness.number": "3",
        "harness.state": "PRUNED",
        "harness.nonfinite": "valid/loss inf at step 7, w -inf at step 9",
        "mlflow.parentRunId": parent,
        "mlflow.note.content": "how *it* went",
        "mlflow.source.type": "LOCAL",
    }
    assert {key: run.data.tags.get(key) for key in expected} == expected
    assert run.data.tags["mlflow.user"]
    assert len(points_of(root, run_id)) == 2009
    assert run.data.metrics["train/loss"] == given.metrics[2][1]
    assert math.isnan(run.data.metrics["valid/loss"])  # and not what an epoch before has said
    assert math.isnan(run.data.metrics["w"])
    artifacts = root / "mlruns/artifacts" / run_id / "artifacts"
    assert (artifacts / "films/weights.mp4").read_bytes() == FILM
    ended = ParentRun(
        id="one",
        name="one",
        status="FAILED",
        description="**y**",
        metrics=[("best", 0.5, 0, 1), ("best/loss", math.inf, 4, 1)],
        artifacts={"table.csv": b"a,b"},
    )
    assert tracker.finish(ended, parent)
    end = tracker.client.get_run(parent)
    assert (end.info.status, end.data.params) == ("FAILED", {"trials": "1"})
    assert end.data.metrics["best"] == 0.5
    assert math.isnan(end.data.metrics["best/loss"])
    assert end.data.tags["harness.nonfinite"] == "best/loss inf at step 4"
    assert end.data.tags["mlflow.note.content"] == "**y**"
    assert (root / "mlruns/artifacts" / parent / "artifacts/table.csv").read_bytes() == b"a,b"


def test_a_parent_is_reopened_and_finished_again(root):
    given = ParentRun(id='it\'s "again" 100%_\\ü', name="again", params={"trials": 4})
    ids = set()
    first = tracking.open_tracker(root)
    for trials, tracker in ((4, first), (8, first), (12, tracking.open_tracker(root))):
        given.params = {"trials": trials, f"new {trials}": 1}
        ids.add(tracker.start(given))
        assert tracker.start(given) in ids
        assert len(ids) == 1
        assert tracker.client.get_run(*ids).info.status == "RUNNING"
        assert tracker.finish(ParentRun(id=given.id, name="again", status="KILLED"), *ids)
        assert tracker.client.get_run(*ids).info.status == "KILLED"
    assert tracker.client.get_run(*ids).data.params == {
        "trials": "4",
        "new 4": "1",
        "new 8": "1",
        "new 12": "1",
    }
    assert tracker.start(ParentRun(id=given.id.replace("'", '"'), name="alike")) not in ids


@pytest.mark.parametrize("who", ["this writer", "another", "sync"])
def test_a_parent_that_was_deleted_is_restored(root, who):
    """A sweep that goes on goes on in the run that has its trials."""
    given = ParentRun(id="p", name="p", params={"trials": 4}, sitting=1)
    tracker = tracking.open_tracker(root)
    run_id = tracker.start(given)
    assert tracker.log(TrialRun(id="p/0", name="#0", number=0), run_id)
    tracker.client.delete_run(run_id)
    assert tracker.start(given) is None or tracker.start(given) == run_id
    if who == "this writer":
        tracker.index.forget()
    else:
        tracker = tracking.open_tracker(root)
        given.sitting = 2 if who == "another" else 1
        given.status = "RUNNING" if who == "another" else "FINISHED"
    assert tracker.start(given) == run_id
    assert tracker.client.get_run(run_id).info.lifecycle_stage == "active"
    other = tracker.start(ParentRun(id="q", name="p", sitting=1))
    assert other not in (None, run_id)


class Faulty:
    """The real client, whose call number `at` fails, before or after it has had its effect."""

    def __init__(self, client, at, after, error):
        self.client = client
        self.left = at
        self.after = after
        self.error = error

    def __getattr__(self, name):
        call = getattr(self.client, name)
        # The view of a study is a convenience, whose failure is passed over.
        is_view = name == "set_experiment_tag"
        if is_view or not name.startswith(("create", "log", "set", "update")):
            return call

        def faulty(*arguments, **options):
            self.left -= 1
            if self.left == 0 and not self.after:
                raise self.error
            result = call(*arguments, **options)
            if self.left == 0:
                raise self.error
            return result

        return faulty


def test_a_parent_that_ends_again_sends_its_new_points_only(root, monkeypatch):
    tracker = tracking.open_tracker(root)
    points = [("best/loss", math.nan if k == 7 else 1 / k, k, k) for k in range(1, 41)]
    parent = ParentRun(id="ends again", name="ends again", status="FINISHED", end_ms=99)
    parent.metrics = points[:39]
    run_id = tracker.start(parent)
    assert tracker.finish(parent, run_id)
    sent = []
    log_batch = type(tracker.client).log_batch

    def counting(client, run_id, metrics=(), **rest):
        sent.extend(metrics)
        return log_batch(client, run_id, metrics=metrics, **rest)

    monkeypatch.setattr(type(tracker.client), "log_batch", counting)
    parent.metrics = points
    assert tracker.finish(parent, run_id)
    assert [(metric.key, metric.step) for metric in sent] == [("best/loss", 40)]
    assert len(points_of(root, run_id)) == 40


@pytest.mark.parametrize(
    "error", [OSError("no answer"), KeyboardInterrupt()], ids=["outage", "crash"]
)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_failure_at_any_write_leaves_every_run_once(root, tmp_path, after, error):
    at = 0
    while True:
        at += 1
        sweep = f"faults {after} {error!r} {at}"
        spool = Spool(tmp_path / str(at))
        said = []
        tracker = tracking.open_tracker(root, say=said.append)
        tracker.experiment.client = faulty = Faulty(tracker.client, at, after, error)
        spool.write(ParentRun(id=sweep, name=sweep, start_ms=1, params={"trials": 2}))
        spool.write(trial(0, sweep))
        spool.write(
            ParentRun(
                id=sweep, name=sweep, start_ms=1, params={"trials": 2}, status="FINISHED", end_ms=2
            )
        )
        try:
            left = tracker.catch_up(spool)
        except KeyboardInterrupt:
            tracker = tracking.open_tracker(root)
            spool = Spool(spool.folder)
        else:
            assert (left > 0) == tracker.down == (len(said) == 1) == (faulty.left <= 0)
        assert tracker.catch_up(spool, force=True) == 0
        (parent,) = [each for each in tracking.parents(root) if each.name == sweep]
        assert parent.status == "FINISHED"
        (run,) = runs_of(root, parent.run_id)
        assert (run.info.run_name, run.info.status, len(run.data.params)) == (
            "relu #0",
            "FINISHED",
            4,
        )
        with (
            contextlib.closing(sqlite3.connect(root / "mlruns/mlflow.db")) as connection,
            connection,
        ):  # not even a deleted twin
            assert connection.execute(
                "select count(*) from tags where value = ?", (f"{sweep}/0",)
            ).fetchone() == (1,)
        assert len(points_of(root, run.info.run_id)) == 6
        assert (
            root / "mlruns/artifacts" / run.info.run_id / "artifacts/films/weights.mp4"
        ).read_bytes() == FILM
        if faulty.left > 0:  # every write has failed once
            assert at == 8
            return


def test_of_runs_created_twice_one_is_kept(root, tmp_path):
    tracker = tracking.open_tracker(root)
    spool = Spool(tmp_path)
    spool.write(ParentRun(id="twice", name="twice"))
    spool.write(trial(0, "twice"))
    assert tracker.catch_up(spool) == 0
    parent = tracker.start(spool.parent())
    tags = {"harness.id": "twice/0", "harness.kind": "trial", "mlflow.parentRunId": parent}
    # A server answered too late
    tracker.client.create_run(tracker.experiment.open(), 1, tags, "late")
    tracker.index.in_doubt = True
    assert tracker.finish(ParentRun(id="twice", name="twice", status="FINISHED"), parent)
    assert [run.info.run_name for run in runs_of(root, parent)] == ["relu #0"]


def test_of_parents_created_twice_the_one_with_trials_is_kept(root, tmp_path):
    spool = Spool(tmp_path)
    tracker = tracking.open_tracker(root)
    given = ParentRun(id="late", name="late", start_ms=5)
    spool.write(given)
    spool.write(trial(0, "late"))
    assert tracker.catch_up(spool) == 0
    tags = {"harness.id": "late", "harness.kind": "sweep"}
    # A server answered too late
    tracker.client.create_run(tracker.experiment.open(), 1, tags, "late")
    for after in (False, True):  # found at the start of another driver, and at the end of this one
        if after:
            tracker.client.create_run(tracker.experiment.open(), 1, tags, "late")
            tracker.index.in_doubt = True
        else:
            tracker = tracking.open_tracker(root)
        parent = tracker.start(given)
        assert [run.info.run_name for run in runs_of(root, parent)] == ["relu #0"]
        assert tracker.finish(ParentRun(id="late", name="late", status="FINISHED"), parent)
        assert [each.run_id for each in tracking.parents(root) if each.name == "late"] == [parent]


class Refusing:
    """The real client, which refuses to create runs of some names; `asked` are their names."""

    def __init__(self, client, names):
        self.client = client
        self.names = names
        self.asked = []

    def __getattr__(self, name):
        return getattr(self.client, name)

    def create_run(self, experiment_id, start_time, tags, run_name):
        self.asked.append(run_name)
        if run_name in self.names:
            raise RestException({"error_code": "INVALID_PARAMETER_VALUE", "message": "too odd"})
        return self.client.create_run(experiment_id, start_time, tags, run_name)


def test_what_is_refused_is_sent_again_only_if_forced(root, tmp_path):
    said = []
    tracker = tracking.open_tracker(root, say=said.append)
    refusing = Refusing(tracker.client, {"relu #0"})
    tracker.experiment.client = refusing
    spool = Spool(tmp_path)
    for number in range(2):
        spool.write(trial(number, "refused"))
    assert [tracker.catch_up(spool) for _ in range(3)] == [1, 1, 1]
    assert refusing.asked == ["relu #0", "relu #1"]
    assert tracker.catch_up(spool, force=True) == 1
    assert refusing.asked == ["relu #0", "relu #1", "relu #0"]
    assert not tracker.down
    assert said == [
        f"tracking: {tracker.place} refuses a run, which stays in the spool: "
        "INVALID_PARAMETER_VALUE: too odd"
    ]


def test_damaged_files_are_not_sent(root, tmp_path):
    said = []
    tracker = tracking.open_tracker(root, say=said.append)
    spool = Spool(tmp_path)
    for number in range(2):
        spool.write(trial(number, "damaged"))
    film = next(tmp_path.glob("00000000-*")) / "files/films/weights.mp4"
    film.write_bytes(b"something else")
    assert [tracker.catch_up(spool), tracker.catch_up(spool, force=True)] == [1, 1]
    assert said == [
        "tracking: films/weights.mp4 of 'relu #0' is damaged and not sent; `harness doctor` helps"
    ]


def test_a_parent_that_is_replaced_while_it_is_sent_is_sent_as_it_is_then(
    root, tmp_path, monkeypatch
):
    def parent(source):
        return ParentRun(id="sweep/a/1", name="a", artifacts={"plugins/a.py": source})

    tracker = tracking.open_tracker(root)
    driver = Spool(tmp_path)
    driver.write(parent(b"a = 1\n"))
    link = os.link

    def link_too_late(source, target):
        monkeypatch.setattr(os, "link", link)
        driver.write(parent(b"a = 2\n"))
        return link(source, target)

    monkeypatch.setattr(os, "link", link_too_late)
    spool = Spool(tmp_path, clean=False)
    assert tracker.catch_up(spool) == 0
    spool.refresh()
    tracker.catch_up(spool)
    kept = tracker.experiment.artifacts
    (sent,) = Path(kept).glob("*/artifacts/plugins/a.py")
    assert sent.read_bytes() == b"a = 2\n"


def test_single_runs_go_to_their_own_project(root, tmp_path):
    spool = Spool(tmp_path)
    for number, project in enumerate(["red", "blue", ""]):
        spool.write(trial(number, f"single {number}", project=project))
    assert tracking.open_tracker(root, "red").catch_up(spool) == 1
    assert tracking.open_tracker(root, "blue").catch_up(spool) == 0
    client = connect.client_for(tracking.store_uri(root))
    ids = {name: client.get_experiment_by_name(name).experiment_id for name in ("red", "blue")}
    homes = [client.get_run(spool.run_id(f"single {n}/{n}")).info.experiment_id for n in range(3)]
    assert homes == [ids["red"], ids["blue"], ids["red"]]


class Clock:
    """A clock that is turned by hand."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize(("seconds", "pauses"), [(0, [5, 10, 20, 40]), (10, [100, 200, 300, 300])])
def test_an_outage_costs_a_tenth_of_the_time_at_most(seconds, pauses):
    clock = Clock()
    backoff = BackOff(clock)
    assert not backoff.pausing
    for pause in pauses:
        backoff.begin()
        clock.now += seconds
        backoff.failed()
        clock.now += pause - 0.1
        assert backoff.pausing
        clock.now += 0.1
        assert not backoff.pausing


def test_a_pause_that_is_ended_early_is_followed_by_a_longer_one():
    clock = Clock()
    backoff = BackOff(clock)
    for pause in (5, 10, 20):
        backoff.begin()
        backoff.failed()
        clock.now += pause - 0.1
        assert backoff.pausing
        backoff.end_pause()
        assert not backoff.pausing
    backoff.reset()
    backoff.begin()
    backoff.failed()
    clock.now += 5
    assert not backoff.pausing


def test_an_answer_that_nobody_can_read_is_an_outage(root):
    said = []
    tracker = tracking.open_tracker(root, say=said.append)
    works = tracker.client
    tracker.experiment.client = Faulty(works, 1, False, ValueError("an answer"))
    parent = ParentRun(id="unreadable", name="unreadable")
    assert tracker.start(parent) is None
    assert tracker.down
    assert tracker.problem == "ValueError('an answer')"
    tracker.experiment.client = works
    assert tracker.start(parent) is None  # not before its pause is over
    assert [sentence.split(" (")[0] for sentence in said] == [
        f"tracking: {tracker.place} cannot be used"
    ]


def test_sqlite_syncs_at_its_checkpoints_only(root):
    for _ in range(2):
        with engine_of(root).connect() as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1  # NORMAL
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


# --- results --------------------------------------------------------------------------------------


def test_results(root, tmp_path):
    spool = Spool(tmp_path)
    tracker = tracking.open_tracker(root)
    spool.write(ParentRun(id="r", name="Results"))
    spool.write(trial(10, "r", params={"seconds": "1-2", "valid/accuracy": 3, "rate": 0.5}))
    spool.write(trial(9, "r", status="FAILED", metrics=[]))
    assert tracker.catch_up(spool) == 0
    table = tracking.results("Results", root)
    assert list(table.number) == [9, 10]
    assert list(table.state) == ["FAILED", "FINISHED"]
    assert list(table.name) == ["relu #9", "relu #10"]
    assert table["params.learning_rate"][0] == 0.5
    assert table["params.nesterov"][0] is True
    assert table["params.sizes"][0] == "784-100-10"
    assert list(table.seconds) == [0.5, 0.5]
    assert (table["params.seconds"][1], table["params.valid/accuracy"][1]) == ("1-2", 3)
    assert table["valid/accuracy"][1] == 0.7
    assert math.isnan(table["train/loss"][0])
    assert list(tracking.results(tracking.parents(root)[0].run_id, root).run_id) == list(
        table.run_id
    )
    with pytest.raises(UsageError, match=r"none is called 'Resluts'; did you mean 'Results'"):
        tracking.results("Resluts", root)


def test_a_single_run_is_its_own_result(root, tmp_path):
    spool = Spool(tmp_path)
    points = [("valid/accuracy", 0.9, 0, 1)]
    spool.write(
        ParentRun(
            id="s", name="single", kind="run", status="FINISHED", metrics=points, params={"a": 1}
        )
    )
    assert tracking.open_tracker(root).catch_up(spool) == 0
    table = tracking.results("single", root)
    assert table[["name", "state", "params.a", "valid/accuracy"]].values.tolist() == [
        ["single", "FINISHED", 1, 0.9]
    ]


def test_without_a_store_there_is_one_sentence(tmp_path):
    for call in (
        lambda: tracking.results("x", tmp_path),
        lambda: tracking.serve_ui(tmp_path, say=pytest.fail),
    ):
        with pytest.raises(UsageError, match=r"there must be runs in .*start a sweep here first"):
            call()
    assert not list(tmp_path.iterdir())


# --- servers --------------------------------------------------------------------------------------


class Broken(http.server.BaseHTTPRequestHandler):
    """A server that answers 500, or 400, as its path says."""

    def do_GET(self):
        code = int(self.path.split("/")[1])
        self.send_response(code)
        self.end_headers()
        self.wfile.write(json.dumps({"error_code": "BAD_REQUEST", "message": "no\nway"}).encode())

    do_POST = do_GET

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def broken_server(port=0):
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Broken) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize("how", ["nobody listens", "hangs", "500"])
def test_a_server_that_is_down_costs_a_message_and_no_result(monkeypatch, tmp_path, capfd, how):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:s3cret@127.0.0.1:{port}/500")
    with contextlib.ExitStack() as stack:
        if how == "hangs":
            stack.enter_context(socket.create_server(("127.0.0.1", port)))
        elif how == "500":
            stack.enter_context(broken_server(port))
        before = time.monotonic()
        tracker = tracking.open_tracker(tmp_path)
        spool = Spool(tmp_path / "spool")
        spool.write(ParentRun(id="sweep", name="sweep"))
        for number in range(20):
            spool.write(trial(number))
            assert tracker.catch_up(spool) == number + 1
        assert time.monotonic() - before < 10  # one timeout, then silence: 20 would take 20 s
        assert tracker.start(spool.parent()) is None
        assert tracker.log(trial(0), "x") is None
        assert not tracker.finish(spool.parent(), "x")
        assert tracker.catch_up(spool, force=True) == 20
    out, errors = capfd.readouterr()
    reason = {
        "nobody listens": "Connection refused",
        "hangs": "Read timed out",
        "500": "too many 500 error responses",
    }
    assert out == ""
    assert errors == (
        f"tracking: http://ann:***@127.0.0.1:{port}/500 cannot be used ({reason[how]}); "
        "the work goes on, and what it logs waits in the spool\n"
    )
    assert "s3cret" not in tracker.problem


def test_a_server_that_refuses_is_an_error_at_the_start(monkeypatch):
    with broken_server() as port:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}/400")
        with pytest.raises(
            UsageError,
            match=r"MLflow must be able to log to http://.*/400, but: "
            r".*no way",
        ):
            tracking.open_tracker(say=pytest.fail)


SERVE_UI = """
    import sys
    from pathlib import Path
    from harness import tracking
    tracking.serve_ui(Path(sys.argv[1]), port=int(sys.argv[2]))
"""


def one_network(trial):
    return Config(data="mnist14(rows=200)", layers=mlp([196, 4, 10]), epochs=1, film=None)


@pytest.mark.slow
def test_the_ui_and_a_server_that_hangs_and_comes_back(root, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("HARNESS_ROOT", str(root))
        Sweep(one_network, "seen", sampler="RandomSampler", trials=1).run()
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    # One server for all that needs one: it takes seconds to start
    with python(SERVE_UI, root, port) as ui:
        try:
            page = f"{address}/#/experiments/1/runs?workflowType=machine_learning"
            said = f"The MLflow UI is starting at {address}, which takes some seconds ...\n"
            assert ui.stdout.readline() == said
            view = "&compareRunsMode=CHART&viewStateShareKey="
            opened = rf"MLflow UI: {re.escape(page + view)}\w{{32}}  \(Ctrl-C ends it\)\n"
            assert re.fullmatch(opened, ui.stdout.readline())
            assert b"<title>MLflow</title>" in mlflow_ui.fetch(page)
            with pytest.raises(
                UsageError,
                match=rf"127.0.0.1:{port} cannot be had .*: --port "
                rf"{port + 1}",
            ):
                tracking.serve_ui(root, port=port, say=pytest.fail)
            with monkeypatch.context() as patch:
                patch.setenv("MLFLOW_TRACKING_URI", address)
                table = log_to_a_server_that_hangs(address, port, tmp_path, patch)
            assert list(table["train/loss"]) == [1 / 3, 1 / 4]
            assert [len(points_of(root, run_id)) for run_id in table.run_id] == [6, 6]
            film = f"{address}/get-artifact?path=films%2Fweights.mp4&run_uuid={table.run_id[1]}"
            assert mlflow_ui.fetch(film) == FILM
        finally:
            ui.send_signal(signal.SIGINT)
        out, errors = ui.communicate(timeout=240)
    assert (ui.returncode, out, errors) == (0, "The MLflow UI has ended.\n", "")
    assert processes_with(f"--port {port}") == []
    mlflow_ui.check_port("127.0.0.1", port)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_ui_leaves_nothing_however_it_is_ended(root, number):
    port = free_port()
    with python(SERVE_UI, root, port) as ui:
        assert ui.stdout.readline().startswith("The MLflow UI is starting at ")
        ui.send_signal(number)
        out, errors = ui.communicate(timeout=60)
    assert (ui.returncode, out, errors) == (0, "The MLflow UI has ended.\n", "")
    assert processes_with(f"--port {port}") == []


def test_a_server_of_the_ui_that_cannot_start_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://ann:s3cret@127.0.0.1:9/runs")
    said = []
    with pytest.raises(UsageError, match="the MLflow server must start, but it ended: ") as caught:
        tracking.serve_ui(tmp_path, port=free_port(), say=said.append)
    assert "s3cret" not in str(caught.value)
    assert [sentence[:28] for sentence in said] == ["The MLflow UI is starting at"]


def log_to_a_server_that_hangs(address, port, folder, patch):
    said = []
    tracker = tracking.open_tracker(folder, say=said.append)
    spool = Spool(folder / "spool")
    spool.write(ParentRun(id="later", name="later"))
    spool.write(trial(0, "later"))
    assert tracker.catch_up(spool) == 0
    assert said == []
    servers = [int(path.parent.name) for path in processes_with(f"--port {port}")]
    assert len(servers) == 2  # MLflow's command and one worker
    patch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    for server in servers:
        os.kill(server, signal.SIGSTOP)
    try:
        spool.write(trial(1, "later"))
        assert tracker.catch_up(spool) == 1
    finally:
        for server in servers:
            os.kill(server, signal.SIGCONT)
    patch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    spool.write(ParentRun(id="later", name="later", status="FINISHED", description="done"))
    assert tracker.catch_up(spool) == 2  # silent for a while
    assert tracker.catch_up(spool, force=True) == 0
    start = f"tracking: {address} "
    assert [sentence.removeprefix(start)[:32] for sentence in said] == [
        "cannot be used (Read timed out);",
        "is back",
    ]
    return tracking.results("later")


def test_the_ui_of_a_server_is_the_servers(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ann:s3cret@127.0.0.1:9")
    shown = []
    tracking.serve_ui(tmp_path, say=shown.append)
    assert shown == [
        "The runs are on a tracking server: open http://ann:***@127.0.0.1:9 in a browser."
    ]


def test_credentials_stay_out_of_the_command(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://ann:s3cret@127.0.0.1/runs")
    assert "s3cret" not in " ".join(tracking.ui_command(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    command = tracking.ui_command(tmp_path, port=5001)
    assert (
        command[command.index("--backend-store-uri") + 1]
        == f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    )
    assert command[command.index("--host") + 1] == "127.0.0.1"


def test_going_on_for_one_more_trial_reads_no_run_of_the_others(root, tmp_path, monkeypatch):
    spool = Spool(tmp_path / "spool")
    spool.write(ParentRun(id="long", name="long"))
    for number in range(4):
        spool.write(trial(number, "long"))
    assert tracking.open_tracker(root).catch_up(spool) == 0
    tracker = tracking.open_tracker(root)
    found = []
    search_runs = tracker.client.search_runs

    def counting(*arguments, **options):
        page = search_runs(*arguments, **options)
        found.extend(run.info.run_name for run in page)
        return page

    monkeypatch.setattr(tracker.client, "search_runs", counting)
    spool.write(trial(4, "long"))
    assert tracker.catch_up(spool) == 0
    assert found == ["long"]


def test_of_many_more_trials_all_are_read_once(root, tmp_path, monkeypatch):
    monkeypatch.setattr("harness.tracking.run_index.SINGLE_LOOKUPS", 2)
    spool = Spool(tmp_path / "spool")
    spool.write(ParentRun(id="longer", name="longer"))
    spool.write(trial(0, "longer"))
    assert tracking.open_tracker(root).catch_up(spool) == 0
    tracker = tracking.open_tracker(root)
    calls = []
    search_runs = tracker.client.search_runs

    def counting(experiments, condition, *arguments, **options):
        calls.append(condition)
        return search_runs(experiments, condition, *arguments, **options)

    monkeypatch.setattr(tracker.client, "search_runs", counting)
    for number in range(1, 7):
        spool.write(trial(number, "longer"))
    assert tracker.catch_up(spool) == 0
    # The parent, two trials, and all of them.
    assert len(calls) == 4
    (parent,) = [each for each in tracking.parents(root) if each.name == "longer"]
    assert len(runs_of(root, parent.run_id)) == 7
