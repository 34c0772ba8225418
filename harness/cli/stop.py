"""harness stop: ends one trial of a sweep, or the work on a sweep."""

import click

from harness.cli.command import Command
from harness.cli.terminal import echo


@click.command(
    cls=Command,
    short_help="End a trial that is in training, or stop a sweep.",
    example="harness stop 'first sweep#7'",
)
@click.argument("name")
def stop(name: str) -> None:
    """End a trial that is in training, or stop a sweep or comparison, from another terminal.

    NAME is a sweep's name with the number of a trial, 'first sweep#7', the name of a sweep or
    comparison, or the run id of one of these. A trial ends after its present segment as STOPPED,
    keeps what was measured so far, and is not trained again; its sweep goes on without it. A sweep
    stops as after Ctrl-C; the same command goes on with it.
    """
    from harness.maintenance.stop import stop

    echo(stop(name))
