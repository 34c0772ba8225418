"""Sweeps: an Optuna study of trials, ask -> train -> tell, and the books brought into line at every start.

    @sweep(name="first sweep", trials=24)
    def space(trial) -> Config:
        return Config(layers=mlp([784, 100, 10], activation=trial.suggest_categorical("activation", ["relu", "tanh"])))

    if __name__ == "__main__":
        space.run()

The only module that imports optuna.
"""

import contextlib
import inspect
import json
import multiprocessing
import os
import signal
import sys
import threading
import traceback
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness import registry
from harness.books import Books, open_books, undisturbed
from harness.config import Config
from harness.errors import UsageError
from harness.execute import engine
from harness.ops import stream
from harness.spool import TrialRun
from harness.trial import Job, Outcome, direction, monotonic, name_of, shown, to_run

EQUAL_FAILURES = 3  # so many equal failures in a row stop a sweep: the fourth would be the same
FILMS = ("all", "best", "none")
ROUND = 8  # trials at one barrier of a synchronous sweep; a constant, since which of them are pruned depends on it
JOURNAL = "journal.log"
NEEDS = {"GPSampler": "torch", "CmaEsSampler": "cmaes"}  # what some samplers import only after their random start


@dataclass
class Sweep:
    """A search space and how to search it. `run` starts it, or goes on where it stopped.

    trials: how many must have ended in all. sampler, pruner: names of Optuna with their arguments, such as
    "TPESampler(n_startup_trials=5)". seed: decides what is tried, and the networks where neither the space nor a trial
    sets a seed. workers: processes that train. population: networks of one shape that train as one batched computation.
    Both change the speed only, and what a sampler that learns knows when it is asked. synchronous: rounds of 8 trials,
    told in the order of the trials, so that what is pruned does not depend on the workers. film: whose film to keep,
    "all", "best" (of trials that were the best so far when they ended) or "none". scheduler: the address of a Dask
    cluster, instead of local workers; plugins given by path must be there too. UsageError for bad input.
    """

    space: Callable[[Any], Config]
    name: str
    trials: int = 20
    sampler: str = "TPESampler"
    pruner: str | None = None
    seed: int = 0
    workers: int = 1
    population: int = 1
    synchronous: bool = False
    film: str = "all"
    project: str = "harness"
    scheduler: str | None = None
    plugins: list[str] = field(default_factory=list)

    def __call__(self, trial: Any) -> Config:
        return self.space(trial)

    def run(self, **options: Any) -> "Result":
        """Runs the sweep until `trials` trials have ended; options override those of the decorator."""
        names = [f for f in self.__dataclass_fields__ if f != "space"]
        for key in options:
            if key not in names:
                raise UsageError(f"a sweep has no option {key!r}; {registry.suggest(key, names)}")
        with _plain_end(self.space), warnings.catch_warnings():
            # choices that are lists: the journal can write them
            warnings.filterwarnings("ignore", "Choices for a categorical distribution", UserWarning)
            return _drive(replace(self, **options))

    @property
    def script(self) -> Path | None:
        """The file in which the search space is written."""
        try:
            file = inspect.getsourcefile(inspect.unwrap(self.space))
        except TypeError:  # no function: an object that can be called
            file = None
        return Path(file).resolve() if file and Path(file).is_file() else None


defined: list[Sweep] = []  # all that this process has seen, in order: how `harness sweep SCRIPT` finds them


def sweep(**options: Any) -> Callable[[Callable[[Any], Config]], Sweep]:
    """Makes a function trial -> Config a sweep. Options: see Sweep; `name` defaults to the function's name."""

    def decorate(space: Callable[[Any], Config]) -> Sweep:
        try:
            made = Sweep(space, **{"name": space.__name__, **options})
        except TypeError:
            allowed = [f for f in Sweep.__dataclass_fields__ if f != "space"]
            wrong = next(k for k in options if k not in allowed)
            raise UsageError(f"a sweep has no option {wrong!r}; {registry.suggest(wrong, allowed)}") from None
        defined.append(made)
        return made

    return decorate


@dataclass
class Result:
    """How a sweep stands: its trials so far, best first, and whether it came to its end."""

    name: str
    trials: list[TrialRun]
    direction: str
    metric: str
    finished: bool

    @property
    def best(self) -> TrialRun | None:
        return self.ranked[0] if self.ranked else None

    @property
    def ranked(self) -> list[TrialRun]:
        """The trials that came to their end, best first; what diverged, failed or was pruned is not among them."""
        sign = -1 if self.direction == "maximize" else 1
        return sorted(filter(_complete, self.trials), key=lambda t: (sign * t.extra["value"], t.number))

    def table(self, rows: int = 10) -> str:
        """The best trials as text: place, number, value, epochs, seconds, what was suggested."""
        lines = [f"{'':>3} {'trial':>6} {self.metric:>18} {'epochs':>7} {'train s':>8}  parameters"]
        for place, t in enumerate(self.ranked[:rows], 1):
            seconds = f"{t.extra['train_s']:.2f}" if t.extra.get("train_s") is not None else "-"
            cells = f"{place:>3} {'#' + str(t.number):>6} {t.extra['value']:>18.4f} {t.extra['epochs']:>7} {seconds:>8}"
            note = t.tags.get("harness.note", "")
            lines.append(f"{cells}  {_words(t.extra['params'])}{note and f'  ({note})'}")
        return "\n".join(lines)


def _complete(run: TrialRun) -> bool:
    return run.extra["state"] == "COMPLETE" and run.extra["value"] is not None


def _words(params: dict[str, Any]) -> str:
    return " ".join(f"{key}={shown(value, 4)}" for key, value in params.items())


# Optuna ---------------------------------------------------------------------------------------------------------------


def _named(kind: str, text: str, **defaults: Any) -> Any:
    """A sampler or pruner by its Optuna name, such as "TPESampler" or "MedianPruner(n_startup_trials=3)"."""
    import optuna

    if not isinstance(text, str):
        raise UsageError(f"a {kind} must be named, such as 'TPESampler(n_startup_trials=5)', got {text!r}")
    room = optuna.samplers if kind == "sampler" else optuna.pruners
    base = room.BaseSampler if kind == "sampler" else room.BasePruner
    classes = {name: getattr(room, name) for name in room.__all__ if isinstance(getattr(room, name), type)}
    names = [name for name, each in classes.items() if issubclass(each, base) and each is not base]

    def make(spec: Any, **defaults: Any) -> Any:
        if not isinstance(spec, dict) or not isinstance(spec.get("name"), str):
            return spec
        if spec["name"] not in names:
            raise UsageError(f"unknown {kind} {spec['name']!r}; {registry.suggest(spec['name'], names)}")
        if spec["name"] in NEEDS:
            __import__(NEEDS[spec["name"]])
        made = classes[spec["name"]]
        given = {key: value for key, value in defaults.items() if key in inspect.signature(made).parameters}
        given |= {key: make(value) for key, value in spec.items() if key not in ("name", "*")}
        return made(
            *map(make, spec.get("*", ())), **given
        )  # PatientPruner(MedianPruner(), patience=2) has another inside

    spec = registry.parse(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that some of them are experimental
            return make(spec, **defaults)
    except UsageError:
        raise
    except ImportError as error:
        raise UsageError(f"{kind} {text!r} needs the package {error.name!r}; install it or choose another") from None
    except Exception as error:
        raise UsageError(f"{kind} {text!r} cannot be made: {error}; see Optuna's documentation of it") from None


def _sampler(text: str, seed: int, known: int = 0) -> Any:
    """The sampler of a study that knows so many trials: a seeded one would repeat its first points after a restart."""
    from optuna.samplers import GridSampler, QMCSampler, RandomSampler

    class Random(RandomSampler):
        """Draws by (seed, parameter, trial): neither a restart nor the order of what is suggested changes a value."""

        def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
            fresh = RandomSampler(seed=_seed(seed, f"ask/{name}", trial.number))
            return fresh.sample_independent(study, trial, name, distribution)

    given = registry.parse(text).get("seed") if isinstance(text, str) else None
    seed = given if isinstance(given, int) else seed
    made = _named("sampler", text, seed=_seed(seed, "sampler"), independent_sampler=Random())
    if type(made) is RandomSampler:
        return Random()
    if known and not isinstance(made, GridSampler | QMCSampler):  # these two know from the study where they are
        return _named("sampler", text, seed=_seed(seed, "sampler", known), independent_sampler=Random())
    return made


def _seed(seed: int, purpose: str, number: int = 0) -> int:
    return int(stream(seed, purpose, number).generate_state(1)[0])


def _storage(file: Path) -> Any:
    """Optuna's journal in a file, line by line as Optuna would write it; the lock of the books keeps other drivers out.

    So it needs no lock of its own, is read once, and is synced once a trial (`_sync`) instead of at each of its lines.
    What a crash has torn at its end is cut off.
    """
    from optuna.storages import JournalStorage
    from optuna.storages.journal import BaseJournalBackend

    class Journal(BaseJournalBackend):
        def __init__(self) -> None:
            self.logs: list[dict[str, Any]] = []
            whole = 0
            with open(file, "a+b") as journal, contextlib.suppress(ValueError):
                journal.seek(0)
                for line in journal:
                    if not line.endswith(b"\n"):
                        break
                    self.logs.append(json.loads(line))
                    whole += len(line)
            os.truncate(file, whole)

        def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
            return self.logs[log_number_from:]

        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            lines = [json.dumps(log, separators=(",", ":")) for log in logs]
            with open(file, "a", encoding="utf-8") as journal:
                journal.writelines(f"{line}\n" for line in lines)
            self.logs += map(json.loads, lines)

    return JournalStorage(Journal())


def _sync(file: Path) -> None:
    with open(file, "rb") as journal:
        os.fsync(journal.fileno())


def _propose(sweep: Sweep, trial: Any) -> Config:
    """The space's config for a trial; whatever the space does wrong is one sentence."""
    try:
        config = sweep.space(trial)
    except UsageError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        frame = next((f for f in reversed(frames) if Path(f.filename) == sweep.script), frames[-1])
        raise UsageError(
            f"the search space must return a Config, but it raised {type(error).__name__}: {error} "
            f"(file {frame.filename}, line {frame.lineno}); correct it, or start a changed space under another name"
        ) from error
    if not isinstance(config, Config):
        raise UsageError(f"the search space must return a Config, got {type(config).__name__}; return Config(...)")
    if config.valid == 0:
        raise UsageError("a sweep needs a validation part to choose by, got valid=0; give a share such as valid=0.2")
    changes: dict[str, Any] = {}
    if config.seed == 0 and sweep.seed and "seed" not in trial.params:
        changes["seed"] = sweep.seed
    if sweep.film == "none":
        changes["film"] = None
    return config.replace(**changes) if changes else config


def reconcile(study: Any, trials: list[TrialRun]) -> list[Any]:
    """Brings the study into line with the spool, which holds the truth: what has ended there is told.

    Returns the trials that were being trained when the driver was stopped. They are taken up again under their numbers
    and with their parameters, so that a sweep that was interrupted comes to the same trials as one that was not.
    UsageError where the study does not know a trial of the spool, since the next trial would get its number.
    """
    from optuna.trial import TrialState

    ended = {t.number or 0: t for t in trials}
    if max(ended, default=-1) >= len(study.get_trials(deepcopy=False)):
        raise UsageError(
            f"{JOURNAL} of sweep {study.study_name!r} must know all its trials, but trial #{max(ended)} is missing; "
            "start under another name"
        )
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    for trial in running:
        if trial.number in ended:
            _tell(study, ended[trial.number])
    return [trial for trial in running if trial.number not in ended]


def _tell(study: Any, run: TrialRun) -> None:
    from optuna.trial import TrialState

    if _complete(run):
        study.tell(run.number, run.extra["value"])
    else:
        study.tell(run.number, state=TrialState.PRUNED if run.extra["state"] == "PRUNED" else TrialState.FAIL)


# The driver -----------------------------------------------------------------------------------------------------------


def _drive(sweep: Sweep) -> Result:
    _check(sweep)
    for reference in sweep.plugins:
        registry.load_plugin(reference)
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    _sampler(sweep.sampler, sweep.seed)  # a wrong name is told before anything is written
    pruner = _named("pruner", sweep.pruner) if sweep.pruner else optuna.pruners.NopPruner()
    probe = _propose(sweep, optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask())
    metric, way = probe.metric["name"], direction(probe)
    params = {"sampler": sweep.sampler, "pruner": sweep.pruner or "none", "seed": sweep.seed, "metric": metric}
    tags = {"harness.source": sweep.script.name if sweep.script else "interactive"}
    inline = sweep.workers == 1 and sweep.scheduler is None  # this process has the plugins
    plugins = [] if inline else [*dict.fromkeys([*registry.plugins(), *([str(sweep.script)] if sweep.script else [])])]
    with open_books("sweep", sweep.name, params=params, tags=tags, project=sweep.project, start=False) as books:
        if books.finished(sweep.trials):
            return Result(sweep.name, books.trials(), way, metric, True)
        if books.before and books.before.params["metric"] != metric:
            raise UsageError(
                f"sweep {sweep.name!r} was started with the metric {books.before.params['metric']!r}, "
                f"now it is {metric!r}; start it under another name"
            )
        with engine(sweep.workers, sweep.scheduler) as pool, _term_stops():
            study = optuna.create_study(
                storage=_storage(books.folder / JOURNAL),
                pruner=pruner,
                study_name=sweep.name,
                direction="maximize" if way == "maximize" else "minimize",
                load_if_exists=True,
            )
            study.sampler = _sampler(sweep.sampler, sweep.seed, len(study.get_trials(deepcopy=False)))
            return _Driver(sweep, study, books, probe, pool, plugins).run()


def _check(sweep: Sweep) -> None:
    for name in ("trials", "workers", "population"):
        value = getattr(sweep, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise UsageError(f"{name} must be a whole number of at least 1, got {value!r}")
    if not isinstance(sweep.seed, int) or isinstance(sweep.seed, bool) or sweep.seed < 0:
        raise UsageError(f"seed must be a whole number of at least 0, got {sweep.seed!r}")
    if sweep.film not in FILMS:
        raise UsageError(f"film must be one of {', '.join(map(repr, FILMS))}, got {sweep.film!r}")
    if multiprocessing.parent_process() is not None:  # a worker, which loads the script for its plugins
        raise UsageError("a script that starts a sweep with workers must do so below: if __name__ == '__main__':")


@contextlib.contextmanager
def _plain_end(space: Callable[[Any], Config]) -> Iterator[None]:
    """Where the sweep's script is the program, bad input and Ctrl-C end it with a sentence, as `harness` does."""
    main = sys.modules.get("__main__")
    if main is None or inspect.unwrap(space).__module__ != "__main__" or not hasattr(main, "__file__"):
        yield
        return
    try:
        yield
    except UsageError as error:
        print(f"Error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        raise SystemExit(130) from None


@contextlib.contextmanager
def _term_stops() -> Iterator[None]:
    """SIGTERM stops a sweep as Ctrl-C does, unless somebody else has taken care of it."""
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if ours:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


class _Driver:
    """One driver, one sweep: keeps the workers fed, tells Optuna, writes the books, draws the bar."""

    def __init__(self, sweep: Sweep, study: Any, books: Books, probe: Config, pool: Any, plugins: list[str]):
        from optuna.pruners import NopPruner
        from optuna.samplers import BruteForceSampler, GridSampler

        self.sweep, self.study, self.books, self.pool, self.plugins = sweep, study, books, pool, plugins
        self.result = Result(sweep.name, [], direction(probe), probe.metric["name"], False)
        self.trials = self.result.trials
        self.best: TrialRun | None = None
        self.curve: list[tuple[str, float, int, int]] = []  # the best so far, after each trial
        self.known: dict[str, TrialRun] = {}  # the digest of a config -> the first trial that has its result
        for run in books.trials():
            self._enter(run)
        self.running: dict[int, Any] = {}  # number -> Optuna's trial
        self.twins: dict[
            str, list[tuple[Any, Config]]
        ] = {}  # digest of a config in training -> others that wait for it
        self.begun: dict[int, int] = {}  # number -> when its first segment started
        self.pruned: set[int] = set()
        self.failure, self.failures = "", 0  # the last trial's, and how many alike there were in a row
        self.overhead = {"ask": 0.0, "write": 0.0, "log": 0.0}
        self.epochs = None if isinstance(study.pruner, NopPruner) else 1  # of a segment
        # Samplers that can try everything say so by study.stop(), which Optuna allows below optimize() only
        study.stop = lambda: setattr(self, "exhausted", True)
        self.exhaustive, self.exhausted = isinstance(study.sampler, GridSampler | BruteForceSampler), False
        self.interrupted = deque(reconcile(study, self.trials))

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
            note = "interrupted; starting the same sweep again goes on from here"
            raise
        except Exception as error:
            note = f"stopped by {type(error).__name__}: {error}"
            raise
        finally:
            self._close(note, monotonic() - begun)
        return self.result

    def _close(self, note: str, seconds: float) -> None:
        from harness.tracking import escape_markdown

        table = [f"| | trial | {self.result.metric} | epochs | parameters |", "|---|---|---|---|---|"]
        for place, t in enumerate(self.result.ranked[:10], 1):
            cells = f"| {place} | #{t.number} | {t.extra['value']:.4f} | {t.extra['epochs']} |"
            table.append(f"{cells} {escape_markdown(_words(t.extra['params']))} |")
        counts = Counter(t.extra["state"].lower() for t in self.trials)
        text = f"**{len(self.trials)} trials**: " + ", ".join(f"{n} {state}" for state, n in sorted(counts.items()))
        text += "\n\n" + "\n".join(table) + (f"\n\n{escape_markdown(note)}" if note else "")
        clock = max((t.end_ms or 0 for t in self.trials), default=0)
        spent = {**self.overhead, "sweep": seconds}
        metrics = [*self.curve, *((f"time/{k}_s", v, len(self.trials), clock) for k, v in spent.items())]
        script = self.sweep.script
        files = {"script.py": script.read_bytes()} if script else {}
        self.books.close("FINISHED" if self.result.finished else "KILLED", text, metrics, files)

    def _show(self) -> None:
        if self.best is not None:
            best = f"best {self.result.metric} {self.best.extra['value']:.4f} (#{self.best.number})"
            self.bar.set_postfix_str(best, refresh=False)

    # asking

    def _fill(self) -> None:
        """Asks for as many trials as there is room for, and submits them."""
        sweep, asked = self.sweep, []
        if sweep.synchronous and self.running:
            return
        # with several workers one more population waits, so that no worker does
        room = sweep.population * (1 if self.pool.workers == 1 else self.pool.workers + 1)
        room = ROUND if sweep.synchronous else room
        while len(self.running) < room and len(self.trials) + len(self.running) < sweep.trials:
            begun = monotonic()
            proposed = self._ask()
            self.overhead["ask"] += monotonic() - begun
            if proposed is None:
                break
            trial, config = proposed
            digest = config.digest()
            if digest in self.known:
                self._copy(trial, self.known[digest])
                continue
            self.running[trial.number] = trial
            if digest in self.twins:
                self.twins[digest].append(proposed)
            else:
                self.twins[digest] = []
                asked.append(Outcome(trial.number, config))
        self._submit(asked)

    @undisturbed()
    def _ask(self) -> tuple[Any, Config] | None:
        """The next trial and its config, or None where all there is has been tried."""
        from optuna.samplers import GridSampler
        from optuna.trial import Trial, TrialState

        sampler = self.study.sampler
        if self.interrupted:
            trial = Trial(self.study, self.interrupted.popleft()._trial_id)
        elif self.exhausted or (isinstance(sampler, GridSampler) and sampler.is_exhausted(self.study)):
            return None
        else:
            trial = self.study.ask()
        try:
            config = _propose(self.sweep, trial)
        except UsageError:
            self.study.tell(trial.number, state=TrialState.FAIL)  # or the next start would take it up again
            raise
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
            for at in range(0, len(group), self.sweep.population):
                these = group[at : at + self.sweep.population]
                job = Job([o.number for o in these], [o.config for o in these], plugins=self.plugins, keep_state=False)
                job.epochs = self.epochs if epochs is None else epochs
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
                going_on.append(outcome)
        self._submit(going_on)
        self._fill()
        begun = monotonic()
        self.books.log()
        self.overhead["log"] += monotonic() - begun

    def _report(self, outcome: Outcome) -> None:
        """After a segment: tells the pruner how the trial stands, and asks whether it shall go on."""
        if self.epochs is None or outcome.value is None or outcome.number in self.pruned:
            return
        trial, epoch = self.running[outcome.number], outcome.records[-1].epoch
        told = self.study.get_trials(deepcopy=False)[trial.number].intermediate_values  # before it was interrupted
        if epoch not in told:
            trial.report(outcome.records[-1].metrics[f"valid/{self.result.metric}"], epoch)
        if not outcome.ended and epoch >= max(told, default=0) and trial.should_prune():
            self.pruned.add(outcome.number)

    def _finish(self, outcome: Outcome) -> None:
        """Writes down a trial that has ended, and what waited for it."""
        if outcome.refused and not self.trials:
            (self.books.folder / JOURNAL).unlink()  # nothing has been learned: the corrected script starts afresh
            raise UsageError(outcome.refused)
        number, params = outcome.number, dict(self.running[outcome.number].params)
        state = "PRUNED" if number in self.pruned else ""
        run = to_run(f"{self.books.parent.id}/{number}", name_of(number, params), outcome, params, state)
        if self.sweep.film == "best" and not self._better(run):
            run.artifacts = {k: v for k, v in run.artifacts.items() if not k.startswith("film.")}
        digest = run.extra["config"]
        twins = self.twins.pop(digest)
        self._end(run)
        self._count(run, outcome)
        while twins and digest in self.known:
            self._copy(twins.pop(0)[0], run)
        if twins:  # it has failed or was pruned; the next one is tried, as it would have been had it come later
            twin, config = twins.pop(0)
            self.twins[digest] = twins
            self._submit([Outcome(twin.number, config)])

    def _copy(self, trial: Any, same: TrialRun) -> None:
        """Ends a trial whose config has been trained before: equal configs have equal results."""
        number, params = trial.number, dict(trial.params)
        copy = replace(same, id=f"{self.books.parent.id}/{number}", name=name_of(number, params), number=number)
        copy.params, copy.extra = {**same.params, **params}, {**same.extra, "params": params}
        copy.tags, copy.artifacts, copy.files = {**same.tags, "harness.duplicate_of": f"#{same.number}"}, {}, None
        self._end(copy)

    @undisturbed()
    def _end(self, run: TrialRun) -> None:
        begun = monotonic()
        _sync(self.books.folder / JOURNAL)  # a trial that the spool knows is known to the study, whatever happens now
        self.books.write(run)
        _tell(self.study, run)
        self.running.pop(run.number or 0, None)
        run.artifacts = {}
        self._enter(run)
        self.bar.update(1)
        self._show()
        self.overhead["write"] += monotonic() - begun

    def _enter(self, run: TrialRun) -> None:
        if self._better(run):
            self.best = run
        self.trials.append(run)
        if run.extra["state"] in ("COMPLETE", "DIVERGED"):
            self.known.setdefault(run.extra["config"], run)
        if self.best is not None:
            point = f"best/{self.result.metric}", self.best.extra["value"], len(self.trials), run.end_ms or 0
            self.curve.append(point)

    def _better(self, run: TrialRun) -> bool:
        """Whether a trial is better than all before it."""
        return Result("", [run, *([self.best] if self.best else [])], self.result.direction, "", True).best is run

    def _count(self, run: TrialRun, outcome: Outcome) -> None:
        """Tells of a failure, and stops the sweep where it is the third of its kind in a row."""
        reason = run.extra["reason"] if run.extra["state"] == "FAILED" else ""
        if reason and reason != self.failure:
            self.bar.write(f"trial #{run.number} failed; the sweep goes on\n{outcome.error or reason}", file=sys.stderr)
        self.failures = self.failures + 1 if reason == self.failure else 1
        self.failure = reason
        if reason and self.failures >= EQUAL_FAILURES:
            raise UsageError(f"{EQUAL_FAILURES} trials in a row failed alike, so the sweep stops: {reason}; correct it")
