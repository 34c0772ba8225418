"""harness results and harness verify: what has been logged."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.arguments import load_plugins
from harness.cli.command import Command, plugin_option, text_option
from harness.cli.orphans import end_orphans
from harness.cli.tables import write_table
from harness.cli.terminal import echo
from harness.storage.files import on_disk

if TYPE_CHECKING:
    from pandas import DataFrame

# The columns of a table of trials that the screen shows, beside their scores
_SHOWN = ("number", "name", "state", "value", "seconds")
_SCORES = ("train/", "valid/", "test/")


@click.command(
    cls=Command,
    short_help="Show what has been logged, as a table or CSV.",
    example="harness results 'first sweep' --csv first_sweep.csv",
)
@text_option(
    "--csv", "file", metavar="FILE.csv", help="Write the table, with all its columns, to this file."
)
@click.argument("name", required=False)
def results(name: str | None, file: str | None) -> None:
    """Show what has been logged: all sweeps, comparisons and runs, or the trials of the one called
    NAME, best first.

    The screen shows the scores, and of a comparison its means, intervals and verdicts too; the CSV
    has every parameter and metric.
    """
    end_orphans()
    frame = _logged(name)
    if file is not None:
        write_table(frame, file)
        echo(f"{len(frame)} rows, {len(frame.columns)} columns: {file}")
    elif name is None:
        _show_everything(frame)
    else:
        _show_trials(name, frame)


def _logged(name: str | None) -> "DataFrame":
    """A table of the trials under a name, the best first; without one, of all that is logged."""
    import pandas

    from harness import tracking
    from harness.studies.ranking import best_first

    if name is not None:
        return best_first(tracking.results(name))
    rows = []
    for parent in tracking.parents():
        started = time.strftime("%Y-%m-%d %H:%M", time.localtime(parent.start_ms / 1000))
        rows.append((parent.name, parent.kind, parent.status, started, parent.run_id))
    return pandas.DataFrame(rows, columns=["name", "kind", "status", "started", "run_id"])


def _show_everything(frame: "DataFrame") -> None:
    if frame.empty:
        echo("nothing has been logged yet")
    else:
        echo(_as_text(frame))


def _show_trials(name: str, frame: "DataFrame") -> None:
    """Prints the trials of a sweep or a comparison, or all of a single run."""
    from pandas import isna

    from harness.studies.ranking import comparison_of

    if frame.empty:
        echo(f"{name!r} has no trials yet")
        return
    # A single run has one row with all its parameters, which reads better from top to bottom.
    if len(frame) == 1 and isna(frame["number"].iloc[0]):
        echo(frame.iloc[0].to_string())
        return
    columns = [name for name in frame.columns if name in _SHOWN or name.startswith(_SCORES)]
    # Mostly no trial has a note, and the column would be empty.
    if frame["note"].any():
        columns.append("note")
    echo(_as_text(frame[columns]))
    comparison = comparison_of(frame)
    if comparison:
        echo(f"\n{comparison.table()}")
        if verdict := comparison.verdict():
            echo(f"verdict: {verdict}")


def _as_text(frame: "DataFrame") -> str:
    return frame.to_string(index=False, na_rep="", float_format="%.4f")


@click.command(
    cls=Command,
    short_help="Train a logged run again and compare.",
    example="harness verify 'first sweep#0'",
)
@text_option(
    "--sources",
    metavar="FOLDER",
    help="Only write the sources of the plugins that the run was trained with to this folder.",
)
@plugin_option
@click.argument("run")
def verify(run: str, sources: str | None, plugins: tuple[str, ...]) -> None:
    """Train a logged run again: is it identical, or where does it depart and what differs in the
    environment?

    RUN is a run id, the name of a single run, or a sweep's name with the number of a trial: 'first
    sweep#12'. Compared are the metrics of every epoch, the weights at the end (by their digest) and
    how it ended; the exit code is 1 where one of them departs. A plugin that it needs must be
    given: what is kept with a run is never executed by itself.
    """
    from harness.maintenance import logged, verify

    if sources is not None:
        with on_disk(sources):
            files = logged.save_sources(run, Path(sources).expanduser())
        echo("\n".join(map(str, files)) or "the run was trained without plugins")
        return
    load_plugins(plugins)
    verdict = verify.verify(run, say=_say_aside)
    echo(verdict.text)
    if not verdict.identical:
        raise click.exceptions.Exit(1)


def _say_aside(sentence: str) -> None:
    """Prints what is no part of the answer."""
    echo(sentence, err=True)
