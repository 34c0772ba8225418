"""harness watch: a page that shows a study while it trains."""

import click

from harness.cli.command import Command
from harness.cli.terminal import echo


@click.command(
    cls=Command,
    short_help="Watch the networks of a sweep while they learn.",
    example="harness watch 'first sweep'",
)
@click.option(
    "--port", type=click.IntRange(1, 65535), help="The port to listen on.  [default: a free one]"
)
@click.argument("name", required=False)
def watch(name: str | None, port: int | None) -> None:
    """Watch the networks of the sweep or comparison NAME while they learn; without NAME those of
    the one that was written to last.

    Prints the address of a page that only this machine can open. It shows what trains now, with
    curves that grow and the weights of the first layer as they are, what has ended, and the best.
    Ctrl-C ends the page; the sweep goes on.
    """
    from harness.studies.kept import study_called
    from harness.watching.server import serve
    from harness.watching.snapshot import newest_study

    folder = study_called(name) if name is not None else newest_study()
    serve(folder, port or 0, echo)
