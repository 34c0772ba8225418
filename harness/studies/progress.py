"""The progress of a study: what its driver tells, for people and for other programs."""

import contextlib
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from harness.expressions import compiling
from harness.storage.records import TrialRun
from harness.studies.board import Board, Shown
from harness.studies.console import Console, is_terminal, plain, terminal
from harness.studies.events import Events, wanted_events
from harness.studies.in_training import InTraining
from harness.trials.outcome import Outcome


@dataclass(frozen=True)
class Expected:
    """What the progress of a study counts.

    Attributes
    ----------
    name : str
        The study.
    total, ended : int
        How many trials will have ended in all, and how many have before this start.
    unit : str
        What a trial is called.
    about : dict
        What else is known of the study at its start, for events.
    before : list of TrialRun
        The trials that have ended before.
    best : TrialRun or None
        The best of these.
    curve : str
        The metric that is shown of a trial in training; "" for that of its config.
    """

    name: str
    total: int
    ended: int
    unit: str
    about: dict[str, Any] = field(default_factory=dict)
    before: list[TrialRun] = field(default_factory=list)
    best: TrialRun | None = None
    curve: str = ""

    @property
    def states(self) -> Counter[str]:
        """How many of the trials before have ended in each state."""
        return Counter(str(run.result.state) for run in self.before)


class Progress:
    """Shows a study on the console, and emits its events where somebody wants them.

    Parameters
    ----------
    board : Board
        What the console shows.
    console : Console
        Where it is shown.
    events : Events or None
        Who else is told.
    expected : Expected
        What is counted.
    """

    def __init__(
        self, board: Board, console: Console, events: Events | None, expected: Expected
    ) -> None:
        self._board = board
        self._console = console
        self._events = events
        self._told: dict[int, int] = {}  # epochs that events have told of the trials in training
        self._states = expected.states
        self._best = expected.best
        self._curve = expected.curve

    # What the driver tells ------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """Shows a text that stands."""
        self._console.say(text)
        self._emit("message", text=text)

    def advance(self, count: int = 1) -> None:
        """So many more are known to have ended, before this start."""
        with self._board.lock:
            self._board.ended += count

    def show(self, headline: str) -> None:
        """Shows the best so far in a few words, from the next state on."""
        with self._board.lock:
            self._board.headline = headline

    def expect(self, total: int) -> None:
        """Corrects how many there will be in all."""
        with self._board.lock:
            self._board.total = total

    def training(self, entries: Iterable[InTraining]) -> None:
        """These are in training, and have come so far."""
        with self._board.lock:
            for entry in entries:
                if entry.has_begun:
                    self._note(entry)
        self._console.news()

    def end(self, run: TrialRun, headline: str, is_best: bool) -> None:
        """A trial has ended.

        Parameters
        ----------
        run : TrialRun
            Its record.
        headline : str
            The best so far, in a few words.
        is_best : bool
            Whether that is this one.
        """
        number = run.number or 0
        result = run.result
        with self._board.lock:
            self._board.end(number, not result.state.is_result)
            self._board.headline = headline
        self._told.pop(number, None)
        self._states[str(result.state)] += 1
        self._emit("trial_ended", **_ended(run))
        if not result.state.is_result:
            self._emit("failure", number=number, state=str(result.state), reason=result.reason)
        if is_best:
            self._best = run
            self._emit("best_changed", **_best(run))
        self._console.news()

    def finish(self, finished: bool, note: str, seconds: float) -> None:
        """The study ends for now.

        Parameters
        ----------
        finished : bool
            Whether all that was asked for has ended.
        note : str
            What stopped it, in one sentence.
        seconds : float
            How long it took.
        """
        board = self._board
        self._emit(
            "study_ended",
            finished=finished,
            note=note,
            seconds=round(seconds, 3),
            total=board.total,
            ended=board.ended,
            states=dict(self._states),
            best=None if self._best is None else _best(self._best),
        )

    # Trials in training ---------------------------------------------------------------------------

    def _note(self, entry: InTraining) -> None:
        """Notes how far a trial has come, and tells of the epochs that are new."""
        number = entry.number
        outcome = entry.outcome
        key = self._curve or f"valid/{entry.config.metric['name']}"
        if number not in self._board.in_training:
            label = f"#{number} {entry.candidate.label}".strip()
            begun = self._board.clock()
            shown = Shown(label, entry.config.epochs, begun, first=entry.epochs)
            shown.epoch = entry.epochs
            self._board.begin(number, shown)
            self._told[number] = entry.epochs
            self._emit(
                "trial_started",
                number=number,
                params=entry.candidate.params,
                epoch=entry.epochs,
                epochs=entry.config.epochs,
            )
        shown = self._board.in_training[number]
        shown.epoch = entry.epochs
        if outcome.records:
            shown.value = outcome.records[-1].metrics.get(key)
        self._tell_epochs(number, outcome, key)

    def _tell_epochs(self, number: int, outcome: Outcome, key: str) -> None:
        for record in outcome.records[self._told[number] :]:
            self._emit(
                "epoch",
                number=number,
                epoch=record.epoch,
                epochs=outcome.config.epochs,
                value=record.metrics.get(key),
                metrics=record.metrics,
            )
        # A trial that is trained anew, for another pruner, comes to the same epochs again.
        self._told[number] = max(self._told[number], len(outcome.records))

    def _emit(self, event: str, **fields: Any) -> None:
        if self._events is not None:
            self._events.emit(event, **fields)


def _ended(run: TrialRun) -> dict[str, Any]:
    """The fields of the event that a trial has ended."""
    result = run.result
    return {
        "number": run.number,
        "name": run.name,
        "state": str(result.state),
        "reason": result.reason,
        "value": result.value,
        "values": result.values,
        "epochs": result.epochs,
        "params": result.params,
        "train_seconds": result.train_seconds,
        "duplicate_of": _duplicate_of(run),
    }


def _best(run: TrialRun) -> dict[str, Any]:
    """What events say of the best trial."""
    result = run.result
    return {
        "number": run.number,
        "value": result.value,
        "values": result.values,
        "params": result.params,
    }


def _duplicate_of(run: TrialRun) -> int | None:
    """The trial whose result a trial has taken over."""
    original = run.tags.get("harness.duplicate_of")
    return None if original is None else int(original.removeprefix("#"))


@contextlib.contextmanager
def progress(expected: Expected) -> Iterator[Progress]:
    """Opens the console of a study on stderr, and its events where they are wanted.

    Parameters
    ----------
    expected : Expected
        What is counted.
    """
    events = wanted_events()
    board = Board(expected.name, expected.unit, expected.total, expected.ended)
    board.compiles = compiling.watcher()
    show = plain
    # Events may go to the same terminal, whose last lines are theirs then.
    if events is None and is_terminal(sys.stderr):
        show = terminal
    with show(board) as console:
        _tell_start(events, expected)
        yield Progress(board, console, events, expected)


def _tell_start(events: Events | None, expected: Expected) -> None:
    """Emits the event that a study begins or goes on."""
    if events is not None:
        events.emit(
            "study_started",
            name=expected.name,
            total=expected.total,
            ended=expected.ended,
            **expected.about,
        )


def tell_finished_before(expected: Expected) -> None:
    """Emits the events of a study that had ended before, so that nothing is trained."""
    events = wanted_events()
    _tell_start(events, expected)
    if events is not None:
        events.emit(
            "study_ended",
            finished=True,
            note="all of it had ended before",
            seconds=0.0,
            total=expected.total,
            ended=expected.ended,
            states=dict(expected.states),
            best=None if expected.best is None else _best(expected.best),
        )
