"""How a sweep stands while it goes on: the best so far, what is known, and what has failed."""

import shlex

from harness import registry
from harness.errors import UsageError
from harness.storage.records import TrialRun
from harness.studies.progress import Progress
from harness.studies.result import Result
from harness.trials.outcome import Outcome

EQUAL_FAILURES = 3  # so many equal failures in a row stop a sweep: the fourth would be the same


class Standing:
    """The trials that have ended, and what follows from them.

    Parameters
    ----------
    result : Result
        Of the sweep; trials are added to it.

    Attributes
    ----------
    best : list of TrialRun
        The best trial so far; with several objectives those that none beats.
    curve : list of points
        The best value so far, after each trial, as points of a metric.
    known : dict
        By the identity of a config, the first trial that has its result.
    """

    def __init__(self, result: Result) -> None:
        self.result = result
        self.best: list[TrialRun] = []
        self.curve: list[tuple[str, float, int, int]] = []
        self.known: dict[str, TrialRun] = {}

    def enter(self, run: TrialRun) -> None:
        """Counts a trial that has ended."""
        if self.better(run):
            unbeaten = [best for best in self.best if not self.result.beaten(best, [run])]
            self.best = sorted([*unbeaten, run], key=self.result.losses)
        self.result.trials.append(run)
        if run.result.state.is_known_by_identity:
            self.known.setdefault(run.result.identity, run)
        if self.best:
            key = f"best/{self.result.metric}"
            value = self.best[0].result.values[0]
            self.curve.append((key, value, len(self.result.trials), run.end_ms or 0))

    def better(self, run: TrialRun) -> bool:
        """Whether none of the best so far is as good."""
        return run.result.is_ranked and not self.result.beaten(run, self.best)

    def line(self) -> str:
        """The best so far, as the bar shows it; "" where there is none."""
        if not self.best:
            return ""
        best = self.best[0]
        return f"best {self.result.metric} {best.result.values[0]:.4f} (#{best.number})"


class Failures:
    """Counts equal failures in a row.

    Parameters
    ----------
    name : str
        The sweep.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._reason = ""  # of the last trial; empty where it has not failed
        self._times = 0

    def count(self, run: TrialRun, outcome: Outcome, progress: Progress) -> None:
        """Tells of a failure. UsageError where it is the third of its kind in a row."""
        reason = ""
        if not run.result.state.is_result:
            reason = run.result.reason
        if reason and reason != self._reason:
            progress.say(self._story(run, outcome, reason))
        self._times = self._times + 1 if reason == self._reason else 1
        self._reason = reason
        if reason and self._times >= EQUAL_FAILURES:
            raise UsageError(
                f"{EQUAL_FAILURES} trials in a row failed alike, so the sweep stops: {reason}; "
                "correct it"
            )

    def _story(self, run: TrialRun, outcome: Outcome, reason: str) -> str:
        """What has happened, and how to see it again."""
        again = shlex.join(["harness", "verify", f"{self._name}#{run.number}"])
        for plugin in registry.plugins():
            again += f" --plugin {shlex.quote(plugin)}"
        error = (outcome.error or reason).rstrip()
        return (
            f"trial #{run.number} failed; the sweep goes on\n{error}\n"
            f"its config: {outcome.config.to_json()}\nto train it again: {again}"
        )
