"""Comparing: the same seeds for every arm, the same points to tune it with, films side by side.

    compare("relu or tanh", {"relu": Config(...), "tanh": Config(...)}, seeds=5)
    compare("relu or tanh, tuned", {"relu": space_a, "tanh": space_b}, points=16, seeds=5)

A search space is tuned first: its points are trained with one seed that is used for nothing else,
and the best of them goes on. So what is compared are means over seeds that had no part in the
choice.
"""

import contextlib
import hashlib
import inspect
import io
import itertools
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from harness import checks, registry
from harness.config import Config
from harness.errors import UsageError, plain_end
from harness.escapes import printable
from harness.storage.files import read_named, write_named
from harness.storage.records import RunStatus, TrialRun
from harness.studies.books import Books, open_books
from harness.studies.comparison import Comparison
from harness.studies.points import MOST, Point, points
from harness.studies.space import Skip, propose
from harness.studies.statistics import expected_best
from harness.studies.sweep import Sweep
from harness.trials.identity import announce, begin_with_data_as_they_are, data_digest, identity
from harness.trials.interrupts import stopping, term_stops
from harness.trials.job import Job
from harness.trials.outcome import Outcome, direction
from harness.trials.params import computed_from
from harness.trials.population import population_that_pays
from harness.trials.run import result_of, to_run
from harness.workers.pool import engine, plugins_for, refuse_in_worker

Space = Callable[[Point], Config]


TUNING = (1 << 32) - 1  # the seed of all points, which no arm is judged by


class Network(NamedTuple):
    """One network of a comparison: a point of an arm's space, or the arm itself, with a seed."""

    arm: str
    config: Config
    suggested: dict[str, Any]
    point: int | None = None  # of those that the arm is tuned with


def compare(
    name: str,
    arms: Mapping[str, Config | Space],
    *,
    seeds: int | Iterable[int] = 5,
    points: int = 16,
    workers: int = 1,
    scheduler: str | None = None,
    project: str = "harness",
) -> Comparison:
    """Trains every arm with the same seeds (data split, data order and masks shared) and says which
    is better, and how sure.

    arms: a name for each config, or for each search space (trial -> Config). A space is tuned
    first, at `points` points that are the same for all of them (`studies.points`; best a power of 2),
    with a seed that is not among `seeds`; the point with the best value is the arm. seeds: how
    many, or which. workers: processes that train; scheduler: a Dask cluster's address or scheduler
    file, whose workers train instead. Everything is logged below one parent run; started again, it
    goes on where it stopped and repeats nothing, also with more arms, points or seeds.

    UsageError for arms that differ in metric, data or validation part; where the script that calls
    it is the program, it ends with that sentence and exit code 2.
    """
    script = _script()
    with plain_end(script), term_stops():
        refuse_in_worker("comparison")
        if (
            not isinstance(arms, Mapping)
            or not arms
            or not all(callable(a) or isinstance(a, Config) for a in arms.values())
        ):
            raise UsageError(
                "arms must name at least one Config or search space each, such as {'relu': "
                "Config(...), 'tanh': space}"
            )
        _check_names(arms)
        which = _seeds(seeds)
        tried = {arm: _tried(arm, space, points) for arm, space in arms.items()}
        _check([network.config for networks in tried.values() for network in networks])
        return _Driver(name, tried, which, script).run(workers, scheduler, project)


def _seeds(seeds: Any) -> list[int]:
    seeds = checks.plain(seeds)
    which: list[Any] = []
    if checks.is_whole(seeds) and seeds <= MOST:
        which = list(range(seeds))
    elif isinstance(seeds, Iterable):
        which = [checks.plain(seed) for seed in seeds]
    if (
        not which
        or not all(checks.is_whole(s) and 0 <= s < TUNING for s in which)
        or len(set(which)) != len(which)
    ):
        raise UsageError(
            f"seeds must be how many, at most {MOST}, or different whole numbers below {TUNING}, "
            f"got {checks.shown(seeds)}; correct them"
        )
    return which


def _tried(arm: str, space: Config | Space, count: int) -> list[Network]:
    """The networks that an arm is tuned with; just the one that it is where there is nothing to
    tune.
    """
    if isinstance(space, Config):
        return [Network(arm, space, {})]
    known: dict[str, Network] = {}
    sweep = space if isinstance(space, Sweep) else Sweep(space, arm)
    for reference in sweep.plugins:
        registry.load_plugin(reference)
    for point in points(count):
        try:
            config = propose(sweep, point, taken=("arm", "point")).replace(seed=TUNING)
        except Skip:
            continue
        # Which is ours
        suggested = {key: value for key, value in point.params.items() if key != "seed"}
        known.setdefault(config.digest(), Network(arm, config, suggested, point.number))
    if not known:
        raise UsageError(
            f"the search space of arm {arm!r} must return a Config, but has skipped all points; "
            f"correct it"
        )
    return list(known.values())


def _check_names(arms: Iterable[Any]) -> None:
    """Names of arms become names of runs and metrics, rows of tables and titles in films."""
    for arm in arms:
        checks.line("an arm's name", arm, "rename it")


def _check(configs: list[Config]) -> None:
    for what in ("metric", "data", "valid", "split_seed"):
        found = [*dict.fromkeys(str(getattr(c, what)) for c in configs)]
        if len(found) > 1:
            raise UsageError(
                f"all arms must share {what}, or they cannot be compared, got {found[0]} and "
                f"{found[1]}; make it equal"
            )
    if configs[0].valid == 0:
        raise UsageError(
            "a comparison needs a validation part, got valid=0; give a share such as valid=0.2"
        )


class _Driver:
    """One driver, one comparison: tunes the arms, trains the chosen ones with all seeds, writes the
    books.
    """

    def __init__(
        self, name: str, tried: dict[str, list[Network]], seeds: list[int], script: Path | None
    ) -> None:
        self.tried, self.seeds, self.script = tried, seeds, script
        # As it was when it began
        self.source = {"script.py": script.read_bytes()} if script else {}
        config = next(iter(tried.values()))[0].config
        self.result = Comparison(name, config.metric["name"], direction(config), seeds)
        self.tuned = [arm for arm, networks in tried.items() if len(networks) > 1]
        # Of each arm, the network that is trained with all seeds
        self.chosen: dict[str, Network] = {}
        self.numbers: Iterator[int] = itertools.count()  # that no network has yet
        self.announced: set[str] = set()  # what was said of the data
        self.done: dict[tuple[str, str], TrialRun] = {}  # by arm and identity
        # Arms and the errors of theirs that have been shown
        self.said: set[tuple[str, str]] = set()

    def run(self, workers: int, scheduler: str | None, project: str) -> Comparison:
        from tqdm import tqdm

        begin_with_data_as_they_are()
        result = self.result
        # Tags, since MLflow keeps the first value of a param, and a comparison may grow
        tags = {
            "harness.source": self.script.name if self.script else "interactive",
            "harness.metric": result.metric,
        }
        tags["harness.direction"] = result.direction
        tags |= {
            "harness.arms": json.dumps(list(self.tried)),
            "harness.seeds": ", ".join(map(str, self.seeds)),
        }
        tags["harness.points"] = str(max(map(len, self.tried.values())))
        with open_books(
            "comparison", result.name, params={}, tags=tags, project=project, start=False
        ) as books:
            before = books.trials()
            taken = {t.number for t in before}
            self.numbers = (n for n in itertools.count() if n not in taken)
            lasting = [t for t in before if not t.result.state.is_bad_luck]
            self.done = {(t.result.arm, t.result.identity): t for t in lasting}
            was = (
                books.before.tags.get("harness.metric")
                if books.before and self.done
                else result.metric
            )
            if was != result.metric:
                raise UsageError(
                    f"comparison {result.name!r} was started with the metric {was!r}, now it is "
                    f"{result.metric!r}; "
                    "start it under another name"
                )
            status = RunStatus.KILLED
            total = sum(len(self.tried[arm]) for arm in self.tuned) + len(self.tried) * len(
                self.seeds
            )
            often = 0.1 if sys.stderr.isatty() else 30  # seconds
            try:
                with (
                    contextlib.ExitStack() as started,
                    tqdm(
                        total=total,
                        desc=result.name,
                        unit="run",
                        file=sys.stderr,
                        mininterval=often,
                    ) as bar,
                ):
                    pool = cache(lambda: started.enter_context(engine(workers, scheduler)))
                    self._train(
                        [n for arm in self.tuned for n in self._tuning(arm)], pool, books, bar
                    )
                    self._choose()
                    self._train(
                        [n for seed in self.seeds for n in self._with(seed)], pool, books, bar
                    )
                status = RunStatus.FINISHED
                same = books.before is not None and books.before.tags == books.parent.tags
                if books.tracker is None and not (same and books.finished(0)):
                    books.start()  # there was nothing to train, but something to say
            except KeyboardInterrupt:
                stopping.append(1)
                raise
            finally:
                self._close(status, books)
        return result

    def _tuning(self, arm: str) -> list[Network]:
        """The networks that an arm is tuned with, as they are trained: without a film."""
        networks = self.tried[arm] if arm in self.tuned else []
        return [n._replace(config=n.config.replace(film=None)) for n in networks]

    def _with(self, seed: int) -> list[Network]:
        """The chosen networks with a seed."""
        return [
            n._replace(config=n.config.replace(seed=seed), point=None) for n in self.chosen.values()
        ]

    def _ended(self, networks: Iterable[Network]) -> list[TrialRun | None]:
        return [self.done.get((n.arm, identity(n.config))) for n in networks]

    def _choose(self) -> None:
        """Chooses the best point of each arm, the first one of equals; none where no network came
        to its end.
        """
        sign = -1 if self.result.direction == "maximize" else 1
        for arm, networks in self.tried.items():
            if arm not in self.tuned:
                self.chosen[arm] = networks[0]
                continue
            values = self.result.tuning[arm] = [_value(t) for t in self._ended(self._tuning(arm))]
            ranked = sorted((sign * v, k) for k, v in enumerate(values) if v is not None)
            if ranked:
                self.chosen[arm] = networks[ranked[0][1]]
                self.result.settings[arm] = self.chosen[arm].suggested

    def _train(self, networks: list[Network], pool: Any, books: Books, bar: Any) -> None:
        """Trains what has not been trained yet, networks of one shape together where that pays.

        pool: opens the engine at its first call, so that nothing is started where all has been
        trained.
        """
        todo = [
            n for n, ended in zip(networks, self._ended(networks), strict=True) if ended is None
        ]
        bar.update(len(networks) - len(todo))
        if not todo:
            return
        for network in todo:
            announce(network.config, self.announced, bar)
        missing = {next(self.numbers): network for network in todo}
        for job in self._jobs(missing, pool()):
            pool().submit(job)
        if books.tracker is None:
            books.start()  # MLflow takes seconds to import: workers train meanwhile
        left = len(missing)
        while left:
            for outcome in pool().next():
                self._end(missing[outcome.number], outcome, books, bar)
                left -= 1
            books.log()

    def _jobs(self, missing: dict[int, Network], pool: Any) -> list[Job]:
        """The networks as jobs, in their order; those of one shape are trained together where that
        pays.
        """
        groups: dict[str, list[int]] = {}
        for number, network in missing.items():
            groups.setdefault(network.config.shape_key(), []).append(number)
        plugins, jobs = plugins_for(pool, self.script), []
        for group in groups.values():
            config = missing[group[0]].config
            size = max(1, min(population_that_pays(config), math.ceil(len(group) / pool.workers)))
            for at in range(0, len(group), size):
                numbers = group[at : at + size]
                job = Job(
                    numbers,
                    [missing[n].config for n in numbers],
                    plugins=plugins,
                    digest=data_digest(config),
                )
                # Its film
                job.keep_state = any(missing[n].config.seed == self.seeds[0] for n in numbers)
                jobs.append(job)
        return sorted(jobs, key=lambda job: job.numbers)

    def _end(self, network: Network, outcome: Outcome, books: Books, bar: Any) -> None:
        arm, config = network.arm, network.config
        where, first = ("seed", config.seed), self.seeds[0]
        if network.point is not None:
            where, first = ("point", network.point), 0
        if outcome.refused and not outcome.failure and where[1] == first:  # so would be the others
            raise UsageError(f"arm {arm!r}: {outcome.refused}")
        label = f"{arm} {where[0]}={where[1]}"
        if outcome.error and (arm, outcome.reason) not in self.said:
            self.said.add((arm, outcome.reason))
            bar.write(
                printable(f"{label} failed; the comparison goes on\n{outcome.error}"),
                file=sys.stderr,
            )
        if config.seed == self.seeds[0]:
            _keep_film(books.folder / "films", _film_name(network), outcome)
        params, same = {**network.suggested, "arm": arm, where[0]: where[1]}, identity(config)
        result = result_of(outcome, params)
        result.arm = arm
        result.identity = same
        run = to_run(f"{books.parent.id}/{outcome.number}", label, outcome, result)
        books.write(run)
        run.artifacts = {}
        self.done[arm, same] = run
        shown = "-" if run.result.value is None else f"{run.result.value:.4f}"
        bar.set_postfix_str(f"{arm} {shown}", refresh=False)
        bar.update(1)

    def _close(self, status: RunStatus, books: Books) -> None:
        result, artifacts = self.result, self.source
        for arm in self.tried:
            result.values[arm] = [None] * len(self.seeds)
            ended = self._ended(self._tuning(arm))
            if arm in self.chosen:
                ended = self._ended(
                    n for seed in self.seeds for n in self._with(seed) if n.arm == arm
                )
                result.values[arm] = [_value(t) for t in ended]
            said = dict.fromkeys(
                t.result.reason or t.tags.get("harness.note", "") for t in ended if t
            )
            if computed := self._computed(arm):
                said[computed] = None
            none = (
                "no point came to an end"
                if arm not in self.chosen and status == RunStatus.FINISHED
                else ""
            )
            result.notes[arm] = "; ".join(filter(None, [none, *said]))
        result.examples = _examples(self.done.values())
        if status == RunStatus.FINISHED and books.tracker is not None:
            names = {n.arm: _film_name(n) for n in self._with(self.seeds[0])}
            artifacts = artifacts | _films(books.folder / "films", names)
        clock = max((t.end_ms or 0 for t in self.done.values()), default=0)
        metrics = [(f"mean/{arm}", result.mean(arm), len(self.seeds), clock) for arm in self.tried]
        for arm, values in result.tuning.items():
            good = [v for v in values if v is not None]
            worst = (min if result.direction == "maximize" else max)(good, default=math.nan)
            curve = expected_best([worst if v is None else v for v in values], result.direction)
            metrics += [
                (f"tuned of {len(curve)}/{arm}", value, k, clock)
                for k, value in enumerate(curve, 1)
            ]
        books.close(status, result.markdown(), metrics, artifacts)

    def _computed(self, arm: str) -> str:
        """Says where the space of an arm computes with what it suggests, so that nobody takes it
        for a setting.
        """
        chosen = self.chosen.get(arm)
        names = computed_from(chosen.suggested, chosen.config) if chosen else []
        if chosen is None or not names:
            return ""
        return f"the space computes with {', '.join(names)}: its update rule is {registry.text(chosen.config.update)}"


def _examples(trials: Iterable[TrialRun]) -> int | None:
    """How many examples the validation part has, from the trials that have come so far as to know
    it.
    """
    known = (trial.tags.get("harness.valid_examples") for trial in trials)
    return next((int(count) for count in known if count), None)


def _value(trial: TrialRun | None) -> float | None:
    return None if trial is None else trial.result.value


def _script() -> Path | None:
    """The script that called compare."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    path = Path(frame.f_code.co_filename) if frame else None
    return path.resolve() if path and path.suffix == ".py" and path.is_file() else None


# Films side by side: the frames of the first seed stay in the comparison's folder, for arms that
# come later
def _film_name(network: Network) -> str:
    key = f"{network.arm} {identity(network.config)}"
    return hashlib.sha256(key.encode()).hexdigest()[:16]  # names of arms never become paths


def _keep_film(folder: Path, name: str, outcome: Outcome) -> None:
    if outcome.state is None or not outcome.state["film/frames"]:
        return
    from harness.data.loading import load_for
    from harness.pictures import film

    buffer = io.BytesIO()
    source = load_for(outcome.config.data, outcome.config.missing)
    np.save(buffer, film.frames(np.stack(outcome.state["film/frames"]), source.shape))
    write_named(folder, name, ".npy", buffer.getvalue())


def _films(folder: Path, names: dict[str, str]) -> dict[str, bytes]:
    """films.mp4 and films.png: the first seed's films of all arms beside each other, where each has
    one.
    """
    if len(names) < 2:
        return {}
    found = {arm: read_named(folder, name, ".npy") for arm, name in names.items()}
    for arm, name in names.items():
        if found[arm] is None and list(folder.glob(f"{name}-*.npy")):
            print(
                f"the film of arm {arm!r} in {folder} is damaged, so films.mp4 is not made",
                file=sys.stderr,
            )
    if any(data is None for data in found.values()):
        return {}
    from harness.pictures import film

    frames = {
        arm: np.load(io.BytesIO(data), allow_pickle=False) for arm, data in found.items() if data
    }
    together = film.side_by_side(frames)
    return {"films.mp4": film.mp4(together), "films.png": film.png(together[-1])}
