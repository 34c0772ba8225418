"""How a sweep stands while it goes on: the best so far, what is known, what has failed, and how
that is told.
"""

import shlex
from collections import Counter

from harness import registry
from harness.errors import UsageError
from harness.storage.records import TrialRun
from harness.studies.progress import Progress
from harness.studies.result import Result, words
from harness.trials.outcome import Outcome

EQUAL_FAILURES = 3  # so many equal failures in a row stop a sweep: the fourth would be the same


class Standing:
    """The trials that have ended, and what follows from them.

    Attributes
    ----------
    result: of the sweep, so far.
    best: the best trial so far; those that none beats where there are several objectives.
    curve: the best value so far, after each trial, as points of a metric.
    known: by the identity of a config, the first trial that has its result.
    """

    def __init__(self, result: Result) -> None:
        self.result = result
        self.best: list[TrialRun] = []
        self.curve: list[tuple[str, float, int, int]] = []
        self.known: dict[str, TrialRun] = {}

    def enter(self, run: TrialRun) -> None:
        """Counts a trial that has ended."""
        if self.better(run):
            self.best = [*(each for each in self.best if not self.result.beaten(each, [run])), run]
            self.best.sort(key=self.result.losses)
        self.result.trials.append(run)
        if run.result.state.is_known_by_identity:
            self.known.setdefault(run.result.identity, run)
        if self.best:
            value = self.best[0].result.values[0]
            self.curve.append(
                (f"best/{self.result.metric}", value, len(self.result.trials), run.end_ms or 0)
            )

    def better(self, run: TrialRun) -> bool:
        """Whether none of the best so far is as good."""
        return run.result.is_ranked and not self.result.beaten(run, self.best)

    def line(self) -> str:
        """The best so far, as the bar shows it."""
        return f"best {self.result.metric} {self.best[0].result.values[0]:.4f} (#{self.best[0].number})"

    def description(self, note: str) -> str:
        """How many trials ended in which state, the best ten and a note, as Markdown."""
        from harness.escapes import escape_markdown, markdown_table

        rows: list[list[object]] = [
            ["", "trial", *(o.name for o in self.result.objectives), "epochs", "parameters"]
        ]
        for place, t in enumerate(self.result.ranked[:10], 1):
            values = (f"{value:.4f}" for value in t.result.values)
            rows.append([place, f"#{t.number}", *values, t.result.epochs, words(t.result.params)])
        counts = Counter(t.result.state.lower() for t in self.result.trials)
        states = ", ".join(f"{n} {state}" for state, n in sorted(counts.items()))
        text = f"**{len(self.result.trials)} trials**: {states}\n\n{markdown_table(rows)}"
        said = [escape_markdown(sentence) for sentence in [*self.result.notes(), note] if sentence]
        return "\n\n".join([text, *said])


class Failures:
    """Counts equal failures in a row.

    Parameters
    ----------
    name: of the sweep.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._reason = ""  # the last trial's
        self._times = 0

    def count(self, run: TrialRun, outcome: Outcome, progress: Progress) -> None:
        """Tells of a failure above the bar. UsageError where it is the third of its kind in a
        row.
        """
        reason = "" if run.result.state.is_result else run.result.reason
        if reason and reason != self._reason:
            again = shlex.join(["harness", "verify", f"{self._name}#{run.number}"])
            for each in registry.plugins():
                again += f" --plugin {shlex.quote(each)}"
            said = f"trial #{run.number} failed; the sweep goes on\n{(outcome.error or reason).rstrip()}"
            text = f"{said}\nits config: {outcome.config.to_json()}\nto train it again: {again}"
            progress.say(text)
        self._times = self._times + 1 if reason == self._reason else 1
        self._reason = reason
        if reason and self._times >= EQUAL_FAILURES:
            raise UsageError(
                f"{EQUAL_FAILURES} trials in a row failed alike, so the sweep stops: "
                f"{reason}; correct it"
            )
