"""How a sweep stands: its trials, and which are the best."""

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness import registry
from harness.errors import UsageError
from harness.escapes import printable
from harness.storage.networks import NetworkFolder
from harness.storage.ranking import Objective, losses
from harness.storage.records import TrialRun
from harness.storage.result import TrialState
from harness.trials.params import OURS, words

if TYPE_CHECKING:
    from harness.model import Model

_MOST_LINES = 19  # of a result in short


@dataclass(repr=False)
class Result:
    """How a sweep stands.

    Attributes
    ----------
    name : str
        The sweep.
    trials : list of TrialRun
        The trials that have ended, in the order in which they did.
    objectives : list of Objective
        What they are ranked by.
    finished : bool
        Whether the sweep has come to its end.
    note : str
        Why it has not, in a sentence.
    """

    name: str
    trials: list[TrialRun]
    objectives: list[Objective]
    finished: bool
    note: str = ""

    @property
    def metric(self) -> str:
        """The name of the first objective."""
        return self.objectives[0].name

    @property
    def direction(self) -> str:
        """Whether the first objective is to "maximize" or to "minimize"."""
        return self.objectives[0].direction

    @property
    def best(self) -> "BestTrial | None":
        """The best trial, by the first objective where there are several."""
        ranked = self.ranked
        if not ranked:
            return None
        return BestTrial(**vars(ranked[0]), sweep=self.name)

    @property
    def ranked(self) -> list[TrialRun]:
        """The trials that came to their end, best first.

        What diverged, failed or was pruned is not among them. With several objectives those come
        first that none is better than in all of them (the Pareto front).
        """
        by_first = self._by_first_objective()
        if len(self.objectives) == 1:
            return by_first
        front = self.front
        return [*front, *(run for run in by_first if run not in front)]

    @property
    def front(self) -> list[TrialRun]:
        """The trials that no other is better than, by the first objective."""
        front: list[TrialRun] = []
        for run in self._by_first_objective():
            # Only those before it in this order can beat it. Equal ones do not.
            others = [other for other in front if self.losses(other) != self.losses(run)]
            if not self.beaten(run, others):
                front.append(run)
        return front

    def losses(self, run: TrialRun) -> list[float]:
        """The values of a trial, turned so that less is better.

        Parameters
        ----------
        run : TrialRun
            A trial with values: one that `ranked` holds.

        Returns
        -------
        list of float
            One for each objective: its value, or minus that where more is better.
        """
        return losses(self.objectives, run.result.values)

    def beaten(self, run: TrialRun, others: list[TrialRun]) -> bool:
        """Whether one of the others is at least as good in all objectives.

        Parameters
        ----------
        run : TrialRun
            A trial with values.
        others : list of TrialRun
            Trials with values, without `run` itself.
        """
        own = self.losses(run)
        return any(_is_as_good(self.losses(other), own) for other in others)

    def __repr__(self) -> str:
        """In a few lines: how many trials have ended, and the best of them."""
        so_far = "" if self.finished else " so far"
        head = f"<Result of {self.name!r}: {len(self.trials)} trials{so_far}, by {self.metric}>"
        lines = [head, *self.table(5).splitlines()]
        # A suggested text may have several lines.
        if len(lines) > _MOST_LINES:
            lines = [*lines[: _MOST_LINES - 1], "..."]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from harness.studies.display import result_as_html

        return result_as_html(self)

    def table(self, rows: int = 10) -> str:
        """The best trials as text.

        A row has place, number, values, epochs, seconds of training and what was suggested, with
        all digits, so that it can be typed back; below the rows are notes.

        Parameters
        ----------
        rows : int
            How many trials at most.
        """
        heads = " ".join(f"{objective.name:>18}" for objective in self.objectives)
        lines = [f"{'':>3} {'trial':>6} {heads} {'epochs':>7} {'train s':>8}  parameters"]
        for place, run in enumerate(self.ranked[:rows], 1):
            lines.append(_row(place, run))
        return printable("\n".join([*lines, *self.notes(rows)]))

    def notes(self, rows: int = 10) -> list[str]:
        """What the table of so many rows does not say by itself, a sentence each.

        Parameters
        ----------
        rows : int
            How many trials the table shows at most.
        """
        notes = self.remarks(rows)
        best = self.best
        if best is not None:
            reference = shlex.quote(f"{self.name}#{best.number}")
            plugins = shlex.join(registry.to_be_given())
            notes.append(
                f"#{best.number} again: harness run --config {reference} {plugins}".strip()
            )
        return notes

    def remarks(self, rows: int = 10) -> list[str]:
        """What must be known of the trials to read their table right, a sentence each.

        Parameters
        ----------
        rows : int
            How many trials the table shows at most.
        """
        remarks = self._unranked(rows)
        best = self.best
        names = [name for run in self.ranked[:rows] for name in run.result.computed]
        if best is not None and names:
            remarks.append(_computed(list(dict.fromkeys(names)), best))
        return remarks

    def _by_first_objective(self) -> list[TrialRun]:
        """The trials that can be ranked, by their values one after the other, then their number."""
        ranked = [run for run in self.trials if run.result.is_ranked]
        return sorted(ranked, key=self.place)

    def place(self, run: TrialRun) -> tuple[float, ...]:
        """What trials are sorted by: their values one after the other, then their number.

        Parameters
        ----------
        run : TrialRun
            One of the trials that can be ranked.
        """
        return (*self.losses(run), run.number or 0)

    def _unranked(self, rows: int) -> list[str]:
        """Trials that were trained to their end and have nothing to be ranked by."""
        notes = []
        for run in self.trials:
            if run.result.state is TrialState.COMPLETE and not run.result.is_ranked:
                why = run.tags.get("harness.note", "it has no value")
                notes.append(f"#{run.number} is not ranked: {why}")
        if len(notes) > rows:
            notes[rows:] = [f"{len(notes) - rows} more are not ranked either"]
        return notes


@dataclass(repr=False)
class BestTrial(TrialRun):
    """The best trial of a sweep, whose network is kept.

    Attributes
    ----------
    sweep : str
        The sweep.
    """

    sweep: str = ""

    def model(self) -> "Model":
        """The trained network: it predicts, and trains on.

        Raises
        ------
        UsageError
            Where it was not kept, or is lost.
        """
        from harness.model import model_in
        from harness.studies.books import folder_of

        folder = NetworkFolder(folder_of("sweep", self.sweep))
        network = folder.read(self.result.digest)
        what = f"the network of '{self.sweep}#{self.number}'"
        if network is None:
            raise UsageError(
                f"{what} must have been kept, but it is missing or damaged; start the sweep again "
                "with models='best', and it is trained once more"
            )
        return model_in(network, what)


def _is_as_good(losses: list[float], others: list[float]) -> bool:
    return all(a <= b for a, b in zip(losses, others, strict=True))


def _row(place: int, run: TrialRun) -> str:
    result = run.result
    values = " ".join(f"{value:>18.4f}" for value in result.values)
    seconds = "-"
    if result.train_seconds is not None:
        seconds = f"{result.train_seconds:.2f}"
    row = f"{place:>3} {'#' + str(run.number):>6} {values} {result.epochs:>7} {seconds:>8}  "
    row += words(result.params)
    if note := run.tags.get("harness.note"):
        row += f"  ({note})"
    return row


def _computed(names: list[str], best: TrialRun) -> str:
    """Says that the space computes with what it suggests: nobody shall take it for a setting."""
    are = "are not settings" if len(names) > 1 else "is not a setting"
    update = best.params.get(f"{OURS}update")
    return (
        f"{', '.join(names)} {are} of the networks themselves, the search space computes with what "
        f"it suggests: the update rule of #{best.number} is {update}"
    )
