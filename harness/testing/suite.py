"""Named checks and their outcomes: a check is a row of a table, an outcome a line of output."""

import functools
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from harness.boundary import foreign
from harness.errors import UsageError, in_words
from harness.registry.known import Entry, Spec


@dataclass(frozen=True)
class Subject:
    """The plugin that is checked.

    Attributes
    ----------
    entry
        What is registered under the name.
    spec
        The name with the arguments that it is checked with.
    reference
        An independent slow formula to hold values against, or None.
    """

    entry: Entry
    spec: Spec
    reference: Any = None


class Measurement(NamedTuple):
    """What a check measured, and a note that its line shows if that is too much."""

    number: float
    note: str


def _always(bench: Any) -> bool:
    return True


@dataclass(frozen=True)
class Check:
    """One thing that a plugin must do: a row in the table of a group of checks.

    Attributes
    ----------
    name
        What is checked, in a few words.
    must
        What must hold, or how to make it hold; it is shown where the check fails.
    measure
        From what the checks of the group share to a number, or a Measurement.
    allowance
        The largest number with which the check holds.
    applies
        From the same to whether the check is made at all.
    """

    name: str
    must: str
    measure: Callable[[Any], Any]
    allowance: float = 0
    applies: Callable[[Any], bool] = _always


class Outcome(NamedTuple):
    """What came of one check.

    Attributes
    ----------
    name
        The check, with the arguments in brackets if several examples were checked.
    ok
        Whether it holds: number <= limit.
    number
        What was measured; infinite if the plugin raised an error.
    limit
        What is allowed.
    message
        What must hold.
    raised
        The error that came instead of a number, or "".
    """

    name: str
    ok: bool
    number: float
    limit: float
    message: str
    raised: str = ""

    def __str__(self) -> str:
        if self.ok and self.limit:
            return f"ok    {self.name}: {self.number:.3g} <= {self.limit:.3g}"
        if self.ok:
            return f"ok    {self.name}"
        if self.raised:
            return f"FAIL  {self.name}: {self.raised}; {self.message}"
        measured = f"{self.number:.3g}, at most {self.limit:.3g} expected"
        return f"FAIL  {self.name}: {measured}; {self.message}"


def has_reference(bench: Any) -> bool:
    """Whether the subject of a bench is held against a formula."""
    return bench.subject.reference is not None


class Suite:
    """Makes checks and collects their outcomes; a check that raises has failed.

    Parameters
    ----------
    origin
        The plugin's file. An error names the line of it from which it came.
    """

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.outcomes: list[Outcome] = []
        # Stands behind the name of each check, where several examples of one plugin are checked.
        self.suffix = ""
        # One mistake may fail twenty checks; its text is told once.
        self._errors_told: set[str] = set()

    def run(self, checks: Iterable[Check], bench: Any) -> None:
        """Makes those checks of a table that apply; bench: what they share."""
        for check in checks:
            if check.applies(bench):
                self.add(check, bench)

    def add(self, check: Check, bench: Any) -> None:
        """Makes one check."""
        message = check.must
        raised = ""
        try:
            with foreign(f"what is checked here ({check.name})"):
                measured = check.measure(bench)
                if not isinstance(measured, Measurement):
                    measured = Measurement(measured, "")
                # Here, where what the plugin returned may still refuse to be a number.
                number = float(measured.number)
            if measured.note and not number <= check.allowance:
                message += f"; {measured.note}"
        except Exception as error:  # whatever a plugin raises is the outcome of the check
            raised = self._in_short(error)
            number = np.inf
        self.outcomes.append(
            Outcome(
                name=check.name + self.suffix,
                # NaN is not at most anything, and fails.
                ok=bool(number <= check.allowance),
                number=number,
                limit=check.allowance,
                message=message,
                raised=raised,
            )
        )

    def run_groups(
        self, groups: Iterable[Callable[["Suite", Subject], None]], subject: Subject
    ) -> None:
        """Makes groups of checks, one after the other.

        A group prepares what its checks share, which may fail as well. Then a check called "runs"
        has failed, and the next group is made all the same.
        """
        runs = "runs" + self.suffix  # as `add` will call it
        for group in groups:
            failed_before = any(outcome.name == runs for outcome in self.outcomes)
            whole = functools.partial(_make_group, group, self)
            self.add(Check("runs", "building it and calling it once must work", whole), subject)
            last = self.outcomes[-1]
            # One line is enough for an error that several groups meet.
            again = failed_before and last.raised.endswith(" again")
            if last.name == runs and (last.ok or again):
                del self.outcomes[-1]

    def _in_short(self, error: Exception) -> str:
        """What was raised, and at which line of the plugin; "again" stands for the same text."""
        kind, _, text = in_words(error).partition(": ")
        lines = [
            frame.lineno
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename == self.origin
        ]
        if lines:
            kind += f" at {Path(self.origin).name}:{lines[-1]}"
        elif isinstance(error, UsageError):  # its sentence is ours, and needs no name of an error
            return text
        again = f"{kind}{text}" in self._errors_told
        self._errors_told.add(f"{kind}{text}")
        if again:
            return f"{kind} again"
        return f"{kind}: {text}"


def _make_group(group: Callable[[Suite, Subject], None], suite: Suite, subject: Subject) -> int:
    """A group of checks as a check of its own, which fails where the group raises."""
    group(suite, subject)
    return 0
