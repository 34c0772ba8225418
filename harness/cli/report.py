"""harness report: a sweep or a comparison as one HTML file."""

import re
from pathlib import Path

import click

from harness.cli.arguments import load_plugins
from harness.cli.command import Command, plugin_option, text_option
from harness.cli.terminal import echo
from harness.errors import UsageError
from harness.storage.files import write_plain


@click.command(
    cls=Command,
    short_help="Make the report of a sweep or comparison, as one HTML file.",
    example="harness report 'first sweep' --output first_sweep.html",
)
@text_option(
    "--output",
    "--out",
    "output",
    metavar="FILE.html",
    help="Where to write it.  [default: the name of the study, in this folder]",
)
@click.option("--open", "open_it", is_flag=True, help="Open it in a browser.")
@plugin_option
@click.argument("name")
def report(name: str, output: str | None, open_it: bool, plugins: tuple[str, ...]) -> None:
    """Make the report of the sweep or comparison NAME from what is kept of it, as it stands now,
    also while it runs or after it was interrupted.

    It is one HTML file with question, verdict, tables, pictures, films, settings, data, environment
    and the commands that repeat it. It asks no other machine for anything and names no folder of
    this one, so it can be sent to somebody. Each study that ends has one among the artifacts of its
    run.
    """
    from harness.studies.report_again import report_of

    load_plugins(plugins)
    path = Path(output or _file_for(name)).expanduser()
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--output must end with .html, got {output!r}; add that ending")
    page = report_of(name)
    write_plain(path, page)
    echo(f"{path}, {len(page) / 1e6:.1f} MB")
    if open_it:
        click.launch(str(path))


def _file_for(name: str) -> str:
    """A file's name for a study: first-sweep.html for "first sweep"."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "report"
    return f"{readable}.html"
