"""Descriptions: what somebody reads first who opens a sweep, a comparison or a trial in MLflow.

They are Markdown. What a user or a plugin has written is escaped. The runs of trials are known only
when they are logged, so links name a trial by its number: `tracking.links` puts the runs in.
"""

import shlex
from collections import Counter
from collections.abc import Iterable

from harness.escapes import (
    Markdown,
    escape_markdown,
    markdown_lines,
    markdown_table,
    without_folders,
)
from harness.storage.links import link_to_study, link_to_trial
from harness.storage.records import TrialRun
from harness.studies.comparison import Comparison
from harness.studies.pace import in_words
from harness.studies.result import Result
from harness.trials.params import OURS, words

SHOWN = 10  # trials of the table
_LONGEST_CELL = 300  # characters of what was suggested


def sweep_description(result: Result, seconds: float, source: str, note: str) -> str:
    """The verdict, how many trials ended in which state, on what data, the best ten, commands.

    Parameters
    ----------
    result : Result
        How the sweep stands.
    seconds : float
        How long its last start has taken.
    source : str
        The name of its script; "" for none.
    note : str
        Why it has not come to its end; "" where it has.
    """
    counts = Counter(run.result.state.lower() for run in result.trials)
    states = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    head = f"**{len(result.trials)} trials**: {escape_markdown(states)}"
    sentences = [f"{head}; {_data(result.trials)}. {_duration(result.trials, seconds)}"]
    sentences += [escape_markdown(sentence) for sentence in [*result.remarks(), note] if sentence]
    commands = [shlex.join(["harness", "sweep", source, "--name", result.name])] if source else []
    best = result.best
    if best is not None:
        reference = f"{result.name}#{best.number}"
        commands += [
            shlex.join(["harness", "run", "--config", reference]),
            shlex.join(["harness", "verify", reference]),
        ]
    parts = [_verdict_of_sweep(result), sentences[0], _table(result), *sentences[1:]]
    return _joined([*parts, markdown_lines(commands)])


def comparison_description(
    result: Comparison, runs: Iterable[TrialRun], seconds: float, source: str
) -> str:
    """The verdict, the arms with links to their networks, on what data, and the command.

    Parameters
    ----------
    result : Comparison
        What came of it.
    runs : iterable of TrialRun
        The networks that were compared.
    seconds : float
        How long its last start has taken.
    source : str
        The name of its script; "" for none.
    """
    runs = sorted(runs, key=lambda run: run.number or 0)
    networks: dict[str, list[str]] = {}
    for run in runs:
        networks.setdefault(run.result.arm, []).append(link_to_trial(run.number or 0))
    links = {arm: " ".join(of_arm) for arm, of_arm in networks.items()}
    about = f"{_sentence(_data(runs))}. {_duration(runs, seconds)}"
    commands = [shlex.join(["python", source])] if source else []
    return _joined([result.markdown(links), about, markdown_lines(commands)])


def trial_description(run: TrialRun, metric: str, study: str = "") -> str:
    """How a trial has ended, on what data, how long it took, and the command that repeats it.

    Parameters
    ----------
    run : TrialRun
        Its record.
    metric : str
        What its first value is.
    study : str
        The sweep or comparison that it belongs to; "" for a run that stands alone.
    """
    result = run.result
    verdict = f"**{result.state}**"
    if result.is_ranked:
        verdict = f"**{escape_markdown(metric)} {result.values[0]:.4f}**"
    about = f"{verdict} after {_count(result.epochs, 'epoch')}"
    if result.params:
        about += f": {escape_markdown(_cut(words(result.params)))}"
    sentence = _sentence(_data([run]))
    if result.train_seconds is not None:
        sentence += f"; trained in {_time(result.train_seconds)}"
    reference = run.name
    if study:
        sentence += f"; a trial of {link_to_study(study)}"
        reference = f"{study}#{run.number}"
    commands = [shlex.join(["harness", "run", "--config", reference])]
    return _joined([about, _reason(run), f"{sentence}.", markdown_lines(commands)])


def copy_description(run: TrialRun, study: str) -> str:
    """What is said of a trial whose config had been trained before.

    Parameters
    ----------
    run : TrialRun
        The record of the trial that was trained.
    study : str
        The sweep.
    """
    same = f"The same config as \\#{run.number} of {link_to_study(study)}"
    return _joined([_reason(run), f"{same}, so it was not trained again."])


def _reason(run: TrialRun) -> str:
    """Why a trial has failed, was stopped or diverged; "" where it came to its end."""
    result = run.result
    return f"**{result.state}** {escape_markdown(result.reason)}" if result.reason else ""


def _verdict_of_sweep(result: Result) -> str:
    """Which trial is the best, by how much, and with what; "" where none has a value."""
    ranked = result.ranked
    if not ranked:
        return ""
    if len(result.objectives) > 1:
        front = result.front
        links = ", ".join(link_to_trial(run.number or 0) for run in front[:SHOWN])
        goals = escape_markdown(" and ".join(goal.name for goal in result.objectives))
        return f"**No trial is better in {goals} than {links}**"
    best = ranked[0]
    value = best.result.values[0]
    verdict = f"**{link_to_trial(best.number or 0)} is best, {escape_markdown(result.metric)}"
    verdict += f" {value:.4f}**"
    if len(ranked) > 1:
        ahead = abs(value - ranked[1].result.values[0])
        verdict += f", {ahead:.4f} ahead of {link_to_trial(ranked[1].number or 0)}"
    return f"{verdict}: {escape_markdown(_cut(words(best.result.params)))}"


def _table(result: Result) -> str:
    """The best trials, each with a link to its run."""
    objectives = [objective.name for objective in result.objectives]
    rows: list[list[object]] = [["", "trial", *objectives, "epochs", "train s", "parameters"]]
    for place, run in enumerate(result.ranked[:SHOWN], 1):
        trial = run.result
        link = Markdown(link_to_trial(run.number or 0))
        values = (f"{value:.4f}" for value in trial.values)
        seconds = "" if trial.train_seconds is None else f"{trial.train_seconds:.2f}"
        rows.append([place, link, *values, trial.epochs, seconds, _cut(words(trial.params))])
    return markdown_table(rows)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _data(runs: list[TrialRun]) -> str:
    """Which data networks have learned from, and on what they were measured, without a period."""
    if not runs:
        return "nothing has been trained"
    first = runs[0]
    sentence = f"data {without_folders(str(first.params.get(f'{OURS}data', '?')))}"
    if count := first.tags.get("harness.valid_examples"):
        sentence += f", measured on {count} validation examples"
    seed = first.params.get(f"{OURS}split_seed")
    if seed is not None:
        sentence += f" (split by seed {seed})"
    return escape_markdown(sentence)


def _duration(runs: list[TrialRun], seconds: float) -> str:
    trained = sum(run.result.train_seconds or 0 for run in runs)
    return f"It took {_time(seconds)}; the training alone {_time(trained)} of one processor."


def _time(seconds: float) -> str:
    """A time in words, with a fraction where it is short."""
    return f"{seconds:.2g} s" if seconds < 9.5 else in_words(seconds)


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_CELL else f"{text[:_LONGEST_CELL]}..."


def _joined(parts: Iterable[str]) -> str:
    return "\n\n".join(part for part in parts if part)
