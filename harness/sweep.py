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
from harness.books import Books, open_books
from harness.config import Config
from harness.errors import UsageError
from harness.execute import engine
from harness.ops import stream
from harness.spool import TrialRun
from harness.trial import Job, Outcome, direction, monotonic, name_of, to_run

EQUAL_FAILURES = 3  # so many equal failures in a row stop a sweep: the fourth would be the same
FILMS = ("all", "best", "none")
ROUND = 8  # trials that stand at one barrier of a synchronous sweep: which are pruned depends on it, so it depends on nothing
JOURNAL = "journal.log"
NEEDS = {"GPSampler": "torch", "CmaEsSampler": "cmaes"}  # what some samplers import only after their random start


@dataclass
class Sweep:
    """A search space and how to search it. `run` starts it, or goes on where it stopped.

    trials: how many must have ended in all. sampler, pruner: names of Optuna with their arguments, such as
    "TPESampler(n_startup_trials=5)". seed: decides what is tried, and the networks where neither the space nor a trial sets a
    seed. workers: processes that train; population: networks of one shape that train as one batched computation; both change the
    speed only (of a sampler that learns, also what it knows when it is asked). synchronous: rounds of 8 trials, decided in the
    order of the trials, so that what is pruned does not depend on the number of workers. film: whose film to keep, "all", "best"
    (those that were best when they ended) or "none". scheduler: the address of a Dask cluster, instead of local workers.
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
        valued = [t for t in self.trials if t.extra.get("value") is not None and t.extra["state"] == "COMPLETE"]
        sign = -1 if self.direction == "maximize" else 1
        return sorted(valued, key=lambda t: (sign * t.extra["value"], t.number))

    def table(self, rows: int = 10) -> str:
        """The best trials as text: place, number, value, epochs, seconds, what was suggested."""
        lines = [f"{'':>3} {'trial':>6} {self.metric:>18} {'epochs':>7} {'train s':>8}  parameters"]
        for place, t in enumerate(self.ranked[:rows], 1):
            seconds = f"{t.extra['train_s']:.2f}" if t.extra.get("train_s") is not None else "-"
            lines.append(
                f"{place:>3} {'#' + str(t.number):>6} {t.extra['value']:>18.4f} {t.extra['epochs']:>7} {seconds:>8}  {_words(t.extra['params'])}"
            )
        return "\n".join(lines)


def _words(params: dict[str, Any]) -> str:
    return " ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in params.items())


# Optuna -----------------------------------------------------------------------------------------------------------------


def _named(kind: str, text: str, **extra: Any) -> Any:
    """A sampler or pruner by its Optuna name, such as "TPESampler" or "MedianPruner(n_startup_trials=3)"."""
    import optuna

    if not isinstance(text, str):
        raise UsageError(f"a {kind} must be named, as Optuna does and with its arguments, such as 'TPESampler(n_startup_trials=5)', got {text!r}")
    room = optuna.samplers if kind == "sampler" else optuna.pruners
    base = room.BaseSampler if kind == "sampler" else room.BasePruner
    found = {n: each for n in room.__all__ if isinstance(each := getattr(room, n), type) and issubclass(each, base) and each is not base}

    def make(spec: dict[str, Any], **extra: Any) -> Any:
        if spec["name"] not in found:
            raise UsageError(f"unknown {kind} {spec['name']!r}; {registry.suggest(spec['name'], list(found))}")
        made = found[spec["name"]]
        args, kwargs = [inner(v) for v in spec.get("*", ())], {k: inner(v) for k, v in spec.items() if k not in ("name", "*")}
        accepted = inspect.signature(made).parameters
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that some of them are experimental
            return made(*args, **{**{k: v for k, v in extra.items() if k in accepted}, **kwargs})

    def inner(value: Any) -> Any:
        """PatientPruner(MedianPruner(), patience=2) has another one inside."""
        return make(value) if isinstance(value, dict) and isinstance(value.get("name"), str) else value

    spec = registry.parse(text)
    try:
        if spec["name"] in NEEDS:
            __import__(NEEDS[spec["name"]])
        return make(spec, **extra)
    except ImportError as error:
        raise UsageError(f"{kind} {spec['name']} needs the package {error.name!r}; install it or choose another {kind}") from None
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"{kind} {text!r} cannot be made: {error}; see Optuna's documentation of {spec['name']}") from None


def _sampler(text: str, seed: int, known: int) -> Any:
    """The study's sampler, when so many of its trials are there: a seeded one would repeat its first points after a restart."""
    from optuna.samplers import GridSampler, QMCSampler, RandomSampler

    class Random(RandomSampler):
        """Draws by (seed, trial, parameter): neither a restart nor the order of what is suggested changes a value."""

        def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
            return RandomSampler(seed=_seed(seed, name, trial.number)).sample_independent(study, trial, name, distribution)

    given = registry.parse(text).get("seed", seed) if isinstance(text, str) else seed
    seed = given if isinstance(given, int) else seed
    made = _named("sampler", text, seed=_seed(seed, "sampler"), independent_sampler=Random())
    if type(made) is RandomSampler:
        return Random()
    if known and not isinstance(made, GridSampler | QMCSampler):  # these two know from the study where they are
        made = _named("sampler", text, seed=_seed(seed, "sampler", known), independent_sampler=Random())
    return made


def _seed(seed: int, purpose: str, number: int = 0) -> int:
    return int(stream(seed, purpose, number).generate_state(1)[0])


def _storage(file: Path) -> Any:
    """Optuna's journal in a file, line by line as Optuna would write it; the lock of the books keeps other drivers out.

    So it needs no lock of its own, is read once, and is synced once a trial (`_sync`) instead of at each of its lines. What a
    crash has torn at its end is cut off.
    """
    from optuna.storages import JournalStorage
    from optuna.storages.journal import BaseJournalBackend

    class Journal(BaseJournalBackend):
        def __init__(self) -> None:
            self.logs: list[dict[str, Any]] = []
            whole = 0
            with contextlib.suppress(ValueError), open(file, "a+b") as written:
                written.seek(0)
                for line in written:
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
        with warnings.catch_warnings():
            # choices that are lists: the journal can write them
            warnings.filterwarnings("ignore", "Choices for a categorical distribution", UserWarning)
            config = sweep.space(trial)
    except UsageError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        frame = next((f for f in reversed(frames) if Path(f.filename) == sweep.script), frames[-1])
        raise UsageError(
            f"the search space must return a Config, but it raised {type(error).__name__}: {error} (file {frame.filename}, "
            f"line {frame.lineno}); correct it, and if other choices or distributions are meant, start under another name"
        ) from error
    if not isinstance(config, Config):
        name = getattr(sweep.space, "__name__", sweep.name)
        raise UsageError(f"the search space {name!r} must return a Config, got {type(config).__name__}; return Config(...)")
    if config.valid == 0:
        raise UsageError("a sweep needs a validation part to choose by, got valid=0; give a share such as valid=0.2")
    changes: dict[str, Any] = {}
    if config.seed == 0 and sweep.seed and "seed" not in trial.params:
        changes["seed"] = sweep.seed
    if sweep.film == "none":
        changes["film"] = None
    return config.replace(**changes) if changes else config


# The driver -------------------------------------------------------------------------------------------------------------


def _drive(sweep: Sweep) -> Result:
    _check(sweep)
    for reference in sweep.plugins:
        registry.load_plugin(reference)
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    _sampler(sweep.sampler, sweep.seed, 0)  # a wrong name is told before anything is written
    pruner = _named("pruner", sweep.pruner) if sweep.pruner else optuna.pruners.NopPruner()
    probe = _propose(sweep, optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask())
    metric = probe.metric["name"]
    params = {"sampler": sweep.sampler, "pruner": sweep.pruner or "none", "seed": sweep.seed, "metric": metric}
    tags = {"harness.source": sweep.script.name if sweep.script else "interactive"}
    with open_books("sweep", sweep.name, params=params, tags=tags, project=sweep.project, enough=sweep.trials) as books:
        if books.finished:
            return Result(sweep.name, books.trials(), direction(probe), metric, True)
        study = optuna.create_study(
            storage=_storage(books.folder / JOURNAL), sampler=optuna.samplers.RandomSampler(), pruner=pruner, study_name=sweep.name,
            direction=direction(probe), load_if_exists=True,
        )  # fmt: skip
        before = study.user_attrs.get("metric")
        if before is None:
            study.set_user_attr("metric", metric)
        elif before != metric:
            raise UsageError(f"sweep {sweep.name!r} was started with the metric {before!r}, now it is {metric!r}; start it under another name")
        study.sampler = _sampler(sweep.sampler, sweep.seed, len(study.get_trials(deepcopy=False)))
        with _term_stops():
            return _Driver(sweep, study, books, probe).run()


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
        raise UsageError("a script that starts a sweep with several workers must do so below: if __name__ == '__main__':")


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


def reconcile(study: Any, trials: list[TrialRun]) -> list[Any]:
    """Brings the study into line with the spool, which holds the truth: what has ended there is told.

    UsageError where the study does not know a trial of the spool, since the next trial would get its number.
    Returns the trials that were being trained when the driver was stopped. They are taken up again under their numbers and with
    their parameters, so that a sweep that was interrupted comes to the same trials as one that was not.
    """
    from optuna.trial import TrialState

    ended = {t.number: t for t in trials}
    if unknown := [str(n) for n in ended if n is not None and n >= len(study.get_trials(deepcopy=False))]:
        raise UsageError(f"the journal of sweep {study.study_name!r} must know all its trials, but #{unknown[0]} is missing; start under another name")
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    for trial in running:
        if trial.number in ended:
            _tell(study, trial.number, ended[trial.number])
    return [trial for trial in running if trial.number not in ended]


def _tell(study: Any, number: int, run: TrialRun) -> None:
    from optuna.trial import TrialState

    if run.extra["state"] == "PRUNED":
        study.tell(number, state=TrialState.PRUNED)
    elif run.extra.get("value") is None or run.status == "FAILED":
        study.tell(number, state=TrialState.FAIL)
    else:
        study.tell(number, run.extra["value"])


class _Driver:
    """One driver, one sweep: keeps the workers fed, tells Optuna, writes the books, draws the bar."""

    def __init__(self, sweep: Sweep, study: Any, books: Books, probe: Config):
        from optuna.pruners import NopPruner
        from optuna.samplers import BruteForceSampler, GridSampler

        self.sweep, self.study, self.books, self.probe = sweep, study, books, probe
        self.trials = books.trials()
        self.known = {t.extra["config"]: t for t in reversed(self.trials) if _repeatable(t)}
        self.running: dict[int, Any] = {}  # number -> Optuna's trial
        self.begun: dict[int, int] = {}  # number -> when its first segment started
        self.pruned: set[int] = set()
        self.twins: dict[str, list[tuple[Any, Config]]] = {}  # the digest of a config in training -> trials that wait for its result
        self.failure, self.failures = "", 0
        self.overhead = {"ask": 0.0, "write": 0.0, "log": 0.0}
        self.exhausted = False
        # Samplers that can try everything say so by study.stop(), which Optuna allows below optimize() only
        study.stop = lambda: setattr(self, "exhausted", True)
        self.exhaustive = isinstance(study.sampler, GridSampler | BruteForceSampler)
        self.interrupted = deque(reconcile(study, self.trials))
        self.epochs = None if isinstance(study.pruner, NopPruner) else 1  # of a segment
        inline = sweep.workers == 1 and sweep.scheduler is None  # this process has the plugins
        self.plugins = [] if inline else [*dict.fromkeys([*registry.plugins(), *([str(sweep.script)] if sweep.script else [])])]

    def result(self, finished: bool) -> Result:
        return Result(self.sweep.name, self.trials, direction(self.probe), self.probe.metric["name"], finished)

    def run(self) -> Result:
        from tqdm import tqdm

        begun, done = monotonic(), len(self.trials)
        status, note = "KILLED", ""
        try:
            with (
                engine(self.sweep.workers, self.sweep.scheduler) as self.pool,
                tqdm(total=max(self.sweep.trials, done), initial=done, unit="trial", desc=self.sweep.name, file=sys.stderr,
                     dynamic_ncols=True, mininterval=0.1 if sys.stderr.isatty() else 30) as self.bar,
            ):  # fmt: skip
                self._show()
                self._fill()
                while self.running:
                    self._take()
                self.bar.total = len(self.trials)  # fewer than asked for where all there is has been tried
            status = "FINISHED"
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
            result = self.result(status == "FINISHED")
            self._close(result, status, note, monotonic() - begun)
        return result

    def _close(self, result: Result, status: str, note: str, seconds: float) -> None:
        from harness.tracking import escape_markdown

        rows = [
            f"| {i} | #{t.number} | {t.extra['value']:.4f} | {t.extra['epochs']} | {escape_markdown(_words(t.extra['params']))} |"
            for i, t in enumerate(result.ranked[:10], 1)
        ]
        table = "\n".join([f"| | trial | {result.metric} | epochs | parameters |", "|---|---|---|---|---|", *rows])
        counts = Counter(t.extra["state"].lower() for t in result.trials)
        text = f"**{len(result.trials)} trials**: " + ", ".join(f"{n} {state}" for state, n in sorted(counts.items()))
        text += f"\n\n{table}" + (f"\n\n{escape_markdown(note)}" if note else "")
        clock = max((t.end_ms or 0 for t in result.trials), default=0)
        metrics = [(f"time/{k}_s", v, len(result.trials), clock) for k, v in {**self.overhead, "sweep": seconds}.items()]
        sign, best = 1 if result.direction == "maximize" else -1, None
        for k, t in enumerate(result.trials, 1):
            value = t.extra.get("value")
            if value is not None and t.extra["state"] == "COMPLETE" and (best is None or sign * value > sign * best):
                best = value
            if best is not None:
                metrics.append((f"best/{result.metric}", best, k, t.end_ms or clock))
        script = self.sweep.script
        self.books.close(status, text, metrics, {"script.py": script.read_bytes()} if script else {})

    def _show(self) -> None:
        best = self.result(False).best
        if best is not None:
            self.bar.set_postfix_str(f"best {self.probe.metric['name']} {best.extra['value']:.4f} (#{best.number})", refresh=False)

    # asking

    def _fill(self) -> None:
        """Asks for as many trials as there is room for, and submits them."""
        sweep, asked = self.sweep, []
        if sweep.synchronous and self.running:
            return
        # with several workers one more population waits, so that no worker does
        room = ROUND if sweep.synchronous else sweep.population * (1 if self.pool.workers == 1 else self.pool.workers + 1)
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

    def _ask(self) -> tuple[Any, Config] | None:
        """The next trial and its config, or None where all there is has been tried."""
        import optuna

        if self.interrupted:
            trial = optuna.trial.Trial(self.study, self.interrupted.popleft()._trial_id)
        elif self.exhausted or (isinstance(self.study.sampler, optuna.samplers.GridSampler) and self.study.sampler.is_exhausted(self.study)):
            return None
        else:
            trial = self.study.ask()
        try:
            config = _propose(self.sweep, trial)
        except UsageError:
            self.study.tell(trial.number, state=optuna.trial.TrialState.FAIL)  # or the next start would take it up again
            raise
        if self.exhaustive and trial.params in [*(t.extra["params"] for t in self.trials), *(t.params for t in self.running.values())]:
            self.study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            self.exhausted = True
            return self._ask()  # there may be interrupted trials
        return trial, config

    def _copy(self, trial: Any, same: TrialRun) -> None:
        """Ends a trial whose config has been trained before: equal configs have equal results."""
        copy = replace(
            same, id=f"{self.books.parent.id}/{trial.number}", name=name_of(trial.number, trial.params), number=trial.number,
            params={**same.params, **trial.params}, tags={**same.tags, "harness.duplicate_of": f"#{same.number}"},
            artifacts={}, files=None, extra={**same.extra, "params": dict(trial.params)},
        )  # fmt: skip
        self._end(copy)

    def _submit(self, ready: list[Outcome], epochs: int | None = None) -> None:
        """Sends trials to be trained on from where they stand, those of one shape and epoch together."""
        groups: dict[Any, list[Outcome]] = {}
        for each in ready:
            groups.setdefault((each.config.shape_key(), len(each.records)), []).append(each)
        for group in groups.values():
            for at in range(0, len(group), self.sweep.population):
                these = group[at : at + self.sweep.population]
                job = Job([o.number for o in these], [o.config for o in these], epochs=self.epochs if epochs is None else epochs,
                          plugins=self.plugins, keep_state=False)  # fmt: skip
                if these[0].state is not None:
                    job.states, job.records = [o.state for o in these if o.state is not None], [o.records for o in these]
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
        value = outcome.value
        if self.epochs is None or value is None or outcome.number in self.pruned:
            return
        trial, epoch = self.running[outcome.number], outcome.records[-1].epoch
        told = self.study.get_trials(deepcopy=False)[trial.number].intermediate_values  # before it was interrupted
        if epoch not in told:
            trial.report(outcome.records[-1].metrics[f"valid/{outcome.config.metric['name']}"], epoch)
        if not outcome.ended and epoch >= max(told, default=0) and trial.should_prune():
            self.pruned.add(outcome.number)

    def _finish(self, outcome: Outcome) -> None:
        trial = self.running[outcome.number]
        if outcome.refused and not self.trials:
            (self.books.folder / JOURNAL).unlink()  # nothing has been learned: the corrected script starts afresh
            raise UsageError(outcome.refused)
        state = "PRUNED" if outcome.number in self.pruned else ""
        run = to_run(f"{self.books.parent.id}/{trial.number}", name_of(trial.number, trial.params), outcome, dict(trial.params), state)
        best = self.result(False).best
        sign = 1 if direction(self.probe) == "maximize" else -1
        if self.sweep.film == "best" and (
            run.extra["state"] != "COMPLETE" or (best is not None and sign * run.extra["value"] <= sign * best.extra["value"])
        ):
            run.artifacts = {k: v for k, v in run.artifacts.items() if not k.startswith("film.")}
        twins = self.twins.pop(run.extra["config"], [])
        self._end(run)
        self._count(run, outcome)
        for k, (twin, config) in enumerate(twins):
            if run.extra["config"] in self.known:
                self._copy(twin, run)
            else:  # it has failed or was pruned; the next one is tried, as it would have been had it come later
                self.twins[run.extra["config"]] = twins[k + 1 :]
                self._submit([Outcome(twin.number, config)])
                break

    def _end(self, run: TrialRun) -> None:
        begun = monotonic()
        _sync(self.books.folder / JOURNAL)  # a trial that the spool knows is known to the study, whatever happens now
        self.books.write(run)
        _tell(self.study, run.number or 0, run)
        self.running.pop(run.number or 0, None)
        run.artifacts = {}
        self.trials.append(run)
        if _repeatable(run):
            self.known.setdefault(run.extra["config"], run)
        self.bar.update(1)
        self._show()
        self.overhead["write"] += monotonic() - begun

    def _count(self, run: TrialRun, outcome: Outcome) -> None:
        """Tells of a failure, and stops the sweep where it is the third of its kind in a row."""
        reason = run.extra["reason"] if run.extra["state"] == "FAILED" else ""
        if reason and reason != self.failure:
            self.bar.write(f"trial #{run.number} failed; the sweep goes on\n{outcome.error or reason}", file=sys.stderr)
        self.failures = self.failures + 1 if reason == self.failure else 1
        self.failure = reason
        if reason and self.failures >= EQUAL_FAILURES:
            raise UsageError(f"{EQUAL_FAILURES} trials in a row failed alike, so the sweep stops: {reason}; correct it and start again")


def _repeatable(run: TrialRun) -> bool:
    """Whether its result is that of every trial with this config."""
    return run.extra["state"] in ("COMPLETE", "DIVERGED")
