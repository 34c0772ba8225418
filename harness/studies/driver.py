"""The driver of a sweep: the one process that asks, tells and writes. Workers train, and know of
nothing else.
"""

import math
import sys
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from harness.config import Config
from harness.errors import UsageError
from harness.escapes import printable
from harness.storage.files import DiskError, remove, sync_file
from harness.storage.records import RunStatus, TrialRun
from harness.studies.asking import Asking
from harness.studies.books import Books
from harness.studies.in_training import InTraining
from harness.studies.pruning import Judge
from harness.studies.result import Objective, Result
from harness.studies.space import Yardstick
from harness.studies.standing import Failures, Standing
from harness.studies.study import JOURNAL, asked, tell
from harness.trials.checkpoints import Checkpoint, Checkpoints
from harness.trials.clock import monotonic
from harness.trials.identity import announce, data_digest, identity
from harness.trials.interrupts import stopping, undisturbed
from harness.trials.job import Job
from harness.trials.outcome import Outcome
from harness.trials.params import OURS, name_of
from harness.trials.run import result_of, to_run
from harness.trials.seeds import packed, unpacked

if TYPE_CHECKING:
    from harness.studies.sweep import Sweep


NOTED = 100  # trials after which the overhead so far is noted
# Trials at one barrier of a synchronous sweep; a constant, since which of them are pruned depends
# on it
ROUND = 8
GRACE = 5.0  # seconds that segments may take to come back when the time of a sweep is up


class Driver:
    """One driver, one sweep: keeps the workers fed, tells Optuna, writes the books, draws the bar.

    A synchronous sweep with a pruner goes through a round epoch by epoch: its `level`. At each
    level all trials of the round stand at that epoch at least, and are judged one after the other
    in the order of their numbers. After an interruption the levels are gone through again from the
    first one: what was decided stands, and a trial whose last checkpoint lies behind is trained up
    to where it was. So all that is decided is a function of the round alone.
    """

    def __init__(
        self,
        sweep: "Sweep",
        study: Any,
        books: Books,
        goals: list[Objective],
        pool: Any,
        plugins: list[str],
    ) -> None:
        from optuna.pruners import NopPruner

        self.sweep, self.study, self.books, self.pool, self.plugins = (
            sweep,
            study,
            books,
            pool,
            plugins,
        )
        self.population = int(sweep.population)
        # As it was when it began
        self.source = {"script.py": sweep.script.read_bytes()} if sweep.script else {}
        self.standing = Standing(Result(sweep.name, [], goals, False))
        self.result = self.standing.result
        self.trials = self.result.trials
        self.failures = Failures(sweep.name)
        self.checkpoints = Checkpoints(books.folder / "checkpoints")
        for run in books.trials():
            self.standing.enter(run)
        self.running: dict[int, InTraining] = {}
        self.judge = None if isinstance(study.pruner, NopPruner) else Judge(study)
        self.level = 1
        self.announced: set[str] = set()  # what was said of the data
        self.overhead = {"ask": 0.0, "write": 0.0, "log": 0.0}
        self.noted = len(self.trials)  # when the overhead so far was last noted
        self.asking = Asking(sweep, study, self.trials)
        self.deadline = math.inf if sweep.timeout is None else monotonic() + sweep.timeout
        for number in self.checkpoints.numbers() & {run.number for run in self.trials}:
            self.checkpoints.drop(number)

    def run(self) -> Result:
        from tqdm import tqdm

        begun, note = monotonic(), ""
        many = {
            "total": max(self.sweep.trials, len(self.trials)),
            "initial": len(self.trials),
            "unit": "trial",
        }
        often = 0.1 if sys.stderr.isatty() else 30  # seconds
        try:
            with tqdm(
                desc=self.sweep.name, file=sys.stderr, dynamic_ncols=True, mininterval=often, **many
            ) as self.bar:
                self._show()
                self._fill()
                self.books.start()  # MLflow takes seconds to import: workers train meanwhile
                while self.running and not self._time_is_up():
                    self._take()
                if len(self.trials) < self.sweep.trials and self._time_is_up():
                    note = self._put_away()
                else:
                    # Fewer than asked for where all there is has been tried
                    self.bar.total = len(self.trials)
                    self.result.finished = True
        except UsageError as error:
            note = str(error)
            raise
        except KeyboardInterrupt:
            stopping.append(1)
            note = "interrupted; starting the same sweep again goes on from here"
            raise
        except Exception as error:
            note = f"stopped by {type(error).__name__}: {error}"
            raise
        finally:
            self._close(note, monotonic() - begun)
        return self.result

    def _close(self, note: str, seconds: float) -> None:
        clock = max((t.end_ms or 0 for t in self.trials), default=0)
        shipped, spent = self.pool.shipped, {**self._spent(), "time/sweep_s": seconds}
        if shipped["segments"]:
            spent["ship/segments"] = shipped["segments"]
            spent["ship/bytes_per_segment"] = shipped["bytes"] / shipped["segments"]
            spent["ship/ms_per_segment"] = 1000 * shipped["seconds"] / shipped["segments"]
        sitting = self.books.parent.sitting  # each has seconds of its own
        metrics = [*self.standing.curve, *((k, v, sitting, clock) for k, v in spent.items())]
        status = RunStatus.FINISHED if self.result.finished else RunStatus.KILLED
        self.books.close(status, self.standing.description(note), metrics, self.source)

    def _spent(self) -> dict[str, float]:
        """The seconds since the start that this process has not spent on training, by what it
        did.
        """
        spent = {
            **self.overhead,
            "sampler": self.study.sampler.seconds,
            "ship": self.pool.shipped["seconds"],
        }
        spent["ask"] -= spent["sampler"]
        return {f"time/{key}_s": value for key, value in spent.items()}

    def _show(self) -> None:
        if self.standing.best:
            self.bar.set_postfix_str(self.standing.line(), refresh=False)

    # asking

    def _fill(self) -> None:
        """Asks for as many trials as there is room for, and sends them to be trained."""
        sweep = self.sweep
        if sweep.synchronous and self.running:
            return
        # with several workers one more population waits, so that no worker does
        room = self.population * (1 if self.pool.workers == 1 else self.pool.workers + 1)
        while len(self.trials) + len(self.running) < sweep.trials and not self._time_is_up():
            if sweep.synchronous:
                whole = not self.asking.interrupted and asked(self.study) % ROUND == 0
                if self.running and whole:
                    break
            elif len(self.running) >= room:
                break
            begun = monotonic()
            trial = self.asking.trial()
            if trial is None:
                break
            config = self.asking.config(trial, (entry.params for entry in self.running.values()))
            self.overhead["ask"] += monotonic() - begun
            if config is not None:
                announce(config, self.announced, self.bar)
                self._enroll(trial, config)
        self._send()

    def _enroll(self, trial: Any, config: Config) -> None:
        """Takes a trial into training, or ends it as a copy where its result is known."""
        same = identity(config, self.sweep.seeds)
        entry = InTraining(trial, same, Outcome(trial.number, config))
        if same in self.standing.known:
            self._copy(entry, self.standing.known[same])
            return
        if self.sweep.synchronous:
            before = [t for t in self.trials[-2 * ROUND :] if t.result.identity == same]
            numbers = [t.number or 0 for t in before]
            numbers += [t.number for t in self.running.values() if t.identity == same]
            ours = trial.number // ROUND
            entry.turn = sum(n < trial.number and n // ROUND == ours for n in numbers)
        self.running[trial.number] = entry

    def _begin(self, entry: InTraining) -> None:
        """A trial is trained from now on, from its checkpoint where there is one."""
        entry.begun = True
        if found := self.checkpoints.read(entry.number, entry.identity):
            outcome = entry.outcome
            outcome.state, outcome.records, outcome.start_ms = (
                found.state,
                found.records,
                found.start_ms,
            )
            if self.sweep.seeds > 1:
                self._restore_members(outcome)
            entry.saved = entry.trained
        if self.judge:
            entry.verdict = self.judge.last(entry.number, entry.identity)

    def _restore_members(self, outcome: Outcome) -> None:
        from harness.trials.seeds import mean_records

        assert outcome.state is not None
        outcome.members = unpacked(outcome.state, outcome.records)
        outcome.state = outcome.members[0].state
        outcome.records = mean_records(outcome.members)

    # sending

    def _send(self) -> None:
        """Sends to the workers what is to be trained now."""
        if self._time_is_up():
            return
        due = self._begun()
        groups: dict[Any, list[InTraining]] = {}
        for entry in due:
            epochs = self._epochs_due(entry)
            if not entry.away and (epochs is None or epochs >= 0):
                key = entry.config.shape_key(), entry.epochs, epochs
                groups.setdefault(key, []).append(entry)
        size = max(1, self.population // self.sweep.seeds)
        for (_, _, epochs), group in groups.items():
            for at in range(0, len(group), size):
                self._submit(group[at : at + size], epochs)

    def _begun(self) -> list[InTraining]:
        """The trials that are trained now, in the order of their numbers; those whose turn it is
        begin.
        """
        entries = sorted(self.running.values(), key=lambda entry: entry.number)
        turn = min((entry.turn for entry in entries), default=0)
        training = {entry.identity for entry in entries if entry.begun}
        for entry in entries:
            if not entry.begun and entry.turn == turn and entry.identity not in training:
                self._begin(entry)
                training.add(entry.identity)
        return [entry for entry in entries if entry.begun]

    def _epochs_due(self, entry: InTraining) -> int | None:
        """How many epochs to train a trial before it is decided upon; None for all, -1 for nothing
        now.

        0 ends it as it stands.
        """
        if self.judge is None:
            return None
        level = self.level if self.sweep.synchronous else max(entry.judged, entry.epochs) + 1
        if entry.pruned and level > entry.judged:
            return max(0, entry.judged - entry.epochs)
        # What is known of a trial up to its last verdict needs no decision: it is trained up to
        # there at once
        missing = max(level, entry.judged) - entry.epochs
        return missing if missing > 0 else -1

    def _submit(self, entries: list[InTraining], epochs: int | None) -> None:
        outcomes = [entry.outcome for entry in entries]
        job = Job(
            [o.number for o in outcomes],
            [o.config for o in outcomes],
            plugins=self.plugins,
            keep_state=False,
        )
        job.epochs = epochs
        job.seconds = max(0.0, min(self.sweep.checkpoint, self.deadline - monotonic()))
        job.timeout = self.sweep.trial_timeout
        job.digest = data_digest(outcomes[0].config)
        job.seeds, job.together = self.sweep.seeds, self.population
        if self.sweep.film == "best" and len(self.result.objectives) == 1 and self.standing.best:
            job.beat = self.standing.best[0].result.value
        job.states = [o.state for o in outcomes if o.state is not None] or None
        job.records = [o.records for o in outcomes]
        job.members = [o.members for o in outcomes] if outcomes[0].members else None
        for entry in entries:
            entry.away = True
        self.pool.submit(job)

    # telling

    def _take(self) -> None:
        """Takes what a worker has done; with synchronous=True what all have done, in the order of
        the trials.
        """
        back = self._collect()
        if back is None:
            return
        for entry in sorted(back, key=lambda entry: entry.number):
            self._decide(entry)
        again = any(entry.begun for entry in self.running.values())
        self.level = self.level + 1 if again else 1
        self._fill()
        if self.sweep.synchronous:
            self._send()
        begun = monotonic()
        self.books.log()
        self.overhead["log"] += monotonic() - begun
        if len(self.trials) >= self.noted + NOTED:
            self.noted = len(self.trials)
            clock, spent = self.trials[-1].end_ms or 0, self._spent().items()
            self.standing.curve += [
                (k.replace("time/", "overhead/"), v, self.noted, clock) for k, v in spent
            ]

    def _collect(self) -> list[InTraining] | None:
        """The trials to be decided upon; None where the time is up before they are there."""
        back: list[InTraining] = []
        while any(entry.away for entry in self.running.values()):
            if self._time_is_up():
                return None
            back += self._receive(self.deadline - monotonic())
            if back and not self.sweep.synchronous:
                return back
        return [entry for entry in self.running.values() if entry.begun]

    def _receive(self, seconds: float) -> list[InTraining]:
        """What comes back from the workers within so many seconds."""
        back = []
        for outcome in self.pool.next(None if seconds == math.inf else max(0.0, seconds)):
            entry = self.running[outcome.number]
            outcome.start_ms = entry.outcome.start_ms or outcome.start_ms
            entry.outcome, entry.away = outcome, False
            back.append(entry)
        return back

    def _decide(self, entry: InTraining) -> None:
        """Ends a trial that has come to its end; of another one the pruner is asked, and it is
        written down.
        """
        if entry.outcome.ended:
            if self.judge and not entry.pruned and entry.outcome.value is not None:
                self.judge.report(entry.number, entry.epochs, self._value_at(entry, entry.epochs))
            self._finish(entry)
            return
        if self.judge:
            self._judge(entry, self.level if self.sweep.synchronous else entry.epochs)
        if not entry.pruned:
            self._save(entry)
        elif entry.epochs > entry.judged:
            # This pruner is a new one, and would have ended it earlier
            entry.outcome = Outcome(entry.number, entry.config, start_ms=entry.outcome.start_ms)

    def _judge(self, entry: InTraining, epoch: int) -> None:
        assert self.judge is not None
        value = self._value_at(entry, epoch) if epoch > entry.judged else math.nan
        if math.isfinite(value):
            entry.verdict = self.judge.verdict(entry.number, entry.identity, epoch, value)

    def _value_at(self, entry: InTraining, epoch: int) -> float:
        return entry.outcome.records[epoch - 1].metrics.get(f"valid/{self.result.metric}", math.nan)

    @undisturbed()
    def _save(self, entry: InTraining, at_once: bool = False) -> None:
        """Writes a checkpoint of a trial that goes on, where one is due."""
        outcome = entry.outcome
        often = self.judge is not None and entry.trained - entry.saved < self.sweep.checkpoint
        if often and not at_once:
            return  # a pruner has cut the trial into shorter segments
        assert outcome.state is not None
        state, records = (
            packed(outcome.members) if outcome.members else (outcome.state, outcome.records)
        )
        try:
            self.checkpoints.write(
                entry.number, entry.identity, Checkpoint(state, records, outcome.start_ms)
            )
        except DiskError as error:  # it can be done without
            self.bar.write(
                printable(f"trial #{entry.number} goes on without a checkpoint: {error}"),
                file=sys.stderr,
            )
        entry.saved = entry.trained

    # the time of the sweep

    def _time_is_up(self) -> bool:
        return monotonic() >= self.deadline

    def _put_away(self) -> str:
        """Writes down how the trials in training stand, and says that the time is up."""
        end = monotonic() + GRACE
        while (
            self.pool.remote
            and any(entry.away for entry in self.running.values())
            and monotonic() < end
        ):
            self._receive(end - monotonic())
        for entry in self.running.values():
            outcome = entry.outcome
            if (
                not entry.pruned
                and not outcome.ended
                and outcome.state is not None
                and entry.trained > entry.saved
            ):
                self._save(entry, at_once=True)
        self.result.note = (
            f"its time of {self.sweep.timeout:g} s is up; starting the same sweep again goes on "
            f"from here"
        )
        return self.result.note

    # ending

    def _finish(self, entry: InTraining) -> None:
        """Writes down a trial that has ended, and what waited for it."""
        outcome, number = entry.outcome, entry.number
        if outcome.refused and not outcome.failure and number == 0 and not self.trials:
            # Nothing has been learned: the corrected script starts afresh
            remove(self.books.folder / JOURNAL)
            raise UsageError(outcome.refused)
        result = result_of(outcome, entry.params, entry.pruned)
        result.identity = entry.identity
        result.values = self._ranked_by(outcome)
        result.yardstick = asdict(Yardstick.of(entry.config))
        name = name_of(number, entry.params)
        run = to_run(f"{self.books.parent.id}/{number}", name, outcome, result)
        if self.sweep.film == "best" and not self.standing.better(run):
            run.artifacts = {k: v for k, v in run.artifacts.items() if not k.startswith("film.")}
        self._end(run)
        self.failures.count(run, outcome, self.bar)
        if entry.identity in self.standing.known:
            equal = [each for each in self.running.values() if each.identity == entry.identity]
            for twin in sorted(equal, key=lambda each: each.number):
                self._copy(twin, run)

    def _ranked_by(self, outcome: Outcome) -> list[float]:
        """The value of each objective; nothing where one of them has none, or none that is finite."""
        values = [goal.of(outcome) for goal in self.result.objectives]
        finite = [value for value in values if value is not None and math.isfinite(value)]
        return finite if len(finite) == len(values) else []

    def _copy(self, entry: InTraining, same: TrialRun) -> None:
        """Ends a trial whose config has been trained before: equal configs have equal results."""
        number, params = entry.number, entry.params
        copy = replace(
            same, id=f"{self.books.parent.id}/{number}", name=name_of(number, params), number=number
        )
        ours = {key: value for key, value in same.params.items() if key.startswith(OURS)}
        copy.params = {**ours, **params}
        copy.result = replace(same.result, params=params)
        copy.tags, copy.artifacts, copy.files = (
            {**same.tags, "harness.duplicate_of": f"#{same.number}"},
            {},
            None,
        )
        copy.checksums = {}
        self._end(copy)

    @undisturbed()
    def _end(self, run: TrialRun) -> None:
        begun = monotonic()
        sync_file(
            self.books.folder / JOURNAL
        )  # a trial that the spool knows is known to the study, whatever happens now
        self.books.write(run)
        tell(self.study, run)
        self.checkpoints.drop(run.number or 0)
        self.running.pop(run.number or 0, None)
        run.artifacts = {}
        self.standing.enter(run)
        self.bar.update(1)
        self._show()
        self.overhead["write"] += monotonic() - begun
