"""A new store: what is laid at once is what MLflow's migrations make, and nobody makes it twice."""

import contextlib
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from time import monotonic, sleep

import pytest

from harness import UsageError, tracking
from harness.storage import mlflow_db
from harness.storage.files import name_once
from harness.storage.records import ParentRun
from harness.tracking import connect, new_store
from harness.tracking.new_store import create, is_made, lay_tables, make_or_await, tables_in
from harness.tracking.sqlite_store import check_place, prepare_sqlite

# What any other program does that knows nothing of us.
OTHER = """
import sys
import mlflow
client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{sys.argv[1]}")
print(len(client.search_experiments()))
"""


def latest() -> str:
    connect.import_mlflow("sqlite:")
    return new_store.latest_schema()


def test_the_tables_are_those_of_the_migrations(tmp_path: Path) -> None:
    """Where this fails for a new MLflow, write `tables_in` of a store that it has made beside the
    other ones, under the name of its schema.
    """
    schema = latest()
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    assert lay_tables(tmp_path / "laid.db", schema)
    SqlAlchemyStore(f"sqlite:///{tmp_path}/laid.db", str(tmp_path / "artifacts")).engine.dispose()
    migrated = f"sqlite:///{tmp_path}/migrated.db"
    SqlAlchemyStore(migrated, str(tmp_path / "artifacts")).engine.dispose()
    # Constraints and indices come in the order of sets.
    laid, made = (
        sorted(line.rstrip(", ") for line in tables_in(tmp_path / f"{name}.db").splitlines())
        for name in ("laid", "migrated")
    )
    assert laid == made
    assert len(laid) > 500
    assert schema in mlflow_db.SCHEMAS


def test_a_schema_that_is_not_known_is_made_by_mlflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not lay_tables(tmp_path / "none.db", "another")
    assert not (tmp_path / "none.db").exists()
    monkeypatch.setattr(new_store, "TABLES", tmp_path)
    create(tmp_path / "mlflow.db", tmp_path / "artifacts")
    assert is_made(tmp_path / "mlflow.db")


@pytest.mark.slow
def test_a_program_that_makes_the_store_first_is_waited_for(tmp_path: Path) -> None:
    mlruns = tmp_path / "mlruns"
    mlruns.mkdir()
    file = mlruns / "mlflow.db"
    command = [sys.executable, "-c", OTHER, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        end = monotonic() + 60
        while not (file.exists() and file.stat().st_size) and monotonic() < end:
            sleep(0.005)
        run_id = tracking.open_tracker(tmp_path, say=pytest.fail).start(ParentRun(id="p", name="p"))
        assert run_id
        out, _ = other.communicate(timeout=60)
    assert other.returncode == 0
    assert int(out) >= 1
    assert [parent.name for parent in tracking.parents(tmp_path)] == ["p"]
    with contextlib.closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_store_that_was_left_half_made_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(new_store, "STILL_S", 0.2)
    (tmp_path / "mlruns").mkdir()
    file = tmp_path / "mlruns/mlflow.db"
    assert lay_tables(file, latest())
    with pytest.raises(UsageError, match="has left it half made; it has no runs, so end that") as e:
        tracking.open_tracker(tmp_path, say=pytest.fail)
    assert "\n" not in str(e.value)


def test_a_store_that_somebody_writes_holds_up_nobody(root: Path) -> None:
    file = root / "mlruns" / "mlflow.db"
    prepare_sqlite(file)
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        begun = monotonic()
        check_place(root)
        prepare_sqlite(file)
        # sqlite would wait for 20 s.
        assert monotonic() < begun + 10


def test_an_empty_file_is_no_store_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_store, "STILL_S", 0.2)
    latest()
    file = tmp_path / "mlflow.db"
    file.touch()
    make_or_await(file, tmp_path / "artifacts")
    assert is_made(file)
    # While it changes it is waited for, however long that takes.
    slow = tmp_path / "slow.db"

    def other() -> None:
        with contextlib.closing(sqlite3.connect(slow, isolation_level=None)) as connection:
            for k in range(6):
                connection.execute(f"CREATE TABLE t{k} (a)")
                sleep(0.1)
        with (
            contextlib.closing(sqlite3.connect(file)) as made,
            contextlib.closing(sqlite3.connect(slow)) as target,
        ):
            target.executescript("".join(f"DROP TABLE t{k};" for k in range(6)))
            made.backup(target)

    thread = threading.Thread(target=other)
    slow.touch()
    thread.start()
    make_or_await(slow, tmp_path / "artifacts")
    thread.join()
    assert is_made(slow)


def test_a_name_is_given_once(tmp_path: Path) -> None:
    for content in ("first", "second"):
        (tmp_path / "fresh").write_text(content)
        name_once(tmp_path / "fresh", tmp_path / "file")
        assert not (tmp_path / "fresh").exists()
    assert (tmp_path / "file").read_text() == "first"
