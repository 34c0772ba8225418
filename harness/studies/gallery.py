"""What a study shows when it has ended: its pictures, its table of trials, and its report."""

import csv
import io
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.escapes import printable
from harness.garbage import quick_collection
from harness.storage.artifacts import of_trial
from harness.storage.frames import BestFilms
from harness.storage.networks import NetworkFolder
from harness.storage.records import DataInput, ParentRun, Run, TrialRun
from harness.storage.spool import Spool
from harness.studies.comparison import Comparison
from harness.studies.films import PLAYER, large_film, side_by_side, title_of
from harness.studies.result import Result
from harness.trials.params import shown
from harness.workers.errands import Ask, Errand

SHOWN = 8  # trials whose last frames are on the contact sheet
BESIDE = 4  # trials whose films are side by side
# Seconds of training up to which the best network is trained once more when a sweep has ended, so
# that its pictures show how its weights have spread.
AGAIN = 2.0
STILL = "film.png"
INTERACTIVE = "interactive"  # the source of a study that no script has started


@dataclass(frozen=True, kw_only=True)
class About:
    """What a report says of a study beside its results.

    Attributes
    ----------
    environment : dict
        What its results depend on besides configs and data, short texts by name.
    script : str
        The name of its script; "" where it was started at a prompt.
    inputs : sequence of DataInput
        Its data.
    note : str
        Why it has not come to its end, in a sentence; "" where it has.
    """

    environment: Mapping[str, Any]
    script: str = ""
    inputs: Sequence[DataInput] = ()
    note: str = ""


def about(parent: ParentRun, environment: Mapping[str, Any], note: str = "") -> About:
    """What a report says of the study of a parent run."""
    source = parent.tags.get("harness.source", "")
    script = "" if source == INTERACTIVE else source
    return About(environment=environment, script=script, inputs=parent.inputs, note=note)


def drawn(draw: Callable[[], dict[str, bytes]]) -> dict[str, bytes]:
    """What a function draws; where it fails a sentence, since a study must not end with that."""
    try:
        with quick_collection():
            return draw()
    except Exception as error:
        sentence = f"the pictures and the report are not made: {type(error).__name__}: {error}"
        print(printable(sentence), file=sys.stderr)
        return {}


class Gallery:
    """The films of the best trials of a study, and what is drawn when it has ended.

    Parameters
    ----------
    spool : Spool
        Its records, by which films of an earlier start are found.
    folder : Path
        Its folder, which has the network of the best trial.
    """

    def __init__(self, spool: Spool, folder: Path) -> None:
        self._spool = spool
        self._networks = NetworkFolder(folder)
        self._kept = BestFilms(folder / "films")
        # By the number of a trial, what its film has left in this start of the study.
        self._films: dict[int, dict[str, bytes]] = {}

    def take(self, run: TrialRun, ranked: Callable[[], list[TrialRun]]) -> None:
        """Keeps the film of a trial that has ended, as long as it is among the best.

        Parameters
        ----------
        run : TrialRun
            Its record, with its artifacts.
        ranked : callable
            All trials, the best first.
        """
        film = {name: run.artifacts[name] for name in (STILL, PLAYER) if name in run.artifacts}
        if not film or not run.result.is_ranked or run.number is None:
            return
        self._films[run.number] = film
        is_crowded = len(self._films) > 2 * SHOWN
        if not is_crowded and not self._are_elsewhere:
            return
        best = {best.number or 0 for best in ranked()[:SHOWN]}
        if self._are_elsewhere:
            self._kept.take(run.number, film, best)
        if is_crowded:
            best.add(run.number)
            self._films = {number: kept for number, kept in self._films.items() if number in best}

    @cached_property
    def _are_elsewhere(self) -> bool:
        """Whether a server has the artifacts, so that the next start has none of them at hand."""
        from harness.tracking.connect import artifacts_folder

        try:
            return artifacts_folder() is None
        except UsageError:
            # MLFLOW_TRACKING_URI names what no runs can be in.
            return False

    def film(self, run: TrialRun) -> dict[str, bytes]:
        """The last frame and the player page of a trial's film, as far as they are at hand."""
        if run.number in self._films:
            return self._films[run.number]
        folder = self.artifacts_of(run)
        if folder is None:
            return self._kept.read(run.number or 0)
        paths = [folder / name for name in (STILL, PLAYER)]
        return {path.name: path.read_bytes() for path in paths if path.is_file()}

    def of_best_network(self, best: TrialRun | None, errand: Ask) -> list[Errand[dict[str, bytes]]]:
        """The pictures of the network of the best trial; none where it was not kept."""
        network = None if best is None else self._networks.read(best.result.digest)
        if best is None or network is None:
            return []
        drawn = [errand(_pictures_of_network, network, False)]
        seconds = best.result.train_seconds
        if seconds is not None and seconds <= AGAIN:
            drawn.append(errand(_pictures_of_network, network, True))
        return drawn

    def artifacts_of(self, run: Run) -> Path | None:
        """The folder of what MLflow has of a run, where that is on this machine."""
        from harness.tracking.connect import artifacts_folder

        run_id = self._spool.run_id(run.id)
        try:
            folder = artifacts_folder()
        except UsageError:
            # MLFLOW_TRACKING_URI names what no runs can be in.
            return None
        if run_id is None or folder is None:
            return None
        return folder / run_id / "artifacts"


def _pictures_of_network(network: bytes, over_time: bool) -> dict[str, bytes]:
    """The pictures of a network from its file.

    Parameters
    ----------
    network : bytes
        The file.
    over_time : bool
        Whether they are those of how its weights have spread, for which it is trained once more.
        Else they are all others.
    """
    from harness.model import model_in
    from harness.model.pictures import pictures_of_model, pictures_over_time

    try:
        with quick_collection():
            model = model_in(network, "the network that was kept")
            return pictures_over_time(model) if over_time else pictures_of_model(model)
    except UsageError:
        # Its data or its plugins are not there any more; the study has its other pictures.
        return {}


def sweep_artifacts(
    gallery: Gallery, result: Result, study: Any, about: About, errand: Ask = Errand
) -> dict[str, bytes]:
    """What the runs of a sweep get at its end: trials.csv, pictures/, report.html.

    What belongs to the run of a trial is named by `of_trial`.

    Parameters
    ----------
    gallery : Gallery
        The films of its trials, and the network of the best.
    result : Result
        How it stands.
    study : optuna.Study or None
        Its study; None where there is none, so that Optuna's plots are left out.
    about : About
        What else its report says.
    errand : Ask
        Who draws.
    """
    from harness.studies.step_images import step_images
    from harness.studies.study_report import sweep_report
    from harness.studies.sweep_pictures import sweep_pictures

    films = {run.number or 0: gallery.film(run) for run in result.ranked[:SHOWN]}
    # The best one comes first.
    pages = {number: film[PLAYER] for number, film in films.items() if PLAYER in film}
    network_errands = gallery.of_best_network(result.best, errand)
    best_films = {
        title_of(run.number or 0, run.name): pages[run.number or 0]
        for run in result.ranked
        if run.number in pages
    }
    films_errand = errand(films_of_best, dict([*best_films.items()][:BESIDE]))
    stills = {number: film[STILL] for number, film in films.items() if STILL in film}
    pictures_errands = sweep_pictures(study, result, stills, errand)
    images_errand = errand(step_images, _beside_each_other(gallery, result))
    pictures: dict[str, bytes] = {}
    for pictures_errand in pictures_errands:
        pictures |= pictures_errand.value()
    of_best: dict[str, bytes] = {}
    for network_errand in network_errands:
        of_best |= network_errand.value()
    made = films_errand.value()
    players = {number: pages[number] for number in [*pages][:1]}
    report = sweep_report(result, pictures | of_best, players, made.get("films.html"), about)
    best = (result.best and result.best.number) or 0
    return {
        "trials.csv": trials_as_csv(result),
        "report.html": report.to_html().encode(),
        **made,
        **images_errand.value(),
        # They are pictures of one network, so they go to its run.
        **{of_trial(best, f"pictures/{name}"): picture for name, picture in of_best.items()},
        **{f"pictures/{name}": picture for name, picture in pictures.items()},
    }


def _beside_each_other(gallery: Gallery, result: Result) -> dict[int, tuple[TrialRun, bytes]]:
    """The best few trials and the one that began last, with the pages of their films."""
    by_number = sorted(result.trials, key=lambda run: run.number or 0)
    chosen = {run.number or 0: run for run in [*result.ranked[:BESIDE], *by_number[-1:]]}
    films = {number: gallery.film(run) for number, run in chosen.items()}
    # Other files of a trial need not travel.
    return {
        number: (replace(chosen[number], artifacts={}), film[PLAYER])
        for number, film in films.items()
        if PLAYER in film
    }


def films_of_best(pages: Mapping[str, bytes]) -> dict[str, bytes]:
    """The large film of the best trial, and those of the best few side by side.

    Parameters
    ----------
    pages : dict of bytes by name
        By the title of each of the best trials, the best first, the page that plays its film.

    Returns
    -------
    dict of bytes by name
        film.mp4, films.html, films.mp4 and films.png, as far as there are films.
    """
    if not pages:
        return {}
    made = side_by_side(pages)
    best = next(iter(pages))
    try:
        return {"film.mp4": large_film(best, pages[best]), **made}
    except UsageError as error:
        # A page may be of another version; what else there is to show does not need it.
        print(printable(f"the film of the best trial is not made: {error}"), file=sys.stderr)
        return made


def comparison_artifacts(
    result: Comparison,
    runs: list[TrialRun],
    films: Errand[dict[str, bytes]],
    about: About,
    errand: Ask = Errand,
) -> dict[str, bytes]:
    """What the run of a comparison gets at its end: pictures/ and report.html.

    Parameters
    ----------
    result : Comparison
        What came of it.
    runs : list of TrialRun
        The networks that were compared, with all seeds.
    films : Errand
        The films of all arms side by side, which a worker may make meanwhile.
    about : About
        What else its report says.
    errand : Ask
        Who draws.
    """
    from harness.studies.comparison_pictures import comparison_pictures
    from harness.studies.study_report import comparison_report

    # Other files of a trial need not travel.
    bare = [replace(run, artifacts={}) for run in runs]
    pictures = errand(comparison_pictures, result, bare).value()
    page = films.value().get("films.html")
    report = comparison_report(result, runs, pictures, page, about)
    return {
        "report.html": report.to_html().encode(),
        **{f"pictures/{name}": picture for name, picture in pictures.items()},
    }


def trials_as_csv(result: Result) -> bytes:
    """All trials of a sweep as CSV, a row each in the order of their numbers."""
    names = list(dict.fromkeys(name for run in result.trials for name in run.result.params))
    goals = [objective.name for objective in result.objectives]
    file = io.StringIO(newline="")
    table = csv.writer(file)
    table.writerow(["number", "state", *goals, "epochs", "train_s", *names])
    for run in sorted(result.trials, key=lambda run: run.number or 0):
        trial = run.result
        values: list[object] = [*trial.values] or [""] * len(goals)
        params = [shown(trial.params[name]) if name in trial.params else "" for name in names]
        row = [run.number, trial.state, *values, trial.epochs, trial.train_seconds]
        table.writerow([*row, *params])
    return file.getvalue().encode()
