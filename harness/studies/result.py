"""How a sweep stands: its trials, what they are ranked by, and which are the best."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from harness.config import Config
from harness.errors import UsageError
from harness.escapes import printable
from harness.registry.known import find, suggest
from harness.storage.records import TrialRun
from harness.storage.result import TrialState
from harness.trials.outcome import Outcome, direction
from harness.trials.params import OURS, shown

OTHERS = {"loss": "minimize", "train_s": "minimize"}  # what can be an objective beside the metric


class Objective(NamedTuple):
    """One of the numbers that a sweep is about."""

    name: str
    direction: str  # "maximize" or "minimize"

    @property
    def sign(self) -> int:
        """Times this, less is better."""
        return -1 if self.direction == "maximize" else 1

    def of(self, outcome: Outcome) -> float | None:
        """Its value for a trial that has ended."""
        if self.name == "train_s":
            return outcome.metrics.get("time/train_s")
        if self.name == "loss":
            return outcome.records[-1].metrics.get("valid/loss") if outcome.records else None
        return outcome.value


def objectives(names: Iterable[str], config: Config) -> list[Objective]:
    """The objectives of these names: the config's metric (alone where none is named), "loss",
    "train_s".
    """
    metric = config.metric["name"]
    known = {**OTHERS, metric: direction(config)}
    chosen = list(dict.fromkeys(names)) or [metric]
    for name in chosen:
        if name not in known:
            raise UsageError(
                f"an objective must be the config's metric ({metric!r}), 'loss' or 'train_s', got "
                f"{name!r}; "
                f"{suggest(str(name), list(known))}"
            )
    return [Objective(name, known[name]) for name in chosen]


def recorded_objectives(params: dict[str, Any]) -> list[Objective]:
    """The objectives of a sweep, from the params of its run. UsageError for a metric that nobody
    knows here.
    """

    def way(name: str) -> str:
        return OTHERS.get(name) or find("metric", name).options["direction"]

    return [Objective(name, way(name)) for name in str(params["objectives"]).split(", ")]


@dataclass(repr=False)
class Result:
    """How a sweep stands: its trials so far, best first, and whether it came to its end."""

    name: str
    trials: list[TrialRun]
    objectives: list[Objective]
    finished: bool
    note: str = ""  # why it has not, in a sentence

    @property
    def metric(self) -> str:
        return self.objectives[0].name

    @property
    def direction(self) -> str:
        return self.objectives[0].direction

    @property
    def best(self) -> TrialRun | None:
        """The best trial, by the first objective where there are several."""
        return self.ranked[0] if self.ranked else None

    @property
    def ranked(self) -> list[TrialRun]:
        """The trials that came to their end, best first; what diverged, failed or was pruned is not
        among them.

        With several objectives those come first that none is better than in all of them (the Pareto
        front).
        """
        ended = sorted(
            (t for t in self.trials if t.result.is_ranked),
            key=lambda t: (*self.losses(t), t.number),
        )
        if len(self.objectives) == 1:
            return ended
        front = self.front
        return [*front, *(t for t in ended if t not in front)]

    @property
    def front(self) -> list[TrialRun]:
        """The trials that no other is better than, by the first objective."""
        front: list[TrialRun] = []
        for run in sorted(
            (t for t in self.trials if t.result.is_ranked),
            key=lambda t: (*self.losses(t), t.number),
        ):
            # only those before it in this order can beat it
            if not self.beaten(
                run, [each for each in front if self.losses(each) != self.losses(run)]
            ):
                front.append(run)
        return front

    def losses(self, run: TrialRun) -> list[float]:
        """The values of a trial, turned so that less is better."""
        return [o.sign * v for o, v in zip(self.objectives, run.result.values, strict=True)]

    def beaten(self, run: TrialRun, others: list[TrialRun]) -> bool:
        """Whether one of the others is at least as good in all objectives."""
        own = self.losses(run)
        return any(
            all(v <= w for v, w in zip(self.losses(each), own, strict=True)) for each in others
        )

    def __repr__(self) -> str:
        """In a few lines: how many trials have ended, and the best of them."""
        ended = (
            f"{len(self.trials)} trials" if self.finished else f"{len(self.trials)} trials so far"
        )
        return f"<Result of {self.name!r}: {ended}, by {self.metric}>\n{self.table(5)}"

    def table(self, rows: int = 10) -> str:
        """The best trials as text: place, number, values, epochs, seconds, what was suggested;
        below it, notes.
        """
        heads = [f"{o.name:>18}" for o in self.objectives]
        lines = [
            " ".join([f"{'':>3} {'trial':>6}", *heads, f"{'epochs':>7} {'train s':>8}  parameters"])
        ]
        for place, t in enumerate(self.ranked[:rows], 1):
            seconds = "-" if t.result.train_seconds is None else f"{t.result.train_seconds:.2f}"
            cells = [
                f"{place:>3} {'#' + str(t.number):>6}",
                *(f"{v:>18.4f}" for v in t.result.values),
            ]
            note = t.tags.get("harness.note", "")
            cells.append(
                f"{t.result.epochs:>7} {seconds:>8}  "
                f"{words(t.result.params)}{note and f'  ({note})'}"
            )
            lines.append(" ".join(cells))
        return printable("\n".join([*lines, *self.notes(rows)]))

    def notes(self, rows: int = 10) -> list[str]:
        """What the table of so many rows does not say by itself, a sentence each."""
        best = self.best
        notes = self._unranked(rows)
        if best is None:
            return notes
        computed = list(
            dict.fromkeys(name for t in self.ranked[:rows] for name in t.result.computed)
        )
        if computed:
            update = best.params.get(f"{OURS}update")
            are = "are not settings" if len(computed) > 1 else "is not a setting"
            notes.append(
                f"{', '.join(computed)} {are} of the networks themselves, the search space "
                f"computes with what it "
                f"suggests: the update rule of #{best.number} is {update}"
            )
        notes.append(
            f"#{best.number} again: harness run --config "
            f"{shlex.quote(f'{self.name}#{best.number}')}"
        )
        return notes

    def _unranked(self, rows: int) -> list[str]:
        """Trials that were trained to their end and have nothing to be ranked by."""
        without = [
            t
            for t in self.trials
            if t.result.state is TrialState.COMPLETE and not t.result.is_ranked
        ]
        notes = [
            f"#{t.number} is not ranked: {t.tags.get('harness.note', 'it has no value')}"
            for t in without[:rows]
        ]
        if len(without) > rows:
            notes.append(f"{len(without) - rows} more are not ranked either")
        return notes


def words(params: dict[str, Any]) -> str:
    """What was suggested in a line: names and values, which can be typed back."""
    return " ".join(f"{key}={shown(value)}" for key, value in params.items())
