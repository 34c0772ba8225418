"""harness ui: the MLflow UI."""

import click

from harness.cli.command import Command, project_option, text_option
from harness.cli.orphans import end_orphans


@click.command(
    cls=Command, short_help="Show the runs in a browser.", example="harness ui --port 5001"
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
def ui(host: str | None, port: int | None, project: str | None) -> None:
    """Show the runs in a browser: starts the MLflow UI and prints its address. Ctrl-C ends it."""
    from harness.tracking.ui import serve_ui

    end_orphans()
    serve_ui(host=host or "127.0.0.1", port=port or 5000, project=project or "harness")
