"""Runs that are read from the file of a store are those that MLflow finds, at a part of its cost."""

import contextlib
import json
import math
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from harness import tracking
from harness.errors import UsageError
from harness.storage import mlflow_db
from harness.storage.records import ParentRun, Point, RunStatus, TrialRun
from harness.storage.result import TrialResult, TrialState
from harness.storage.spool import Spool
from harness.tracking.health import check_store
from harness.tracking.reader import FileReader, Reader, browsing, reading

TRIALS = 5


def trial(number: int, value: float) -> TrialRun:
    start = 1_700_000_000_000 + 1000 * number
    return TrialRun(
        id=f"looked/{number}",
        name=f"#{number} r\N{LATIN SMALL LETTER E WITH ACUTE}gle",
        number=number,
        params={"rate": 0.1 * number, "a name/of its own?": "x", "config.seed": 0},
        tags={"mine": "yes", "harness.value": repr(value)},
        metrics=[Point("valid/accuracy", value, epoch, start + epoch) for epoch in (1, 2)],
        start_ms=start,
        end_ms=start + 500,
        result=TrialResult(state=TrialState.COMPLETE, value=value, values=[value]),
    )


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a sweep, of which one trial was deleted, a single run, and runs of others."""
    root = tmp_path_factory.mktemp("with runs #1")
    tracker = tracking.open_tracker(root)
    spool = Spool(root / "looked")
    spool.write(ParentRun(id="looked", name="looked", tags={"harness.direction": "maximize"}))
    for number in range(TRIALS):
        spool.write(trial(number, math.nan if number == 3 else 0.5 + number / 10))
    assert tracker.catch_up(spool) == 0
    single = Spool(root / "single")
    single.write(ParentRun(id="s", name="single", kind="run", status=RunStatus.FINISHED, end_ms=9))
    assert tracker.catch_up(single) == 0
    client = tracker.client
    client.create_run("0", tags={"of": "somebody else"})
    gone = client.create_experiment("gone")
    client.create_run(gone, tags={"harness.kind": "sweep", "harness.id": "gone"})
    client.delete_experiment(gone)
    (deleted,) = (
        run.run_id for run in tracking.known_runs(root) if run.tags.get("harness.number") == "4"
    )
    client.delete_run(deleted)
    return root


def test_a_file_tells_what_mlflow_tells(logged: Path) -> None:
    with browsing(logged) as fast, reading(logged) as slow:
        assert isinstance(fast, FileReader)
        assert isinstance(slow, Reader)
        parents = slow.parents()
        assert [run.name for run in parents] == ["single", "looked"]
        assert fast.parents() == parents
        run_id = parents[1].run_id
        ours = fast.children(run_id)
        mlflows = slow.children(run_id)
    assert [run.tags["harness.number"] for run in mlflows] == ["3", "2", "1", "0"]
    assert list(map(repr, ours)) == list(map(repr, mlflows))  # NaN is not equal to itself
    assert math.isnan(ours[0].metrics["valid/accuracy"])
    # The columns of a table come in this order.
    assert [list(run.params) for run in ours] == [list(run.params) for run in mlflows]


def test_results_are_shown_without_importing_mlflow(logged: Path) -> None:
    program = (
        "import json, sys, harness; from pathlib import Path; "
        "table = harness.results('looked', Path(sys.argv[1])); "
        "print(json.dumps([list(table['number']), 'mlflow' in sys.modules]))"
    )
    command = [sys.executable, "-c", program, str(logged)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[0, 1, 2, 3], False]


def test_runs_of_another_schema_are_read_by_mlflow(
    logged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_db, "SCHEMAS", frozenset({"that of another version"}))
    assert not mlflow_db.is_known(logged / "mlruns/mlflow.db")
    with browsing(logged) as reader:
        assert isinstance(reader, Reader)
        assert len(reader.children(reader.parents()[1].run_id)) == TRIALS - 1
    assert len(tracking.results("looked", logged)) == TRIALS - 1


def test_a_file_without_its_tables_is_one_sentence(tmp_path: Path, logged: Path) -> None:
    assert check_store(logged).problem == ""
    (tmp_path / "mlruns").mkdir()
    copy = tmp_path / "mlruns/mlflow.db"
    with (
        contextlib.closing(sqlite3.connect(logged / "mlruns/mlflow.db")) as source,
        contextlib.closing(sqlite3.connect(copy)) as target,
        target,
    ):
        source.backup(target)
        target.execute("DROP TABLE tags")
    with pytest.raises(UsageError, match=r"can be read, but: no such table: tags; `harness doctor"):
        tracking.parents(tmp_path)
