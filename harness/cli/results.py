"""harness results and harness verify: what has been logged."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.common import load_plugins, writing
from harness.cli.group import PLUGIN, declare
from harness.cli.terminal import echo
from harness.storage.files import write_plain

if TYPE_CHECKING:
    pass


_SHOWN = ("number", "name", "state", "value", "seconds")


@declare(
    ("--csv file", "FILE.csv", "Write the table, with all its columns, to this file."),
    short="Show what has been logged, as a table or CSV.",
    example="harness results 'first sweep' --csv first_sweep.csv",
)
@click.argument("name", required=False)
def results(name: str | None, file: str | None) -> None:
    """Show what has been logged: all sweeps, comparisons and runs, or the trials of the one called
    NAME, best first.

    The screen shows the scores, and of a comparison its means, intervals and verdicts too; the CSV
    has every parameter and metric.
    """
    import pandas

    from harness import tracking
    from harness.escapes import to_csv
    from harness.studies.ranking import best_first, comparison_of

    if name is None:
        found = tracking.parents()
        started = [
            time.strftime("%Y-%m-%d %H:%M", time.localtime(each.start_ms / 1000)) for each in found
        ]
        rows = [
            (p.name, p.kind, p.status, at, p.run_id) for p, at in zip(found, started, strict=True)
        ]
        frame = pandas.DataFrame(rows, columns=["name", "kind", "status", "started", "run_id"])
    else:
        frame = best_first(tracking.results(name))
    if file:
        with writing(file):
            Path(file).expanduser().parent.stat()  # no folder is made for it
        write_plain(Path(file).expanduser(), to_csv(frame).encode())
        echo(f"{len(frame)} rows, {len(frame.columns)} columns: {file}")
    elif frame.empty:
        echo("nothing has been logged yet" if name is None else f"{name!r} has no trials yet")
    elif name and len(frame) == 1:
        echo(frame.iloc[0].to_string())
    else:
        parts = ("train/", "valid/", "test/")
        shown = (
            [c for c in frame.columns if c in _SHOWN or c.startswith(parts)]
            if name
            else list(frame.columns)
        )
        if name and frame["note"].any():
            shown.append("note")
        echo(frame[shown].to_string(index=False, na_rep="", float_format="%.4f"))
        if compared := comparison_of(frame) if name else None:
            echo(f"\n{compared.table()}")
            if verdict := compared.verdict():
                echo(f"verdict: {verdict}")


@declare(
    (
        "--sources",
        "FOLDER",
        "Only write the sources of the plugins that the run was trained with to this folder.",
    ),
    *PLUGIN,
    short="Train a logged run again and compare.",
    example="harness verify 'first sweep#0'",
)
@click.argument("run")
def verify(run: str, sources: str | None, plugins: tuple[str, ...]) -> None:
    """Train a logged run again: is it identical, or where does it depart and what differs in the
    environment?

    RUN is a run id, the name of a single run, or a sweep's name with the number of a trial: 'first
    sweep#12'. Compared are the metrics of every epoch, the weights at the end (by their digest) and
    how it ended; the exit code is 1 where one of them departs. A plugin that it needs must be
    given: what is kept with a run is never executed by itself.
    """
    from harness.maintenance import logged
    from harness.maintenance import verify as room

    if sources:
        with writing(sources):
            files = logged.save_sources(run, Path(sources).expanduser())
        echo("\n".join(map(str, files)) or "the run was trained without plugins")
        return
    load_plugins(plugins)
    verdict = room.verify(run, say=lambda sentence: echo(sentence, err=True))
    echo(verdict.text)
    if not verdict.identical:
        raise click.exceptions.Exit(1)
