"""harness ui: the MLflow UI."""

import click

from harness.cli.command import Command, project_option, text_option
from harness.cli.orphans import end_orphans


@click.command(
    cls=Command, short_help="Show the runs in a browser.", example="harness ui 'first sweep'"
)
@text_option(
    "--host",
    metavar="ADDRESS",
    help="The address to listen on.  [default: 127.0.0.1, which only this machine can reach]",
)
@click.option(
    "--port", type=click.IntRange(1, 65535), help="The port to listen on.  [default: 5000]"
)
@project_option
@click.argument("name", required=False)
def ui(name: str | None, host: str | None, port: int | None, project: str | None) -> None:
    """Show the sweep or comparison NAME in a browser; without NAME the one that was started last.

    Starts the MLflow UI and prints the address of its saved view there: the best first, their
    parameters beside them, learning curves. Ctrl-C ends it.
    """
    from harness.tracking.ui import serve_ui

    end_orphans()
    host = host or "127.0.0.1"
    serve_ui(host=host, port=port or 5000, project=project or "harness", name=name)
