"""Sweeps: an Optuna study of trials, ask -> train -> tell, and the books brought into line at every start.

    @sweep(name="first sweep", trials=24)
    def space(trial) -> Config:
        return Config(layers=mlp([784, 100, 10], activation=trial.suggest_categorical("activation", ["relu", "tanh"])))

    if __name__ == "__main__":
        space.run()

The only module that imports optuna.
"""

import inspect
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness import registry
from harness.books import Books, open_books
from harness.config import Config
from harness.errors import UsageError
from harness.execute import engine
from harness.spool import TrialRun
from harness.trial import Job, Outcome, direction, monotonic, name_of, to_run

EQUAL_FAILURES = 3  # so many equal failures in a row stop a sweep: the fourth would be the same
FILMS = ("all", "best", "none")


@dataclass
class Sweep:
    """A search space and how to search it. `run` starts it, or goes on where it stopped."""

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
        file = inspect.getsourcefile(self.space)
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

    room = optuna.samplers if kind == "sampler" else optuna.pruners
    base = room.BaseSampler if kind == "sampler" else room.BasePruner
    spec = registry.parse(text)
    names = [n for n in room.__all__ if isinstance(getattr(room, n), type) and issubclass(getattr(room, n), base) and not n.startswith("Base")]
    if spec["name"] not in names:
        raise UsageError(f"unknown {kind} {spec['name']!r}; {registry.suggest(spec['name'], names)}")
    made = getattr(room, spec["name"])
    given = {k: v for k, v in spec.items() if k not in ("name", "*")}
    accepted = inspect.signature(made).parameters
    given = {**{k: v for k, v in extra.items() if k in accepted}, **given}
    try:
        if spec["name"] == "GPSampler":
            import torch  # noqa: F401  it fails only after the random start otherwise
        return made(*spec.get("*", ()), **given)
    except ImportError as error:
        raise UsageError(f"{kind} {spec['name']} needs the package {error.name!r}; install it or choose another {kind}") from None
    except (TypeError, ValueError) as error:
        raise UsageError(f"{kind} {text!r} cannot be made: {error}; see Optuna's documentation of {spec['name']}") from None


def _seed(seed: int, k: int) -> int:
    """A seed for the k-th ask: seeded samplers repeat their first points after a restart."""
    import numpy as np

    return int(np.random.SeedSequence([seed, k]).generate_state(1)[0])


def _storage(file: Path) -> Any:
    """The journal. Under the sweep's lock: a torn last line is cut off and a dead owner's lock removed."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    if file.exists():
        written = file.read_bytes()
        if written and not written.endswith(b"\n"):
            with open(file, "r+b") as torn:
                torn.truncate(written.rfind(b"\n") + 1)
    for stale in file.parent.glob(file.name + ".lock*"):
        stale.unlink(missing_ok=True)
    return JournalStorage(JournalFileBackend(str(file)))


def _propose(sweep: Sweep, trial: Any) -> Config:
    """The space's config for a trial; whatever the space does wrong is one sentence."""
    try:
        config = sweep.space(trial)
    except UsageError:
        raise
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise UsageError(
            f"the search space must return a Config, but it raised {type(error).__name__}: {error} (file {frame.filename}, line {frame.lineno}); correct it"
        ) from error
    if not isinstance(config, Config):
        raise UsageError(f"the search space {sweep.space.__name__!r} must return a Config, got {type(config).__name__}; return Config(...)")
    if config.valid == 0:
        raise UsageError("a sweep needs a validation part to choose by, got valid=0; give a share such as valid=0.2")
    changes: dict[str, Any] = {}
    if config.seed == 0 and sweep.seed:
        changes["seed"] = sweep.seed
    if sweep.film == "none":
        changes["film"] = None
    return config.replace(**changes) if changes else config


# The driver -------------------------------------------------------------------------------------------------------------


def _drive(sweep: Sweep) -> Result:
    import optuna

    _check(sweep)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = _named("sampler", sweep.sampler, seed=_seed(sweep.seed, 0))
    pruner = _named("pruner", sweep.pruner) if sweep.pruner else optuna.pruners.NopPruner()
    probe = _propose(sweep, optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask())
    params = {"sampler": sweep.sampler, "pruner": sweep.pruner or "none", "seed": sweep.seed, "metric": probe.metric["name"]}
    tags = {"harness.source": sweep.script.name if sweep.script else "interactive"}
    with open_books("sweep", sweep.name, params=params, tags=tags, project=sweep.project) as books:
        study = optuna.create_study(
            storage=_storage(books.folder / "journal.log"), sampler=sampler, pruner=pruner, study_name=sweep.name,
            direction=direction(probe), load_if_exists=True,
        )  # fmt: skip
        reconcile(study, books)
        driver = _Driver(sweep, study, books, probe)
        return driver.run()


def _check(sweep: Sweep) -> None:
    for name in ("trials", "workers", "population"):
        value = getattr(sweep, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise UsageError(f"{name} must be a whole number of at least 1, got {value!r}")
    if sweep.film not in FILMS:
        raise UsageError(f"film must be one of {', '.join(map(repr, FILMS))}, got {sweep.film!r}")


def reconcile(study: Any, books: Books) -> None:
    """Brings the study into line with the spool, which holds the truth: what has ended there is told, the rest is tried again."""
    from optuna.trial import TrialState

    ended = {t.number: t for t in books.trials()}
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if trial.number in ended:
            _tell(study, trial.number, ended[trial.number])
        else:
            study.tell(trial.number, state=TrialState.FAIL)
            if trial.params:
                study.enqueue_trial(trial.params)


def _tell(study: Any, number: int, run: TrialRun) -> None:
    from optuna.trial import TrialState

    if run.extra["state"] == "PRUNED":
        study.tell(number, state=TrialState.PRUNED)
    elif run.extra.get("value") is None or run.status == "FAILED":
        study.tell(number, state=TrialState.FAIL)
    else:
        study.tell(number, run.extra["value"])


class _Driver:
    """One driver, one sweep: keeps the engine fed, tells Optuna, writes the books, draws the bar."""

    def __init__(self, sweep: Sweep, study: Any, books: Books, probe: Config):
        self.sweep, self.study, self.books, self.probe = sweep, study, books, probe
        self.trials = books.trials()
        self.known = {t.extra["config"]: t for t in self.trials if t.extra["state"] in ("COMPLETE", "DIVERGED")}
        self.running: dict[int, Any] = {}  # number -> Optuna's trial
        self.failures: Counter[str] = Counter()
        self.overhead = {"ask": 0.0, "write": 0.0, "log": 0.0}
        self.exhausted = False

    def result(self, finished: bool) -> Result:
        return Result(self.sweep.name, self.trials, direction(self.probe), self.probe.metric["name"], finished)

    def run(self) -> Result:
        from tqdm import tqdm

        begun, done = monotonic(), len(self.trials)
        status, note = "KILLED", ""
        try:
            with (
                engine(self.sweep.workers, self.sweep.scheduler) as self.engine,
                tqdm(total=self.sweep.trials, initial=min(done, self.sweep.trials), unit="trial", desc=self.sweep.name, file=sys.stderr,
                     dynamic_ncols=True, leave=True) as self.bar,
            ):  # fmt: skip
                self._show()
                self._fill()
                while self.running:
                    self._take()
            status = "FINISHED"
        except UsageError as error:
            note = str(error)
            raise
        finally:
            result = self.result(status == "FINISHED")
            seconds = monotonic() - begun
            if status == "KILLED" and not note:
                note = "interrupted; starting the same sweep again goes on from here"
            self._close(result, status, note, seconds)
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
        clock = result.trials[-1].end_ms if result.trials and result.trials[-1].end_ms else 0
        metrics = [(f"time/{k}_s", v, len(result.trials), clock) for k, v in {**self.overhead, "sweep": seconds}.items()]
        best = None
        for k, t in enumerate(result.trials):
            value = t.extra.get("value")
            better = value is not None and t.extra["state"] == "COMPLETE" and (
                best is None or (value > best if result.direction == "maximize" else value < best)
            )  # fmt: skip
            best = value if better else best
            if best is not None:
                metrics.append((f"best/{result.metric}", best, k + 1, t.end_ms or clock))
        script = self.sweep.script
        self.books.close(status, text, metrics, {"script.py": script.read_bytes()} if script else {})

    def _show(self) -> None:
        best = self.result(False).best
        if best is not None:
            self.bar.set_postfix_str(f"best {self.probe.metric['name']} {best.extra['value']:.4f} (#{best.number})")

    # asking

    def _capacity(self) -> int:
        width = self.sweep.population
        return width * (1 if self.engine.workers == 1 else self.engine.workers + 1)  # one more waits, so that no worker does

    def _fill(self) -> None:
        """Asks for as many trials as there is room for, groups them by shape, and submits them."""
        if self.sweep.synchronous and self.running:
            return
        asked: list[tuple[Any, Config]] = []
        while len(self.running) < self._capacity() and len(self.trials) + len(self.running) < self.sweep.trials and not self.exhausted:
            begun = monotonic()
            proposed = self._ask()
            self.overhead["ask"] += monotonic() - begun
            if proposed is not None:
                asked.append(proposed)
                self.running[proposed[0].number] = proposed[0]
        groups: dict[str, list[tuple[Any, Config]]] = {}
        for trial, config in asked:
            groups.setdefault(config.shape_key(), []).append((trial, config))
        for group in groups.values():
            for at in range(0, len(group), self.sweep.population):
                members = group[at : at + self.sweep.population]
                self._submit(Job([t.number for t, _ in members], [c for _, c in members]))

    def _ask(self) -> tuple[Any, Config] | None:
        import optuna

        sampler = self.study.sampler
        if hasattr(sampler, "is_exhausted") and sampler.is_exhausted(self.study):
            self.exhausted = True
            return None
        if isinstance(sampler, optuna.samplers.RandomSampler):
            k = len(self.study.get_trials(deepcopy=False))
            self.study.sampler = optuna.samplers.RandomSampler(seed=_seed(self.sweep.seed, k))
        trial = self.study.ask()
        config = _propose(self.sweep, trial)
        same = self.known.get(config.digest())
        if same is None:
            return trial, config
        copy = replace(
            same, id=f"{self.books.parent.id}/{trial.number}", name=name_of(trial.number, trial.params), number=trial.number,
            tags={**same.tags, "harness.duplicate_of": f"#{same.number}"}, artifacts={}, files=None,
            extra={**same.extra, "params": dict(trial.params)},
        )  # fmt: skip
        self._end(trial.number, copy)
        return None

    def _submit(self, job: Job) -> None:
        from optuna.pruners import NopPruner

        script = self.sweep.script
        job.plugins = [*dict.fromkeys([*registry.plugins(), *self.sweep.plugins, *([str(script)] if script else [])])]
        if self.engine.workers == 1 and self.sweep.scheduler is None:
            job.plugins = []  # this process has them
        if job.epochs is None and not isinstance(self.study.pruner, NopPruner):
            job.epochs = 1
        self.engine.submit(job)

    # telling

    def _take(self) -> None:
        """Takes what a worker has done; with synchronous=True what all have done, in the order of the trials."""
        outcomes = self.engine.next()
        if self.sweep.synchronous:
            while len(outcomes) < len(self.running):
                outcomes += self.engine.next()
            outcomes.sort(key=lambda o: o.number)
        for outcome in outcomes:
            if not outcome.ended:
                self._step(outcome)
            else:
                self._finish(outcome)
        self._fill()
        begun = monotonic()
        self.books.log()
        self.overhead["log"] += monotonic() - begun

    def _step(self, outcome: Outcome) -> None:
        """A segment has ended and the trial has not: report, and go on or prune."""
        trial = self.running[outcome.number]
        last = outcome.records[-1]
        trial.report(last.metrics[f"valid/{outcome.config.metric['name']}"], last.epoch)
        pruned = trial.should_prune()
        if pruned:
            trial.set_user_attr("pruned", True)
        assert outcome.state is not None
        self._submit(Job([outcome.number], [outcome.config], [outcome.state], 0 if pruned else 1, records=[outcome.records]))

    def _finish(self, outcome: Outcome) -> None:
        trial = self.running[outcome.number]
        if outcome.refused and not self.trials:
            raise UsageError(outcome.refused)
        state = "PRUNED" if trial.user_attrs.get("pruned") else ""
        run = to_run(f"{self.books.parent.id}/{trial.number}", name_of(trial.number, trial.params), outcome, dict(trial.params), state)
        if self.sweep.film == "best" and run.extra["value"] is not None:
            best = self.result(False).best
            sign = 1 if direction(self.probe) == "maximize" else -1
            if best is not None and sign * run.extra["value"] <= sign * best.extra["value"]:
                run.artifacts = {k: v for k, v in run.artifacts.items() if not k.startswith("film.")}
        if outcome.error:
            self.bar.write(f"trial #{outcome.number} failed; the sweep goes on\n{outcome.error}", file=sys.stderr)
        self._end(outcome.number, run)
        self._count(run)

    def _end(self, number: int, run: TrialRun) -> None:
        begun = monotonic()
        self.books.write(run)
        _tell(self.study, number, run)
        self.running.pop(number, None)
        run.artifacts = {}
        self.trials.append(run)
        if run.extra["state"] in ("COMPLETE", "DIVERGED"):
            self.known.setdefault(run.extra["config"], run)
        self.bar.update(1)
        self._show()
        self.overhead["write"] += monotonic() - begun

    def _count(self, run: TrialRun) -> None:
        reason = run.extra["reason"] if run.extra["state"] == "FAILED" else ""
        if not reason:
            self.failures.clear()
            return
        self.failures[reason] += 1
        if self.failures[reason] >= EQUAL_FAILURES:
            raise UsageError(f"{EQUAL_FAILURES} trials in a row failed alike, so the sweep stops: {reason}; correct it and start again")
