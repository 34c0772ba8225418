"""The writing of trials in training: their RUNNING runs, and what becomes of them."""

from pathlib import Path

from harness.storage.clock import now_ms
from harness.storage.formats import Damaged, OtherVersion
from harness.storage.ledger import Ledger, Ledgers
from harness.storage.live import Course, LiveTrials
from harness.storage.records import TrialRun
from harness.tracking.entities import mlflow_points
from harness.tracking.record_writer import Begun, RecordWriter

GONE = "its driver has ended before it; starting the same sweep again goes on from here"


class LiveWriter:
    """Write the trials of a sweep that are in training into MLflow, each point once.

    Errors of MLflow pass through. Every call may be repeated: the ledger of a trial says which of
    its points MLflow has, and a point that is sent twice is stored once.

    Parameters
    ----------
    folder
        The folder of live points of the sweep.
    writer
        What calls MLflow.
    store
        What ledgers remember of the store.
    """

    def __init__(self, folder: Path, writer: RecordWriter, store: str):
        self._live = LiveTrials(folder)
        self._ledgers = Ledgers(folder)
        self._writer = writer
        self._store = store
        self._known: dict[int, Ledger] = {}
        self._is_there = folder.is_dir

    def numbers(self) -> list[int]:
        """List the trials that have live points or a ledger."""
        if not self._is_there():
            return []
        return sorted({*self._live.numbers(), *self._ledgers.numbers()})

    def say_running(self) -> bool:
        """Return whether a run of a trial says RUNNING."""
        ledgers = map(self._ledger, self.numbers())
        return any(ledger is not None and ledger.is_running for ledger in ledgers)

    def id_of(self, number: int) -> str:
        """Return the id of the record that a trial will have; "" if nobody can say."""
        course = self._course(number)
        if course is not None:
            return course.trial.id
        ledger = self._ledger(number)
        return "" if ledger is None else ledger.id

    # In training --------------------------------------------------------------------------------
    def send(self, number: int, parent_run_id: str) -> bool:
        """Send what MLflow does not have yet of a trial in training; it says RUNNING then."""
        course = self._course(number)
        if course is None:
            return True
        ledger = self._ledger(number)
        is_ours = ledger is not None and ledger.id == course.trial.id
        if ledger is not None and is_ours and ledger.line == course.checksum and ledger.is_running:
            return True
        run = self._writer.begin(course.trial, parent_run_id)
        sent = 0
        if ledger is not None and ledger.run_id == run.run_id:
            sent = course.ends.get(ledger.line, 0)
            if not ledger.is_running:
                self._writer.resume(run.run_id)
        points = mlflow_points(course.points[sent:])
        self._writer.extend(run, course.trial, points, parent_run_id)
        self._write(number, Ledger(course.trial.id, run.run_id, self._store, course.checksum, True))
        return True

    def interrupt(self, number: int) -> None:
        """Let the run of a trial that nobody trains any more say KILLED."""
        ledger = self._ledger(number)
        if ledger is None or not ledger.is_running:
            return
        course = self._course(number)
        # Its last point is the last sign of it.
        end_ms = now_ms()
        if course is not None and course.points:
            end_ms = max(point.time_ms for point in course.points)
        self._writer.interrupt(ledger.run_id, GONE, end_ms)
        self._write(number, ledger._replace(is_running=False))

    # At the end ---------------------------------------------------------------------------------
    def log(self, record: TrialRun, parent_run_id: str | None) -> str:
        """Write the record of a trial that has ended, but for what its run has; its run id."""
        return self._writer.log(record, parent_run_id, self._begun(record))

    def settle(self, number: int) -> None:
        """Forget a trial whose record MLflow has."""
        if not self._is_there():
            return
        self._known.pop(number, None)
        # Without its ledger nobody would know that these points are those of its run.
        self._live.drop(number)
        self._ledgers.drop(number)

    def _begun(self, record: TrialRun) -> Begun:
        if record.number is None or not self._is_there():
            return Begun()
        ledger = self._ledger(record.number)
        course = self._course(record.number)
        if course is None or course.trial.id != record.id:
            return Begun()
        if ledger is None or ledger.id != record.id or ledger.line not in course.ends:
            # The run may have points that were sent just before a crash.
            return Begun()
        points = mlflow_points(course.points[: course.ends[ledger.line]])
        return Begun(tuple(points), is_interrupted=not ledger.is_running)

    # On disk ------------------------------------------------------------------------------------
    def _ledger(self, number: int) -> Ledger | None:
        """Return the ledger of a trial, None if there is none for this store."""
        if number not in self._known:
            ledger = self._ledgers.read(number)
            if ledger is None or ledger.store != self._store:
                return None
            self._known[number] = ledger
        return self._known[number]

    def _write(self, number: int, ledger: Ledger) -> None:
        self._known.pop(number, None)
        self._ledgers.write(number, ledger)
        self._known[number] = ledger

    def _course(self, number: int) -> Course | None:
        try:
            return self._live.course(number)
        except (Damaged, OtherVersion):
            # The driver begins it anew, or `harness doctor` says what is wrong.
            return None
