"""harness sync, doctor and gc: what one does after accidents."""

from typing import TYPE_CHECKING

import click

from harness.cli.common import load_plugins
from harness.cli.group import PLUGIN, declare
from harness.cli.terminal import echo

if TYPE_CHECKING:
    pass


# harness sync, doctor, gc -------------------------------------------------------------------------
@declare(
    ("--name", "TEXT", "Only this sweep or comparison; 'single runs' are those of harness run."),
    short="Send what waits for MLflow, after an outage.",
    example="harness sync",
)
def sync(name: str | None) -> None:
    """Send everything that waits in a spool to MLflow: after an outage, or once a driver was
    killed.

    A sweep that is going on sends its own. The exit code is 1 if something still waits.
    """
    from harness.maintenance import sync

    if not sync.sync(name, say=echo):
        raise click.exceptions.Exit(1)


@declare(
    ("--dry-run dry", True, "Only say what would be repaired."),
    short="Check and repair mlruns/: store, spools, journals, checkpoints.",
    example="harness doctor --dry-run",
)
def doctor(dry: bool) -> None:
    """Check the store and everything that lies below mlruns/, repair what can be without loss, and
    say what was done.

    What a running sweep works on is left alone. The exit code is 1 if something is wrong that could
    not be repaired; with --dry-run, if there is anything to repair.
    """
    from harness.maintenance import doctor

    if not doctor.doctor(dry=dry, say=echo):
        raise click.exceptions.Exit(1)


@declare(
    (
        "--films-of-lost films",
        True,
        "Delete the films of all trials of sweeps but the best of each sweep.",
    ),
    (
        "--checkpoints",
        True,
        "Delete the checkpoints of trials that have ended, and of sweeps that have finished.",
    ),
    ("--yes", True, "Do not ask."),
    *PLUGIN,
    short="Show what takes space below mlruns/, and free it.",
    example="harness gc --films-of-lost",
)
def gc(films: bool, checkpoints: bool, yes: bool, plugins: tuple[str, ...]) -> None:
    """Show what takes space below mlruns/, sweep by sweep, or delete what is asked for.

    Only local files are touched: artifacts on a server are not. Where a sweep's metric is one of
    your own, --plugin must name its file, or nobody knows which trial is the best.
    """
    from harness.maintenance import gc

    load_plugins(plugins)
    if not (films or checkpoints):
        rows = [(each.name, *map(gc.size, each[1:]), gc.size(sum(each[1:]))) for each in gc.usage()]
        heads = ("sweep", *gc.Usage._fields[1:], "all")
        for cells in [heads, *rows] if rows else []:
            echo(f"{cells[0][:40]:40}" + "".join(f"{cell:>12}" for cell in cells[1:]))
        if not rows:
            echo("nothing lies below mlruns/ yet")
        return
    for wanted, what, found in (
        (films, "films of trials that are not the best of their sweep", gc.films_of_lost),
        (checkpoints, "checkpoints of what has ended", gc.old_checkpoints),
    ):
        if wanted:
            paths = found(say=echo)
            bytes_ = sum(path.stat().st_size for path in paths)
            echo(f"{what}: {len(paths)} files, {gc.size(bytes_)}")
            if paths and (yes or click.confirm("Delete them?")):
                echo(f"deleted, {gc.size(gc.delete(paths))} freed")
