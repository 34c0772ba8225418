"""The driver of a sweep: the one process that asks, tells and writes. Workers train, and know of nothing else."""

import math
import shlex
import sys
from collections import Counter, deque
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from harness import registry
from harness.books import Books, stopping, undisturbed
from harness.checkpoints import Checkpoint, Checkpoints
from harness.config import Config
from harness.errors import UsageError
from harness.seeds import packed, unpacked
from harness.spool import TrialRun
from harness.storage.files import DiskError, remove, sync_file
from harness.sweep.pruning import Judge
from harness.sweep.result import Objective, Result, words
from harness.sweep.space import SKIPPED_IN_A_ROW, Skip, Yardstick, Yardsticks, propose
from harness.sweep.study import JOURNAL, asked, complete, enqueued, reconcile, skip, tell
from harness.sweep.training import InTraining
from harness.trial import Job, Outcome, announce, data_digest, identity, monotonic, name_of, to_run

if TYPE_CHECKING:
    from harness.sweep import Sweep

EQUAL_FAILURES = 3  # so many equal failures in a row stop a sweep: the fourth would be the same
NOTED = 100  # trials after which the overhead so far is noted
ROUND = 8  # trials at one barrier of a synchronous sweep; a constant, since which of them are pruned depends on it
GRACE = 5.0  # seconds that segments may take to come back when the time of a sweep is up


class Driver:
    """One driver, one sweep: keeps the workers fed, tells Optuna, writes the books, draws the bar.

    A synchronous sweep with a pruner goes through a round epoch by epoch: its `level`. At each level all trials of the
    round stand at that epoch at least, and are judged one after the other in the order of their numbers. After an
    interruption the levels are gone through again from the first one: what was decided stands, and a trial whose last
    checkpoint lies behind is trained up to where it was. So all that is decided is a function of the round alone.
    """

    def __init__(
        self, sweep: "Sweep", study: Any, books: Books, goals: list[Objective], pool: Any, plugins: list[str]
    ) -> None:
        from optuna.pruners import NopPruner
        from optuna.samplers import BruteForceSampler, GridSampler

        self.sweep, self.study, self.books, self.pool, self.plugins = sweep, study, books, pool, plugins
        self.population = int(sweep.population)
        self.source = {"script.py": sweep.script.read_bytes()} if sweep.script else {}  # as it was when it began
        self.result = Result(sweep.name, [], goals, False)
        self.trials = self.result.trials
        self.best: list[TrialRun] = []  # the best so far; those that none beats where there are several objectives
        self.curve: list[tuple[str, float, int, int]] = []  # the best so far, after each trial
        self.known: dict[str, TrialRun] = {}  # the identity of a config -> the first trial that has its result
        self.checkpoints = Checkpoints(books.folder / "checkpoints")
        for run in books.trials():
            self._enter(run)
        self.yardsticks = Yardsticks(sweep.name, self.trials)
        self.running: dict[int, InTraining] = {}
        self.judge = None if isinstance(study.pruner, NopPruner) else Judge(study)
        self.level = 1
        self.announced: set[str] = set()  # what was said of the data
        self.failure, self.failures = "", 0  # the last trial's, and how many alike there were in a row
        self.skipped = 0  # points in a row that the space did not want
        self.overhead = {"ask": 0.0, "write": 0.0, "log": 0.0}
        self.noted = len(self.trials)  # when the overhead so far was last noted
        # Samplers that can try everything say so by study.stop(), which Optuna allows below optimize() only
        study.stop = lambda: setattr(self, "exhausted", True)
        base = study.sampler.base
        self.grid = base if isinstance(base, GridSampler) else None
        self.exhaustive, self.exhausted = isinstance(base, GridSampler | BruteForceSampler), False
        self.interrupted = deque(reconcile(study, self.trials))
        self.wanted = deque(enqueued(study, sweep.enqueue))
        self.deadline = math.inf if sweep.timeout is None else monotonic() + sweep.timeout
        for number in self.checkpoints.numbers() & {run.number for run in self.trials}:
            self.checkpoints.drop(number)

    def run(self) -> Result:
        from tqdm import tqdm

        begun, note = monotonic(), ""
        many = {"total": max(self.sweep.trials, len(self.trials)), "initial": len(self.trials), "unit": "trial"}
        often = 0.1 if sys.stderr.isatty() else 30  # seconds
        try:
            with tqdm(desc=self.sweep.name, file=sys.stderr, dynamic_ncols=True, mininterval=often, **many) as self.bar:
                self._show()
                self._fill()
                self.books.start()  # MLflow takes seconds to import: workers train meanwhile
                while self.running and not self._time_is_up():
                    self._take()
                if len(self.trials) < self.sweep.trials and self._time_is_up():
                    note = self._put_away()
                else:
                    self.bar.total = len(self.trials)  # fewer than asked for where all there is has been tried
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
        from harness.tracking import escape_markdown, markdown_table

        rows: list[list[object]] = [["", "trial", *(o.name for o in self.result.objectives), "epochs", "parameters"]]
        for place, t in enumerate(self.result.ranked[:10], 1):
            values = (f"{value:.4f}" for value in t.extra["values"])
            rows.append([place, f"#{t.number}", *values, t.extra["epochs"], words(t.extra["params"])])
        counts = Counter(t.extra["state"].lower() for t in self.trials)
        text = f"**{len(self.trials)} trials**: " + ", ".join(f"{n} {state}" for state, n in sorted(counts.items()))
        text += "\n\n" + markdown_table(rows) + (f"\n\n{escape_markdown(note)}" if note else "")
        clock = max((t.end_ms or 0 for t in self.trials), default=0)
        shipped, spent = self.pool.shipped, {**self._spent(), "time/sweep_s": seconds}
        if shipped["segments"]:
            spent["ship/segments"] = shipped["segments"]
            spent["ship/bytes_per_segment"] = shipped["bytes"] / shipped["segments"]
            spent["ship/ms_per_segment"] = 1000 * shipped["seconds"] / shipped["segments"]
        sitting = self.books.parent.extra["sitting"]  # each has seconds of its own
        metrics = [*self.curve, *((k, v, sitting, clock) for k, v in spent.items())]
        self.books.close("FINISHED" if self.result.finished else "KILLED", text, metrics, self.source)

    def _spent(self) -> dict[str, float]:
        """The seconds since the start that this process has not spent on training, by what it did."""
        spent = {**self.overhead, "sampler": self.study.sampler.seconds, "ship": self.pool.shipped["seconds"]}
        spent["ask"] -= spent["sampler"]
        return {f"time/{key}_s": value for key, value in spent.items()}

    def _show(self) -> None:
        if self.best:
            best = f"best {self.result.metric} {self.best[0].extra['values'][0]:.4f} (#{self.best[0].number})"
            self.bar.set_postfix_str(best, refresh=False)

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
                whole = not self.interrupted and asked(self.study) % ROUND == 0
                if self.running and whole:
                    break
            elif len(self.running) >= room:
                break
            begun = monotonic()
            trial = self._next_trial()
            if trial is None:
                break
            config = self._config_for(trial)
            self.overhead["ask"] += monotonic() - begun
            if config is not None:
                announce(config, self.announced, self.bar)
                self._enroll(trial, config)
        self._send()

    @undisturbed()
    def _next_trial(self) -> Any:
        """Optuna's next trial, or None where all there is has been tried."""
        from optuna.trial import Trial

        if self.interrupted:
            frozen = self.interrupted.popleft()
            self.study.sampler.before_trial(self.study, frozen)  # maybe it was stopped before Optuna came to that
            return Trial(self.study, frozen._trial_id)
        if self.wanted:
            self.study.enqueue_trial(self.wanted.popleft())
        elif self.exhausted or (self.grid and self.grid.is_exhausted(self.study)):
            return None
        return self.study.ask()

    @undisturbed()
    def _config_for(self, trial: Any) -> Config | None:
        """The config that the space proposes for a trial; None where that ends with it.

        Where the space raises, the next start takes this trial up again.
        """
        from optuna.trial import TrialState

        try:
            config = propose(self.sweep, trial)
        except Skip:
            skip(self.study, trial.number)
            self.skipped += 1
            if self.skipped >= SKIPPED_IN_A_ROW:
                raise UsageError(
                    "the search space must return a Config now and then, but has raised TrialPruned for "
                    f"{self.skipped} points in a row; correct its condition"
                ) from None
            return None
        self.skipped = 0
        if self.exhaustive:
            tried = [*(t.extra["params"] for t in self.trials), *(t.params for t in self.running.values())]
            if trial.params in tried:
                self.study.tell(trial.number, state=TrialState.FAIL)
                self.exhausted = True  # but there may be interrupted trials
                return None
        self.yardsticks.check(Yardstick.of(config))
        return config

    def _enroll(self, trial: Any, config: Config) -> None:
        """Takes a trial into training, or ends it as a copy where its result is known."""
        same = identity(config, self.sweep.seeds)
        entry = InTraining(trial, same, Outcome(trial.number, config))
        if same in self.known:
            self._copy(entry, self.known[same])
            return
        if self.sweep.synchronous:
            before = [t for t in self.trials[-2 * ROUND :] if t.extra["identity"] == same]
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
            outcome.state, outcome.records, outcome.start_ms = found.state, found.records, found.start_ms
            if self.sweep.seeds > 1:
                self._restore_members(outcome)
            entry.saved = entry.trained
        if self.judge:
            entry.verdict = self.judge.last(entry.number, entry.identity)

    def _restore_members(self, outcome: Outcome) -> None:
        from harness.seeds import mean_records

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
        """The trials that are trained now, in the order of their numbers; those whose turn it is begin."""
        entries = sorted(self.running.values(), key=lambda entry: entry.number)
        turn = min((entry.turn for entry in entries), default=0)
        training = {entry.identity for entry in entries if entry.begun}
        for entry in entries:
            if not entry.begun and entry.turn == turn and entry.identity not in training:
                self._begin(entry)
                training.add(entry.identity)
        return [entry for entry in entries if entry.begun]

    def _epochs_due(self, entry: InTraining) -> int | None:
        """How many epochs to train a trial before it is decided upon; None for all, -1 for nothing now.

        0 ends it as it stands.
        """
        if self.judge is None:
            return None
        level = self.level if self.sweep.synchronous else max(entry.judged, entry.epochs) + 1
        if entry.pruned and level > entry.judged:
            return max(0, entry.judged - entry.epochs)
        # What is known of a trial up to its last verdict needs no decision: it is trained up to there at once
        missing = max(level, entry.judged) - entry.epochs
        return missing if missing > 0 else -1

    def _submit(self, entries: list[InTraining], epochs: int | None) -> None:
        outcomes = [entry.outcome for entry in entries]
        job = Job([o.number for o in outcomes], [o.config for o in outcomes], plugins=self.plugins, keep_state=False)
        job.epochs = epochs
        job.seconds = max(0.0, min(self.sweep.checkpoint, self.deadline - monotonic()))
        job.timeout = self.sweep.trial_timeout
        job.digest = data_digest(outcomes[0].config)
        job.seeds, job.together = self.sweep.seeds, self.population
        if self.sweep.film == "best" and len(self.result.objectives) == 1 and self.best:
            job.beat = self.best[0].extra["value"]
        job.states = [o.state for o in outcomes if o.state is not None] or None
        job.records = [o.records for o in outcomes]
        job.members = [o.members for o in outcomes] if outcomes[0].members else None
        for entry in entries:
            entry.away = True
        self.pool.submit(job)

    # telling

    def _take(self) -> None:
        """Takes what a worker has done; with synchronous=True what all have done, in the order of the trials."""
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
            self.curve += [(k.replace("time/", "overhead/"), v, self.noted, clock) for k, v in spent]

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
        """Ends a trial that has come to its end; of another one the pruner is asked, and it is written down."""
        if entry.outcome.ended:
            if self.judge and not entry.pruned and entry.outcome.value is not None:
                self.judge.report(entry.number, entry.epochs, self._value_at(entry, entry.epochs))
            self._finish(entry)
            return
        if self.judge:
            self._judge(entry, self.level if self.sweep.synchronous else entry.epochs)
        if not entry.pruned:
            self._save(entry)
        elif entry.epochs > entry.judged:  # this pruner is a new one, and would have ended it earlier
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
        state, records = packed(outcome.members) if outcome.members else (outcome.state, outcome.records)
        try:
            self.checkpoints.write(entry.number, entry.identity, Checkpoint(state, records, outcome.start_ms))
        except DiskError as error:  # it can be done without
            self.bar.write(f"trial #{entry.number} goes on without a checkpoint: {error}", file=sys.stderr)
        entry.saved = entry.trained

    # the time of the sweep

    def _time_is_up(self) -> bool:
        return monotonic() >= self.deadline

    def _put_away(self) -> str:
        """Writes down how the trials in training stand, and says that the time is up."""
        end = monotonic() + GRACE
        while self.pool.remote and any(entry.away for entry in self.running.values()) and monotonic() < end:
            self._receive(end - monotonic())
        for entry in self.running.values():
            outcome = entry.outcome
            if not entry.pruned and not outcome.ended and outcome.state is not None and entry.trained > entry.saved:
                self._save(entry, at_once=True)
        self.result.note = (
            f"its time of {self.sweep.timeout:g} s is up; starting the same sweep again goes on from here"
        )
        return self.result.note

    # ending

    def _finish(self, entry: InTraining) -> None:
        """Writes down a trial that has ended, and what waited for it."""
        outcome, number = entry.outcome, entry.number
        if outcome.refused and not outcome.failure and number == 0 and not self.trials:
            remove(self.books.folder / JOURNAL)  # nothing has been learned: the corrected script starts afresh
            raise UsageError(outcome.refused)
        state = "PRUNED" if entry.pruned else ""
        values = [goal.of(outcome) for goal in self.result.objectives]
        good = all(value is not None and math.isfinite(value) for value in values)
        extra: dict[str, Any] = {"identity": entry.identity, "values": values if good else None}
        extra["yardstick"] = asdict(Yardstick.of(entry.config))
        name = name_of(number, entry.params)
        run = to_run(f"{self.books.parent.id}/{number}", name, outcome, entry.params, state, **extra)
        if self.sweep.film == "best" and not self._better(run):
            run.artifacts = {k: v for k, v in run.artifacts.items() if not k.startswith("film.")}
        self._end(run)
        self._count(run, outcome)
        if entry.identity in self.known:
            equal = [each for each in self.running.values() if each.identity == entry.identity]
            for twin in sorted(equal, key=lambda each: each.number):
                self._copy(twin, run)

    def _copy(self, entry: InTraining, same: TrialRun) -> None:
        """Ends a trial whose config has been trained before: equal configs have equal results."""
        number, params = entry.number, entry.params
        copy = replace(same, id=f"{self.books.parent.id}/{number}", name=name_of(number, params), number=number)
        copy.params, copy.extra = {**same.params, **params}, {**same.extra, "params": params}
        copy.tags, copy.artifacts, copy.files = {**same.tags, "harness.duplicate_of": f"#{same.number}"}, {}, None
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
        self._enter(run)
        self.bar.update(1)
        self._show()
        self.overhead["write"] += monotonic() - begun

    def _enter(self, run: TrialRun) -> None:
        if self._better(run):
            self.best = [*(each for each in self.best if not self.result.beaten(each, [run])), run]
            self.best.sort(key=self.result.losses)
        self.trials.append(run)
        if run.extra["state"] in ("COMPLETE", "DIVERGED"):
            self.known.setdefault(run.extra["identity"], run)
        if self.best:
            point = f"best/{self.result.metric}", self.best[0].extra["values"][0], len(self.trials), run.end_ms or 0
            self.curve.append(point)

    def _better(self, run: TrialRun) -> bool:
        """Whether none of the best so far is as good."""
        return complete(run) and not self.result.beaten(run, self.best)

    def _count(self, run: TrialRun, outcome: Outcome) -> None:
        """Tells of a failure, and stops the sweep where it is the third of its kind in a row."""
        failed = run.extra["state"] not in ("COMPLETE", "PRUNED", "DIVERGED")
        reason = run.extra["reason"] if failed else ""
        if reason and reason != self.failure:
            again = shlex.join(["harness", "verify", f"{self.sweep.name}#{run.number}"])
            for each in registry.plugins():
                again += f" --plugin {shlex.quote(each)}"
            said = f"trial #{run.number} failed; the sweep goes on\n{(outcome.error or reason).rstrip()}"
            text = f"{said}\nits config: {outcome.config.to_json()}\nto train it again: {again}"
            self.bar.write(text, file=sys.stderr)
        self.failures = self.failures + 1 if reason == self.failure else 1
        self.failure = reason
        if reason and self.failures >= EQUAL_FAILURES:
            raise UsageError(f"{EQUAL_FAILURES} trials in a row failed alike, so the sweep stops: {reason}; correct it")
