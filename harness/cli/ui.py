"""harness ui: the MLflow UI."""

from typing import TYPE_CHECKING

import click

from harness.cli.group import PROJECT, declare

if TYPE_CHECKING:
    pass


# harness ui, list, show, new, check, predict, results ---------------------------------------------
@declare(
    (
        "--host",
        "ADDRESS",
        "The address to listen on.  [default: 127.0.0.1, which only this machine can reach]",
    ),
    ("--port", click.IntRange(1, 65535), "The port to listen on.  [default: 5000]"),
    *PROJECT,
    short="Show the runs in a browser.",
    example="harness ui --port 5001",
)
def ui(host: str | None, port: int | None, project: str | None) -> None:
    """Show the runs in a browser: starts the MLflow UI and prints its address. Ctrl-C ends it."""
    from harness.tracking.ui import serve_ui

    serve_ui(
        host=host or "127.0.0.1", port=5000 if port is None else port, project=project or "harness"
    )
