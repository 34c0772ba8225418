"""The tracker: what waits in a spool becomes runs in MLflow.

A driver writes each record to its spool; the writer of its sweep, a process of its own, calls
`Tracker.catch_up(spool)`. A server that cannot be reached costs one message: what could not be
logged stays pending in the spool and is logged, each point once, when the server is back.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import UsageError
from harness.escapes import printable
from harness.storage.artifacts import changed_files
from harness.storage.live import live_folder
from harness.storage.networks import NetworkFolder
from harness.storage.records import ParentRun, Run, RunStatus, TrialRun
from harness.storage.secrets import mask
from harness.storage.spool import Spool
from harness.tracking.backoff import BackOff, is_refusal
from harness.tracking.connect import (
    artifact_location,
    is_server,
    mark,
    reason_of,
    sqlite_path,
    store_uri,
)
from harness.tracking.entities import condition_of_id
from harness.tracking.experiment import Experiment
from harness.tracking.live_writer import LiveWriter
from harness.tracking.model import log_waiting
from harness.tracking.record_writer import RecordWriter, RunIdOf, not_linked
from harness.tracking.run_index import RunIndex
from harness.tracking.sqlite_store import follow_move, prepare_sqlite
from harness.tracking.text import core_of

Say = Callable[[str], None]
Result = TypeVar("Result")


def _print_error(sentence: str) -> None:
    print(printable(sentence), file=sys.stderr, flush=True)


def _never() -> bool:
    return False


def open_tracker(
    root: Path | None = None, project: str = "harness", say: Say = _print_error
) -> "Tracker":
    """Open the tracker of a project, and make its store if need be.

    A server that cannot be reached is no error: `say` gets one sentence, and the spool waits.

    Parameters
    ----------
    root
        The folder that holds mlruns/; None to look for it from here.
    project
        The name of an MLflow experiment.
    say
        Gets each message for the user.

    Returns
    -------
    Tracker

    Raises
    ------
    UsageError
        Where the user must act: a folder cannot be written, MLflow does not know the URI, or a
        server refuses.
    """
    uri = store_uri(root)
    file = sqlite_path(uri)
    if file:
        prepare_sqlite(file)
    # An error says all by itself, so messages wait until it is known that there is none.
    sentences: list[str] = []
    old_folder = follow_move(root)
    if old_folder:
        sentences.append(
            f"tracking: {file} has moved here with its artifacts, which it looked for in "
            f"{old_folder}"
        )
    artifacts = None if is_server(uri) else artifact_location(uri, root)
    tracker = Tracker(uri, project, artifacts, sentences.append)
    tracker.mark = mark(root)
    tracker.connect()
    if tracker.problem and (file or not tracker.down):
        raise UsageError(f"MLflow must be able to log to {mask(uri)}, but: {tracker.problem}")
    for sentence in sentences:
        say(sentence)
    # From here on each message goes straight to the user.
    tracker.say = say
    return tracker


class Tracker:
    """Log records to MLflow: `start` a parent, `log` its trials, `finish` it; `catch_up` does all.

    Every call may be repeated, and then finds what is there. A call that fails returns None and
    leaves the record where it was. After an outage the tracker does not ask again until a pause is
    over (`BackOff`), and its calls return None at once.

    Parameters
    ----------
    uri
        The address of the store, with credentials if it needs some.
    project
        The name of an MLflow experiment.
    artifacts
        The folder where artifacts go; None if the server decides.
    say
        Gets each message for the user.

    Attributes
    ----------
    place : str
        The address without credentials.
    down : bool
        Whether the store could not be used when it was asked last.
    problem : str
        Why the last call failed; "" if it did not.
    mark : str
        What spools remember of this store.
    experiment : Experiment
        Where the runs are, with the client.
    index : RunIndex
        Which run belongs to which record.
    """

    def __init__(self, uri: str, project: str, artifacts: str | None, say: Say):
        self.project = project
        self.place = mask(uri)
        self.mark = self.place
        self.say = say
        self.down = False
        self.problem = ""
        self.experiment = Experiment(uri, project, artifacts)
        self.index = RunIndex(self.experiment)
        self._writer = RecordWriter(self.experiment, self.index)
        self._backoff = BackOff()
        self._sentences: set[str] = set()  # those that are said once
        self._live: dict[Path, LiveWriter] = {}  # by the folders of their spools
        self._refused: set[str] = set()  # ids that are not sent again until somebody forces it

    @property
    def client(self) -> Any:
        """The MlflowClient; None before the first call."""
        return self.experiment.client

    @property
    def trouble(self) -> str:
        """The few words of `problem` that matter."""
        return core_of(self.problem)

    # Single calls -------------------------------------------------------------------------------
    def connect(self) -> None:
        """Look whether the store can be used, and open the experiment."""
        self._attempt(self.experiment.open)

    def start(self, parent: ParentRun) -> str | None:
        """Create or reopen the run of a sweep, comparison or single run.

        Its params stay as they were first logged.

        Returns
        -------
        str or None
            The run id; None if the parent has to wait.
        """
        return self._attempt(self._writer.start, parent)

    def log(self, trial: TrialRun, parent_run_id: str | None = None) -> str | None:
        """Log a trial that has ended.

        A metric that is not finite is sent as NaN, so that no earlier value passes for the last
        one; the tag `harness.nonfinite` says what it was at the first such step. Params and tags
        that are too long for MLflow are cut, and say so.

        Parameters
        ----------
        trial
            Its record.
        parent_run_id
            The run of its sweep or comparison; None for a run that stands alone.

        Returns
        -------
        str or None
            The run id; None if the trial has to wait.
        """
        return self._attempt(self._writer.log, trial, parent_run_id)

    def finish(self, parent: ParentRun, run_id: str, run_id_of: RunIdOf = not_linked) -> bool:
        """End the run of a parent with the status, points, artifacts and description of its record.

        Links of its description lead to what `run_id_of` says of the ids of trials.

        Returns
        -------
        bool
            Whether it was done.
        """
        return self._attempt(self._writer.finish, parent, run_id, run_id_of) is not None

    def knows(self, id: str) -> bool:
        """Return whether the store has a run of a record; False too if it cannot say.

        Of several runs that were created for the same record one is kept.
        """
        return bool(self._attempt(self.index.find, condition_of_id(id)))

    # A whole spool ------------------------------------------------------------------------------
    def catch_up(
        self,
        spool: Spool,
        force: bool = False,
        until: Callable[[], bool] = _never,
        end: bool = True,
    ) -> int:
        """Log what waits in a spool: the parent, its trials in order, the parent's end.

        Trials in training come first, since somebody may be watching them. It is cheap when nothing
        waits.

        Parameters
        ----------
        spool
            Its records are marked as they are logged.
        force
            Whether to try even in a pause after an outage, and what was refused: at the end of a
            sweep, or because somebody asked.
        until
            No more trials are logged once this returns True; it is asked before each.
        end
            Whether a parent that has ended is to end in MLflow too.

        Returns
        -------
        int
            How many records still wait.
        """
        if force:
            self._backoff.end_pause()
            self._refused.clear()
        parent = spool.parent()
        if parent is None:
            if spool.waiting:
                self._log_trials(spool, None, until)
            self._log_models(spool)
            return spool.waiting
        if not spool.waiting and not self._live_of(spool).say_running():
            self._log_models(spool)
            return 0
        run_id = self.start(parent)
        is_running = parent.status == RunStatus.RUNNING
        if run_id is not None and is_running:
            self._log_those_in_training(spool, run_id)
        if run_id is not None:
            self._log_trials(spool, run_id, until)
        if run_id is not None and not is_running and not self.down:
            self._interrupt_those_in_training(spool)
        if is_running or not end:
            # Its own record waits for its end, which is no backlog.
            return spool.waiting - (not spool.is_logged(parent.id))
        if run_id is not None and not self.down:
            self._log_end(spool, parent, run_id)
        return spool.waiting

    def _log_trials(
        self, spool: Spool, parent_run_id: str | None, until: Callable[[], bool]
    ) -> None:
        live = self._live_of(spool)
        for record in spool.pending():
            if until():
                return
            if not isinstance(record, TrialRun) or record.id in self._refused:
                continue
            # Single runs of several projects share a spool.
            if parent_run_id is None and record.project not in ("", self.project):
                continue
            if self._is_damaged(record):
                self._refused.add(record.id)
                continue
            run_id = self._attempt(live.log, record, parent_run_id)
            if run_id is not None:
                spool.mark_logged(record.id, run_id, self.mark)
                if record.number is not None:
                    live.settle(record.number)
            elif self.down:
                return
            else:
                self._refused.add(record.id)

    # Trials in training -------------------------------------------------------------------------
    def _live_of(self, spool: Spool) -> LiveWriter:
        if spool.folder not in self._live:
            folder = live_folder(spool.folder.parent)
            self._live[spool.folder] = LiveWriter(folder, self._writer, self.mark)
        return self._live[spool.folder]

    def _log_those_in_training(self, spool: Spool, parent_run_id: str) -> None:
        """Send the new points of trials in training; those that are in MLflow are forgotten."""
        live = self._live_of(spool)
        for number in live.numbers():
            id = live.id_of(number)
            if spool.is_logged(id):
                live.settle(number)
            if id in spool or id in self._refused:
                continue
            is_sent = self._attempt(live.send, number, parent_run_id)
            if self.down:
                return
            if not is_sent:
                self._refused.add(id)

    def _interrupt_those_in_training(self, spool: Spool) -> None:
        """Let the trials that nobody trains any more say so; what is in MLflow is forgotten."""
        live = self._live_of(spool)
        for number in live.numbers():
            id = live.id_of(number)
            if spool.is_logged(id):
                live.settle(number)
            elif id not in spool and not self.down:
                self._attempt(live.interrupt, number)

    def _log_end(self, spool: Spool, parent: ParentRun, run_id: str) -> None:
        if spool.is_logged(parent.id) or self._is_damaged(parent):
            return
        if self.finish(parent, run_id, spool.run_id):
            spool.mark_logged(parent.id, run_id, self.mark)
            self._log_models(spool)

    def _log_models(self, spool: Spool) -> None:
        if NetworkFolder(spool.folder.parent).waiting():
            self._attempt(log_waiting, self.experiment, spool)

    def _is_damaged(self, record: Run) -> bool:
        """Return whether a file that waits with a record has changed, which is said once."""
        if record.files is None:
            return False
        changed = changed_files(record.files, record.checksums)
        if changed:
            self._say_once(
                f"tracking: {', '.join(changed)} of {record.name!r} is damaged and not sent; "
                "`harness doctor` helps"
            )
        return bool(changed)

    # Outages ------------------------------------------------------------------------------------
    def _attempt(self, call: Callable[..., Result], *arguments: Any) -> Result | None:
        """Call, and return the result; None in a pause after an outage, or if MLflow fails."""
        if self._backoff.pausing:
            return None
        self.problem = ""
        self._backoff.begin()
        try:
            result = call(*arguments)
        except BaseException as error:
            # Nobody knows how far the call has come. Ctrl-C too can have come before an answer.
            self.index.forget()
            if isinstance(error, UsageError) or not isinstance(error, Exception):
                raise
            # A server can also answer what MLflow cannot read, and then MLflow raises almost
            # anything.
            self._failed(error)
            return None
        if self.down:
            self.say(f"tracking: {self.place} is back")
        self.down = False
        self._backoff.reset()
        return result

    def _failed(self, error: Exception) -> None:
        self.problem = reason_of(error)
        if is_refusal(error):
            self._say_once(
                f"tracking: {self.place} refuses a run, which stays in the spool: "
                f"{self.problem[:300]}"
            )
            return
        if not self.down:
            self.say(
                f"tracking: {self.place} cannot be used ({self.trouble}); "
                "the work goes on, and what it logs waits in the spool"
            )
        self.down = True
        self._backoff.failed()

    def _say_once(self, sentence: str) -> None:
        if sentence not in self._sentences:
            self._sentences.add(sentence)
            self.say(sentence)
