"""The reports of sweeps and comparisons: what is put where."""

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from harness.storage.records import TrialRun
from harness.studies.comparison import Comparison
from harness.studies.report import Media, Report, Table
from harness.studies.result import Result
from harness.trials.params import OURS, words

TRIALS = 20  # rows of the table of trials

CAPTIONS = {
    "curves.png": "The mean of each arm after each epoch",
    "differences.png": "How far each arm is from the first one",
    "seeds.png": "Every network",
    "tuning.png": "What a tuning of so many points is worth",
    "history.png": "The value of each trial, and the best so far",
    "importances.png": "How much of the differences each parameter explains",
    "parallel.png": "Each trial as a line through its parameters",
    "slices.png": "The value over each parameter",
    "timeline.png": "What was trained when",
    "contact_sheet.png": "First-layer weights of the best trials at their end",
    "learning_curves.png": "The best network: loss and metric after each epoch",
    "confusion.png": "The best network: which class it takes for which",
    "mistakes.png": "The best network: what it is most sure of and wrong about",
    "taken_apart.png": "The best network, taken apart for one example",
    "predicted_against_true.png": "The best network: predicted against true values",
    "boundary.png": "The best network: its decision boundary",
    "units.png": "The best network: dead units and flat slopes",
}


def sweep_report(
    result: Result,
    pictures: Mapping[str, bytes],
    players: Mapping[int, bytes],
    beside: bytes | None,
    environment: Mapping[str, Any],
    source: str,
) -> Report:
    """The report of a sweep.

    Parameters
    ----------
    result : Result
        How it stands.
    pictures : dict of bytes by name
        Its pictures, and those of its best network.
    players : dict of bytes by number
        The pages that play the films of its best trials.
    beside : bytes or None
        The page that plays the films of the best few side by side.
    environment : dict
        What its results depend on besides configs and data, short texts by name.
    source : str
        The name of its script; "" for none.
    """
    counts = Counter(run.result.state.lower() for run in result.trials)
    states = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    heads = ["", "trial", *(goal.name for goal in result.objectives), "epochs", "parameters"]
    rows = []
    for place, run in enumerate(result.ranked[:TRIALS], 1):
        values = [f"{value:.4f}" for value in run.result.values]
        cells = [str(place), f"#{run.number}", *values, str(run.result.epochs)]
        rows.append([*cells, words(run.result.params)])
    best = result.best
    verdict = ""
    commands = [_again("sweep", source)] if source else []
    settings: list[Table] = []
    if best is not None:
        verdict = (
            f"The best of {len(result.trials)} trials is #{best.number} with "
            f"{result.metric} {best.result.values[0]:.4f}: {words(best.result.params)}"
        )
        reference = f"{result.name}#{best.number}"
        commands.append(shlex.join(["harness", "run", "--config", reference]))
        commands.append(shlex.join(["harness", "verify", reference]))
        settings.append(_settings(f"The config of #{best.number}", best))
    captions = {run.number: f"#{run.number}, {run.result.values[0]:.4f}" for run in result.ranked}
    films = [Media(captions[number], page) for number, page in players.items()]
    if beside is not None:
        films.append(Media("the best few, on one scale", beside))
    return Report(
        title=result.name,
        question=f"{states}; {_data(result.trials)}",
        verdict=verdict,
        sentences=[] if result.finished else [result.note or "It has not come to its end."],
        results=Table("Trials", heads, rows),
        details=[*settings, _environment(environment)],
        players=films,
        pictures=_captioned(pictures),
        commands=commands,
    )


def comparison_report(
    result: Comparison,
    runs: Iterable[TrialRun],
    pictures: Mapping[str, bytes],
    films: bytes | None,
    environment: Mapping[str, Any],
    source: str,
) -> Report:
    """The report of a comparison.

    Parameters
    ----------
    result : Comparison
        What came of it.
    runs : iterable of TrialRun
        Its networks.
    pictures : dict of bytes by name
        Its pictures.
    films : bytes or None
        The page that plays the films of all arms side by side.
    environment : dict
        What its results depend on besides configs and data, short texts by name.
    source : str
        The name of its script; "" for none.
    """
    runs = list(runs)
    players = []
    if films is not None:
        players.append(Media("the first seed of each arm, on one scale", films))
    arms = ", ".join(result.values)
    return Report(
        title=result.name,
        question=f"Which has the better {result.metric}: {arms}? {_data(runs)}",
        verdict=_sentence(result.verdict()),
        sentences=result.scope(),
        results=Table("Arms", *result.cells()),
        details=[_environment(environment)],
        players=players,
        pictures=_captioned(pictures),
        commands=[_again("", source)] if source else [],
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _again(command: str, source: str) -> str:
    """The line that starts a study again."""
    if command:
        return shlex.join(["harness", command, source])
    return shlex.join(["python", source])


def _captioned(pictures: Mapping[str, bytes]) -> list[Media]:
    """Pictures in the order of their captions; those without one come last under their name."""
    order = [name for name in CAPTIONS if name in pictures]
    order += [name for name in pictures if name not in CAPTIONS]
    return [Media(CAPTIONS.get(name, PurePosixPath(name).stem), pictures[name]) for name in order]


def _data(runs: list[TrialRun]) -> str:
    """Which data the networks have learned from, in a sentence."""
    if not runs:
        return "nothing has been trained."
    first = runs[0]
    data = without_folders(str(first.params.get(f"{OURS}data", "?")))
    sentence = f"data {data}"
    if count := first.tags.get("harness.valid_examples"):
        sentence += f", measured on {count} validation examples"
    return sentence + "."


def _settings(title: str, run: TrialRun) -> Table:
    settings = {
        name.removeprefix(OURS): without_folders(str(value))
        for name, value in run.params.items()
        if name.startswith(OURS)
    }
    return Table(title, [], [[name, value] for name, value in settings.items()])


def _environment(environment: Mapping[str, Any]) -> Table:
    rows = [[name, str(value)] for name, value in environment.items() if name != "plugins"]
    return Table("Environment", [], rows)


def without_folders(text: str) -> str:
    """A text with each absolute path in it cut to its last part, which names nobody's machine."""
    return re.sub(r"(?<![\w.])/(?:[^/'\",()]+/)*", "", text)
