"""Damage to what is on disk: it is mended or named by the next command that reads it, and never
passes for a result.
"""

import contextlib
import json
import os
import shutil
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from siblings import quick
from stores import disconnect

from harness import tracking
from harness.builtin.layers import mlp
from harness.cli import main
from harness.config import Config
from harness.errors import UsageError
from harness.storage import formats
from harness.studies.books import folder_of
from harness.studies.result import Result
from harness.studies.sweep import Sweep
from harness.tracking import connect, reader
from harness.tracking.sqlite_store import prepare_sqlite


@pytest.fixture(autouse=True)
def own_root(root: Path) -> None:
    """Each test has a root of its own, since the doctor looks at all that is there."""


def space(trial: Any) -> Config:
    rate = trial.suggest_float("lr", 0.05, 1.0, log=True)
    return Config(
        data="mnist14(rows=1000)",
        layers=mlp([196, 8, 10]),
        update=f"sgd({rate})",
        epochs=2,
        film=None,
    )


def sweep(name: str, trials: int = 3, models: str = "none") -> Result:
    return Sweep(space, name, sampler="RandomSampler", trials=trials, models=models).run()


def harness(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(main, words)
    assert done.exit_code == code, done.output + repr(done.exception)
    assert "Traceback" not in done.output
    return done.output


def points_of(name: str) -> dict[str, Counter[tuple[str, int]]]:
    """How often each point of each trial of a sweep is in MLflow."""
    client = connect.client_for(tracking.store_uri())
    (parent,) = [each for each in tracking.parents() if each.name == name]
    condition = f"tags.\"mlflow.parentRunId\" = '{parent.run_id}'"
    counts: dict[str, Counter[tuple[str, int]]] = {}
    for run in reader.search(client, [parent.experiment_id], condition):
        number = run.data.tags["harness.number"]
        assert number not in counts
        histories = [client.get_metric_history(run.info.run_id, key) for key in run.data.metrics]
        counts[number] = Counter(
            (point.key, point.step) for history in histories for point in history
        )
    return counts


def records(folder: Path, kind: str = "trial") -> list[Path]:
    return sorted((folder / "spool").glob(f"*-{kind}-*/record.json"))


@pytest.mark.parametrize("how", quick(["empty", "torn", "another value"], ["torn"]))
def test_a_damaged_record_is_trained_again_and_in_mlflow_once(how: str) -> None:
    name = f"again {how}"
    ranked = [(t.number, t.result.values) for t in sweep(name).ranked]
    before = points_of(name)
    file = records(folder_of("sweep", name))[1]
    whole = file.read_bytes()
    value = json.loads(whole)["content"]["result"]["values"][0]
    changed = {
        "empty": b"",
        "torn": whole[:-30],
        "another value": whole.replace(f'"values": [{value}]'.encode(), b'"values": [0.94]'),
    }[how]
    assert changed != whole
    file.write_bytes(changed)
    with pytest.raises(UsageError, match=r"is damaged .*; `harness doctor` puts it aside"):
        sweep(name)
    assert "a trial's record is damaged" in harness("doctor")
    assert [(t.number, t.result.values) for t in sweep(name).ranked] == ranked
    assert points_of(name) == before
    assert set(before["0"].values()) == {1}
    assert harness("doctor").endswith("all is well\n")


@pytest.mark.parametrize(
    "content", quick([b"", b"\xff\xfe", b"run\nstore", b'{"run_id": 7}'], [b"\xff\xfe"])
)
def test_a_damaged_mark_makes_its_record_wait_again(content: bytes) -> None:
    name = f"mark {content!r}"
    sweep(name)
    before = points_of(name)
    folder = folder_of("sweep", name)
    mark = records(folder)[0].with_name("logged")
    mark.write_bytes(content)
    assert f"the mark {mark} is damaged; its record waits again" in harness("doctor")
    assert points_of(name) == before
    assert harness("doctor").endswith("all is well\n")
    mark.write_bytes(content)
    sweep(name)
    assert points_of(name) == before
    assert harness("doctor").endswith("all is well\n")


def digit_changed(line: bytes) -> bytes:
    value = json.loads(line)["param_value_internal"]
    return line.replace(str(value).encode(), str(value + 0.1).encode())


JOURNAL_DAMAGES = {
    "a number alone": lambda lines: [*lines[:2], b"7\n", *lines[2:]],
    "no operation": lambda lines: [*lines[:2], b"{}\n", *lines[2:]],
    "not UTF-8": lambda lines: [*lines[:2], b'{"op_code": 4, "worker_id": "\xff"}\n', *lines[2:]],
    "a line is lost": lambda lines: [*lines[:2], *lines[3:]],
    "a line is doubled": lambda lines: [*lines[:3], lines[2], *lines[3:]],
    "a parameter": lambda lines: [*lines[:2], digit_changed(lines[2]), *lines[3:]],
}


@pytest.mark.parametrize("how", quick(JOURNAL_DAMAGES, [*JOURNAL_DAMAGES][:1]))
def test_a_damaged_line_of_the_journal_is_named(how: str) -> None:
    name = f"journal {how}"
    sweep(name, 2)
    file = folder_of("sweep", name) / "journal.log"
    whole = file.read_bytes()
    file.write_bytes(b"".join(JOURNAL_DAMAGES[how](whole.splitlines(keepends=True))))
    with pytest.raises(
        UsageError,
        match=r"must be as it was written, but line \d+ of \d+ is "
        r"damaged",
    ):
        sweep(name, 3)
    assert "is damaged" in harness("doctor", code=1)
    file.write_bytes(whole)
    assert len(sweep(name, 3).trials) == 3


def test_others_may_append_to_the_journal_and_read_it() -> None:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    sweep("others", 2)
    file = folder_of("sweep", "others") / "journal.log"

    def study() -> Any:
        return optuna.load_study(
            study_name="others", storage=JournalStorage(JournalFileBackend(str(file)))
        )

    assert [len(trial.params) for trial in study().trials] == [1, 1]
    study().set_user_attr("note", "said by somebody else")
    assert len(sweep("others", 3).trials) == 3
    assert len(study().trials) == 3
    assert study().user_attrs == {"note": "said by somebody else"}
    assert harness("doctor").endswith("all is well\n")


def test_what_others_append_wrongly_is_one_sentence() -> None:
    sweep("wrong", 1)
    file = folder_of("sweep", "wrong") / "journal.log"
    whole = file.read_bytes()
    file.write_bytes(
        whole + b'{"op_code": 5, "worker_id": "x", "trial_id": 0}\n{"op_code": 99, '
        b'"worker_id": "x"}\n'
    )
    with pytest.raises(UsageError, match="must hold what Optuna writes"):
        sweep("wrong", 2)
    file.write_bytes(whole)


# MLflow's database --------------------------------------------------------------------------------


def database(statement: str, *values: Any) -> int:
    """Runs a statement in mlflow.db; how many rows it has changed."""
    with (
        contextlib.closing(sqlite3.connect(f"{os.environ['HARNESS_ROOT']}/mlruns/mlflow.db")) as db,
        db,
    ):
        return db.execute(statement, values).rowcount


def run_of(name: str, number: int = 1) -> Any:
    client = connect.client_for(tracking.store_uri())
    (parent,) = [each for each in tracking.parents() if each.name == name]
    condition = (
        f"tags.\"mlflow.parentRunId\" = '{parent.run_id}' AND tags.\"harness.number\" = '{number}'"
    )
    return next(reader.search(client, [parent.experiment_id], condition))


def content_of(name: str) -> Any:
    """All that MLflow has of a trial."""
    run = run_of(name)
    client = connect.client_for(tracking.store_uri())
    info = run.info
    histories = {key: client.get_metric_history(info.run_id, key) for key in run.data.metrics}
    points = {
        (p.key, p.value, p.timestamp, p.step) for history in histories.values() for p in history
    }
    data = run.data
    return (
        info.run_id,
        info.status,
        info.start_time,
        info.end_time,
        data.tags,
        data.params,
        data.metrics,
        points,
    )


CHANGES = {
    "metrics": (
        "UPDATE metrics SET value = 0.94 WHERE run_uuid = ? AND key = 'valid/accuracy'",
        "metric valid/accuracy",
    ),
    "latest": (
        "UPDATE latest_metrics SET value = 0.94 WHERE run_uuid = ? AND key = 'valid/loss'",
        "metric valid/loss at",
    ),
    "step": (
        "UPDATE metrics SET step = 7 WHERE run_uuid = ? AND key = 'valid/loss' AND step = 2",
        "metric valid/loss at",
    ),
    "doubled": (
        "INSERT INTO metrics SELECT key, value, timestamp + 1, run_uuid, step, is_nan FROM metrics "
        "WHERE run_uuid = ?",
        "metric ",
    ),
    "params": (
        "UPDATE params SET value = '0.9' WHERE run_uuid = ? AND key = 'lr'",
        "param lr is '0.9' in MLflow and",
    ),
    "status": (
        "UPDATE runs SET status = 'FAILED' WHERE run_uuid = ?",
        "status is 'FAILED' in MLflow and ",
    ),
    "start": ("UPDATE runs SET start_time = 5 WHERE run_uuid = ?", "start is 5"),
    "end": ("UPDATE runs SET end_time = 7 WHERE run_uuid = ?", "end is 7"),
    "state": (
        "UPDATE tags SET value = 'PRUNED' WHERE run_uuid = ? AND key = 'harness.state'",
        "tag harness.state is",
    ),
    "id": (
        "UPDATE tags SET value = 'x' WHERE run_uuid = ? AND key = 'harness.id'",
        "tag harness.id is",
    ),
    "files": (
        "UPDATE tags SET value = '{' WHERE run_uuid = ? AND key = 'harness.files'",
        "tag harness.files is",
    ),
}


@pytest.mark.parametrize("what", quick(CHANGES, [*CHANGES][:2]))
def test_what_differs_between_the_database_and_the_spool_is_mended(what: str) -> None:
    statement, said = CHANGES[what]
    name = "database"
    sweep(name)
    connect.client_for(tracking.store_uri()).set_tag(
        run_of(name).info.run_id, "mine", "somebody has added this"
    )
    before = content_of(name)
    assert database(statement, before[0]) > 0
    assert content_of(name) != before if what != "id" else run_of(name) is not None
    assert f"is not in MLflow as in its record: {said}" in harness("doctor", "--dry-run", code=1)
    assert f"is not in MLflow as in its record: {said}" in harness("doctor")
    assert content_of(name) == before
    assert harness("doctor").endswith("all is well\n")


def test_what_a_sweep_says_of_itself_is_compared_too() -> None:
    sweep("of itself", 2)
    sweep("of itself", 3)
    (parent,) = [each for each in tracking.parents() if each.name == "of itself"]
    client = connect.client_for(tracking.store_uri())

    def values() -> list[tuple[int, float]]:
        return sorted(
            (p.step, p.value) for p in client.get_metric_history(parent.run_id, "best/accuracy")
        )

    before = values()
    changed = (
        "UPDATE metrics SET value = 0.99 WHERE run_uuid = ? AND key = 'best/accuracy' AND step = 3"
    )
    assert database(changed, parent.run_id) == 1
    assert (
        "'of itself' is not in MLflow as in its record: metric best/accuracy at step 3"
        in harness("doctor")
    )
    assert values() == before
    assert harness("doctor").endswith("all is well\n")


# Artifacts ----------------------------------------------------------------------------------------


def flip(file: Path, bit: int) -> None:
    data = bytearray(file.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    file.write_bytes(data)


@pytest.mark.parametrize("artifact", ["config.json", "environment.json"])
def test_a_damaged_artifact_is_named_by_verify_and_doctor(artifact: str) -> None:
    name = f"artifact {artifact}"
    sweep(name, 2)
    file = Path(run_of(name).info.artifact_uri) / artifact
    owner = "'#1 lr="
    if artifact == "environment.json":
        (parent,) = [run for run in tracking.parents() if run.name == name]
        file = file.parents[2] / parent.run_id / "artifacts" / artifact
        owner = repr(name)
    flip(file, 100)
    said = harness("verify", f"{name}#1", code=2)
    assert f"{artifact} of {owner}" in said
    assert "must be as it was written, but it is damaged" in said
    assert f"{artifact} is damaged; restore that from a copy" in harness("doctor", code=1)
    flip(file, 100)
    assert harness("verify", f"{name}#1").splitlines()[-1].startswith("identical")
    assert harness("doctor").endswith("all is well\n")


def test_a_damaged_artifact_that_waits_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        sweep("waits", 2)
    folder = folder_of("sweep", "waits")
    flip(records(folder)[1].parent / "files" / "config.json", 100)
    assert "config.json of '#1 lr=" in harness("sync", code=1)
    assert "config.json below" in harness("doctor")
    assert len(sweep("waits", 2).trials) == 2
    assert harness("verify", "waits#1").splitlines()[-1].startswith("identical")
    assert harness("doctor").endswith("all is well\n")


# A moved project ----------------------------------------------------------------------------------


def files(root: Path) -> list[Path]:
    """The files below a root; sqlite's own come and go."""
    return sorted(
        path.relative_to(root)
        for path in root.rglob("*")
        if path.is_file() and "mlflow.db" not in path.name
    )


@pytest.mark.parametrize(
    ("first", "how"),
    quick(
        [(first, how) for first in ("sweep", "verify", "doctor") for how in ("moved", "copied")],
        [("doctor", "copied")],
    ),
)
def test_a_moved_project_takes_its_artifacts_along(
    first: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "a_%old"
    new = tmp_path / "elsewhere" / "new"
    new.parent.mkdir()
    monkeypatch.setenv("HARNESS_ROOT", str(old))
    sweep("moved", 2, models="best")
    before = files(old)
    disconnect()
    (shutil.move if how == "moved" else shutil.copytree)(old, new)
    monkeypatch.setenv("HARNESS_ROOT", str(new))
    if first == "verify":
        assert harness("verify", "moved#1").splitlines()[-1].startswith("identical")
    if first == "doctor":
        said = harness("doctor")
        assert (
            f"the store looked for its artifacts in {old}/mlruns/artifacts; they are beside it"
            in said
        )
        assert "which was not looked at" not in said
    sweep("moved", 3, models="best")
    assert how == "copied" or not list(old.rglob("*"))
    if how == "copied":
        assert files(old) == before
    for number in range(3):
        assert Path(run_of("moved", number).info.artifact_uri, "config.json").is_relative_to(new)
        assert Path(run_of("moved", number).info.artifact_uri, "config.json").is_file()
    assert harness("verify", "moved#1").splitlines()[-1].startswith("identical")
    assert harness("doctor").endswith("all is well\n")
    disconnect()


def test_artifacts_that_somebody_keeps_elsewhere_stay_there(tmp_path: Path) -> None:
    from harness.storage import mlflow_db

    prepare_sqlite(tmp_path / "big" / "mlflow.db")
    (tmp_path / "big/artifacts").mkdir(exist_ok=True)
    (tmp_path / "small").mkdir()
    shutil.copy(tmp_path / "big/mlflow.db", tmp_path / "small/mlflow.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "small/mlflow.db")) as db, db:
        row = ("0" * 32, f"{tmp_path}/big/artifacts/{'0' * 32}/artifacts", "active", "FINISHED", 0)
        db.execute(
            "INSERT INTO runs (run_uuid, artifact_uri, lifecycle_stage, status, experiment_id) "
            "VALUES (?,?,?,?,?)",
            row,
        )
    assert mlflow_db.moved_from(tmp_path / "small/mlflow.db", tmp_path / "small/artifacts") == ""


# Versions -----------------------------------------------------------------------------------------


def test_what_was_written_before_formats_had_versions_is_refused_in_one_sentence() -> None:
    sweep("before", 1)
    folder = folder_of("sweep", "before")
    copies = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for path in records(folder, "*"):
        path.write_text(json.dumps(json.loads(path.read_bytes())["content"]))
    with pytest.raises(
        UsageError, match="must have the format 'record' in version 2, but has none"
    ):
        sweep("before", 2)
    assert "must have the format 'record' in version 2" in harness("doctor", code=1)
    for path, content in copies.items():
        path.write_bytes(content)
    log = folder / "journal.log"
    lines = [json.loads(line) for line in log.read_bytes().splitlines()]
    log.write_text(
        "".join(
            json.dumps({k: v for k, v in line.items() if k != "harness"}) + "\n" for line in lines
        )
    )
    with pytest.raises(
        UsageError, match="must have the format 'journal' in version 1, but no line has one"
    ):
        sweep("before", 2)
    log.write_bytes(copies[log])
    assert len(sweep("before", 2).trials) == 2


def test_versions_go_forward_by_steps_and_others_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = formats.seal("mark", {"run_id": "r"})
    steps = {
        1: lambda content: {**content, "store": "s"},
        2: lambda content: {**content, "more": 1},
    }
    monkeypatch.setitem(
        formats.FORMATS, "mark", formats.FORMATS["mark"]._replace(version=3, steps=steps)
    )
    assert formats.unseal("mark", first, "m") == {"run_id": "r", "store": "s", "more": 1}
    third = formats.seal("mark", {})
    monkeypatch.setitem(
        formats.FORMATS, "mark", formats.FORMATS["mark"]._replace(version=2, steps={})
    )
    for data, version in ((first, 1), (third, 3)):
        with pytest.raises(
            formats.OtherVersion, match=f"'mark' in version 2, but is of version {version}"
        ):
            formats.unseal("mark", data, "m")


def test_the_documented_formats_are_those_of_the_code() -> None:
    text = (Path(__file__).parents[2] / "docs/servers.md").read_text(encoding="utf-8")
    for name, form in formats.FORMATS.items():
        assert f"| `{name}` | `{form.where}` | {form.about} |" in text
        assert form.version == 1 or f"`{name}` is in version {form.version}" in text
