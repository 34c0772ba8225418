"""The driver: the one process that asks, tells and writes. Workers train, and know nothing else.

It drives sweeps and comparisons alike. What is trained next, and what becomes of a result, is for
their plans to say (`studies.plan`).
"""

import contextlib
import math
from collections.abc import Iterable

from harness.errors import UsageError
from harness.storage.files import DiskError
from harness.storage.records import TrialRun
from harness.studies.books import Books
from harness.studies.in_training import Candidate, InTraining
from harness.studies.levels import NOT_NOW, Levels
from harness.studies.plan import Ending, Plan, Settings, Sitting
from harness.studies.progress import Expected, Progress, progress
from harness.studies.stopping import Stopping, StudyStopped
from harness.trials.checkpoints import Checkpoint, Checkpoints
from harness.trials.clock import monotonic
from harness.trials.identity import announce, data_digest
from harness.trials.job import Job
from harness.trials.outcome import Outcome
from harness.trials.seeds import mean_records, packed, unpacked
from harness.workers.pool import Dask, Inline, engine, plugins_for

GRACE = 5.0  # seconds that segments may take to come back when the time of a study is up


class Driver:
    """One driver, one study: keeps the workers fed, writes the books, tells the console.

    Parameters
    ----------
    plan : Plan
        What is trained.
    settings : Settings
        How it is trained.
    books : Books
        Where it is written down.
    levels : Levels
        When trials are judged.
    checkpoints : Checkpoints
        Where trials in training are written down.
    ended : iterable of int
        The numbers of the trials that have ended before.
    """

    def __init__(
        self,
        plan: Plan,
        settings: Settings,
        books: Books,
        levels: Levels,
        checkpoints: Checkpoints,
        ended: Iterable[int],
    ) -> None:
        self.plan = plan
        self.settings = settings
        self.books = books
        self.levels = levels
        self.checkpoints = checkpoints
        self.running: dict[int, InTraining] = {}
        self.announced: set[str] = set()  # what was said of the data
        self.open = contextlib.ExitStack()  # closes the workers
        self._pool: Inline | Dask | None = None
        self._plugins: list[str] = []
        numbers = set(ended)
        # A crash may have come between the record of a trial and the end of its checkpoints.
        for number in checkpoints.numbers() & numbers:
            checkpoints.drop(number)
        self.stopping = Stopping(books.folder, numbers)

    def run(self, expected: Expected) -> None:
        """Trains what the plan wants, until it wants nothing more or the time is up."""
        with self.open, contextlib.ExitStack() as console_open:
            opened = console_open.enter_context(progress(expected))
            self.sitting = Sitting(self.books, opened, self.running)
            begun = monotonic()
            ending = Ending()
            try:
                if self.settings.timeout is not None:
                    # The time begins when the workers are there, or a short one trained nothing.
                    _ = self.pool
                    self.sitting.deadline = monotonic() + self.settings.timeout
                self._train()
                ending = self._ending()
            except UsageError as error:
                ending.note = str(error)
                raise
            except KeyboardInterrupt as stop:
                self.books.interrupts.stopping = True
                how = str(stop) if isinstance(stop, StudyStopped) else "interrupted"
                ending.note = f"{how}; starting the same sweep again goes on from here"
                raise
            except Exception as error:
                ending.note = f"stopped by {type(error).__name__}: {error}"
                raise
            finally:
                # What is said from here on stands below the console.
                console_open.close()
                ending.seconds = monotonic() - begun
                try:
                    self.plan.close(ending, self.sitting)
                finally:
                    self.progress.finish(ending.finished, ending.note, ending.seconds)

    def _train(self) -> None:
        self.progress.show(self.plan.headline())
        self._fill()
        if self.running or not self.plan.has_ended_before(self.books):
            # MLflow takes seconds to import: workers train meanwhile.
            self.books.start()
        while self.running and not self.sitting.time_is_up:
            self._take()

    def _ending(self) -> "Ending":
        """The ending of work that nothing has interrupted: finished, or out of time."""
        if self.sitting.time_is_up and self.plan.wants_more():
            self._put_away()
            seconds = self.settings.timeout
            note = (
                f"its time of {seconds:g} s is up; starting the same sweep again goes on from here"
            )
            return Ending(finished=False, note=note)
        # These are fewer than asked for where all there is has been tried.
        self.progress.expect(self.plan.ended())
        return Ending(finished=True)

    @property
    def progress(self) -> Progress:
        """Who is told how the study goes on."""
        return self.sitting.progress

    @property
    def pool(self) -> Inline | Dask:
        """The workers. They are started when something is to be trained, not before."""
        if self._pool is None:
            workers = engine(self.settings.workers, self.settings.scheduler)
            self._pool = self.open.enter_context(workers)
            self._plugins = plugins_for(self._pool, self.settings.script)
            self.sitting.shipped = self._pool.shipped
        return self._pool

    # Asking ---------------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Asks for as many trials as there is room for, and sends them to be trained."""
        if self.settings.in_rounds and self.running:
            return
        for candidate in self.plan.candidates(self.sitting, lambda: self.pool.workers):
            announce(candidate.config, self.announced, self.progress.say)
            self._enroll(candidate)
        self._send()

    def _enroll(self, candidate: Candidate) -> None:
        """Takes a trial into training, or ends it as a copy where its result is known."""
        if copy := self.plan.copy_of(candidate):
            self._end(copy)
        else:
            self.running[candidate.number] = InTraining(candidate)

    def _begin(self, entry: InTraining) -> None:
        """A trial is trained from now on, from its checkpoint where there is one."""
        entry.has_begun = True
        if found := self.checkpoints.read(entry.number, entry.identity):
            outcome = entry.outcome
            outcome.state = found.state
            outcome.records = found.records
            outcome.start_ms = found.start_ms
            if self.settings.seeds > 1:
                _restore_members(outcome)
            entry.saved = entry.trained_seconds
        self.levels.begin(entry)

    # Sending --------------------------------------------------------------------------------------

    def _send(self) -> None:
        """Sends to the workers what is to be trained now."""
        if self.sitting.time_is_up:
            return
        self._heed_stops()
        groups: dict[tuple[int, str, int, int | None], list[InTraining]] = {}
        for entry in self._begun():
            epochs = self.levels.epochs_due(entry)
            if not entry.is_away and epochs != NOT_NOW:
                key = entry.candidate.batch, entry.config.shape_key(), entry.epochs, epochs
                groups.setdefault(key, []).append(entry)
        for (_, _, _, epochs), group in groups.items():
            size = self.plan.group_size(group, self.pool.workers)
            for at in range(0, len(group), size):
                self._submit(group[at : at + size], epochs)
        self.progress.training(self.running.values())

    def _heed_stops(self) -> None:
        """Marks trials that somebody has stopped; StudyStopped where the whole study is."""
        by = self.stopping.heed(self.running.values())
        if by:
            self._put_away()
            raise StudyStopped(f"stopped by {by}")

    def _begun(self) -> list[InTraining]:
        """The trials that are trained now, by their numbers; those whose turn it is begin."""
        entries = sorted(self.running.values(), key=lambda entry: entry.number)
        turn = min((entry.candidate.turn for entry in entries), default=0)
        in_training = {entry.identity for entry in entries if entry.has_begun}
        for entry in entries:
            is_due = entry.candidate.turn == turn and entry.identity not in in_training
            if not entry.has_begun and is_due:
                self._begin(entry)
                in_training.add(entry.identity)
        return [entry for entry in entries if entry.has_begun]

    def _submit(self, entries: list[InTraining], epochs: int | None) -> None:
        config = entries[0].config
        seconds_left = self.sitting.deadline - monotonic()
        pool = self.pool
        job = Job(
            # State and records travel; artifacts and notes stay in the driver.
            trials=[entry.standing for entry in entries],
            plugins=self._plugins,
            epochs=epochs,
            keep_state=any(entry.candidate.keep_state for entry in entries),
            seconds=max(0.0, min(self.settings.checkpoint, seconds_left)),
            timeout=self.settings.trial_timeout,
            beat=self.plan.beat(config),
            digest=data_digest(config),
            seeds=self.settings.seeds,
            together=self.settings.together,
        )
        for entry in entries:
            entry.is_away = True
        pool.submit(job)

    # Taking ---------------------------------------------------------------------------------------

    def _take(self) -> None:
        """Takes what a worker has done; in rounds what all have done, in the order of trials."""
        back = self._collect()
        if back is None:
            return
        for entry in sorted(back, key=lambda entry: entry.number):
            self._decide(entry)
        self.levels.go_on(any(entry.has_begun for entry in self.running.values()))
        self._fill()
        if self.settings.in_rounds:
            self._send()
        with self.sitting.overhead.of("log"):
            self.books.log()
        self.plan.note_overhead(self.sitting)

    def _collect(self) -> list[InTraining] | None:
        """The trials to be decided upon; None where the time is up before they are there."""
        back: list[InTraining] = []
        while any(entry.is_away for entry in self.running.values()):
            if self.sitting.time_is_up:
                return None
            back += self._receive(self.sitting.deadline - monotonic())
            if back and not self.settings.in_rounds:
                return back
        return [entry for entry in self.running.values() if entry.has_begun]

    def _receive(self, seconds: float) -> list[InTraining]:
        """What comes back from the workers within so many seconds."""
        limit = None if seconds == math.inf else max(0.0, seconds)
        back = []
        for outcome in self.pool.next(limit):
            entry = self.running[outcome.number]
            outcome.start_ms = entry.outcome.start_ms or outcome.start_ms
            entry.outcome = outcome
            entry.is_away = False
            back.append(entry)
        self.progress.training(back)
        return back

    def _decide(self, entry: InTraining) -> None:
        """Ends a trial that has come to its end; the pruner is asked of another one."""
        if entry.outcome.ended:
            self.levels.end(entry)
            self._finish(entry)
            return
        self.levels.judge(entry)
        if not entry.is_pruned:
            self._save_if_due(entry)
        elif entry.epochs > entry.judged:
            # This pruner is a new one, and would have ended the trial earlier.
            entry.start_again(entry.outcome.start_ms)

    # Checkpoints ----------------------------------------------------------------------------------

    def _save_if_due(self, entry: InTraining) -> None:
        """Writes a checkpoint, unless a pruner has cut the trial into shorter segments."""
        since = entry.trained_seconds - entry.saved
        if not self.levels.has_pruner or since >= self.settings.checkpoint:
            self._save(entry)

    def _save(self, entry: InTraining) -> None:
        """Writes a checkpoint of a trial that goes on; the study can do without it."""
        outcome = entry.outcome
        assert outcome.state is not None
        with self.books.interrupts.held_back():
            state = outcome.state
            records = outcome.records
            if outcome.members:
                state, records = packed(outcome.members)
            checkpoint = Checkpoint(state, records, outcome.start_ms)
            try:
                self.checkpoints.write(entry.number, entry.identity, checkpoint)
            except DiskError as error:
                self.progress.say(f"trial #{entry.number} goes on without a checkpoint: {error}")
            entry.saved = entry.trained_seconds

    def _put_away(self) -> None:
        """Writes down how the trials in training stand when the time of the study is up."""
        end = monotonic() + GRACE
        while self.pool.remote and monotonic() < end:
            if not any(entry.is_away for entry in self.running.values()):
                break
            self._receive(end - monotonic())
        for entry in self.running.values():
            goes_on = not entry.is_pruned and not entry.outcome.ended
            has_news = entry.outcome.state is not None and entry.trained_seconds > entry.saved
            if goes_on and has_news:
                self._save(entry)

    # Ending ---------------------------------------------------------------------------------------

    def _finish(self, entry: InTraining) -> None:
        """Writes down a trial that has ended, and those that waited for its result."""
        run = self.plan.record_of(entry)
        self._end(run)
        self.plan.after(run, entry.outcome, self.progress)
        twins = [twin for twin in self.running.values() if twin.identity == entry.identity]
        for twin in sorted(twins, key=lambda twin: twin.number):
            if copy := self.plan.copy_of(twin.candidate):
                self._end(copy)

    def _end(self, run: TrialRun) -> None:
        """Makes the end of a trial durable, then tells it to whoever decides."""
        assert run.number is not None
        with self.books.interrupts.held_back(), self.sitting.overhead.of("write"):
            self.plan.make_durable()
            self.books.write(run)
            self.plan.tell(run)
            self.checkpoints.drop(run.number)
            self.stopping.end(run.number)
            self.running.pop(run.number, None)
            run.artifacts = {}
            self.progress.end(run, self.plan.headline(), self.plan.is_best(run))


def _restore_members(outcome: Outcome) -> None:
    """Takes the networks of a trial of several seeds out of the one state of its checkpoint."""
    assert outcome.state is not None
    outcome.members = unpacked(outcome.state, outcome.records)
    outcome.state = outcome.members[0].state
    outcome.records = mean_records(outcome.members)
