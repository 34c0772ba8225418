"""Comparisons: the same seeds for every arm, a table of mean and spread, paired differences, films side by side."""

import hashlib
import inspect
import shutil
import statistics
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness import registry
from harness.books import disk_full, open_books, stopping, term_stops
from harness.config import Config
from harness.errors import UsageError, plain_end
from harness.execute import engine
from harness.spool import TrialRun
from harness.stats import paired_interval, spread
from harness.trial import Job, direction, to_run


@dataclass
class Comparison:
    """What came of a comparison: values[arm][seed], None where a network diverged."""

    name: str
    metric: str
    direction: str
    seeds: list[int]
    values: dict[str, list[float | None]]
    notes: dict[str, str]

    def mean(self, arm: str) -> float:
        """The mean over the seeds; nan if a network of the arm diverged."""
        return statistics.fmean(float("nan") if v is None else v for v in self.values[arm])

    def rows(self) -> list[tuple[str, ...]]:
        """Arm, mean, spread, least and greatest value, and the difference to the first arm with its 95 % interval."""
        first = next(iter(self.values))
        rows: list[tuple[str, ...]] = []
        for arm, values in self.values.items():
            good = [v for v in values if v is not None]
            pairs = [(v, w) for v, w in zip(values, self.values[first], strict=True) if v is not None and w is not None]
            versus = ""
            if arm != first and len(pairs) > 1:
                d = paired_interval([v for v, _ in pairs], [w for _, w in pairs])
                versus = f"{d.mean:+.4f} [{d.low:+.4f}, {d.high:+.4f}]"
            cells = (
                (f"{statistics.fmean(good):.4f}", f"{spread(good):.4f}", f"{min(good):.4f}", f"{max(good):.4f}")
                if good
                else ("-",) * 4
            )
            rows.append((arm, *cells, f"{len(good)}/{len(values)}", versus, self.notes.get(arm, "")))
        return rows

    def table(self) -> str:
        """The rows as aligned text."""
        return _aligned([self._head(), *self.rows()])

    def markdown(self) -> str:
        """The rows as a Markdown table."""
        from harness.tracking import markdown_table

        return markdown_table([self._head(), *self.rows()])

    def _head(self) -> tuple[str, ...]:
        first = next(iter(self.values))
        return (self.metric, "mean", "spread", "least", "greatest", "runs", f"minus {first} [95 %]", "note")


def _aligned(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            c.ljust(w) if k in (0, 6, 7) else c.rjust(w) for k, (c, w) in enumerate(zip(r, widths, strict=True))
        ).rstrip()
        for r in rows
    )


def compare(
    name: str, arms: dict[str, Config], *, seeds: int | Iterable[int] = 5, workers: int = 1, project: str = "harness"
) -> Comparison:
    """Trains every arm with the same seeds (data split, data order and masks shared) and says which is better, and how
    sure.

    arms: a name for each config. seeds: how many, or which. Everything is logged below one parent run; started again,
    it goes on where it stopped and repeats nothing. UsageError for arms that differ in metric, data or validation part;
    where the script that calls it is the program, it ends with that sentence and exit code 2.
    """
    script = _script()
    with plain_end(script), disk_full(), term_stops():
        return _compare(name, arms, seeds, workers, project, script)


def _compare(
    name: str, arms: dict[str, Config], seeds: int | Iterable[int], workers: int, project: str, script: Path | None
) -> Comparison:
    chosen = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    _check(arms, chosen)
    any_arm = next(iter(arms.values()))
    params = {"arms": ", ".join(arms), "seeds": ", ".join(map(str, chosen)), "metric": any_arm.metric["name"]}
    tags = {"harness.source": script.name if script else "interactive"}
    plan = [(arm, seed, config.replace(seed=seed)) for seed in chosen for arm, config in arms.items()]
    with open_books("comparison", name, params=params, tags=tags, project=project) as books:
        done = {(t.extra["arm"], t.extra["config"]): t for t in books.trials()}
        status = "KILLED"
        comparison = Comparison(name, any_arm.metric["name"], direction(any_arm), chosen, {}, {})
        try:
            _train(plan, done, books, name, workers, script)
            status = "FINISHED"
        except KeyboardInterrupt:
            stopping.append(1)
            raise
        finally:
            ended = [(arm, seed, done.get((arm, c.digest()))) for arm, seed, c in plan]
            comparison.values = {a: [t.extra["value"] if t else None for arm, _, t in ended if arm == a] for a in arms}
            for a in arms:
                said = [t.extra["reason"] or t.tags.get("harness.note", "") for arm, _, t in ended if arm == a and t]
                comparison.notes[a] = "; ".join(dict.fromkeys(s for s in said if s))
            artifacts = {"script.py": script.read_bytes()} if script else {}
            if status == "FINISHED":
                artifacts |= _films(books.folder, arms)
            clock = books.trials()[-1].end_ms or 0 if len(books.trials()) else 0
            points = [(f"mean/{a}", comparison.mean(a), len(chosen), clock) for a in arms]
            books.close(status, comparison.markdown(), points, artifacts)
    return comparison


def _train(
    plan: list[tuple[str, int, Config]],
    done: dict[Any, TrialRun],
    books: Any,
    name: str,
    workers: int,
    script: Path | None,
) -> None:
    from tqdm import tqdm

    jobs = {k: (arm, seed, c) for k, (arm, seed, c) in enumerate(plan) if (arm, c.digest()) not in done}
    refs = [] if workers == 1 else [*dict.fromkeys([*registry.plugins(), *([str(script)] if script else [])])]
    with (
        engine(workers) as pool,
        tqdm(total=len(plan), initial=len(plan) - len(jobs), desc=name, unit="run", file=sys.stderr) as bar,
    ):
        waiting, running = list(jobs), 0
        while waiting or running:
            while waiting and running < (1 if pool.workers == 1 else pool.workers + 1):
                k = waiting.pop(0)
                pool.submit(Job([k], [jobs[k][2]], plugins=refs))
                running += 1
            for outcome in pool.next():
                running -= 1
                arm, seed, config = jobs[outcome.number]
                if outcome.refused:
                    raise UsageError(f"arm {arm!r}: {outcome.refused}")
                if outcome.error:
                    bar.write(f"{arm}, seed {seed} failed; the comparison goes on\n{outcome.error}", file=sys.stderr)
                if seed == plan[0][1]:
                    _keep_film(books.folder, arm, outcome.state)
                run = to_run(
                    f"{books.parent.id}/{outcome.number}",
                    f"{arm} seed={seed}",
                    outcome,
                    {"arm": arm, "seed": seed},
                    arm=arm,
                )
                books.write(run)
                run.artifacts = {}
                done[arm, config.digest()] = run
                books.log()
                bar.set_postfix_str(f"{arm} {'-' if run.extra['value'] is None else format(run.extra['value'], '.4f')}")
                bar.update(1)


def _check(arms: dict[str, Config], seeds: list[int]) -> None:
    if not arms or not all(isinstance(c, Config) for c in arms.values()):
        raise UsageError("arms must name at least one Config each, such as {'relu': Config(...), 'tanh': Config(...)}")
    if not seeds or len(set(seeds)) != len(seeds):
        raise UsageError(f"seeds must be a number of seeds or different whole numbers, got {seeds!r}")
    for what in ("metric", "data", "valid", "split_seed"):
        if len({str(getattr(c, what)) for c in arms.values()}) > 1:
            raise UsageError(f"all arms must share {what}, or they cannot be compared; make it equal")
    if next(iter(arms.values())).valid == 0:
        raise UsageError("a comparison needs a validation part, got valid=0; give a share such as valid=0.2")


def _script() -> Path | None:
    """The script that called compare."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    path = Path(frame.f_code.co_filename) if frame else None
    return path.resolve() if path and path.suffix == ".py" and path.is_file() else None


# Films side by side: the snapshots of the first seed wait in the folder until those of all arms are there
# -----------------


def _film_file(folder: Path, arm: str) -> Path:
    return folder / "films" / f"{hashlib.sha256(arm.encode()).hexdigest()[:16]}.npz"  # names never become paths


def _keep_film(folder: Path, arm: str, state: Any) -> None:
    if state is not None and state["film/frames"]:
        file = _film_file(folder, arm)
        file.parent.mkdir(exist_ok=True)
        np.savez(file, frames=np.stack(state["film/frames"]))


def _films(folder: Path, arms: dict[str, Config]) -> dict[str, bytes]:
    """films.mp4 and films.png: the first seed's films of all arms beside each other."""
    files = {arm: _film_file(folder, arm) for arm in arms}
    if len(arms) < 2 or not all(f.is_file() for f in files.values()):
        return {}
    from harness import film
    from harness.data import load

    shape = load(next(iter(arms.values())).data).shape
    shots = {arm: np.load(file, allow_pickle=False)["frames"] for arm, file in files.items()}
    together = film.side_by_side({arm: film.frames(each, shape) for arm, each in shots.items()})
    shutil.rmtree(folder / "films")
    return {"films.mp4": film.mp4(together), "films.png": film.png(together[-1])}
