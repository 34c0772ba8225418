"""Comparison: what came of comparing arms, as a table, a verdict and Markdown."""

import math
import statistics
from dataclasses import dataclass, field
from typing import Any

from harness.escapes import escape_markdown, markdown_table, printable
from harness.studies.result import words
from harness.studies.statistics import paired_interval, spread

LEVEL = 0.95  # how sure it is that all intervals of a comparison hold


SHOWN = 12  # lines of a comparison's table where it is shown in short


@dataclass(repr=False)
class Comparison:
    """What came of a comparison: values[arm][seed], None where a network diverged or failed.

    Of an arm that was tuned, settings has the params of its best point, and tuning the values of
    all its points. examples: how many the validation part has, where that is known.
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
        head = f"<Comparison {self.name!r}: {self.verdict() or 'one arm'}>"
        lines = self.table().splitlines()
        return "\n".join([head, *lines[:SHOWN], *(["..."] if len(lines) > SHOWN else [])])

    def mean(self, arm: str) -> float:
        """The mean over the seeds; nan if a network of the arm diverged or failed."""
        return statistics.fmean(math.nan if v is None else v for v in self.values[arm])

    def rows(self) -> list[tuple[str, ...]]:
        """Arm, mean, spread, least and greatest value, runs that count, then what sets the arm
        apart from the first.

        That is the mean difference under the same seeds with its interval, and "better", "worse" or
        "open". The intervals of all arms hold together with a probability of at least 95 %
        (Bonferroni: each with 1 - 0.05 / their number), so a verdict does not become likely just
        because many arms are compared.
        """
        first, rows = next(iter(self.values)), []
        level = 1 - (1 - LEVEL) / max(1, len(self.values) - 1)
        for arm, values in self.values.items():
            good = [v for v in values if v is not None]
            pairs = [
                (v, w)
                for v, w in zip(values, self.values[first], strict=True)
                if v is not None and w is not None
            ]
            cells = ["-"] * 4
            if good:
                cells = [
                    self._shown(x)
                    for x in (statistics.fmean(good), spread(good), min(good), max(good))
                ]
            versus = verdict = ""
            if arm != first and len(pairs) > 1:
                d = paired_interval([v for v, _ in pairs], [w for _, w in pairs], level)
                versus = "{} [{}, {}]".format(*(self._shown(x, "+") for x in d))
                above, below = (
                    ("better", "worse") if self.direction == "maximize" else ("worse", "better")
                )
                # Differences that are all equal, as coarse values can be by chance, have no spread
                # to go by: then the sign test decides, for which n of one sign have a probability
                # of 2 / 2^n
                sure = (
                    not math.isclose(d.low, d.high, rel_tol=1e-9)
                    or 2 / 2 ** len(pairs) <= 1 - level
                )
                # Networks that came to no end have no place in a mean
                if len(pairs) == len(values):
                    verdict = (
                        above if sure and d.low > 0 else below if sure and d.high < 0 else "open"
                    )
            rows.append(
                (arm, *cells, f"{len(good)}/{len(values)}", versus, verdict, self._about(arm))
            )
        return rows

    def _about(self, arm: str) -> str:
        """The setting that an arm was tuned to, and what there is to say of its networks."""
        said = []
        if arm in self.settings:
            tried = [v for v in self.tuning[arm] if v is not None]
            best = max(tried) if self.direction == "maximize" else min(tried)
            said.append(
                f"{words(self.settings[arm])} (best of {len(self.tuning[arm])}: "
                f"{self._shown(best)})"
            )
        return "; ".join(filter(None, [*said, self.notes.get(arm, "")]))

    def _shown(self, value: float, sign: str = "") -> str:
        """A value with four decimals; with more where all values are small, as errors of small
        targets are.
        """
        if math.isnan(value):  # the spread of one value
            return "-"
        most = max((abs(v) for values in self.values.values() for v in values if v), default=1)
        return f"{value:{sign}.{max(4, 3 - math.floor(math.log10(most)))}f}"

    def table(self) -> str:
        """The rows as aligned text, and below them what the intervals speak of."""
        return printable("\n".join([_aligned([self._head(), *self.rows()]), *self.scope()]))

    def scope(self) -> list[str]:
        """What the intervals speak of, and of what they do not: a sentence, none where there is no
        interval.
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
            f"measured on {part}; "
            "not of other splits or new data"
        ]

    def verdict(self) -> str:
        """The verdicts in a line, such as "better than relu: tanh; not told apart from relu: gelu";
        "" for one arm.
        """
        arms: dict[str, list[str]] = {"better": [], "worse": [], "open": []}
        for row in self.rows():
            arms.get(row[7], []).append(row[0])
        first = next(iter(self.values))
        words = {
            "better": f"better than {first}",
            "worse": f"worse than {first}",
            "open": f"not told apart from {first}",
        }
        return "; ".join(
            f"{words[key]}: {', '.join(found)}" for key, found in arms.items() if found
        )

    def markdown(self) -> str:
        """The verdict, and the rows as a Markdown table."""
        verdict = self.verdict() and f"**{escape_markdown(self.verdict())}**\n\n"
        scope = "".join(f"\n\n{escape_markdown(sentence)}" for sentence in self.scope())
        return verdict + markdown_table([self._head(), *self.rows()]) + scope

    def _head(self) -> tuple[str, ...]:
        first = next(iter(self.values))
        return (
            self.metric,
            "mean",
            "spread",
            "least",
            "greatest",
            "runs",
            f"minus {first} [95 %]",
            "verdict",
            "note",
        )


def _aligned(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            c.ljust(w) if k in (0, 6, 7, 8) else c.rjust(w)
            for k, (c, w) in enumerate(zip(r, widths, strict=True))
        ).rstrip()
        for r in rows
    )
