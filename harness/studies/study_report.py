"""The reports of sweeps and comparisons: what is put where."""

import json
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from harness.escapes import without_folders
from harness.model.pictures import caption_of
from harness.storage.records import TrialRun
from harness.studies.comparison import Comparison
from harness.studies.gallery import About
from harness.studies.report import Media, Report, Table
from harness.studies.result import Result
from harness.trials.params import OURS, words_in_short

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
}


def sweep_report(
    result: Result,
    pictures: Mapping[str, bytes],
    players: Mapping[int, bytes],
    beside: bytes | None,
    about: About,
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
    about : About
        What else is to be said of it.
    """
    counts = Counter(run.result.state.lower() for run in result.trials)
    states = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    heads = ["", "trial", *(goal.name for goal in result.objectives), "epochs", "parameters"]
    rows = []
    for place, run in enumerate(result.ranked[:TRIALS], 1):
        values = [f"{value:.4f}" for value in run.result.values]
        cells = [str(place), f"#{run.number}", *values, str(run.result.epochs)]
        # All digits are in the config of the best one, and in trials.csv.
        rows.append([*cells, words_in_short(run.result.params)])
    best = result.best
    verdict = ""
    commands = [_again("sweep", about.script)] if about.script else []
    details: list[Table] = []
    if best is not None:
        verdict = (
            f"The best of {len(result.trials)} trials is #{best.number} with "
            f"{result.metric} {best.result.values[0]:.4f}: {words_in_short(best.result.params)}"
        )
        commands += _commands_of(result.name, best)
        details.append(Table(f"The config of #{best.number}", [], _settings(best)))
    captions = {run.number: f"#{run.number}, {run.result.values[0]:.4f}" for run in result.ranked}
    films = [Media(captions[number], page) for number, page in players.items()]
    if beside is not None:
        films.append(Media("the best few, on one scale", beside))
    report = Report(
        title=result.name,
        question=f"{states or 'no trials yet'}; {_data(result.trials)}",
        verdict=verdict,
        sentences=[] if result.finished else [result.note or "It has not come to its end."],
        results=Table("Trials", heads, rows) if rows else None,
        details=[*details, *_of_data(about), _of_environment(about)],
        players=films,
        pictures=_captioned(pictures),
        commands=commands,
    )
    return nameless(report)


def comparison_report(
    result: Comparison,
    runs: Iterable[TrialRun],
    pictures: Mapping[str, bytes],
    films: bytes | None,
    about: About,
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
    about : About
        What else is to be said of it.
    """
    runs = list(runs)
    players = []
    if films is not None:
        players.append(Media("the first seed of each arm, on one scale", films))
    arms = ", ".join(result.values)
    commands = [_again("", about.script)] if about.script else []
    if runs:
        commands += _commands_of(result.name, runs[0])
    report = Report(
        title=result.name,
        question=f"Which has the better {result.metric}: {arms}? {_data(runs)}",
        verdict=_sentence(result.verdict()),
        sentences=[*filter(None, [about.note]), *result.scope()],
        results=Table("Arms", *result.cells()),
        details=[*_settings_of_arms(runs), *_of_data(about), _of_environment(about)],
        players=players,
        pictures=_captioned(pictures),
        commands=commands,
    )
    return nameless(report)


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
    return [Media(_caption(name), pictures[name]) for name in order]


def _caption(name: str) -> str:
    """What a picture shows; the name of the file where nobody says it."""
    of_network = caption_of(name)
    if of_network:
        return f"The best network: {of_network}"
    return CAPTIONS.get(name, PurePosixPath(name).stem)


def _data(runs: list[TrialRun]) -> str:
    """Which data the networks have learned from, in a sentence."""
    if not runs:
        return "nothing has been trained."
    first = runs[0]
    data = first.params.get(f"{OURS}data", "?")
    sentence = f"data {data}"
    if count := first.tags.get("harness.valid_examples"):
        sentence += f", measured on {count} validation examples"
    return sentence + "."


def _commands_of(name: str, run: TrialRun) -> list[str]:
    """The lines that train one network of a study again: with other options, and to compare."""
    reference = f"{name}#{run.number}"
    return [
        shlex.join(["harness", "run", "--config", reference]),
        shlex.join(["harness", "verify", reference]),
    ]


def _settings(run: TrialRun) -> list[list[str]]:
    """The config of a trial, a row for each setting."""
    return [
        [name.removeprefix(OURS), str(value)]
        for name, value in run.params.items()
        if name.startswith(OURS)
    ]


def _settings_of_arms(runs: list[TrialRun]) -> list[Table]:
    """In what the arms differ, and what they share."""
    first: dict[str, dict[str, str]] = {}
    for run in runs:
        own = {name: value for name, value in _settings(run) if not _is_repeated(name)}
        first.setdefault(run.result.arm, own)
    if not first:
        return []
    names = list(dict.fromkeys(name for own in first.values() for name in own))
    different = []
    shared = []
    for name in names:
        values = [own.get(name, "") for own in first.values()]
        if len(set(values)) > 1:
            different.append([name, *values])
        else:
            shared.append([name, values[0]])
    tables = [Table("In what the arms differ", ["", *first], different)] if different else []
    return [*tables, Table("What the arms share", [], shared)]


def _is_repeated(name: str) -> bool:
    """Whether a setting is a part of another one, or differs from network to network."""
    return name in ("seed", "activations") or "." in name


def _of_data(about: About) -> list[Table]:
    """The data sets of a study; equal digests are equal rows."""
    rows = []
    for data in about.inputs:
        profile = json.loads(data.profile or "{}")
        profile = {what: count for what, count in profile.items() if what != "num_elements"}
        counts = ", ".join(f"{count} {what}" for what, count in profile.items())
        counts = counts.replace("num_rows", "rows")
        rows.append([data.context, data.name, counts, data.digest])
    return [Table("Data", ["used for", "name", "size", "digest"], rows)] if rows else []


def _of_environment(about: About) -> Table:
    environment = about.environment
    rows = [[name, str(value)] for name, value in environment.items() if name != "plugins"]
    return Table("Environment", [], rows)


# Nothing of the machine --------------------------------------------------------------------------


def nameless(report: Report) -> Report:
    """A report whose texts name no folder of this machine."""
    return replace(
        report,
        title=without_folders(report.title),
        question=without_folders(report.question),
        verdict=without_folders(report.verdict),
        sentences=[without_folders(sentence) for sentence in report.sentences],
        results=_nameless_table(report.results) if report.results else None,
        details=[_nameless_table(table) for table in report.details],
        commands=[without_folders(command) for command in report.commands],
    )


def _nameless_table(table: Table) -> Table:
    rows = [[without_folders(cell) for cell in row] for row in table.rows]
    return replace(table, heads=[without_folders(head) for head in table.heads], rows=rows)
