"""The driver: the one process that asks, tells and writes. Workers train, and know nothing else.

Sweeps and comparisons have plans (`studies.plan`), which say what is trained and what comes of it.
"""

import contextlib
import math
from collections.abc import Iterable

from harness.errors import UsageError
from harness.garbage import started
from harness.storage.files import DiskError
from harness.storage.records import TrialRun
from harness.storage.watch import Watch
from harness.studies.books import Books
from harness.studies.dispatch import Dispatch
from harness.studies.in_training import Candidate, InTraining
from harness.studies.levels import Levels
from harness.studies.limits import say_if_limited
from harness.studies.plan import Ending, Plan, Settings, Sitting
from harness.studies.progress import Expected, Progress, progress
from harness.studies.showing import Showing
from harness.studies.stopping import Stopping, StudyStopped
from harness.trials.checkpoints import Checkpoint, Checkpoints
from harness.trials.clock import monotonic
from harness.trials.identity import announce
from harness.trials.outcome import Outcome
from harness.trials.seeds import packed
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
        self.announced: set[str] = set()  # what was said of the data and of live points
        self.watch = Watch(books.folder)
        self.dispatch = Dispatch(plan, settings, levels, self.watch)
        self.showing = Showing(plan, books, levels)
        self.open = contextlib.ExitStack()  # closes the workers
        self._pool: Inline | Dask | None = None
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
                    if not self.settings.scheduler:  # whose workers come and go
                        say_if_limited(self.sitting, self._pool, ending.seconds)
                finally:
                    self.progress.finish(ending.finished, ending.note, ending.seconds)

    def _train(self) -> None:
        self.progress.show(self.plan.headline())
        self._fill()
        if self.running or not self.plan.has_ended_before(self.books):
            # MLflow takes seconds to import: workers train meanwhile.
            self.books.start()
        started()
        while self.running and not self.sitting.time_is_up:
            self._take()

    def _ending(self) -> "Ending":
        """The ending of work that nothing has interrupted: finished, or out of time."""
        if self.sitting.time_is_up and self.plan.wants_more():
            self._put_away()
            limit = f"its time of {self.settings.timeout:g} s is up"
            note = f"{limit}; starting the same sweep again goes on from here"
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
            self.dispatch.plugins = plugins_for(self._pool, self.settings.script)
            self.sitting.shipped = self._pool.shipped
            self.sitting.errand = self._pool.errand
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
        self._even_out()

    def _enroll(self, candidate: Candidate) -> None:
        """Takes a trial into training, or ends it as a copy where its result is known."""
        if copy := self.plan.copy_of(candidate):
            self._end(copy)
        else:
            self.running[candidate.number] = InTraining(candidate)

    def _begin(self, entry: InTraining) -> None:
        """A trial is trained from now on, from its checkpoint where there is one."""
        entry.has_begun = True
        self.showing.begin(entry)
        self._restore(entry)
        self.levels.begin(entry)

    def _restore(self, entry: InTraining) -> None:
        """A trial of which nothing is known here stands as in its last checkpoint."""
        if found := self.checkpoints.read(entry.number, entry.identity):
            entry.go_on_from(found, self.settings.seeds)

    # Sending --------------------------------------------------------------------------------------

    def _send(self) -> None:
        """Sends to the workers what is to be trained now."""
        if not self.running or self.sitting.time_is_up:
            return
        self._heed_stops()
        self.dispatch.send(self.pool, self._begun(), self.sitting.deadline - monotonic())
        self.progress.training(self.running.values())

    def _heed_stops(self) -> None:
        """Marks trials that somebody has stopped; StudyStopped where the whole study is."""
        by = self.stopping.heed(self.running.values())
        if by:
            self._put_away()
            raise StudyStopped(f"stopped by {by}")

    def _even_out(self) -> None:
        """Gives workers without work some of that which waits for others."""
        if self.running and not self.sitting.time_is_up:
            self.dispatch.even_out(self.pool, self._begun())

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
        while any(entry.is_away for entry in self.running.values()):
            if self.sitting.time_is_up:
                return None
            back = self._receive(self.sitting.deadline - monotonic())
            # Where nobody is asked a trial goes on at once, and so does one that was lost. A worker
            # that has ended one begins the next before its record is written.
            if self.settings.in_rounds or not self.levels.has_pruner or not back:
                self._send()
            if self.settings.in_rounds:
                self._even_out()
            elif back:
                return back
        return self._decidable()

    def _decidable(self) -> list[InTraining] | None:
        """The trials of a round that can be decided upon where none is away."""
        begun = [entry for entry in self.running.values() if entry.has_begun]
        if not self.sitting.time_is_up:
            return begun
        if self.levels.has_pruner:
            # Trials are judged together or not at all.
            are_ready = all(map(self.levels.is_ready, begun))
            return begun if are_ready else None
        return [entry for entry in begun if entry.outcome.ended]

    def _receive(self, seconds: float) -> list[InTraining]:
        """The trials that come back within so many seconds, and are to be decided upon."""
        limit = None if seconds == math.inf else max(0.0, seconds)
        back: list[InTraining] = []
        taken: list[InTraining] = []
        for outcome in self.pool.next(limit):
            entry = self.running[outcome.number]
            if outcome.lost:
                self._go_back(entry, outcome)
                continue
            self.showing.take(entry, outcome)
            if outcome.still:
                self.watch.add(outcome.number, outcome.records[-1].step, outcome.still)
            self.dispatch.watch(entry, outcome)
            taken.append(entry)
            if outcome.ended or self.levels.has_pruner:
                back.append(entry)
            else:
                self._write_down(entry)
        self.progress.training(taken)
        return back

    def _go_back(self, entry: InTraining, outcome: Outcome) -> None:
        """A trial that was lost with its worker goes on from its last checkpoint."""
        entry.is_away = False
        entry.losses += 1
        entry.deaths = outcome.deaths
        entry.is_alone = entry.is_alone or outcome.alone
        entry.start_again(entry.outcome.start_ms)
        self._restore(entry)

    def _decide(self, entry: InTraining) -> None:
        """Ends a trial that has come to its end; the pruner is asked of another one."""
        if entry.outcome.ended:
            self.levels.end(entry)
            self._finish(entry)
            return
        self.levels.judge(entry)
        if not entry.is_pruned:
            self._write_down(entry)
        elif entry.epochs > entry.judged:
            # This pruner is a new one, and would have ended the trial earlier.
            entry.start_again(entry.outcome.start_ms)

    # Writing down trials that go on ---------------------------------------------------------------

    def _write_down(self, entry: InTraining) -> None:
        """Writes down how a trial that goes on stands: its points, and now and then its state."""
        with self.sitting.overhead.of("write"):
            trouble = self.showing.show(entry)
        if trouble and trouble not in self.announced:
            self.announced.add(trouble)
            self.progress.say(trouble)
        is_due = entry.unsaved + entry.outcome.took >= self.settings.checkpoint
        if is_due and entry.outcome.state is not None:
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
                if "a checkpoint" not in self.announced:
                    self.announced.add("a checkpoint")
                    sentence = f"trial #{entry.number} goes on without a checkpoint"
                    self.progress.say(f"{sentence} (this is said once): {error}")
            entry.unsaved = 0.0
            entry.deaths = 0

    def _put_away(self) -> None:
        """Writes down how the trials in training stand when the time of the study is up."""
        end = monotonic() + GRACE
        if isinstance(self.pool, Inline):
            self.pool.withdraw()
            for entry in self.running.values():
                entry.is_away = False
        self._wait_for_all(end)
        for entry in self._with_news():
            if entry.outcome.place:
                self.dispatch.fetch(self.pool, [entry])
        self._wait_for_all(end)
        for entry in self._with_news():
            if entry.outcome.state is not None:
                self._save(entry)

    def _wait_for_all(self, end: float) -> None:
        """Takes what comes back until then."""
        while any(entry.is_away for entry in self.running.values()) and monotonic() < end:
            self._receive(end - monotonic())

    def _with_news(self) -> list[InTraining]:
        """The trials that go on and have been trained since their last checkpoint."""
        return [
            entry
            for entry in self.running.values()
            if entry.unsaved and not entry.is_pruned and not entry.outcome.ended
        ]

    # Ending ---------------------------------------------------------------------------------------

    def _finish(self, entry: InTraining) -> None:
        """Writes down a trial that has ended, and those that waited for its result."""
        self.showing.end(entry)
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
