"""harness sync, doctor and gc: what one does after accidents."""

from collections.abc import Callable
from pathlib import Path

import click

from harness.cli.arguments import load_plugins
from harness.cli.command import Command, plugin_option, text_option
from harness.cli.terminal import echo


@click.command(
    cls=Command, short_help="Send what waits for MLflow, after an outage.", example="harness sync"
)
@text_option(
    "--name",
    metavar="TEXT",
    help="Only this sweep or comparison; 'single runs' are those of harness run.",
)
def sync(name: str | None) -> None:
    """Send everything that waits in a spool to MLflow: after an outage, or once a driver was
    killed.

    A sweep that is going on sends its own. The exit code is 1 if something still waits.
    """
    from harness.maintenance import sync

    if not sync.sync(name, say=echo):
        raise click.exceptions.Exit(1)


@click.command(
    cls=Command,
    short_help="Check and repair mlruns/: store, spools, journals, checkpoints.",
    example="harness doctor --dry-run",
)
@click.option("--dry-run", "dry", is_flag=True, help="Only say what would be repaired.")
def doctor(dry: bool) -> None:
    """Check the store and everything that lies below mlruns/, repair what can be without loss, and
    say what was done.

    What a running sweep works on is left alone. The exit code is 1 if something is wrong that could
    not be repaired; with --dry-run, if there is anything to repair.
    """
    from harness.maintenance import doctor

    if not doctor.doctor(dry=dry, say=echo):
        raise click.exceptions.Exit(1)


@click.command(
    cls=Command,
    short_help="Show what takes space below mlruns/, and free it.",
    example="harness gc --films-of-lost",
)
@click.option(
    "--films-of-lost",
    "films",
    is_flag=True,
    help="Delete the films of all trials of sweeps but the best of each sweep.",
)
@click.option(
    "--checkpoints",
    is_flag=True,
    help="Delete the checkpoints of trials that have ended, and of sweeps that have finished.",
)
@click.option(
    "--networks",
    is_flag=True,
    help="Delete kept networks that no trial needs any more.",
)
@click.option(
    "--kernels",
    is_flag=True,
    help="Delete the compiled loops in your cache folder; what is needed is compiled again.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@plugin_option
def gc(
    films: bool,
    checkpoints: bool,
    networks: bool,
    kernels: bool,
    yes: bool,
    plugins: tuple[str, ...],
) -> None:
    """Show what takes space below mlruns/, sweep by sweep, or delete what is asked for.

    Only local files are touched: artifacts on a server are not. Where a sweep's metric is one of
    your own, --plugin must name its file, or nobody knows which trial is the best.
    """
    from harness.maintenance import gc

    load_plugins(plugins)
    if films:
        kind = "films of trials that are not the best of their sweep"
        _offer_to_delete(kind, gc.films_of_lost(say=echo), gc.size, gc.delete, yes)
    if checkpoints:
        kind = "checkpoints of what has ended"
        _offer_to_delete(kind, gc.old_checkpoints(say=echo), gc.size, gc.delete, yes)
    if networks:
        kind = "networks that no trial needs any more"
        _offer_to_delete(kind, gc.old_networks(say=echo), gc.size, gc.delete, yes)
    if kernels:
        kind = "compiled loops"
        _offer_to_delete(kind, gc.compiled_loops(), gc.size, gc.delete, yes)
    if not (films or checkpoints or networks or kernels):
        _show_usage()


def _offer_to_delete(
    kind: str,
    paths: list[Path],
    size: Callable[[float], str],
    delete: Callable[[list[Path]], int],
    yes: bool,
) -> None:
    """Says how much space files take, and deletes them where the user agrees."""
    echo(f"{kind}: {len(paths)} files, {size(sum(path.stat().st_size for path in paths))}")
    # Nothing is asked where there is nothing to delete.
    if paths and (yes or click.confirm("Delete them?")):
        echo(f"deleted, {size(delete(paths))} freed")


def _show_usage() -> None:
    """Prints a table of what each sweep takes."""
    from harness.maintenance.gc import Usage, size, usage

    sweeps = usage()
    if not sweeps:
        echo("nothing lies below mlruns/ yet")
        return
    parts = Usage._fields[1:]
    _echo_row("sweep", *parts, "all")
    for sweep in sweeps:
        bytes_ = [getattr(sweep, part) for part in parts]
        _echo_row(sweep.name, *map(size, bytes_), size(sum(bytes_)))


def _echo_row(name: str, *cells: str) -> None:
    """Prints a row of a table: a wide column of names, and narrow ones."""
    echo(f"{name[:40]:40}" + "".join(f"{cell:>12}" for cell in cells))
