"""The plan of a sweep: Optuna says what is tried, and learns what has come of it."""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from harness.config import Config
from harness.errors import UsageError
from harness.storage.files import remove, sync_file
from harness.storage.live import LiveTrial
from harness.storage.ranking import Objective
from harness.storage.records import RunStatus, TrialRun
from harness.studies.asking import Asking
from harness.studies.books import Books
from harness.studies.descriptions import copy_description, sweep_description, trial_description
from harness.studies.gallery import Gallery, about, drawn, sweep_artifacts
from harness.studies.in_training import Candidate, InTraining
from harness.studies.networks import Networks
from harness.studies.objectives import value_of
from harness.studies.plan import Ending, Sitting
from harness.studies.progress import Progress
from harness.studies.result import Result
from harness.studies.space import Skip, propose
from harness.studies.standing import Failures, Standing
from harness.studies.study import JOURNAL, asked, show, tell
from harness.studies.together import all_are_ours, evenly
from harness.studies.wanted import is_wanted
from harness.studies.yardstick import Yardstick
from harness.trials.data_inputs import data_inputs
from harness.trials.fingerprint import fingerprint
from harness.trials.identity import identity
from harness.trials.live import to_live
from harness.trials.outcome import Bar, Outcome
from harness.trials.params import OURS, name_of
from harness.trials.to_record import result_of, to_run
from harness.workers.errands import Ask

if TYPE_CHECKING:
    from harness.studies.sweep import Sweep

NOTED = 100  # trials after which the overhead so far is noted
# Trials at one barrier of a synchronous sweep. It is a constant, because which of them are pruned
# depends on it.
ROUND = 8


class SweepPlan:
    """What a sweep trains, and what becomes of the results.

    Parameters
    ----------
    sweep : Sweep
        The sweep.
    study : optuna.Study
        Its study.
    books : Books
        Its books.
    objectives : list of Objective
        What it is optimized by.
    members : int
        Networks that train as one batched computation at most.
    """

    def __init__(
        self, sweep: "Sweep", study: Any, books: Books, objectives: list[Objective], members: int
    ) -> None:
        self.sweep = sweep
        self.study = study
        self.books = books
        self.population = members
        # The script as it was when the sweep began.
        self.source = {"script.py": sweep.script.read_bytes()} if sweep.script else {}
        self.result = Result(sweep.name, [], objectives, False)
        self.standing = Standing(self.result)
        for run in books.trials():
            self.standing.enter(run)
        self.trials = self.result.trials
        self.missing = sweep.trials - len(self.trials)  # at the start
        self.failures = Failures(sweep.name)
        self.asking = Asking(sweep, study, self.trials, books.interrupts)
        self.kept = Networks(sweep.models, books.folder, sweep.register)
        self.gallery = Gallery(books.spool, books.folder)
        self.noted = len(self.trials)  # when the overhead was last noted
        # Whether the journal on disk knows all trials that have been asked for.
        self.is_journal_synced = False

    # Asking ---------------------------------------------------------------------------------------

    def candidates(self, sitting: Sitting, workers: Callable[[], int]) -> Iterator[Candidate]:
        """The trials that Optuna asks for, as far as there is room for them."""
        running = sitting.running
        while self._has_room(len(running), workers()) and not sitting.time_is_up:
            with sitting.overhead.of("ask"):
                trial = self.asking.trial()
                if trial is None:
                    return
                self.is_journal_synced = False
                in_training = (entry.candidate.params for entry in running.values())
                config = self.asking.config(trial, in_training)
            if config is not None:
                yield self._candidate(trial, config, running.values())

    def _has_room(self, running: int, workers: int) -> bool:
        if len(self.trials) + running >= self.sweep.trials:
            return False
        if self.sweep.synchronous:
            is_whole = not self.asking.interrupted and asked(self.study) % ROUND == 0
            return not (running and is_whole)
        # With several workers one more population waits, so that no worker does.
        populations = workers
        if workers > 1:
            populations += 1
        return running < self._members(workers) * populations

    def _members(self, workers: int) -> int:
        """Networks that train together: as many as were asked for, or what shares them evenly."""
        if self.sweep.population != "auto":
            return self.population
        return evenly(self.population, self.missing * self.sweep.seeds, workers)

    def _candidate(self, trial: Any, config: Config, running: Any) -> Candidate:
        same = identity(config, self.sweep.seeds)
        # Within a round equal trials take turns, so that the first one ends before its copies do,
        # whatever was interrupted. The round of a trial lies within the last two rounds that ended.
        turn = 0
        if self.sweep.synchronous:
            earlier = [run for run in self.trials[-2 * ROUND :] if run.result.identity == same]
            numbers = [run.number or 0 for run in earlier]
            numbers += [entry.number for entry in running if entry.identity == same]
            ours = trial.number // ROUND
            turn = sum(n < trial.number and n // ROUND == ours for n in numbers)
        return Candidate(trial.number, config, same, dict(trial.params), turn=turn)

    def wants_more(self) -> bool:
        """Whether fewer trials have ended than the sweep wants."""
        return len(self.trials) < self.sweep.trials

    def group_size(self, group: list[InTraining], workers: int) -> int:
        """Trials whose networks make up one population."""
        # The space may propose somebody else's plugin in any trial, and not only in the first one.
        if self.sweep.population == "auto" and not all_are_ours(group[0].config):
            return 1
        return max(1, self._members(workers) // self.sweep.seeds)

    def beat(self) -> Bar | None:
        """The best trial so far, where only the films of the best trials are kept."""
        # With several objectives a trial may be one of the best without beating any of them.
        if self.sweep.film != "best" or len(self.result.objectives) > 1:
            return None
        return self._bar()

    def least(self, config: Config) -> Bar | None:
        """The best trial so far, where only the best network is kept."""
        if self.sweep.models != "best":
            return None
        return self._bar()

    def _bar(self) -> Bar | None:
        """The best trial so far by the first objective, which decides first of all."""
        objective = self.result.objectives[0]
        # Which trial took less time is known here alone.
        if not self.standing.best or not objective.key_of_epochs:
            return None
        return Bar(objective, self.standing.best[0].result.values[0])

    # Ending ---------------------------------------------------------------------------------------

    def copy_of(self, candidate: Candidate) -> TrialRun | None:
        """The record of a trial whose config has been trained before; None if it has not.

        Equal configs have equal results, so everything but the suggested params is the same.
        """
        run = self.standing.known.get(candidate.identity)
        if run is None:
            return None
        config = {key: value for key, value in run.params.items() if key.startswith(OURS)}
        return replace(
            run,
            id=f"{self.books.parent.id}/{candidate.number}",
            name=name_of(candidate.number, candidate.params),
            number=candidate.number,
            params={**config, **candidate.params},
            result=replace(run.result, params=candidate.params),
            tags={**run.tags, "harness.duplicate_of": f"#{run.number}"},
            artifacts={},
            files=None,
            checksums={},
            inputs=[],
            description=copy_description(run, self.sweep.name),
        )

    def record_of(self, entry: InTraining) -> TrialRun:
        """The record of a trial that has ended. UsageError where the first one is refused."""
        outcome = entry.outcome
        is_first = entry.number == 0 and not self.trials
        if outcome.refused and not outcome.failure and is_first:
            # Nothing has been learned: the corrected script starts afresh.
            remove(self.books.folder / JOURNAL)
            raise UsageError(outcome.refused)
        params = entry.candidate.params
        result = result_of(outcome, params, entry.is_pruned, entry.stopped_by)
        result.identity = entry.identity
        result.values = self._values_of(outcome)
        result.yardstick = asdict(Yardstick.of(entry.config))
        name = name_of(entry.number, params)
        run = to_run(f"{self.books.parent.id}/{entry.number}", name, outcome, result)
        run.tags = {**self.books.tags_of_trials, **run.tags}
        run.description = trial_description(run, self.result.metric, self.sweep.name)
        is_best = self.standing.better(run)
        if self.sweep.inputs == "all" or (self.sweep.inputs == "best" and is_best):
            run.inputs = data_inputs(entry.config)
        if self.sweep.film == "best" and not is_best:
            run.artifacts = {k: v for k, v in run.artifacts.items() if not k.startswith("film.")}
        self.kept.keep(run, outcome, self._ranks_first)
        return run

    def live_of(self, entry: InTraining) -> LiveTrial:
        """What is said of a trial while it is in training."""
        params = entry.candidate.params
        name = name_of(entry.number, params)
        id = f"{self.books.parent.id}/{entry.number}"
        return to_live(id, name, entry.outcome, params, self.books.tags_of_trials)

    def report(self, entry: InTraining) -> None:
        """Tells Optuna's study the value after the last epoch, for its dashboard."""
        record = entry.outcome.records[-1]
        value = record.metrics.get(f"valid/{self.result.metric}", math.nan)
        show(self.study, entry.number, record.epoch, value)

    def _ranks_first(self, run: TrialRun) -> bool:
        """Whether a trial is ranked before all that have ended."""
        ranked = self.result.ranked
        return not ranked or self.result.place(run) < self.result.place(ranked[0])

    def _values_of(self, outcome: Outcome) -> list[float]:
        """The value of each objective; nothing where one of them has none, or none finite."""
        values = [value_of(goal, outcome) for goal in self.result.objectives]
        finite = [value for value in values if value is not None and math.isfinite(value)]
        if len(finite) < len(values):
            return []
        return finite

    def make_durable(self) -> None:
        """Syncs the journal: a trial that the spool knows is known to the study in any case."""
        # What the spool says has ended is told to the study again, so that is not waited for.
        if not self.is_journal_synced:
            sync_file(self.books.folder / JOURNAL)
            self.is_journal_synced = True

    def tell(self, run: TrialRun) -> None:
        """Tells Optuna how a trial has ended."""
        tell(self.study, run)
        self.standing.enter(run)
        self.gallery.take(run, lambda: self.result.ranked)
        self.kept.settle(run)

    def after(self, run: TrialRun, outcome: Outcome, progress: Progress) -> None:
        """Says how a trial has failed. UsageError where too many fail alike."""
        self.failures.count(run, outcome, progress)

    def headline(self) -> str:
        """The best value so far."""
        return self.standing.line()

    def is_best(self, run: TrialRun) -> bool:
        """Whether a trial is the best so far; with several objectives, whether none beats it."""
        if len(self.result.objectives) > 1:
            return any(best is run for best in self.standing.best)
        return bool(self.standing.best) and self.standing.best[0] is run

    # The end of a sitting -------------------------------------------------------------------------

    def _config_of(self, run: TrialRun) -> Config | None:
        """What the search space says again for the params of a trial that has ended."""
        from optuna.trial import FixedTrial

        try:
            return propose(self.sweep, FixedTrial(run.result.params, run.number or 0))
        except (UsageError, Skip):
            return None

    def note_overhead(self, sitting: Sitting) -> None:
        """Notes after each hundred trials what the driver has spent beside training."""
        if len(self.trials) < self.noted + NOTED:
            return
        self.noted = len(self.trials)
        clock = self.trials[-1].end_ms or 0
        for key, value in self._spent(sitting).items():
            key = key.replace("time/", "overhead/")
            self.standing.curve.append((key, value, self.noted, clock))

    def _spent(self, sitting: Sitting) -> dict[str, float]:
        """The seconds that this process has not spent on training, by what it did."""
        spent = dict(sitting.overhead.seconds)
        spent["sampler"] = self.study.sampler.seconds
        # Without workers of its own nothing is shipped, and no chart is needed of nothing.
        if sitting.shipped["segments"]:
            spent["ship"] = sitting.shipped["seconds"]
            spent["workers_idle"] = sitting.shipped["idle"]
        # What the sampler of Optuna takes is part of asking; here it is told apart.
        spent["ask"] -= spent["sampler"]
        return {f"time/{key}_s": value for key, value in spent.items()}

    def ended(self) -> int:
        """How many trials have ended in all."""
        return len(self.trials)

    def has_ended_before(self, books: Books) -> bool:
        """Never: books that have finished are not opened for a driver."""
        return False

    def close(self, ending: Ending, sitting: Sitting) -> None:
        """Closes the books with the best trials, their curve and what the driver has spent."""
        self.result.finished = ending.finished
        if not ending.finished and sitting.time_is_up:
            self.result.note = ending.note
        clock = max((run.end_ms or 0 for run in self.trials), default=0)
        spent = {**self._spent(sitting), "time/sweep_s": ending.seconds}
        if segments := sitting.shipped["segments"]:
            spent["ship/segments"] = segments
            spent["ship/bytes_per_segment"] = sitting.shipped["bytes"] / segments
            spent["ship/ms_per_segment"] = 1000 * sitting.shipped["seconds"] / segments
        # Each start of the sweep has seconds of its own.
        start = self.books.parent.sitting
        points = [(key, value, start, clock) for key, value in spent.items()]
        status = RunStatus.FINISHED if ending.finished else RunStatus.KILLED
        source = self.sweep.script.name if self.sweep.script else ""
        description = sweep_description(self.result, ending.seconds, source, ending.note)
        artifacts = dict(self.source)
        if ending.finished:
            # Workers without a job make the models and films meanwhile.
            hand_over = self.kept.hand_over(
                self.result.ranked, self.books.parent, self._config_of, sitting.errand
            )
            if self.books.is_open and is_wanted():
                artifacts |= drawn(lambda: self._drawn(sitting.errand))
            hand_over()
        self.books.close(status, description, [*self.standing.curve, *points], artifacts)

    def _drawn(self, errand: Ask) -> dict[str, bytes]:
        """The pictures of the sweep, its report, and its trials as a table."""
        said = about(self.books.parent, fingerprint())
        return sweep_artifacts(self.gallery, self.result, self.study, said, errand)
