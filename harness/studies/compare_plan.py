"""The plan of a comparison: its arms are tuned, then trained with all seeds."""

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from harness import registry
from harness.config import Config
from harness.errors import UsageError
from harness.storage.live import LiveTrial
from harness.storage.records import RunStatus, TrialRun
from harness.studies.books import Books
from harness.studies.compared import Network, examples_of, ranked, unreachable, value_of
from harness.studies.comparison import Comparison
from harness.studies.descriptions import comparison_description, trial_description
from harness.studies.films import film_name, films_of_arms, keep_film
from harness.studies.gallery import about, comparison_artifacts, drawn
from harness.studies.in_training import Candidate, InTraining
from harness.studies.networks import Networks
from harness.studies.plan import Ending, Sitting
from harness.studies.progress import Progress
from harness.studies.wanted import is_wanted
from harness.trials.checkpoints import Checkpoints
from harness.trials.data_inputs import data_inputs
from harness.trials.fingerprint import fingerprint
from harness.trials.live import to_live
from harness.trials.outcome import Bar, Outcome
from harness.trials.params import computed_from
from harness.trials.population import population_that_pays
from harness.trials.to_record import result_of, to_run
from harness.workers.errands import Ask


class ComparePlan:
    """What a comparison trains, and what becomes of the results.

    Parameters
    ----------
    result : Comparison
        What comes of it; it is filled in while the networks end.
    tried : dict of list of Network
        For each arm the points of its space, or the one network that it is.
    books : Books
        Its books.
    before : list of TrialRun
        The networks that had ended when this start began.
    checkpoints : Checkpoints
        Its checkpoints, which say what numbers the networks in training had.
    script : Path or None
        The script that called it.
    kept : Networks
        The trained networks that it keeps, never those of a tuning.
    """

    def __init__(
        self,
        result: Comparison,
        tried: dict[str, list[Network]],
        books: Books,
        before: list[TrialRun],
        checkpoints: Checkpoints,
        script: Path | None,
        kept: Networks,
    ) -> None:
        self.result = result
        self.kept = kept
        self.tried = tried
        self.books = books
        # The script as it was when the comparison began.
        self.source = {"script.py": script.read_bytes()} if script else {}
        self.script = script.name if script else ""
        # The networks that arms are tuned with. They have no film.
        self.points = {
            arm: [replace(each, config=each.config.replace(film=None)) for each in networks]
            for arm, networks in tried.items()
            if len(networks) > 1
        }
        # For each arm the network that is trained with all seeds; None while arms are tuned.
        self.chosen: dict[str, Network] | None = None
        self.judged: list[Network] = []  # the chosen networks with all seeds
        self.networks: dict[int, Network] = {}  # those that are or were in training
        self.done = {_key_of(run): run for run in before if not run.result.state.is_bad_luck}
        self._last: TrialRun | None = None
        self.best = next(iter(self.ranked()), None)  # of the networks that are compared
        used = {run.number for run in before}
        # Networks that were in training, by the numbers under which they have checkpoints.
        self.reserved = checkpoints.numbers_by_identity(ended=used)
        used |= set(self.reserved.values())
        self.fresh = (number for number in itertools.count() if number not in used)
        self.checkpoints = checkpoints
        # What is trained now: batches of networks of one shape, in the order in which they begin.
        self.batches: deque[list[Candidate]] = deque()
        self.begun = 0  # batches so far
        self.is_tuned = False
        self.said: set[tuple[str, str]] = set()  # arms, and those errors of theirs that were shown

    @property
    def total(self) -> int:
        """How many networks there are in all."""
        points = sum(map(len, self.points.values()))
        return points + len(self.tried) * len(self.result.seeds)

    # Asking ---------------------------------------------------------------------------------------

    def candidates(self, sitting: Sitting, workers: Callable[[], int]) -> Iterator[Candidate]:
        """The networks that the arms are tuned with; when all have ended, those with all seeds.

        Batches begin one after the other, and one more than there are workers at once. So results
        come early, and few networks stand half trained.
        """
        if not self.batches and not sitting.running:
            self._next_phase(sitting.progress, workers)
        while self.batches:
            in_training = {entry.candidate.batch for entry in sitting.running.values()}
            room = workers()
            if room > 1:
                room += 1
            if len(in_training) >= room:
                return
            yield from self.batches.popleft()

    def _next_phase(self, progress: Progress, workers: Callable[[], int]) -> None:
        """Lines up what the arms are tuned with, and after that the chosen networks."""
        if not self.is_tuned:
            self.is_tuned = True
            points = itertools.chain.from_iterable(self.points.values())
            self._line_up(list(points), progress, workers)
        if not self.batches and self.chosen is None:
            self.chosen = self._best_of_each()
            self.judged = [
                replace(network, config=network.config.replace(seed=seed), point=None)
                for seed in self.result.seeds
                for network in self.chosen.values()
            ]
            self._line_up(self.judged, progress, workers)

    def _line_up(
        self, networks: list[Network], progress: Progress, workers: Callable[[], int]
    ) -> None:
        """Puts those of the networks that have not been trained yet into batches of one shape."""
        missing = [network for network in networks if network.key not in self.done]
        progress.advance(len(networks) - len(missing))
        shapes: dict[str, list[Candidate]] = {}
        for network in missing:
            candidate = self._candidate(network)
            shapes.setdefault(candidate.config.shape_key(), []).append(candidate)
        batches = []
        for group in shapes.values():
            # As many networks as pay, but so that each worker has some.
            a_share = math.ceil(len(group) / workers())
            size = max(1, min(population_that_pays(group[0].config), a_share))
            batches += [group[at : at + size] for at in range(0, len(group), size)]
        # The first seeds of all arms come first, so that an arm that is refused is refused early.
        batches.sort(key=lambda batch: batch[0].number)
        for batch in batches:
            self.begun += 1
            self.batches.append([replace(candidate, batch=self.begun) for candidate in batch])

    def _candidate(self, network: Network) -> Candidate:
        # A network that was in training keeps its number, under which it has a checkpoint.
        number = self.reserved.pop(network.key, None)
        if number is None:
            number = next(self.fresh)
        self.networks[number] = network
        kind, at = network.place
        params = {**network.suggested, "arm": network.arm, kind: at}
        has_film = network.config.seed == self.result.seeds[0]
        return Candidate(
            number,
            network.config,
            network.key,
            params,
            keep_state=has_film,
            label=network.label,
        )

    def _best_of_each(self) -> dict[str, Network]:
        """The best point of each arm, the first one of equals; none where no point has a value."""
        objective = self.result.objective
        best = {}
        for arm, networks in self.tried.items():
            if arm not in self.points:
                best[arm] = networks[0]
                continue
            values = [value_of(run) for run in self._ended(self.points[arm])]
            self.result.tuning[arm] = values
            ranked = sorted((objective.loss(v), k) for k, v in enumerate(values) if v is not None)
            if ranked:
                _, place = ranked[0]
                best[arm] = networks[place]
                self.result.settings[arm] = networks[place].suggested
        return best

    def wants_more(self) -> bool:
        """A comparison has no limit of time that could leave something untrained."""
        return False

    def group_size(self, group: list[InTraining], workers: int) -> int:
        """All: a batch is no larger than pays."""
        return len(group)

    def beat(self) -> Bar | None:
        """Every film is kept."""
        return None

    def least(self, config: Config) -> Bar | None:
        """The best network so far; what an arm is tuned with reaches no bar."""
        objective = self.result.objective
        if config.seed not in self.result.seeds:
            return Bar(objective, unreachable(objective))
        if self.kept.models == "all" or self.best is None:
            return None
        return Bar(objective, self.best.result.values[0])

    # Ending ---------------------------------------------------------------------------------------

    def copy_of(self, candidate: Candidate) -> TrialRun | None:
        """Nothing: only networks that are missing are asked for."""
        return None

    def record_of(self, entry: InTraining) -> TrialRun:
        """The record of a network. UsageError where the first one of an arm is refused."""
        outcome = entry.outcome
        network = self.networks[entry.number]
        kind, at = network.place
        first = self.result.seeds[0]
        if kind == "point":
            first = 0
        if outcome.refused and not outcome.failure and at == first:
            # The others would be refused too.
            raise UsageError(f"arm {network.arm!r}: {outcome.refused}")
        if network.config.seed == self.result.seeds[0]:
            name = film_name(network.arm, network.identity)
            keep_film(self.books.folder / "films", name, outcome)
        result = result_of(outcome, entry.candidate.params, stopped_by=entry.stopped_by)
        result.arm = network.arm
        result.identity = network.identity
        name = f"#{entry.number} {network.label}"
        run = to_run(f"{self.books.parent.id}/{entry.number}", name, outcome, result)
        run.tags = {**self.books.tags_of_trials, **run.tags}
        run.description = trial_description(run, self.result.metric, self.result.name)
        # The networks of the other seeds have the same data.
        if network.config.seed == self.result.seeds[0]:
            run.inputs = data_inputs(network.config)
        self.kept.keep(run, outcome, self._ranks_first)
        return run

    def live_of(self, entry: InTraining) -> LiveTrial:
        """What is said of a network while it is in training."""
        name = f"#{entry.number} {self.networks[entry.number].label}"
        params = entry.candidate.params
        id = f"{self.books.parent.id}/{entry.number}"
        return to_live(id, name, entry.outcome, params, self.books.tags_of_trials)

    def report(self, entry: InTraining) -> None:
        """Nobody: a comparison has no study of Optuna."""

    def _ranks_first(self, run: TrialRun) -> bool:
        """Whether a network is ranked before all that have ended."""
        others = [self.best] if self.best else []
        return ranked([*others, run], self.result.objective)[:1] == [run]

    def ranked(self) -> list[TrialRun]:
        """The networks that were compared, best first."""
        return ranked(self.done.values(), self.result.objective)

    def make_durable(self) -> None:
        """Nothing is kept beside the spool."""

    def tell(self, run: TrialRun) -> None:
        """Counts a network that has ended."""
        self.done[_key_of(run)] = run
        self._last = run
        if self._ranks_first(run):
            self.best = run
        self.kept.settle(run)

    def after(self, run: TrialRun, outcome: Outcome, progress: Progress) -> None:
        """Shows an error of an arm once."""
        error = run.result.arm, outcome.reason
        if outcome.error and error not in self.said:
            self.said.add(error)
            progress.say(f"{run.name} failed; the comparison goes on\n{outcome.error}")

    def headline(self) -> str:
        """The arm and the value of the network that has ended last."""
        if self._last is None:
            return ""
        value = self._last.result.value
        shown = "-" if value is None else f"{value:.4f}"
        return f"{self._last.result.arm} {shown}"

    def is_best(self, run: TrialRun) -> bool:
        """Never: arms are compared when all have ended."""
        return False

    # The end of a sitting -------------------------------------------------------------------------

    def note_overhead(self, sitting: Sitting) -> None:
        """A comparison has few networks: nothing is noted."""

    def ended(self) -> int:
        """How many networks have ended in all."""
        return self.total

    def has_ended_before(self, books: Books) -> bool:
        """Whether it had finished with the same arms, seeds and points."""
        is_complete = self.kept.are_complete(self.ranked(), books.parent)
        return books.has_same_tags and is_complete and books.finished(0)

    def close(self, ending: Ending, sitting: Sitting) -> None:
        """Fills in the result, and closes the books with it."""
        result = self.result
        for arm in self.tried:
            self._fill_in(arm, ending.finished)
        result.examples = examples_of(self.done.values())
        artifacts = {**self.source, "comparison.json": result.to_json().encode()}
        if ending.finished:
            # Networks of arms that are gone, or of another version, are not gone on with.
            for number in self.reserved.values():
                self.checkpoints.drop(number)
            # Workers without a job make the model and the films meanwhile.
            ask = sitting.errand
            hand_over = self.kept.hand_over(self.ranked(), self.books.parent, self._config_of, ask)
            if self.books.is_open:
                artifacts |= self._shown(ask)
            hand_over()
        status = RunStatus.FINISHED if ending.finished else RunStatus.KILLED
        text = comparison_description(result, self._compared(), ending.seconds, self.script)
        self.books.close(status, text, self._points(), artifacts)

    def _shown(self, errand: Ask) -> dict[str, bytes]:
        """The films of the arms beside each other, the pictures and the report."""
        first = [each for each in self.judged if each.config.seed == self.result.seeds[0]]
        names = {network.arm: film_name(network.arm, network.identity) for network in first}
        films = errand(films_of_arms, self.books.folder / "films", names)
        artifacts = {}
        if is_wanted():
            said = about(self.books.parent, fingerprint())
            runs = self._compared()
            artifacts = drawn(lambda: comparison_artifacts(self.result, runs, films, said, errand))
        return artifacts | drawn(films.value)

    def _compared(self) -> list[TrialRun]:
        """The networks that were compared, as far as they have ended."""
        compared = {network.key for network in self.judged}
        return [run for run in self.done.values() if _key_of(run) in compared]

    def _config_of(self, run: TrialRun) -> Config | None:
        """The config of a network that has been compared, as the arms say it now."""
        key = _key_of(run)
        return next((network.config for network in self.judged if network.key == key), None)

    def _fill_in(self, arm: str, finished: bool) -> None:
        """Puts the values of an arm into the result, and what there is to say of its networks."""
        result = self.result
        result.values[arm] = [None] * len(result.seeds)
        ended = self._ended(self.points.get(arm, []))
        is_chosen = self.chosen is not None and arm in self.chosen
        notes: list[str] = []
        if is_chosen:
            ended = self._ended(network for network in self.judged if network.arm == arm)
            result.values[arm] = [value_of(run) for run in ended]
        elif finished:
            notes.append("no point came to an end")
        notes += [run.result.reason or run.tags.get("harness.note", "") for run in ended if run]
        notes.append(self._computed(arm))
        result.notes[arm] = "; ".join(dict.fromkeys(note for note in notes if note))

    def _computed(self, arm: str) -> str:
        """Where the space computes with what it suggests: nobody shall take it for a setting."""
        network = (self.chosen or {}).get(arm)
        if network is None:
            return ""
        names = computed_from(network.suggested, network.config)
        if not names:
            return ""
        update = registry.text(network.config.update)
        return f"the space computes with {', '.join(names)}: its update rule is {update}"

    def _points(self) -> list[tuple[str, float, int, int]]:
        """The mean of each arm, and what its tuning was worth with fewer points."""
        result = self.result
        clock = max((run.end_ms or 0 for run in self.done.values()), default=0)
        points = [(f"mean/{arm}", result.mean(arm), len(result.seeds), clock) for arm in self.tried]
        for arm, curve in result.tuning_worth().items():
            key = f"tuned of {len(curve)}/{arm}"
            points += [(key, value, k, clock) for k, value in enumerate(curve, 1)]
        return points

    def _ended(self, networks: Iterable[Network]) -> list[TrialRun | None]:
        return [self.done.get(network.key) for network in networks]


def _key_of(run: TrialRun) -> str:
    return f"{run.result.arm} {run.result.identity}"
