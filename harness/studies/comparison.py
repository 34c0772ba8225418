"""Comparison: what came of comparing arms, as a table, a verdict, Markdown and JSON."""

import json
import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from harness.escapes import Markdown, escape_markdown, markdown_table, printable
from harness.storage.ranking import Objective
from harness.studies.arms import LEVEL, ArmSummary, Verdict, summary_of
from harness.studies.statistics import expected_best
from harness.trials.params import words

SHOWN = 12  # lines of a comparison's table where it is shown in short


@dataclass(repr=False)
class Comparison:
    """What came of a comparison.

    Attributes
    ----------
    name : str
        The comparison.
    metric : str
        What the values are.
    direction : str
        "maximize" or "minimize".
    seeds : list of int
        The seeds, in the order of the values.
    values : dict of list
        For each arm its value under each seed; None where a network diverged or failed.
    notes : dict of str
        For each arm what there is to say of its networks.
    settings : dict of dict
        For each arm that was tuned the params of its best point.
    tuning : dict of list
        For each arm that was tuned the values of all its points.
    examples : int or None
        How many the validation part has, where that is known.
    """

    name: str
    metric: str
    direction: str
    seeds: list[int]
    values: dict[str, list[float | None]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    tuning: dict[str, list[float | None]] = field(default_factory=dict)
    examples: int | None = None

    def __repr__(self) -> str:
        """In a few lines: the verdict, and the table of the first arms."""
        if not self.values:
            return f"<Comparison {self.name!r}: nothing trained yet>"
        lines = self.table().splitlines()
        if len(lines) > SHOWN:
            lines = [*lines[:SHOWN], "..."]
        head = f"<Comparison {self.name!r}: {self.verdict() or 'one arm'}>"
        return "\n".join([head, *lines])

    def _repr_html_(self) -> str:
        from harness.studies.display import comparison_as_html

        return comparison_as_html(self)

    @property
    def objective(self) -> Objective:
        """What networks are ranked by."""
        return Objective(self.metric, self.direction)

    @property
    def first(self) -> str:
        """The arm that all others are compared with."""
        return next(iter(self.values))

    def mean(self, arm: str) -> float:
        """The mean over the seeds; nan if a network of the arm diverged or failed.

        Parameters
        ----------
        arm : str
            The name of the arm.
        """
        return statistics.fmean(math.nan if v is None else v for v in self.values[arm])

    def arms(self) -> list[ArmSummary]:
        """Each arm in numbers, in the order in which they were given.

        The intervals of all arms hold together with a probability of at least 95 % (Bonferroni:
        each with 1 - 0.05 / their number). So a verdict does not become likely just because many
        arms are compared.
        """
        others = max(1, len(self.values) - 1)
        level = 1 - (1 - LEVEL) / others
        summaries = []
        for name, values in self.values.items():
            first = None if name == self.first else self.values[self.first]
            maximize = self.objective.is_maximized
            note = self._note(name)
            summaries.append(summary_of(name, values, first, level, maximize, note))
        return summaries

    def table(self) -> str:
        """The arms as aligned text, and below them what the intervals speak of."""
        rows = [[column.head for column in self._columns()], *self._cells()]
        lines = _aligned(rows, [column.is_text for column in self._columns()])
        return printable("\n".join([*lines, *self.scope()]))

    def markdown(self, links: Mapping[str, str] | None = None) -> str:
        """The verdict, and the arms as a Markdown table, the best first.

        Parameters
        ----------
        links : dict of str or None
            For each arm links to its networks, as Markdown.
        """
        columns = self._columns()
        heads = [column.head for column in columns]
        rows: list[list[object]] = [
            [column.cell(arm) for column in columns] for arm in self._best_first()
        ]
        if links is not None:
            heads.append("networks")
            for row, arm in zip(rows, self._best_first(), strict=True):
                row.append(Markdown(links.get(arm.name, "")))
        parts = [markdown_table([heads, *rows])]
        if verdict := self.verdict():
            margins = [
                f"{arm.name} {self._difference(arm)}"
                for arm in self._best_first()
                if arm.verdict is not None
            ]
            by = f"{self.metric} minus that of {self.first} [95 %]: {', '.join(margins)}"
            parts.insert(0, f"**{escape_markdown(verdict)}** ({escape_markdown(by)})")
        parts += [escape_markdown(sentence) for sentence in self.scope()]
        return "\n\n".join(parts)

    def _best_first(self) -> list[ArmSummary]:
        """The arms by their means; those without one come last."""
        sign = -1 if self.direction == "maximize" else 1

        def place(arm: ArmSummary) -> tuple[bool, float]:
            is_missing = arm.mean is None or math.isnan(arm.mean)
            return is_missing, 0.0 if is_missing else sign * (arm.mean or 0.0)

        return sorted(self.arms(), key=place)

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """The heads of the table's columns, and the cells of its rows."""
        return [column.head for column in self._columns()], self._cells()

    def tuning_worth(self) -> dict[str, list[float]]:
        """For each arm that was tuned, the expected best value of 1, 2, ... of its points.

        A point that came to no value counts as the worst one.
        """
        curves = {}
        for arm, values in self.tuning.items():
            known = [value for value in values if value is not None]
            if known:
                worst = max(known, key=self.objective.loss)
                tried = [worst if value is None else value for value in values]
                curves[arm] = expected_best(tried, self.direction)
        return curves

    def to_json(self) -> str:
        """The arms, the verdict and all values, as JSON; nan and infinite numbers are null."""
        content = {**asdict(self), "arms": [asdict(arm) for arm in self.arms()]}
        content["verdict"] = self.verdict()
        return json.dumps(_finite(content), indent=1)

    def verdict(self) -> str:
        """The verdicts in a line; "" for one arm.

        Such as "better than relu: tanh; not told apart from relu: gelu".
        """
        words_of = {
            Verdict.BETTER: "better than",
            Verdict.WORSE: "worse than",
            Verdict.OPEN: "not told apart from",
        }
        sentences = []
        for verdict, said in words_of.items():
            names = [arm.name for arm in self.arms() if arm.verdict is verdict]
            if names:
                sentences.append(f"{said} {self.first}: {', '.join(names)}")
        return "; ".join(sentences)

    def scope(self) -> list[str]:
        """What the intervals speak of, and of what they do not.

        Returns
        -------
        list of str
            A sentence; none where there is no interval.
        """
        if len(self.values) < 2 or len(self.seeds) < 2:
            return []
        part = "the validation part of this one split"
        if self.examples:
            part += f", {self.examples} examples"
            if self.metric == "accuracy":
                part += f" of which one counts {1 / self.examples:.2g}"
        return [
            f"[95 %] speaks of {len(self.seeds)} seeds (initial weights, data order, masks), "
            f"measured on {part}; not of other splits or new data"
        ]

    def _note(self, arm: str) -> str:
        """The setting that an arm was tuned to, and what there is to say of its networks."""
        parts = []
        if arm in self.settings:
            tried = [value for value in self.tuning[arm] if value is not None]
            best = min(tried, key=self.objective.loss)
            count = len(self.tuning[arm])
            setting = words(self.settings[arm])
            parts.append(f"{setting} (best of {count}: {self._shown(best)})")
        if self.notes.get(arm):
            parts.append(self.notes[arm])
        return "; ".join(parts)

    def _columns(self) -> list["_Column"]:
        """The columns of the table."""
        return [
            _Column(self.metric, lambda arm: arm.name, is_text=True),
            _Column("mean", lambda arm: self._shown(arm.mean)),
            _Column("std", lambda arm: self._shown(arm.std)),
            _Column("min", lambda arm: self._shown(arm.min)),
            _Column("max", lambda arm: self._shown(arm.max)),
            _Column("runs", lambda arm: f"{arm.trained}/{arm.networks}"),
            _Column(f"minus {self.first} [95 %]", self._difference, is_text=True),
            _Column("verdict", lambda arm: arm.verdict or "", is_text=True),
            _Column("note", lambda arm: arm.note, is_text=True),
        ]

    def _cells(self) -> list[list[str]]:
        columns = self._columns()
        return [[column.cell(arm) for column in columns] for arm in self.arms()]

    def _difference(self, arm: ArmSummary) -> str:
        if arm.difference is None:
            return ""
        mean, low, high = (self._shown(value, "+") for value in arm.difference)
        return f"{mean} [{low}, {high}]"

    def _shown(self, value: float | None, sign: str = "") -> str:
        """A value with four decimals; with more where all are small, as small targets' errors are.

        There is none of an arm without values, and one value has no standard deviation: "-".
        """
        if value is None or math.isnan(value):
            return "-"
        known = [abs(v) for values in self.values.values() for v in values if v]
        largest = max(known, default=1)
        decimals = max(4, 3 - math.floor(math.log10(largest)))
        return f"{value:{sign}.{decimals}f}"


@dataclass(frozen=True)
class _Column:
    """A column of the table: its head, and what it shows of an arm."""

    head: str
    cell: Callable[[ArmSummary], str]
    is_text: bool = False  # texts stand on the left, numbers on the right


def _aligned(rows: list[list[str]], is_text: list[bool]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = []
        for cell, width, left in zip(row, widths, is_text, strict=True):
            cells.append(cell.ljust(width) if left else cell.rjust(width))
        lines.append("  ".join(cells).rstrip())
    return lines


def _finite(value: Any) -> Any:
    """JSON as it is, with null for numbers that JSON does not know."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
