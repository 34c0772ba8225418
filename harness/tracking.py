"""MLflow: the only place that imports it, through MlflowClient and explicit run ids.

A driver writes each record to its spool and calls `Tracker.catch_up(spool)`. A server that cannot be reached costs one
message: what could not be logged stays pending in the spool and is logged, each point once, when the server is back.
MLflow takes about two seconds to import, so that happens inside functions.
"""

import contextlib
import difflib
import getpass
import hashlib
import json
import logging
import math
import os
import posixpath
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.errors import UsageError
from harness.escapes import printable
from harness.spool import ParentRun, Run, Spool, TrialRun, changed_files, find_root, mask, now_ms
from harness.storage import files as disk
from harness.storage import mlflow_db
from harness.storage.files import file_lock
from harness.storage.formats import FORMATS, sha256, upgraded
from harness.storage.paths import safe_path

if TYPE_CHECKING:
    import pandas

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # The spool retries. MLflow's own retries could create a run twice, and block a driver for minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
_LONGEST_PARAM, _LONGEST_TAG = 5900, 7900  # characters; MLflow cuts at 6000 and 8000
_NAME_OF = "harness.param."  # tags that hold the name of a param whose key is another, by the end of that key


def _import_mlflow(uri: str) -> Any:
    """mlflow and what it needs for `uri`, with its telemetry off and its chatter quiet, whatever MLFLOW_RUN_ID says."""
    os.environ.pop("MLFLOW_RUN_ID", None)  # it would take the place of the run ids that we pass
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # MLflow's own, while its tables are declared
        import mlflow

        if not _is_server(uri):
            import mlflow.store.db.utils
            import mlflow.store.tracking.sqlalchemy_store

            mlflow.store.db.utils.MAX_RETRY_COUNT = 1  # ten would block a driver for 100 s if a database is down
    if "MLFLOW_LOGGING_LEVEL" not in os.environ:  # our own messages say what went wrong, in one sentence
        for name in ("mlflow", "alembic", "urllib3.connectionpool"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    return mlflow


def _failures() -> tuple[type[Exception], ...]:
    """What MLflow raises when a store or a server does not do what it is asked."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, SQLAlchemyError, OSError


def escape_markdown(text: object) -> str:
    """Text as it is, for a place where Markdown is read: no formatting, no link, no HTML, one line."""
    line = printable(" ".join(str(text).split()))
    line = re.sub(r"([\\`*_{}\[\]()#+\-.!|~$])", r"\\\1", line)
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def markdown_table(rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table of plain text, its heads first; with room behind each cell, since MLflow sets them without."""
    table = [[f"{escape_markdown(cell)}&nbsp;&nbsp;" for cell in row] for row in rows]
    lines = [f"| {' | '.join(cells)} |" for cells in table]
    return "\n".join([lines[0], "|" + "---|" * len(table[0]), *lines[1:]])


# --- the store ---------------------------------------------------------------------------------------------------


def store_uri(root: Path | None = None) -> str:
    """MLFLOW_TRACKING_URI if it is set, else the sqlite file below `root`. It may hold credentials: `mask` it."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{_folder(root)}/mlflow.db"
    if ("://" not in uri and not uri.startswith("databricks")) or uri.startswith("file:"):
        raise UsageError(
            f"MLFLOW_TRACKING_URI must be a server or a database, but it is the folder {uri}, where MLflow 3 keeps no "
            "runs; use http://HOST:PORT or sqlite:////PATH/mlflow.db, or unset it"
        )
    file = _sqlite_file(uri)
    return f"sqlite:///{file}" if file else uri


def place(root: Path | None = None) -> str:
    """The store in words, without credentials."""
    return mask(store_uri(root))


_BESIDE = "mlruns/mlflow.db"


def mark(root: Path | None = None) -> str:
    """What spools remember of where their records are: a store beside them by a name that it keeps when it moves."""
    uri = store_uri(root)
    return _BESIDE if _sqlite_file(uri) == _folder(root) / "mlflow.db" else mask(uri)


def place_of(mark: str, root: Path | None = None) -> str:
    """The store that a mark means, in words."""
    return f"sqlite:///{_folder(root)}/mlflow.db" if mark == _BESIDE else mark


def artifacts_folder(root: Path | None = None) -> Path | None:
    """The local folder of artifacts, one folder a run; None where a server has them."""
    uri = store_uri(root)
    return None if _is_server(uri) else Path(_artifacts(uri, root))


def _folder(root: Path | None) -> Path:
    return (Path(root).absolute() if root else find_root()) / "mlruns"


def _artifacts(uri: str, root: Path | None) -> str:
    """Where artifacts go if no server decides: beside the sqlite file, else below `root`."""
    return str((file.parent if (file := _sqlite_file(uri)) else _folder(root)) / "artifacts")


def _sqlite_file(uri: str) -> Path | None:
    """The absolute file of a sqlite URI, None for another kind of store."""
    if not uri.startswith("sqlite:"):
        return None
    name = uri.removeprefix("sqlite:///")
    if name in ("", ":memory:", uri) or re.search(r"\?|%[0-9a-fA-F]{2}", name):
        raise UsageError(
            f"runs must be kept in a sqlite file whose path has no '?' and no '%' code, but this is {mask(uri)}; "
            "set HARNESS_ROOT to another folder, or MLFLOW_TRACKING_URI as in sqlite:////data/mlflow.db"
        )
    return Path(name).absolute()


def _is_server(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


def _prepare_sqlite(file: Path) -> None:
    """Make the sqlite store unless it is there, safely against other processes; UsageError if it cannot be written.

    MLflow migrates a fresh file in some dozens of steps, and two processes doing so at once can destroy it: the file
    is made under another name, under a lock, and renamed when it is complete.
    """
    failures: tuple[type[Exception], ...] = (sqlite3.Error, *_failures())
    try:
        artifacts = file.parent / "artifacts"
        disk.make_folder(artifacts)
        if not file.exists():
            with file_lock(file.parent / ".mlflow.lock"):
                if not file.exists():
                    _create_sqlite(file, artifacts)
        with contextlib.closing(sqlite3.connect(file, timeout=20)) as connection:
            connection.execute("BEGIN IMMEDIATE")  # fails unless the file can be written
            connection.rollback()
    except disk.DiskError:
        raise
    except failures as error:
        reason = _core(_one_line(error, 600))
        remedy = "correct its folder's permissions or set HARNESS_ROOT to another folder"
        if "full" in reason:
            remedy = "free some space (`harness gc` shows what takes it), then the same command goes on"
        elif "I/O" in reason:
            remedy = "the disk may be full or failing: free some space or see the system's log, then try again"
        elif isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            remedy = "`harness doctor` says what to do"  # it is damaged, or none at all
        raise UsageError(
            f"runs are kept in {file}, which must be a sqlite file that can be written, but: {reason}; {remedy}"
        ) from error


_SQLITE_SUFFIXES = ("", "-wal", "-shm", "-journal")


def _create_sqlite(file: Path, artifacts: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    fresh = file.with_name(f".{file.name}.new")
    for suffix in _SQLITE_SUFFIXES:  # what a process that was killed here left
        disk.remove(Path(f"{fresh}{suffix}"))
    try:
        SqlAlchemyStore(f"sqlite:///{fresh}", str(artifacts)).engine.dispose()
        with contextlib.closing(sqlite3.connect(fresh)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")  # readers (the UI) and the driver do not block each other
        disk.sync_file(fresh)
        disk.rename(fresh, file)
    except Exception:  # a full disk needs the room
        for suffix in _SQLITE_SUFFIXES:
            with contextlib.suppress(disk.DiskError):
                disk.remove(Path(f"{fresh}{suffix}"))
        raise


def _client(uri: str) -> Any:
    mlflow = _import_mlflow(uri)
    from sqlalchemy.exc import ArgumentError

    try:
        client = mlflow.MlflowClient(uri)
    except ImportError as error:
        raise UsageError(_one_line(f"{uri} needs a package that is not installed: {error}")) from error
    except ArgumentError as error:  # no address, or a kind of database that nobody here knows
        raise UsageError(_one_line(f"MLFLOW_TRACKING_URI must name a store, but it is {uri}: {error}")) from error
    if _sqlite_file(uri):
        _sync_at_checkpoints(client)
    return client


def _sync_at_checkpoints(client: Any) -> None:
    """Lets sqlite sync at the checkpoints of its WAL instead of at each of the seven commits of a trial.

    The database stays whole at a power cut, but can lose its last commits; `harness doctor` sends them again from the
    spool, which is synced.
    """
    from sqlalchemy import event

    engine = client._tracking_client.store.engine  # MLflow has no other way to its connections
    if not event.contains(engine, "connect", _relax):
        event.listen(engine, "connect", _relax)
        engine.dispose()  # connections that are open already


def _relax(connection: Any, record: Any) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")


def _one_line(text: object, limit: int = 300) -> str:
    line = " ".join(mask(str(text)).split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


_MATTERS = (
    r"\(sqlite3\.\w+\) (.+?) [\[(]|\[Errno -?\d+\] ([\w ]+)|(Read timed out)|(too many \d+ error responses)"
    r"|(Remote end closed connection[\w ]*)"
)


def _core(problem: str) -> str:
    """The few words that matter in what an HTTP library says of a server that does not answer, or sqlite of a file."""
    found = re.search(_MATTERS, problem)
    return next(filter(None, found.groups())) if found else problem[:160]


def _print(sentence: str) -> None:
    print(printable(sentence), flush=True)  # the reader may be a pipe


def _say(sentence: str) -> None:
    print(printable(sentence), file=sys.stderr, flush=True)


def open_tracker(root: Path | None = None, project: str = "harness", say: Callable[[str], None] = _say) -> "Tracker":
    """The tracker of a project (an MLflow experiment), its store made if need be.

    Raises UsageError where the user must act: a folder that cannot be written, a URI that MLflow does not know, a
    server that refuses. A server that cannot be reached is no error: `say` gets one sentence, and the spool waits.
    """
    uri = store_uri(root)
    file = _sqlite_file(uri)
    if file:
        _import_mlflow(uri)
        _prepare_sqlite(file)
    said: list[str] = []
    if before := follow(root):
        said.append(f"tracking: {file} has moved here with its artifacts, which it looked for in {before}")
    tracker = Tracker(uri, project, None if _is_server(uri) else _artifacts(uri, root), said.append)
    tracker.mark = mark(root)
    tracker._attempt(tracker._open_experiment)
    if tracker.problem and (file or not tracker.down):
        raise UsageError(f"MLflow must be able to log to {mask(uri)}, but: {tracker.problem}")
    for sentence in said:
        say(sentence)
    tracker._say = say
    return tracker


def follow(root: Path | None = None, dry: bool = False) -> str:
    """Lets a sqlite store that has been moved or copied find its artifacts beside it again.

    Returns where it looked for them until now, "" where nothing was to be done. With `dry` nothing is done.
    """
    file = _sqlite_file(store_uri(root))
    if file is None or not file.exists():
        return ""
    artifacts = file.parent / "artifacts"
    before = mlflow_db.moved_from(file, artifacts)
    if before and not dry:
        mlflow_db.move(file, before, artifacts)
        from mlflow.tracking._tracking_service import utils

        utils._artifact_repos_cache.clear()  # where this process has written until now
    return before


# --- writing -----------------------------------------------------------------------------------------------------


class Tracker:
    """The driver's pen: `start` a parent, `log` trials, `finish` the parent; `catch_up` with a spool does all of it.

    Every call is idempotent: a run is looked for by its tag `harness.id` before it is created, and points sent twice
    are stored once. A call that fails returns None (False, for finish) and leaves the record where it was. After an
    outage (`down`) the tracker stays silent for 5 s, then 10, ... at most 5 minutes, and for ten times as long as the
    call took: a server that hangs costs its first timeout, then a tenth of the time. `problem` says why the last call
    failed, "" if it did not. `uri` may hold credentials: `mask` it.
    """

    first_pause_s = 5.0
    longest_pause_s = 300.0

    def __init__(self, uri: str, project: str, artifacts: str | None, say: Callable[[str], None]):
        self.uri, self.project = uri, project
        self.client: Any = None  # made by the first call, which may find a database down
        self.down = False
        self.problem = ""
        self.mark = mask(uri)  # what spools remember of this store
        self._artifacts = artifacts  # None: the server decides where artifacts go
        self._say = say
        self._said: set[str] = set()
        self._refused: set[str] = set()  # ids that are not sent again until somebody forces it
        self._pause_s = 0.0
        self._silent_until = 0.0
        self._stumbled = False  # a call that failed can have created a run all the same
        self._forget()

    def _forget(self) -> None:
        self._experiment: str | None = None
        self._parents: dict[str, str] = {}  # a parent's id -> its run id
        self._children: dict[str, dict[str, str]] = {}  # a parent's run id -> a trial's id -> its run id

    def _attempt(self, call: Callable[..., Any], *arguments: Any) -> Any:
        if time.monotonic() < self._silent_until:
            return None
        self.problem, begun = "", time.monotonic()
        try:
            result = call(*arguments)
        except BaseException as error:
            self._forget()  # nobody knows how far it came, Ctrl-C included: look everything up again
            self._stumbled = True
            if isinstance(error, UsageError) or not isinstance(error, Exception):
                raise
            # a server can also answer what MLflow cannot read, and then MLflow raises almost anything
            self.problem = _one_line(error if isinstance(error, _failures()) else repr(error), 600)
            # MLflow's exceptions know the HTTP status that says whose fault it is; 408 and 429 mean "later".
            status = getattr(error, "get_http_status_code", lambda: 500)()
            if 400 <= status < 500 and status not in (408, 429):
                sentence = f"tracking: {mask(self.uri)} refuses a run, which stays in the spool: {self.problem[:300]}"
                if sentence not in self._said:
                    self._said.add(sentence)
                    self._say(sentence)
                return None
            if not self.down:
                self._say(
                    f"tracking: {mask(self.uri)} cannot be used ({_core(self.problem)}); "
                    "the work goes on, and what it logs waits in the spool"
                )
            self.down = True
            now = time.monotonic()
            self._pause_s = max(2 * self._pause_s or self.first_pause_s, 10 * (now - begun))
            self._pause_s = min(self._pause_s, self.longest_pause_s)
            self._silent_until = now + self._pause_s
            return None
        if self.down:
            self._say(f"tracking: {mask(self.uri)} is back")
        self.down, self._pause_s, self._silent_until = False, 0.0, 0.0
        return result

    def start(self, parent: ParentRun) -> str | None:
        """The run id of a sweep, comparison or single run, created or reopened. Its params stay as first logged."""
        return self._attempt(self._start, parent)

    def log(self, trial: TrialRun, parent_run_id: str | None = None) -> str | None:
        """Log one trial that has ended, below its parent; the run id, or None if it has to wait.

        A metric that is not finite is sent as NaN (MLflow would store inf as 1.8e308), so that no earlier value passes
        for the last one; the tag `harness.nonfinite` says what it was at the first such step. Params and tags that are
        too long for MLflow are cut, and say so.
        """
        return self._attempt(self._log, trial, parent_run_id)

    def finish(
        self,
        run_id: str,
        status: str = "FINISHED",
        description: str = "",
        metrics: Iterable[tuple[str, float, int, int]] = (),
        artifacts: Mapping[str, bytes] | Path | None = None,
        end_ms: int | None = None,
    ) -> bool:
        """End a parent: its description (Markdown), last metrics and artifacts (bytes by path, or a folder)."""
        return bool(self._attempt(self._finish, run_id, status, description, metrics, artifacts, end_ms))

    def catch_up(self, spool: Spool, force: bool = False, until: Callable[[], bool] = lambda: False) -> int:
        """Log what waits in a spool: the parent, trials in order, the parent's end. How many records still wait.

        Cheap when nothing waits, so it is called after every write. `force` tries even if the tracker is silent after
        an outage: at the end of a sweep, or because somebody asked.
        """
        if force:
            self._silent_until = 0.0
            self._refused.clear()
        if not spool.waiting:
            return 0
        parent = spool.parent()
        running = parent is not None and parent.status == "RUNNING"  # it is no backlog: more is to come
        parent_run_id = self.start(parent) if parent else None
        if parent is None or parent_run_id:
            for record in spool.pending():
                if until():
                    break
                if not isinstance(record, TrialRun) or record.id in self._refused:
                    continue
                if parent is None and record.project not in ("", self.project):
                    continue  # single runs of several projects share a spool
                if self._damaged(record):
                    self._refused.add(record.id)
                    continue
                if run_id := self.log(record, parent_run_id):
                    spool.mark_logged(record.id, run_id, self.mark)
                elif self.down:
                    break
                else:
                    self._refused.add(record.id)
            due = parent and parent_run_id and not running and not self.down and not spool.is_logged(parent.id)
            if parent and parent_run_id and due and not self._damaged(parent):
                end = (parent.status, parent.description, parent.metrics, parent.files, parent.end_ms)
                if self.finish(parent_run_id, *end):
                    spool.mark_logged(parent.id, parent_run_id, self.mark)
        return spool.waiting - running

    def _damaged(self, record: Run) -> bool:
        """Whether a file that waits with a record is not as it was written, which is said once and not sent."""
        changed = changed_files(record.files, record.checksums) if record.files else []
        sentence = f"tracking: {', '.join(changed)} of {record.name!r} is damaged and not sent; `harness doctor` helps"
        if changed and sentence not in self._said:
            self._said.add(sentence)
            self._say(sentence)
        return bool(changed)

    @property
    def place(self) -> str:
        """As `place` of this module."""
        return mask(self.uri)

    @property
    def trouble(self) -> str:
        """The few words of `problem` that matter."""
        return _core(self.problem)

    def unite(self, id: str) -> None:
        """Of runs that were created twice one stays."""
        self._attempt(self._find, _is(id))

    def _open_experiment(self) -> str:
        if self._experiment is None:
            self.client = self.client or _client(self.uri)
            found = self.client.get_experiment_by_name(self.project)
            if found is None:
                with contextlib.suppress(*_failures()):  # another process may be faster; the next line tells
                    self.client.create_experiment(self.project, artifact_location=self._artifacts)
                found = self.client.get_experiment_by_name(self.project)
                if found is None:
                    raise OSError(f"the experiment {self.project!r} cannot be created")
            elif found.lifecycle_stage == "deleted":
                self.client.restore_experiment(found.experiment_id)
            self._experiment = found.experiment_id
        return self._experiment

    def _start(self, parent: ParentRun) -> str:
        if parent.id in self._parents:
            return self._parents[parent.id]
        experiment = self._open_experiment()
        found = self._find(_is(parent.id)).get(parent.id)
        tags = _tags(parent)
        if found is None:
            run = self.client.create_run(experiment, parent.start_ms, tags, parent.name[:250])
            run_id, params = run.info.run_id, _params(parent.params)
            self._children[run_id] = {}
            self._send(run_id, params=params)
        else:
            run_id = found.info.run_id
            known = found.data.params
            params = {key: value for key, value in _params(parent.params).items() if key not in known}
            self._send(run_id, params=params, tags=tags)
            if parent.status == "RUNNING":
                self.client.update_run(run_id, status="RUNNING")
        self._parents[parent.id] = run_id
        return run_id

    def _log(self, trial: TrialRun, parent_run_id: str | None) -> str:
        experiment = self._open_experiment()
        known = self._known(parent_run_id, trial.id)
        tags, params, metrics = as_logged(trial, parent_run_id)
        if trial.id in known and not self._is_of(known[trial.id], tags):
            # its record was lost, and it has been trained again: its points would be there twice
            self.client.delete_run(known.pop(trial.id))
        if trial.id in known:
            run_id = known[trial.id]
            self._send(run_id, tags=tags)
        else:
            run_id = self.client.create_run(experiment, trial.start_ms, tags, trial.name[:250]).info.run_id
            known[trial.id] = run_id
        self._send_artifacts(run_id, trial.files or trial.artifacts)  # first: MLflow reads all that the run has for it
        self._send(run_id, params=params, metrics=metrics)
        self.client.set_terminated(run_id, trial.status, trial.end_ms or now_ms())
        return run_id

    def _is_of(self, run_id: str, tags: dict[str, str]) -> bool:
        """Whether a run was logged from the record that has these tags."""
        return self.client.get_run(run_id).data.tags.get("harness.record") == tags["harness.record"]

    def _finish(self, run_id: str, status: str, description: str, metrics: Any, artifacts: Any, end_ms: Any) -> bool:
        if self._stumbled:  # runs that were created twice go
            for id in [id for id, known in self._parents.items() if known == run_id]:
                self._find(_is(id), keep=run_id)
            self._children.pop(run_id, None)
            self._known(run_id, "")
            self._stumbled = False
        points, nonfinite = _points(metrics)
        tags = {"harness.nonfinite": nonfinite} if nonfinite else {}
        if description:
            tags["mlflow.note.content"] = _cut(description, _LONGEST_TAG)
        if file := _sqlite_file(self.uri):
            mlflow_db.drop_others(file, run_id, (mlflow_db.StoredPoint(*point) for point in points))
        self._send(run_id, metrics=points, tags=tags)
        self._send_artifacts(run_id, artifacts)
        self.client.set_terminated(run_id, status, end_ms or now_ms())
        self._parents = {id: known for id, known in self._parents.items() if known != run_id}  # `start` reopens it
        return True

    def _known(self, parent_run_id: str | None, id: str) -> dict[str, str]:
        """The run ids of a parent's trials by their ids: looked up once, then kept."""
        if parent_run_id is None:
            return {id: run.info.run_id for id, run in self._find(_is(id)).items()}
        if parent_run_id not in self._children:
            found = self._find(f"tags.\"mlflow.parentRunId\" = '{parent_run_id}'")
            self._children[parent_run_id] = {id: run.info.run_id for id, run in found.items()}
        return self._children[parent_run_id]

    def _find(self, condition: str, keep: str = "") -> dict[str, Any]:
        """Runs of the experiment by `harness.id`. Of runs with one id, which only an outage can leave, one is kept."""
        found: dict[str, Any] = {}
        for run in self._in_order(_search(self.client, [self._open_experiment()], condition), keep):
            id = run.data.tags.get("harness.id", "")
            if id in found:
                self.client.delete_run(run.info.run_id)
            found.setdefault(id, run)
        return found

    def _in_order(self, runs: Iterable[Any], keep: str = "") -> list[Any]:
        """Of runs with one id the one to keep first: `keep`, one that has trials, one that has ended, the oldest."""
        found = list(runs)
        often = Counter(run.data.tags.get("harness.id") for run in found)

        def last(run: Any) -> tuple[bool, bool, bool, int]:
            info = run.info
            below = f"tags.\"mlflow.parentRunId\" = '{info.run_id}'"
            twin = often[run.data.tags.get("harness.id")] > 1
            bare = twin and not self.client.search_runs([info.experiment_id], below, max_results=1)
            return info.run_id != keep, bare, info.status == "RUNNING", info.start_time

        return sorted(found, key=last)

    def _send(
        self, run_id: str, params: Mapping[str, str] | None = None, metrics: Iterable = (), tags: Mapping | None = None
    ) -> None:
        from mlflow.entities import Metric, Param, RunTag

        points = [Metric(*point) for point in metrics]
        pairs = [Param(*pair) for pair in (params or {}).items()]
        labels = [RunTag(*pair) for pair in (tags or {}).items()]
        for i in range(max(-(-len(points) // 800), -(-len(pairs) // 100), -(-len(labels) // 100))):
            # MLflow refuses more than 1000 things in one batch, and more than 100 params or tags
            these = slice(800 * i, 800 * (i + 1))
            those = slice(100 * i, 100 * (i + 1))
            self.client.log_batch(run_id, metrics=points[these], params=pairs[those], tags=labels[those])

    def _send_artifacts(self, run_id: str, artifacts: Mapping[str, bytes] | Path | None) -> None:
        if isinstance(artifacts, Path):
            self.client.log_artifacts(run_id, str(artifacts))
            if self._artifacts:  # the spool's copies, which are synced, are deleted next
                _sync_files(Path(self._artifacts) / run_id)
        elif artifacts:
            with tempfile.TemporaryDirectory() as folder:
                for path, data in artifacts.items():
                    target = Path(folder) / safe_path(path)
                    disk.write_plain(target, data)
                self.client.log_artifacts(run_id, folder)


def _sync_files(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            disk.sync_file(path)


class Logged(NamedTuple):
    """What MLflow gets of a record beside its artifacts; a point is (key, value, time in ms, step)."""

    tags: dict[str, str]
    params: dict[str, str]
    points: list[tuple]


def as_logged(run: Run, parent_run_id: str | None = None) -> Logged:
    """What MLflow gets of a record: keys that it takes, nothing too long, NaN for what is not finite."""
    points, nonfinite = _points(run.metrics)
    tags = _tags(run, parent_run_id, nonfinite)
    if isinstance(run, TrialRun):
        tags["harness.record"] = _digest(run)
    return Logged(tags, _params(run.params), points)


def _is(id: str) -> str:
    """The filter for runs of an id, and maybe of others alike: MLflow's filters have no way to write a quote."""
    pattern = re.sub(r"""['"\\%\x00-\x1f]""", "_", id)  # _ matches any character
    return f"tags.\"harness.id\" LIKE '{pattern}'"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"


def _tags(run: Run, parent_run_id: str | None = None, nonfinite: str = "") -> dict[str, str]:
    tags = {
        **run.tags,
        "harness.id": run.id,
        "harness.kind": run.kind,
        "mlflow.user": _user(),
        "mlflow.source.name": Path(sys.argv[0]).name or "python",
        "mlflow.source.type": "LOCAL",
    }
    if isinstance(run, TrialRun) and run.number is not None:
        tags["harness.number"] = str(run.number)
    tags |= _file_tags(run.checksums or {path: sha256(data) for path, data in run.artifacts.items()})
    if parent_run_id:
        tags["mlflow.parentRunId"] = parent_run_id
    if nonfinite:
        tags["harness.nonfinite"] = nonfinite
    tags |= _renamed(run.params)
    if run.description:
        tags["mlflow.note.content"] = run.description
    return {key_for(key): _cut(str(value), _LONGEST_TAG) for key, value in tags.items()}


_READ_BACK = ("config.json", "environment.json")  # with the sources in plugins/
_IN_A_TAG = 60  # files whose checksums go into one tag


def _read_back(path: str) -> bool:
    return path in _READ_BACK or path.startswith("plugins/")


def _file_tags(checksums: Mapping[str, str]) -> dict[str, str]:
    """Tags with the version of the artifacts that are read back, and the SHA-256 of each."""
    known = sorted((path, checksum) for path, checksum in checksums.items() if _read_back(path))
    tags = {}
    for number, at in enumerate(range(0, len(known), _IN_A_TAG)):
        part = {"version": FORMATS["artifacts"].version, "sha256": dict(known[at : at + _IN_A_TAG])}
        tags["harness.files" + (f".{number}" if number else "")] = json.dumps(part)
    return tags


def _file_checksums(run: Any) -> dict[str, str]:
    """The SHA-256 of the artifacts of a run in MLflow that are read back, by path."""
    known: dict[str, str] = {}
    name = run.info.run_name
    for key, text in run.data.tags.items():
        if not re.fullmatch(r"harness\.files(\.\d+)?", key):
            continue
        try:
            part = json.loads(text)
            version, checksums = int(part["version"]), dict(part["sha256"])
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"the tag {key} of {name!r} must have the checksums of its artifacts, but is damaged ({error}); "
                "`harness doctor` mends it"
            ) from error
        known |= upgraded("artifacts", version, checksums, f"what {name!r} has left")
    return known


def _digest(run: Run) -> str:
    """What tells a record from another one with the same id: 16 digits of the SHA-256 of what is logged of it."""
    logged = [run.params, run.metrics, run.tags, run.status, run.start_ms, run.end_ms]
    return hashlib.sha256(json.dumps(logged, sort_keys=True, default=float).encode()).hexdigest()[:16]


def _params(params: Mapping[str, Any]) -> dict[str, str]:
    return {key_for(key): _cut(str(value), _LONGEST_PARAM) for key, value in params.items()}


def _points(metrics: Iterable[tuple[str, float, int, int]]) -> tuple[list[tuple], str]:
    """The points in the order of MLflow's Metric, and one sentence about those that are not finite."""
    points: list[tuple] = []
    first: dict[str, str] = {}
    for key, value, step, timestamp in metrics:
        finite = math.isfinite(value)
        points.append((key_for(key), float(value) if finite else math.nan, int(timestamp), int(step)))
        if not finite:
            first.setdefault(key, f"{key} {value} at step {step}")
    return points, ", ".join(first.values())


def key_for(name: str) -> str:
    """A key that MLflow takes: letters, digits and _-. :/ with no empty or dotted part, at most 250 characters.

    Different names have different keys: one that has to be changed gets eight digits of its SHA-256 behind it.
    """
    name = str(name)
    key = posixpath.normpath(re.sub(r"[^\w\-. :/]", "_", name)).lstrip("./")[:250]
    if key == name and key:
        return key
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{key[:240]} {digest}".strip()


def _renamed(names: Iterable[str]) -> dict[str, str]:
    """Tags that say what the params are called whose keys are not their names: `results` gives them back."""
    keys = {name: key_for(name) for name in map(str, names)}
    return {f"{_NAME_OF}{key[-8:]}": name for name, key in keys.items() if key != name}


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}... (cut: {len(text)} characters)"


# --- reading -----------------------------------------------------------------------------------------------------


class Parent(NamedTuple):
    """One sweep, comparison or single run, as `parents` lists them."""

    name: str
    kind: str
    status: str
    run_id: str
    experiment_id: str
    start_ms: int


def _search(client: Any, experiments: list[str], condition: str, view: int = 1) -> Iterator[Any]:
    """All runs that meet an MLflow filter, the newest first, page by page; view: MLflow's ViewType, 1 for active."""
    token = None
    while True:
        page = client.search_runs(experiments, condition, view, max_results=1000, page_token=token)
        yield from page
        if not (token := page.token):
            return


@contextlib.contextmanager
def _reading(root: Path | None) -> Iterator[tuple[Any, list[str]]]:
    """A client for reading and the ids of all experiments; what fails is a UsageError."""
    uri = store_uri(root)
    _existing(uri)
    try:
        client = _client(uri)
        yield client, [experiment.experiment_id for experiment in client.search_experiments()]
    except UsageError:
        raise
    except Exception as error:  # from a database that is damaged MLflow can read what it does not expect
        why = _core(_one_line(error if isinstance(error, _failures()) else repr(error), 600))
        raise UsageError(
            f"the runs in {mask(uri)} must be readable, but: {why}; see whether it runs, and what `harness doctor` says"
        ) from error


def _existing(uri: str) -> None:
    if (file := _sqlite_file(uri)) and not file.exists():
        raise UsageError(
            f"there must be runs in {file} before they can be shown, but that file does not exist; "
            "start a sweep here first, or set HARNESS_ROOT to the folder that has mlruns/"
        )
    if file:
        try:
            with contextlib.closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=20)) as connection:
                connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except (sqlite3.Error, UnicodeDecodeError) as error:  # before MLflow makes tables in what is not its own
            raise UsageError(
                f"the runs in {file} must be readable, but: {error}; `harness doctor` says what is wrong with it"
            ) from error


def _parents(client: Any, experiments: list[str]) -> list[Parent]:
    found = _search(client, experiments, "tags.\"harness.kind\" != 'trial'") if experiments else ()
    parents = [
        Parent(
            run.info.run_name,
            run.data.tags["harness.kind"],
            run.info.status,
            run.info.run_id,
            run.info.experiment_id,
            run.info.start_time,
        )
        for run in found
    ]
    return sorted(parents, key=lambda parent: -parent.start_ms)


def parents(root: Path | None = None) -> list[Parent]:
    """Every sweep, comparison and single run in the store, the newest first."""
    with _reading(root) as (client, experiments):
        return _parents(client, experiments)


def results(name: str, root: Path | None = None) -> "pandas.DataFrame":
    """The trials of the newest sweep, comparison or run of that name (or run id), one row each, by their numbers.

    Columns
    -------
    number, name, state
        state is harness.state, else the run's status.
    value
        What the trial is ranked by; NaN where it did not come to its end, or its metric is not finite there.
    note
        How it ended, where there is something to say.
    params.NAME
        What the search space suggested, and `params.arm`, `params.seed` in a comparison.
    config.NAME
        The config that was trained.
    train/loss, valid/accuracy, ...
        The last value of each metric. A metric that has the name of another column comes as metrics.NAME.
    seconds, run_id

    `attrs` of the table say what it belongs to: name, kind, metric and direction ("maximize" or "minimize").
    """
    import pandas

    with _reading(root) as (client, experiments):
        known = _parents(client, experiments)
        parent = next((each for each in known if name in (each.name, each.run_id)), None)
        if parent is None:
            names = list(dict.fromkeys(each.name for each in known))
            hint = "`harness results` lists what there is" if names else "nothing has been logged yet"
            if near := difflib.get_close_matches(name, names):
                hint = f"did you mean {' or '.join(map(repr, near))}?"
            raise UsageError(
                f"results need the name of a sweep, comparison or run, but none is called {name!r}; {hint}"
            )
        own = client.get_run(parent.run_id)
        runs = [own]
        if parent.kind != "run":
            runs = list(_search(client, [parent.experiment_id], f"tags.\"mlflow.parentRunId\" = '{parent.run_id}'"))
    rows = [_row(run) for run in runs]
    rows.sort(key=lambda row: (row["number"] is None, row["number"], row["name"]))
    middle = list(dict.fromkeys(key for row in rows for key in row if key not in (*_FRONT, *_BACK)))
    frame = pandas.DataFrame(rows, columns=[*_FRONT, *middle, *_BACK])
    tags = own.data.tags
    frame.attrs = {"name": parent.name, "kind": parent.kind, "metric": tags.get("harness.metric", "")}
    frame.attrs |= {"direction": tags.get("harness.direction", ""), "arms": json.loads(tags.get("harness.arms", "[]"))}
    counted = (run.data.tags.get("harness.valid_examples") for run in runs)
    frame.attrs["examples"] = next((int(count) for count in counted if count), None)
    return frame


# The columns of `results` that are the harness's own, before and behind those of params and metrics
_FRONT = ("number", "name", "state", "value", "note")
_BACK = ("seconds", "run_id")
_NOTES = ("harness.reason", "harness.note", "harness.stopped")
_OURS = ("config.", "params.", "metrics.")


def _row(run: Any) -> dict[str, Any]:
    tags, info = run.data.tags, run.info
    number, value = tags.get("harness.number", ""), tags.get("harness.value")
    row: dict[str, Any] = {
        "number": int(number) if number.isdigit() else None,
        "name": info.run_name,
        "state": tags.get("harness.state", info.status),
        "value": math.nan if value is None else float(value),
        "note": "; ".join(tags[tag] for tag in _NOTES if tags.get(tag)),
        "seconds": (info.end_time - info.start_time) / 1000 if info.end_time else math.nan,
        "run_id": info.run_id,
    }
    for key, text in run.data.params.items():
        name = tags.get(f"{_NAME_OF}{key[-8:]}", key)
        row[name if name.startswith("config.") else f"params.{name}"] = _value(text)
    for key, number_ in run.data.metrics.items():
        taken = key in (*_FRONT, *_BACK) or key.startswith(_OURS)
        row[f"metrics.{key}" if taken else key] = number_
    return row


def _value(text: Any) -> Any:
    """A param as the number or bool that it was; text where the number would be written in another way."""
    if text in ("True", "False"):
        return text == "True"
    try:
        value = json.loads(text)
    except (TypeError, ValueError):
        return text
    return value if type(value) in (int, float) and str(value) == text else text


class Recorded(NamedTuple):
    """One trial as MLflow has it: `metrics` are name -> epoch -> value, `files` its artifacts but films, by path."""

    run_id: str
    name: str
    tags: dict[str, str]
    metrics: dict[str, dict[int, float]]
    files: dict[str, bytes]


def recorded(reference: str, root: Path | None = None) -> Recorded:
    """One trial or single run: by its run id, its name, or "SWEEP#12". The files are those of its sweep and its own.

    A trial that has taken over the result of an equal one is that other one.
    """
    with _reading(root) as (client, experiments):
        run = _one(client, experiments, reference)
        parent = run.data.tags.get("mlflow.parentRunId")
        if twin := run.data.tags.get("harness.duplicate_of"):
            run = _child(client, run.info.experiment_id, parent, twin.removeprefix("#")) or run
        epochs = {key for key in run.data.metrics if key.startswith(("train/", "valid/"))}
        history = {key: client.get_metric_history(run.info.run_id, key) for key in epochs}
        files: dict[str, bytes] = {}
        if parent:
            files |= _files(client, client.get_run(parent), root)
        files |= _files(client, run, root)
    points = {key: {point.step: point.value for point in points} for key, points in history.items()}
    return Recorded(run.info.run_id, run.info.run_name, dict(run.data.tags), points, files)


def _files(client: Any, run: Any, root: Path | None) -> dict[str, bytes]:
    """The artifacts of a run that are read back, as they were written; UsageError where one is not."""
    run_id, name, folder = run.info.run_id, run.info.run_name, artifacts_folder(root)
    with contextlib.ExitStack() as held:
        # where mlruns/ has moved to, whatever the store says
        place = folder / run_id / "artifacts" if folder else None
        if place is None or not place.is_dir():
            place = Path(held.enter_context(tempfile.TemporaryDirectory()))
            for listed in client.list_artifacts(run_id):
                if listed.path == "plugins" or _read_back(listed.path):
                    client.download_artifacts(run_id, listed.path, str(place))
        found = {path.relative_to(place).as_posix(): path for path in sorted(place.rglob("*")) if path.is_file()}
        files = {path: file.read_bytes() for path, file in found.items() if _read_back(path)}
    checksums = _file_checksums(run)
    for path, data in files.items():
        if path not in checksums:
            raise UsageError(
                f"{path} of {name!r} must have a checksum, but has none, from before artifacts had versions or since "
                "somebody else has put it there; train it anew"
            )
        if sha256(data) != checksums[path]:
            raise UsageError(
                f"{path} of {name!r} must be as it was written, but it is damaged; restore it from a copy, or "
                "train the run anew"
            )
    return files


def _one(client: Any, experiments: list[str], reference: str) -> Any:
    """The run of a trial or of a single network that a reference names."""
    from mlflow.exceptions import MlflowException

    run, known = None, _parents(client, experiments)
    sweep, mark, number = reference.rpartition("#")
    if re.fullmatch("[0-9a-f]{32}", reference):
        with contextlib.suppress(MlflowException):
            run = client.get_run(reference)
    if run is None and (found := next((each for each in known if each.name == reference), None)):
        run = client.get_run(found.run_id)
    if run is None and mark and number.isdigit():
        found = next((each for each in known if sweep.strip() in (each.name, each.run_id)), None)
        run = found and _child(client, found.experiment_id, found.run_id, number)
    if run is None:
        raise UsageError(
            f"a run is named by its run id, by its name or as in 'my sweep#12', but there is none for {reference!r}; "
            "harness results lists what there is"
        )
    if (kind := run.data.tags.get("harness.kind")) not in ("trial", "run"):
        raise UsageError(
            f"{reference!r} is a {kind or 'run of something else'}, and only one network can be trained again; "
            f"name one of its trials: '{reference}#0'"
        )
    return run


def _child(client: Any, experiment: str, parent: str | None, number: str) -> Any:
    condition = f"tags.\"mlflow.parentRunId\" = '{parent}' AND tags.\"harness.number\" = '{number}'"
    return next(_search(client, [experiment], condition), None)


# --- checking ----------------------------------------------------------------------------------------------------


class StoreState(NamedTuple):
    """How the store is: whether it is there, a word about it, and what is wrong with it or ""."""

    exists: bool
    about: str
    problem: str


def check_store(root: Path | None = None) -> StoreState:
    """Looks whether the store is whole and of this MLflow's version, or whether its server answers."""
    uri = store_uri(root)
    file = _sqlite_file(uri)
    if file is None:
        try:
            count = len(_client(uri).search_experiments())
        except Exception as error:  # whatever it is, the doctor says it and goes on
            return StoreState(True, "", f"it cannot be used ({_core(_one_line(error, 600))})")
        return StoreState(True, f"it answers, {count} experiments", "")
    if not file.exists():
        return StoreState(False, "", "")
    try:
        with contextlib.closing(sqlite3.connect(file, timeout=20)) as connection:
            (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            (version,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except (sqlite3.Error, TypeError, UnicodeDecodeError) as error:
        found, version = str(error), ""
    if found != "ok" and not os.access(file.parent, os.W_OK):  # sqlite needs that even to read
        return StoreState(True, "", f"its folder must be one that can be written ({found}); correct its permissions")
    if found != "ok":
        return StoreState(
            True, "", f"it is damaged ({found}); move {file} away, and `harness doctor` sends all from the spools again"
        )
    return StoreState(True, f"whole, schema {version}", _version_problem(uri, version))


def _version_problem(uri: str, version: str) -> str:
    mlflow = _import_mlflow(uri)
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError
    from mlflow.store.db.utils import _get_alembic_config, _get_latest_schema_revision

    if version == _get_latest_schema_revision():
        return ""
    try:
        ScriptDirectory.from_config(_get_alembic_config("")).get_revision(version)
    except CommandError:
        return f"it was made by an MLflow newer than {mlflow.__version__} (schema {version}); upgrade mlflow"
    return f"it was made by an MLflow older than {mlflow.__version__} (schema {version}); `mlflow db upgrade {uri}`"


class KnownRun(NamedTuple):
    """A run in MLflow: what `harness.id` says ("" where it is not ours), and how it stands there.

    Times are in ms since 1970; of each metric there is the last value.
    """

    id: str
    name: str
    status: str
    run_id: str
    deleted: bool
    start_ms: int
    end_ms: int | None
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]


def known_runs(root: Path | None = None) -> list[KnownRun]:
    """All runs in the store, those deleted in the UI too."""
    from mlflow.entities import ViewType

    with _reading(root) as (client, experiments):
        found = _search(client, experiments, "", ViewType.ALL) if experiments else ()
        return [
            KnownRun(
                run.data.tags.get("harness.id", ""),
                run.info.run_name,
                run.info.status,
                run.info.run_id,
                run.info.lifecycle_stage == "deleted",
                run.info.start_time,
                run.info.end_time,
                dict(run.data.tags),
                dict(run.data.params),
                dict(run.data.metrics),
            )
            for run in found
        ]


def sqlite_file(root: Path | None = None) -> Path | None:
    """The file of a sqlite store; None for another kind of store."""
    return _sqlite_file(store_uri(root))


# --- the UI ------------------------------------------------------------------------------------------------------


def ui_command(root: Path | None = None, host: str = "127.0.0.1", port: int = 5000) -> list[str]:
    """The command of the MLflow server that shows the store. A URI with credentials is not in it (`serve_ui`)."""
    uri = store_uri(root)
    store = ["--backend-store-uri", uri] if mask(uri) == uri else []
    place = ["--default-artifact-root", _artifacts(uri, root), "--no-serve-artifacts"]
    where = ["--host", host, "--port", str(port), "--workers", "1"]
    return [sys.executable, "-m", "mlflow", "server", *store, *place, *where]


def serve_ui(
    root: Path | None = None,
    host: str = "127.0.0.1",
    port: int = 5000,
    project: str = "harness",
    say: Callable[[str], None] = _print,
) -> None:
    """Run the MLflow UI in the foreground until Ctrl-C, and say its address when it answers.

    Raises UsageError if there is no store yet, or if the port cannot be had. With a tracking server in
    MLFLOW_TRACKING_URI there is nothing to run: its address is said.
    """
    uri = store_uri(root)
    if _is_server(uri):
        say(f"The runs are on a tracking server: open {mask(uri)} in a browser.")
        return
    _existing(uri)
    follow(root)
    _check_port(host, port)
    environment = {
        **_ENVIRONMENT,
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": uri,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # seven helper processes that nobody here needs
    }
    for name in ("MLFLOW_RUN_ID", "MLFLOW_TRACKING_URI"):
        environment.pop(name, None)
    with tempfile.TemporaryFile() as log, _signals_as_ctrl_c():
        server = subprocess.Popen(
            ui_command(root, host, port), env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            address = f"http://{host}:{port}"
            say(f"The MLflow UI is starting at {address}, which takes some seconds ...")
            while server.poll() is None and not _answers(f"{address}/health"):
                time.sleep(0.2)
            if server.poll() is None:
                say(f"MLflow UI: {address}/{_page(address, project)}  (Ctrl-C ends it)")
            if server.wait():
                log.seek(0)
                lines = log.read().decode(errors="replace").split("\n")
                reason = next((line for line in reversed(lines) if line.strip()), "no reason given")
                raise UsageError(_one_line(f"the MLflow server must start, but it ended: {reason}"))
        except KeyboardInterrupt:
            say("The MLflow UI has ended.")
        finally:
            _end_group(server)


# What browsers refuse to open: https://fetch.spec.whatwg.org/#port-blocking
_BLOCKED = """
1 7 9 11 13 15 17 19 20 21 22 23 25 37 42 43 53 69 77 79 87 95 101 102 103 104 109 110 111 113 115 117 119 123 135 137
139 143 161 179 389 427 465 512 513 514 515 526 530 531 532 540 548 554 556 563 587 601 636 989 990 993 995 1719 1720
1723 2049 3659 4045 4190 5060 5061 6000 6566 6665 6666 6667 6668 6669 6679 6697 10080
"""


def _check_port(host: str, port: int) -> None:
    if str(port) in _BLOCKED.split():
        raise UsageError(f"the UI needs a port that browsers open, and they block {port}; use another one: --port 5001")
    try:
        with socket.create_server((host, port)):  # as servers do, past connections that are being closed
            pass
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"the UI needs a free port, but {host}:{port} cannot be had ({getattr(error, 'strerror', None) or error}); "
            f"use another one: --port {port + 1 if 1024 <= port < 65535 else 5001}"
        ) from error


def _get(address: str) -> bytes | None:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return answer.read()
    except (urllib.error.URLError, OSError):
        return None


def _answers(address: str) -> bool:
    return _get(address) is not None


def _page(address: str, project: str) -> str:
    """The part of the address that leads to the project's runs, past the GenAI view."""
    query = urllib.parse.urlencode({"experiment_name": project})
    answer = _get(f"{address}/api/2.0/mlflow/experiments/get-by-name?{query}")
    page = f"experiments/{json.loads(answer)['experiment']['experiment_id']}/runs" if answer else "experiments"
    return f"#/{page}?workflowType=machine_learning"


@contextlib.contextmanager
def _signals_as_ctrl_c() -> Iterator[None]:
    """SIGTERM and SIGHUP end the UI as Ctrl-C does, so that no server is left behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)  # SIGINT too: a shell's background job ignores it
    before = [signal.signal(name, signal.default_int_handler) for name in names]
    try:
        yield
    finally:
        for name, handler in zip(names, before, strict=True):
            signal.signal(name, handler)


def _end_group(server: subprocess.Popen) -> None:
    """End a server and what it started: politely, then after 3 s for certain."""
    for how, patience in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0)):
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(server.pid, how)
            server.wait(patience)
