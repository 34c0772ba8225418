"""A sqlite file that is written without MLflow has the rows that MLflow itself would write."""

import contextlib
import json
import math
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml
from click.testing import CliRunner
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from harness import tracking
from harness.cli import main
from harness.storage.bundle import unpack
from harness.storage.live import LiveTrial, LiveTrials, live_folder
from harness.storage.mlflow_db import SCHEMAS, StoredPoint, schema_of
from harness.storage.mlflow_rows import Refusal
from harness.storage.networks import FORMAT
from harness.storage.records import DataInput, ParentRun, Point, RunStatus, TrialRun
from harness.storage.spool import Spool
from harness.tracking import known_mlflow, model_folder, plain_entities
from harness.tracking.entities import condition_of_id, condition_of_parent
from harness.tracking.known_mlflow import comes_last, entities_of, is_local, is_plain, known_schema
from harness.tracking.local_client import LocalClient
from harness.tracking.model import log_model
from harness.tracking.new_store import let_mlflow_make
from harness.tracking.sqlite_store import prepare_sqlite

# What is another each time, by its column: clocks of the machine.
CLOCKS = (
    "creation_time",
    "last_update_time",
    "creation_timestamp_ms",
    "last_updated_timestamp_ms",
    "deleted_time",
)


@pytest.fixture
def by_mlflow(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets everything from now on be written by MLflow's own client."""
    return lambda: monkeypatch.setattr(known_mlflow, "SCHEMAS", {})


def rows_of(root: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables, without what is another each time; ids are named by what they are."""
    with contextlib.closing(sqlite3.connect(root / "mlruns/mlflow.db")) as connection:
        names: dict[str, str] = {str(root): "ROOT"}
        for id, name in connection.execute("SELECT run_uuid, name FROM runs"):
            names[id] = f"run {name}"
        for id, name, digest in connection.execute(
            "SELECT dataset_uuid, name, digest FROM datasets"
        ):
            names[id] = f"data {name} {digest}"
        for id, run in connection.execute("SELECT model_id, source_run_id FROM logged_models"):
            names[id] = f"model of {names[run]}"
        for id, source, target in connection.execute(
            "SELECT input_uuid, source_id, destination_id FROM inputs"
        ):
            names[id] = f"input {names[source]} {names[target]}"
        tables = [
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        return {table: sorted(_rows(connection, table, names), key=repr) for table in tables}


def _rows(
    connection: sqlite3.Connection, table: str, names: dict[str, str]
) -> list[tuple[Any, ...]]:
    cursor = connection.execute(f"SELECT * FROM {table}")
    columns = [column for column, *_ in cursor.description]

    def plain(column: str, value: Any) -> Any:
        if column in CLOCKS:
            return type(value)
        if not isinstance(value, str):
            return (type(value), value)
        # A view has the time when it was saved, and its state is packed.
        if value.startswith('{"name"') and "createdAt" in value:
            return "a view"
        for id, name in names.items():
            value = value.replace(id, name)
        return value

    return [
        tuple(plain(column, value) for column, value in zip(columns, row, strict=True))
        for row in cursor
    ]


# Whole sweeps -------------------------------------------------------------------------------------

DATA = [
    DataInput("pets", "1234", '{"tags": {}}', '{"a": 1}', '{"rows": 3}', "training"),
    DataInput("pets", "5678", '{"tags": {}}', "", '{"rows": 2}', "validation"),
]


def trial_of(number: int, **fields: Any) -> TrialRun:
    points = [Point("train/loss", 1 / (step + 1), step, 1000 + step) for step in range(4)]
    points += [
        Point("valid/loss", [2.0, math.nan, 0.5, math.inf][step], step, 7) for step in range(4)
    ]
    given: dict[str, Any] = {
        "params": {"rate": 0.1 * number, "a b(c)/": "odd", "text": "x" * 7000, "empty": ""},
        "metrics": points,
        "artifacts": {"films/weights.mp4": b"film", "config.json": b"{}"},
        "tags": {"harness.state": "COMPLETE", "note": "y" * 9000},
        "start_ms": 1000 + number,
        "end_ms": 2000 + number,
        "inputs": DATA,
        "description": "how *it* went",
    }
    return TrialRun(id=f"s/{number}", name=f"#{number} it's", number=number, **{**given, **fields})


def write_all(root: Path) -> None:
    """A sweep with trials of all kinds, one of which was in training when its driver died."""
    folder = root / "mlruns/sweeps/s"
    spool = Spool(folder / "spool")
    tracker = tracking.open_tracker(root, say=pytest.fail)
    parent = {"id": "s", "name": "s 'of' all", "kind": "sweep", "start_ms": 5, "inputs": DATA}
    spool.write(ParentRun(**parent, params={"trials": 3}, artifacts={"plugins/a.py": b"a = 1"}))
    spool.write(trial_of(0))
    many = [Point(f"m{k % 3}", float(k % 7), k // 5, k % 11) for k in range(2000)]
    spool.write(trial_of(1, metrics=many, params={f"p{k}": k for k in range(250)}, inputs=[]))
    spool.write(trial_of(2, status=RunStatus.FAILED, metrics=[], artifacts={}))
    live = LiveTrials(live_folder(folder))
    begun = LiveTrial(3, "s/3", "#3 it's", {"rate": 1}, {"harness.state": "RUNNING"}, 1003)
    live.extend(begun, [Point("train/loss", 1.0, 0, 1000), Point("train/loss", 0.5, 1, 1001)])
    other = replace(begun, number=4, id="s/4", name="#4 it's", start_ms=1004)
    live.extend(other, [Point("train/loss", 0.75, 0, 1000)])
    assert tracker.catch_up(spool) == 0
    # The driver has died, and its sweep goes on with another one.
    spool.write(ParentRun(**parent, params={"trials": 3}, status=RunStatus.KILLED, end_ms=8))
    assert tracker.catch_up(spool) == 0
    tracker = tracking.open_tracker(root, say=pytest.fail)
    spool.write(ParentRun(**parent, params={"trials": 4, "more": 1}))
    live.extend(begun, [Point("train/loss", 1 / 3, 2, 1002)])
    assert tracker.catch_up(spool) == 0
    spool.write(trial_of(3, params={"rate": 1, "late": 2}, inputs=DATA[:1]))
    # This one has taken another course.
    spool.write(trial_of(4))
    assert tracker.catch_up(spool) == 0
    best = [Point("best/loss", 1 / (k + 1), k, 9) for k in range(3)]
    spool.write(
        ParentRun(
            **parent,
            params={"trials": 4},
            metrics=best,
            status=RunStatus.FINISHED,
            end_ms=9,
            description="**#0** won",
            artifacts={"table.csv": b"a,b"},
        )
    )
    assert tracker.catch_up(spool) == 0
    assert is_plain(tracker.client) == bool(known_schema())


def test_a_sweep_has_the_rows_that_mlflow_would_write(
    tmp_path: Path, by_mlflow: Callable[[], None]
) -> None:
    for name in ("plain", "mlflow"):
        root = tmp_path / name
        root.mkdir()
        write_all(root)
        by_mlflow()
    plain = rows_of(tmp_path / "plain")
    theirs = rows_of(tmp_path / "mlflow")
    assert {table for table, rows in theirs.items() if len(rows) > 1} >= {
        *("experiments", "runs", "params", "metrics", "latest_metrics", "tags", "datasets"),
        *("inputs", "input_tags"),
    }
    assert len(theirs["experiment_tags"]) == 1
    stages = {"active": 6, "deleted": 1}
    assert Counter(stage for row in theirs["runs"] for stage in stages if stage in row) == stages
    assert len(theirs["metrics"]) > 2000
    for table, rows in theirs.items():
        assert plain[table] == rows, table


def test_the_writer_of_a_sweep_never_imports_mlflow(tmp_path: Path) -> None:
    """Its import takes more of the processor than the records of a hundred small trials."""
    folder = tmp_path / "mlruns/sweeps/s"
    spool = Spool(folder / "spool")
    spool.write(ParentRun(id="s", name="s", kind="sweep", inputs=DATA))
    for number in range(3):
        spool.write(trial_of(number))
    script = (
        "import sys; from pathlib import Path; "
        "from harness.tracking.sweep_writer import SweepWriter; "
        "writer = SweepWriter(Path(sys.argv[1]), 'harness', print); "
        "assert writer.turn(lambda: False) == 0; "
        "writer.finish(lambda: False); "
        "print([name for name in ('mlflow', 'sqlalchemy', 'alembic', 'pandas', 'flask') "
        "if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
    assert [run.name for run in tracking.parents(tmp_path)] == ["s"]


# Single calls -------------------------------------------------------------------------------------


@pytest.fixture
def clients(tmp_path: Path) -> list[Any]:
    """One client that writes without MLflow, and MLflow's own; each has a store of its own."""
    made: list[Any] = []
    for make in (LocalClient, MlflowClient):
        file = tmp_path / f"{make.__name__}.db"
        prepare_sqlite(file)
        client = make(f"sqlite:///{file}")
        client.create_experiment("e", artifact_location=str(tmp_path / "artifacts"))
        made.append(client)
    return made


def both(clients: list[Any], call: Callable[[Any], Any]) -> list[Any]:
    """What a call comes to with each of the clients: a result, or a refusal."""
    outcomes = []
    for client in clients:
        try:
            outcomes.append(call(client))
        except (Refusal, MlflowException) as error:
            outcomes.append((error.error_code, error.get_http_status_code()))
    return outcomes


def new_run(client: Any, name: str = "r", **tags: str) -> str:
    experiment = client.get_experiment_by_name("e")
    run = client.create_run(experiment.experiment_id, 77, {"harness.id": name, **tags}, name)
    assert run.info.artifact_uri == f"{experiment.artifact_location}/{run.info.run_id}/artifacts"
    return str(run.info.run_id)


def test_the_last_point_is_the_one_that_mlflow_takes(clients: list[Any]) -> None:
    batches = [
        [("m", 1.0, 5, 2), ("m", 3.0, 5, 2), ("m", 2.0, 5, 2), ("n", math.nan, 1, 1)],
        [("m", 9.0, 4, 2), ("n", -1.0, 1, 1), ("m", 3.0, 5, 2)],
        [("n", math.nan, 1, 1), ("n", 4.0, 9, 0), ("k", -0.5, 1, -3)],
        [("m", 0.0, 6, 2), ("k", math.nan, 1, -3)],
    ]

    def last(client: Any) -> dict[str, float]:
        run_id = new_run(client)
        entities = entities_of(client)
        for batch in batches:
            client.log_batch(run_id, metrics=[entities.Metric(*point) for point in batch])
        metrics = client.get_run(run_id).data.metrics
        (run,) = client.search_runs(["1"], condition_of_id("r"))
        assert repr(run.data.metrics) == repr(metrics)
        return {key: repr(value) for key, value in metrics.items()}

    plain, theirs = both(clients, last)
    assert plain == theirs
    assert plain["m"] == "0.0"


def test_what_mlflow_refuses_is_refused(clients: list[Any]) -> None:
    def change_param(client: Any) -> None:
        run_id = new_run(client, "changed")
        for text in ("1", "2"):
            client.log_batch(run_id, params=[entities_of(client).Param("a", text)])

    def write_to_deleted(client: Any) -> None:
        run_id = new_run(client, "deleted")
        client.delete_run(run_id)
        client.set_terminated(run_id, "FINISHED", 5)

    def write_to_deleted_experiment(client: Any) -> None:
        client.delete_experiment("1")
        new_run(client, "late")

    def outgrow(client: Any) -> None:
        client.set_experiment_tag("1", "key", "x" * 20_001)

    calls: list[Callable[[Any], Any]] = [
        change_param,
        write_to_deleted,
        lambda client: client.set_tag("0" * 32, "a", "b"),
        lambda client: client.get_run("0" * 32),
        lambda client: client.delete_tag(new_run(client, "bare"), "none"),
        lambda client: client.create_run("99", 1, {}, "nowhere"),
        outgrow,
        write_to_deleted_experiment,
    ]
    for call in calls:
        plain, theirs = both(clients, call)
        assert isinstance(plain, tuple)
        assert plain == theirs
    # A Refusal has MLflow's words.
    with pytest.raises(Refusal, match="must be in the 'active' state"):
        clients[0].create_run("1", 1, {}, "late")


def test_searching_finds_what_mlflow_finds(clients: list[Any]) -> None:
    ids = ['it\'s "so" 100%_\\ü', "its  so  100%__u", "AND tags.x = '1' AND", "plain", "PLAIN"]

    def found(client: Any) -> list[list[str]]:
        parent = new_run(client, "parent")
        for id in ids:
            new_run(client, id, **{"mlflow.parentRunId": parent, "harness.stop": "yes"})
        client.set_terminated(new_run(client, "ended", **{"harness.stop": "no"}), "FINISHED", 5)
        running = "attributes.status = 'RUNNING' AND tags.\"harness.stop\" LIKE '%'"
        conditions = [
            *map(condition_of_id, ids),
            condition_of_parent(parent),
            f"{running} AND {condition_of_parent(parent)}",
            f"{running} AND attributes.run_id = '{parent}'",
            running,
            "",
        ]
        pages = [client.search_runs(["1"], condition) for condition in conditions]
        return [sorted(run.info.run_name for run in page) for page in pages]

    plain, theirs = both(clients, found)
    assert plain == theirs
    assert plain[0] == sorted(ids[:1])
    assert [len(names) for names in plain[5:]] == [5, 5, 0, 5, 7]


def test_deleted_runs_are_found_and_restored(clients: list[Any]) -> None:
    def ask(client: Any) -> Any:
        run_ids = [new_run(client, name) for name in ("a", "b", "a")]
        client.delete_run(run_ids[0])
        deleted = client.search_runs(["1"], condition_of_id("a"), 2)
        assert [run.info.run_id for run in deleted] == run_ids[:1]
        client.restore_run(run_ids[0])
        assert client.search_runs(["1"], condition_of_id("a"), 2) == []
        return len(client.search_runs(["1"], condition_of_id("a")))

    assert both(clients, ask) == [2, 2]


def test_an_experiment_has_its_tags(clients: list[Any]) -> None:
    def ask(client: Any) -> Any:
        client.set_experiment_tag("1", "a", "b")
        client.set_experiment_tag("1", "a", "c")
        experiment = client.get_experiment("1")
        assert client.get_experiment_by_name("e").tags == experiment.tags
        return experiment.name, experiment.lifecycle_stage, experiment.tags

    assert both(clients, ask) == [("e", "active", {"a": "c"})] * 2
    plain, theirs = both(clients, lambda client: client.get_experiment("7"))
    assert plain == theirs == ("RESOURCE_DOES_NOT_EXIST", 404)


def test_what_is_not_known_here_is_asked_of_mlflow(clients: list[Any]) -> None:
    def ask(client: Any) -> Any:
        run_id = new_run(client)
        client.log_batch(run_id, metrics=[entities_of(client).Metric("m", 0.5, 1, 2)])
        (point,) = client.get_metric_history(run_id, "m")
        page = client.search_runs(["1"], "metrics.m > 0.1", order_by=["metrics.m DESC"])
        return (point.value, point.step, [run.info.run_name for run in page])

    assert both(clients, ask) == [(0.5, 2, ["r"])] * 2


def test_calls_together_are_written_all_or_none(clients: list[Any]) -> None:
    client = clients[0]

    def count() -> int:
        return len(client.search_runs(["1"]))

    def half() -> None:
        with client.together():
            client.log_batch(new_run(client), params=[plain_entities.Param("a", "1")])
            assert count() == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half()
    assert count() == 0
    with client.together():
        new_run(client)
        with contextlib.closing(sqlite3.connect(client.tracking_uri[10:])) as other:
            assert other.execute("SELECT count(*) FROM runs").fetchone() == (0,)
    assert count() == 1
    # A number that sqlite cannot hold is refused, and what comes next is written.
    with pytest.raises(Refusal):
        client.log_batch(new_run(client), metrics=[StoredPoint("m", 1.0, 2**70, 0)])
    client.set_tag(new_run(client), "mlflow.runName", "renamed")
    assert [run.info.run_name for run in client.search_runs(["1"])].count("renamed") == 1


# Where it is used ---------------------------------------------------------------------------------


def test_a_store_is_local_where_its_rows_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mlflow.db"
    uri = f"sqlite:///{file}"
    assert is_local(uri)
    prepare_sqlite(file)
    assert is_local(uri)
    assert known_schema() == schema_of(file)
    assert known_schema() in SCHEMAS
    assert not is_local("http://127.0.0.1:5000")
    assert not is_local("postgresql://host/base")
    with monkeypatch.context() as patch:
        patch.setattr(known_mlflow, "mlflow_version", lambda: "3.18.0")
        assert not is_local(uri)
        tracker = tracking.Tracker(uri, "p", str(tmp_path), pytest.fail)
        assert isinstance(tracker.experiment.client, type(None))
        tracker.connect()
        assert isinstance(tracker.client, MlflowClient)
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_ENABLE_WORKSPACES", "true")
        assert not is_local(uri)
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'another'")
    assert not is_local(uri)
    file.write_bytes(b"no database")
    assert not is_local(uri)


def test_a_schema_is_known_where_nothing_comes_after_it(tmp_path: Path) -> None:
    (tmp_path / "a_first.py").write_text('revision = "aaa"\ndown_revision = None\n')
    assert comes_last("aaa", tmp_path)
    assert not comes_last("bbb", tmp_path)
    (tmp_path / "b_next.py").write_text('revision = "bbb"\ndown_revision = "aaa"\n')
    comes_last.cache_clear()
    assert not comes_last("aaa", tmp_path)
    assert comes_last("bbb", tmp_path)
    assert not comes_last("bbb", tmp_path / "nowhere")


def test_a_new_store_is_the_one_that_mlflow_makes(tmp_path: Path) -> None:
    for name in ("plain", "theirs"):
        (tmp_path / name / "mlruns").mkdir(parents=True)
    plain = tmp_path / "plain/mlruns"
    prepare_sqlite(plain / "mlflow.db")
    theirs = tmp_path / "theirs/mlruns"
    let_mlflow_make(theirs / "mlflow.db", theirs / "artifacts")
    assert known_schema() == schema_of(theirs / "mlflow.db")
    rows = rows_of(tmp_path / "theirs")
    assert len(rows["experiments"]) == 1
    assert rows_of(tmp_path / "plain") == rows


# Models -------------------------------------------------------------------------------------------


def place_of(root: Path) -> Path:
    """The folder of the one model below a root."""
    (place,) = (root / "mlruns/artifacts/models").glob("*/artifacts")
    return place


def files_of(root: Path) -> dict[str, Any]:
    """The files of the one model below a root, without what is another each time."""
    place = place_of(root)
    files: dict[str, Any] = {}
    for path in sorted(path for path in place.rglob("*") if path.is_file()):
        content: Any = path.read_bytes()
        if path.name == "MLmodel":
            content = yaml.safe_load(content)
        files[path.relative_to(place).as_posix()] = content
    model = files["MLmodel"]
    for key in ("inputs", "outputs"):
        model["signature"][key] = json.loads(model["signature"][key])
    flavor = model["flavors"]["python_function"]
    flavor["model_code_path"] = Path(flavor["model_code_path"]).name
    for artifact in flavor["artifacts"].values():
        artifact["uri"] = Path(artifact["uri"]).name
    assert re.fullmatch(r"m-[0-9a-f]{32}", model["model_id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+", model.pop("utc_time_created"))
    assert model.pop("artifact_path") == str(place)
    assert model.pop("model_uuid") == model.pop("model_id")
    model.pop("run_id")
    return files


def network_of(root: Path, how: str) -> tuple[bytes, dict[str, Any]]:
    """The file of a network of rows without names, or of a table, and the JSON in it."""
    rows = ",4,red,cat\n0.5,2,green,dog\n1.25,4,red,cat\n2.5,,green,dog\n"
    (root / "pets.csv").write_text("size,legs,color,kind\n" + rows * 9)
    table = ("--data", str(root / "pets.csv"), "--label", "kind", "--missing", "mean")
    arguments = {
        "table": (*table, "--sizes", "6-3-2"),
        "rows": ("--data", "mnist14(rows=300)", "--sizes", "196-4-10"),
    }[how]
    done = CliRunner().invoke(main, ["run", *arguments, "--epochs", "1", "--film", "none"])
    assert done.exit_code == 0, done.output
    (path,) = (root / "mlruns/artifacts/models").glob("*/artifacts/artifacts/network.npz")
    data = path.read_bytes()
    about, _ = unpack(FORMAT, data, path)
    return data, about


@pytest.mark.parametrize("how", ["rows", "table"])
def test_a_model_is_what_mlflow_would_save(
    how: str, root: Path, by_mlflow: Callable[[], None]
) -> None:
    data, about = network_of(root, how)
    about["sources"] = {"odd.py": "odd = 1\n"}
    for name in ("plain", "mlflow"):
        home = root / name
        tracker = tracking.open_tracker(home, say=pytest.fail)
        run_id = tracker.start(ParentRun(id="p", name="p", start_ms=5))
        model_id = log_model(tracker.client, str(run_id), data, about)
        # What is there is not sent again.
        assert log_model(tracker.client, str(run_id), data, about) == model_id
        by_mlflow()
    assert rows_of(root / "plain") == rows_of(root / "mlflow")
    plain = files_of(root / "plain")
    theirs = files_of(root / "mlflow")
    assert sorted(plain) == sorted(theirs)
    assert len(plain) == 9
    for name, content in theirs.items():
        assert repr(plain[name]) == repr(content), name
    example = mlflow.models.Model.load(str(place_of(root / "plain"))).load_input_example()
    wanted = model_folder.example_of(about)
    assert repr(example) == repr(wanted)


def test_a_model_that_is_half_there_is_made_again(root: Path) -> None:
    data, about = network_of(root, "rows")
    tracker = tracking.open_tracker(root / "again", say=pytest.fail)
    run_id = str(tracker.start(ParentRun(id="p", name="p", start_ms=5)))
    half = tracker.client.create_logged_model(
        tracker.experiment.open(), "model", run_id, {"harness.network": about["digest"]}
    )
    assert half.status == "PENDING"
    model_id = log_model(tracker.client, run_id, data, about)
    assert model_id != half.model_id
    (model,) = tracker.client.search_logged_models(["1"], filter_string="name = 'model'")
    assert (model.model_id, model.status) == (model_id, "READY")
    (theirs,) = MlflowClient(tracker.client.tracking_uri).search_logged_models(["1"])
    assert (theirs.model_id, str(theirs.status)) == (model_id, "READY")
