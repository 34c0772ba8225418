"""The driver of a sweep: the one process that asks, tells and writes. Workers train, and know of nothing else."""

import math
import shlex
import sys
import traceback
from collections import Counter, deque
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import registry
from harness.books import Books, stopping, undisturbed
from harness.boundary import foreign
from harness.checkpoints import Checkpoint, Checkpoints
from harness.config import Config
from harness.errors import UsageError, in_words
from harness.escapes import printable
from harness.spool import TrialRun
from harness.storage.files import DiskError, remove, sync_file
from harness.sweep.result import Objective, Result, words
from harness.sweep.study import JOURNAL, complete, reconcile, tell
from harness.trial import OURS, Job, Outcome, announce, check_param, data_digest, identity, monotonic, name_of, to_run

if TYPE_CHECKING:
    from harness.sweep import Sweep

EQUAL_FAILURES = 3  # so many equal failures in a row stop a sweep: the fourth would be the same
NOTED = 100  # trials after which the overhead so far is noted
ROUND = 8  # trials at one barrier of a synchronous sweep; a constant, since which of them are pruned depends on it


def propose(sweep: "Sweep", trial: Any, taken: tuple[str, ...] = ()) -> Config:
    """The space's config for a trial; whatever the space does wrong is one sentence.

    taken: names that it must not suggest.
    """
    try:
        with foreign("the search space", UsageError):
            config = sweep.space(trial)
    except UsageError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        frame = next((f for f in reversed(frames) if Path(f.filename) == sweep.script), frames[-1])
        raise UsageError(
            f"the search space must return a Config, but it raised {in_words(error)} "
            f"(file {frame.filename}, line {frame.lineno}); correct it, or start a changed space under another name"
        ) from error
    if not isinstance(config, Config):
        raise UsageError(f"the search space must return a Config, got {type(config).__name__}; return Config(...)")
    for name in trial.params:
        check_param(name, taken)
    if config.valid == 0:
        raise UsageError("a sweep needs a validation part to choose by, got valid=0; give a share such as valid=0.2")
    changes: dict[str, Any] = {}
    if config.seed == 0 and sweep.seed and "seed" not in trial.params:
        changes["seed"] = sweep.seed
    if sweep.film == "none":
        changes["film"] = None
    return config.replace(**changes) if changes else config


class Driver:
    """One driver, one sweep: keeps the workers fed, tells Optuna, writes the books, draws the bar."""

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
        self.running: dict[int, Any] = {}  # number -> Optuna's trial
        self.identities: dict[int, str] = {}  # of those
        self.announced: set[str] = set()  # what was said of the data
        # the identity of a config in training -> others that wait for it
        self.twins: dict[str, list[tuple[Any, Config]]] = {}
        self.begun: dict[int, int] = {}  # number -> when its first segment started
        self.saved: dict[int, float] = {}  # number -> its seconds of training at its last checkpoint
        self.pruned: set[int] = set()
        self.failure, self.failures = "", 0  # the last trial's, and how many alike there were in a row
        self.overhead = {"ask": 0.0, "write": 0.0, "log": 0.0}
        self.noted = len(self.trials)  # when the overhead so far was last noted
        self.epochs = None if isinstance(study.pruner, NopPruner) else 1  # of a segment
        # Samplers that can try everything say so by study.stop(), which Optuna allows below optimize() only
        study.stop = lambda: setattr(self, "exhausted", True)
        base = study.sampler.base
        self.grid = base if isinstance(base, GridSampler) else None
        self.exhaustive, self.exhausted = isinstance(base, GridSampler | BruteForceSampler), False
        self.interrupted = deque(reconcile(study, self.trials))
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
                while self.running:
                    self._take()
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
        text += "\n\n" + markdown_table(rows)
        for sentence in [*self.result.notes(), note]:
            text += f"\n\n{escape_markdown(sentence)}" if sentence else ""
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
        """Asks for as many trials as there is room for, and submits them."""
        sweep, asked = self.sweep, []
        if sweep.synchronous and self.running:
            return
        # with several workers one more population waits, so that no worker does
        room = self.population * (1 if self.pool.workers == 1 else self.pool.workers + 1)
        while len(self.trials) + len(self.running) < sweep.trials:
            if sweep.synchronous:
                whole = not self.interrupted and len(self.study.get_trials(deepcopy=False)) % ROUND == 0
                if self.running and whole:
                    break
            elif len(self.running) >= room:
                break
            begun = monotonic()
            proposed = self._ask()
            self.overhead["ask"] += monotonic() - begun
            if proposed is None:
                break
            trial, config = proposed
            same = identity(config)
            announce(config, self.announced, self.bar)
            if same in self.known:
                self._copy(trial, self.known[same])
                continue
            self.running[trial.number], self.identities[trial.number] = trial, same
            if same in self.twins:
                self.twins[same].append(proposed)
            else:
                self.twins[same] = []
                asked.append(self._as_it_stood(trial.number, config))
        self._submit(asked)

    def _as_it_stood(self, number: int, config: Config) -> Outcome:
        """A trial to be trained, from its checkpoint where there is one."""
        outcome = Outcome(number, config)
        if found := self.checkpoints.read(number, self.identities[number]):
            outcome.state, outcome.records = found.state, found.records
            self.begun[number], self.saved[number] = found.start_ms, _trained(outcome)
        return outcome

    @undisturbed()
    def _ask(self) -> tuple[Any, Config] | None:
        """The next trial and its config, or None where all there is has been tried."""
        from optuna.trial import Trial, TrialState

        if self.interrupted:
            frozen = self.interrupted.popleft()
            self.study.sampler.before_trial(self.study, frozen)  # maybe it was stopped before Optuna came to that
            trial = Trial(self.study, frozen._trial_id)
        elif self.exhausted or (self.grid and self.grid.is_exhausted(self.study)):
            return None
        else:
            trial = self.study.ask()
        config = propose(self.sweep, trial)  # where the space raises, the next start takes this trial up again
        if self.exhaustive:
            tried = [*(t.extra["params"] for t in self.trials), *(t.params for t in self.running.values())]
            if trial.params in tried:
                self.study.tell(trial.number, state=TrialState.FAIL)
                self.exhausted = True
                return self._ask()  # there may be interrupted trials
        return trial, config

    def _submit(self, ready: list[Outcome], epochs: int | None = None) -> None:
        """Sends trials to be trained on from where they stand, those of one shape and epoch together."""
        groups: dict[Any, list[Outcome]] = {}
        for each in ready:
            groups.setdefault((each.config.shape_key(), len(each.records)), []).append(each)
        for group in groups.values():
            for at in range(0, len(group), self.population):
                these = group[at : at + self.population]
                job = Job([o.number for o in these], [o.config for o in these], plugins=self.plugins, keep_state=False)
                job.epochs = self.epochs if epochs is None else epochs
                job.seconds, job.timeout, job.digest = (
                    self.sweep.checkpoint,
                    self.sweep.trial_timeout,
                    data_digest(these[0].config),
                )
                if self.sweep.film == "best" and len(self.result.objectives) == 1 and self.best:
                    job.beat = self.best[0].extra["value"]
                job.states = [o.state for o in these if o.state is not None] or None
                job.records = [o.records for o in these]
                self.pool.submit(job)

    # telling

    def _take(self) -> None:
        """Takes what a worker has done; with synchronous=True what all have done, in the order of the trials."""
        outcomes = self.pool.next()
        waiting = sum(map(len, self.twins.values()))
        while self.sweep.synchronous and len(outcomes) < len(self.running) - waiting:
            outcomes += self.pool.next()
        going_on: list[Outcome] = []
        for outcome in sorted(outcomes, key=lambda o: o.number):
            outcome.start_ms = self.begun.setdefault(outcome.number, outcome.start_ms)
            self._report(outcome)
            if outcome.ended:
                self._finish(outcome)
            elif outcome.number in self.pruned:
                self._submit([outcome], epochs=0)
            else:
                self._save(outcome)
                going_on.append(outcome)
        self._submit(going_on)
        self._fill()
        begun = monotonic()
        self.books.log()
        self.overhead["log"] += monotonic() - begun
        if len(self.trials) >= self.noted + NOTED:
            self.noted = len(self.trials)
            clock, spent = self.trials[-1].end_ms or 0, self._spent().items()
            self.curve += [(k.replace("time/", "overhead/"), v, self.noted, clock) for k, v in spent]

    @undisturbed()
    def _save(self, outcome: Outcome) -> None:
        """Writes a checkpoint of a trial that goes on, where one is due."""
        number, trained = outcome.number, _trained(outcome)
        if self.epochs is not None and trained - self.saved.get(number, 0.0) < self.sweep.checkpoint:
            return  # a pruner has cut the trial into shorter segments
        assert outcome.state is not None
        try:
            checkpoint = Checkpoint(outcome.state, outcome.records, outcome.start_ms)
            self.checkpoints.write(number, self.identities[number], checkpoint)
        except DiskError as error:  # it can be done without
            self.bar.write(printable(f"trial #{number} goes on without a checkpoint: {error}"), file=sys.stderr)
        self.saved[number] = trained

    def _report(self, outcome: Outcome) -> None:
        """After a segment: tells the pruner how the trial stands, and asks whether it shall go on."""
        if self.epochs is None or outcome.value is None or outcome.number in self.pruned:
            return
        trial, epoch = self.running[outcome.number], outcome.records[-1].epoch
        told = self.study.get_trials(deepcopy=False)[trial.number].intermediate_values  # before it was interrupted
        if epoch not in told:
            trial.report(outcome.records[-1].metrics[f"valid/{self.result.metric}"], epoch)
        if outcome.ended:
            return
        judged, cut = trial.user_attrs.get("verdict", (0, False))  # before it was interrupted, by what was known then
        if judged < epoch:
            judged, cut = epoch, bool(trial.should_prune())
            trial.set_user_attr("verdict", (judged, cut))
        if cut and judged == epoch:
            self.pruned.add(outcome.number)

    def _finish(self, outcome: Outcome) -> None:
        """Writes down a trial that has ended, and what waited for it."""
        if outcome.refused and not outcome.failure and outcome.number == 0 and not self.trials:
            remove(self.books.folder / JOURNAL)  # nothing has been learned: the corrected script starts afresh
            raise UsageError(outcome.refused)
        number, params = outcome.number, dict(self.running[outcome.number].params)
        state = "PRUNED" if number in self.pruned else ""
        same, values = self.identities.pop(number), [goal.of(outcome) for goal in self.result.objectives]
        good = all(value is not None and math.isfinite(value) for value in values)
        extra = {"identity": same, "values": values if good else None}
        run = to_run(f"{self.books.parent.id}/{number}", name_of(number, params), outcome, params, state, **extra)
        if self.sweep.film == "best" and not self._better(run):
            run.artifacts = {k: v for k, v in run.artifacts.items() if not k.startswith("film.")}
        twins = self.twins.pop(same)
        self._end(run)
        self._count(run, outcome)
        while twins and same in self.known:
            self._copy(twins.pop(0)[0], run)
        if twins:  # it has failed or was pruned; the next one is tried, as it would have been had it come later
            twin, config = twins.pop(0)
            self.twins[same] = twins
            self._submit([self._as_it_stood(twin.number, config)])

    def _copy(self, trial: Any, same: TrialRun) -> None:
        """Ends a trial whose config has been trained before: equal configs have equal results."""
        number, params = trial.number, dict(trial.params)
        copy = replace(same, id=f"{self.books.parent.id}/{number}", name=name_of(number, params), number=number)
        ours = {key: value for key, value in same.params.items() if key.startswith(OURS)}
        copy.params = {**ours, **params}
        copy.extra = {**same.extra, "params": params}
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
            self.bar.write(printable(text), file=sys.stderr)
        self.failures = self.failures + 1 if reason == self.failure else 1
        self.failure = reason
        if reason and self.failures >= EQUAL_FAILURES:
            raise UsageError(f"{EQUAL_FAILURES} trials in a row failed alike, so the sweep stops: {reason}; correct it")


def _trained(outcome: Outcome) -> float:
    """The seconds that a trial has been trained."""
    return sum(sum(record.seconds.values()) for record in outcome.records)
