"""The writer: what the spool holds becomes runs in MLflow.

A driver writes each record to its spool and calls `Tracker.catch_up(spool)`. A server that cannot
be reached costs one message: what could not be logged stays pending in the spool and is logged,
each point once, when the server is back.
"""

import contextlib
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.escapes import printable
from harness.storage import files as disk
from harness.storage import mlflow_db
from harness.storage.artifacts import changed_files
from harness.storage.clock import now_ms
from harness.storage.paths import safe_path
from harness.storage.records import ParentRun, Run, RunStatus, TrialRun
from harness.storage.secrets import mask
from harness.storage.spool import Spool
from harness.tracking.connect import (
    artifact_location,
    client_for,
    failure_types,
    import_mlflow,
    is_server,
    mark,
    prepare_sqlite,
    sqlite_path,
    store_uri,
)
from harness.tracking.entities import (
    LONGEST_TAG,
    as_logged,
    condition_of_id,
    cut,
    mlflow_params,
    mlflow_points,
    mlflow_tags,
)
from harness.tracking.reader import search
from harness.tracking.text import core_of, one_line

if TYPE_CHECKING:
    pass


def _say(sentence: str) -> None:
    print(printable(sentence), file=sys.stderr, flush=True)


def open_tracker(
    root: Path | None = None, project: str = "harness", say: Callable[[str], None] = _say
) -> "Tracker":
    """The tracker of a project (an MLflow experiment), its store made if need be.

    Raises UsageError where the user must act: a folder that cannot be written, a URI that MLflow
    does not know, a server that refuses. A server that cannot be reached is no error: `say` gets
    one sentence, and the spool waits.
    """
    uri = store_uri(root)
    file = sqlite_path(uri)
    if file:
        import_mlflow(uri)
        prepare_sqlite(file)
    said: list[str] = []
    if before := follow(root):
        said.append(
            f"tracking: {file} has moved here with its artifacts, which it looked for in {before}"
        )
    tracker = Tracker(
        uri, project, None if is_server(uri) else artifact_location(uri, root), said.append
    )
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

    Returns where it looked for them until now, "" where nothing was to be done. With `dry` nothing
    is done.
    """
    file = sqlite_path(store_uri(root))
    if file is None or not file.exists():
        return ""
    artifacts = file.parent / "artifacts"
    before = mlflow_db.moved_from(file, artifacts)
    if before and not dry:
        mlflow_db.move(file, before, artifacts)
        from mlflow.tracking._tracking_service import utils

        utils._artifact_repos_cache.clear()  # where this process has written until now
    return before


# --- writing --------------------------------------------------------------------------------------
class Tracker:
    """The driver's pen: `start` a parent, `log` trials, `finish` the parent; `catch_up` with a
    spool does all of it.

    Every call is idempotent: a run is looked for by its tag `harness.id` before it is created, and
    points sent twice are stored once. A call that fails returns None (False, for finish) and leaves
    the record where it was. After an outage (`down`) the tracker stays silent for 5 s, then 10, ...
    at most 5 minutes, and for ten times as long as the call took: a server that hangs costs its
    first timeout, then a tenth of the time. `problem` says why the last call failed, "" if it did
    not. `uri` may hold credentials: `mask` it.
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
        # A parent's run id -> a trial's id -> its run id
        self._children: dict[str, dict[str, str]] = {}

    def _attempt(self, call: Callable[..., Any], *arguments: Any) -> Any:
        if time.monotonic() < self._silent_until:
            return None
        self.problem, begun = "", time.monotonic()
        try:
            result = call(*arguments)
        except BaseException as error:
            # Nobody knows how far it came, Ctrl-C included: look everything up again
            self._forget()
            self._stumbled = True
            if isinstance(error, UsageError) or not isinstance(error, Exception):
                raise
            # a server can also answer what MLflow cannot read, and then MLflow raises almost
            # anything
            self.problem = one_line(
                error if isinstance(error, failure_types()) else repr(error), 600
            )
            # MLflow's exceptions know the HTTP status that says whose fault it is; 408 and 429 mean
            # "later".
            status = getattr(error, "get_http_status_code", lambda: 500)()
            if 400 <= status < 500 and status not in (408, 429):
                sentence = f"tracking: {mask(self.uri)} refuses a run, which stays in the spool: {self.problem[:300]}"
                if sentence not in self._said:
                    self._said.add(sentence)
                    self._say(sentence)
                return None
            if not self.down:
                self._say(
                    f"tracking: {mask(self.uri)} cannot be used ({core_of(self.problem)}); "
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
        """The run id of a sweep, comparison or single run, created or reopened. Its params stay as
        first logged.
        """
        return self._attempt(self._start, parent)

    def log(self, trial: TrialRun, parent_run_id: str | None = None) -> str | None:
        """Log one trial that has ended, below its parent; the run id, or None if it has to wait.

        A metric that is not finite is sent as NaN (MLflow would store inf as 1.8e308), so that no
        earlier value passes for the last one; the tag `harness.nonfinite` says what it was at the
        first such step. Params and tags that are too long for MLflow are cut, and say so.
        """
        return self._attempt(self._log, trial, parent_run_id)

    def finish(
        self,
        run_id: str,
        status: RunStatus = RunStatus.FINISHED,
        description: str = "",
        metrics: Iterable[tuple[str, float, int, int]] = (),
        artifacts: Mapping[str, bytes] | Path | None = None,
        end_ms: int | None = None,
    ) -> bool:
        """End a parent: its description (Markdown), last metrics and artifacts (bytes by path, or a
        folder).
        """
        return bool(
            self._attempt(self._finish, run_id, status, description, metrics, artifacts, end_ms)
        )

    def catch_up(
        self, spool: Spool, force: bool = False, until: Callable[[], bool] = lambda: False
    ) -> int:
        """Log what waits in a spool: the parent, trials in order, the parent's end. How many
        records still wait.

        Cheap when nothing waits, so it is called after every write. `force` tries even if the
        tracker is silent after an outage: at the end of a sweep, or because somebody asked.
        """
        if force:
            self._silent_until = 0.0
            self._refused.clear()
        if not spool.waiting:
            return 0
        parent = spool.parent()
        # It is no backlog: more is to come
        running = parent is not None and parent.status == RunStatus.RUNNING
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
            due = (
                parent
                and parent_run_id
                and not running
                and not self.down
                and not spool.is_logged(parent.id)
            )
            if parent and parent_run_id and due and not self._damaged(parent):
                end = (
                    parent.status,
                    parent.description,
                    parent.metrics,
                    parent.files,
                    parent.end_ms,
                )
                if self.finish(parent_run_id, *end):
                    spool.mark_logged(parent.id, parent_run_id, self.mark)
        return spool.waiting - running

    def _damaged(self, record: Run) -> bool:
        """Whether a file that waits with a record is not as it was written, which is said once and
        not sent.
        """
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
        return core_of(self.problem)

    def unite(self, id: str) -> None:
        """Of runs that were created twice one stays."""
        self._attempt(self._find, condition_of_id(id))

    def _open_experiment(self) -> str:
        if self._experiment is None:
            self.client = self.client or client_for(self.uri)
            found = self.client.get_experiment_by_name(self.project)
            if found is None:
                # Another process may be faster; the next line tells
                with contextlib.suppress(*failure_types()):
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
        found = self._find(condition_of_id(parent.id)).get(parent.id)
        tags = mlflow_tags(parent)
        if found is None:
            run = self.client.create_run(experiment, parent.start_ms, tags, parent.name[:250])
            run_id, params = run.info.run_id, mlflow_params(parent.params)
            self._children[run_id] = {}
            self._send(run_id, params=params)
        else:
            run_id = found.info.run_id
            known = found.data.params
            params = {
                key: value
                for key, value in mlflow_params(parent.params).items()
                if key not in known
            }
            self._send(run_id, params=params, tags=tags)
            if parent.status == RunStatus.RUNNING:
                self.client.update_run(run_id, status=RunStatus.RUNNING)
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
            run_id = self.client.create_run(
                experiment, trial.start_ms, tags, trial.name[:250]
            ).info.run_id
            known[trial.id] = run_id
        # First: MLflow reads all that the run has for it
        self._send_artifacts(run_id, trial.files or trial.artifacts)
        self._send(run_id, params=params, metrics=metrics)
        self.client.set_terminated(run_id, trial.status, trial.end_ms or now_ms())
        return run_id

    def _is_of(self, run_id: str, tags: dict[str, str]) -> bool:
        """Whether a run was logged from the record that has these tags."""
        return self.client.get_run(run_id).data.tags.get("harness.record") == tags["harness.record"]

    def _finish(
        self,
        run_id: str,
        status: RunStatus,
        description: str,
        metrics: Any,
        artifacts: Any,
        end_ms: Any,
    ) -> bool:
        if self._stumbled:  # runs that were created twice go
            for id in [id for id, known in self._parents.items() if known == run_id]:
                self._find(condition_of_id(id), keep=run_id)
            self._children.pop(run_id, None)
            self._known(run_id, "")
            self._stumbled = False
        points, nonfinite = mlflow_points(metrics)
        tags = {"harness.nonfinite": nonfinite} if nonfinite else {}
        if description:
            tags["mlflow.note.content"] = cut(description, LONGEST_TAG)
        if file := sqlite_path(self.uri):
            mlflow_db.drop_others(file, run_id, (mlflow_db.StoredPoint(*point) for point in points))
        self._send(run_id, metrics=points, tags=tags)
        self._send_artifacts(run_id, artifacts)
        self.client.set_terminated(run_id, status, end_ms or now_ms())
        # `start` reopens it
        self._parents = {id: known for id, known in self._parents.items() if known != run_id}
        return True

    def _known(self, parent_run_id: str | None, id: str) -> dict[str, str]:
        """The run ids of a parent's trials by their ids: looked up once, then kept."""
        if parent_run_id is None:
            return {id: run.info.run_id for id, run in self._find(condition_of_id(id)).items()}
        if parent_run_id not in self._children:
            found = self._find(f"tags.\"mlflow.parentRunId\" = '{parent_run_id}'")
            self._children[parent_run_id] = {id: run.info.run_id for id, run in found.items()}
        return self._children[parent_run_id]

    def _find(self, condition: str, keep: str = "") -> dict[str, Any]:
        """Runs of the experiment by `harness.id`. Of runs with one id, which only an outage can
        leave, one is kept.
        """
        found: dict[str, Any] = {}
        for run in self._in_order(search(self.client, [self._open_experiment()], condition), keep):
            id = run.data.tags.get("harness.id", "")
            if id in found:
                self.client.delete_run(run.info.run_id)
            found.setdefault(id, run)
        return found

    def _in_order(self, runs: Iterable[Any], keep: str = "") -> list[Any]:
        """Of runs with one id the one to keep first: `keep`, one that has trials, one that has
        ended, the oldest.
        """
        found = list(runs)
        often = Counter(run.data.tags.get("harness.id") for run in found)

        def last(run: Any) -> tuple[bool, bool, bool, int]:
            info = run.info
            below = f"tags.\"mlflow.parentRunId\" = '{info.run_id}'"
            twin = often[run.data.tags.get("harness.id")] > 1
            bare = twin and not self.client.search_runs([info.experiment_id], below, max_results=1)
            return info.run_id != keep, bare, info.status == RunStatus.RUNNING, info.start_time

        return sorted(found, key=last)

    def _send(
        self,
        run_id: str,
        params: Mapping[str, str] | None = None,
        metrics: Iterable = (),
        tags: Mapping | None = None,
    ) -> None:
        from mlflow.entities import Metric, Param, RunTag

        points = [Metric(*point) for point in metrics]
        pairs = [Param(*pair) for pair in (params or {}).items()]
        labels = [RunTag(*pair) for pair in (tags or {}).items()]
        for i in range(max(-(-len(points) // 800), -(-len(pairs) // 100), -(-len(labels) // 100))):
            # MLflow refuses more than 1000 things in one batch, and more than 100 params or tags
            these = slice(800 * i, 800 * (i + 1))
            those = slice(100 * i, 100 * (i + 1))
            self.client.log_batch(
                run_id, metrics=points[these], params=pairs[those], tags=labels[those]
            )

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
