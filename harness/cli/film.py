"""harness film: networks beside each other, as one film and one page."""

from typing import Any

import click

from harness.cli.arguments import load_plugins
from harness.cli.command import Command, is_given, plugin_option, text_option
from harness.cli.terminal import echo


@click.command(
    cls=Command,
    short_help="Films of networks, side by side.",
    example="harness film 'first sweep#3' 'first sweep#12' --output two.mp4",
)
@text_option(
    "--output",
    "--out",
    "outputs",
    multiple=True,
    metavar="FILE",
    help="A .html (a page with a slider), .mp4, .gif or .png (the last frame); may be repeated.  "
    "[default: film.html and film.mp4, of several networks films.html and films.mp4]",
)
@click.option(
    "--best",
    type=int,
    metavar="N",
    help="How many of its best trials a sweep stands for.  [default: 1]",
)
@click.option(
    "--all-seeds", is_flag=True, help="All networks of a comparison, not only the first seed's."
)
@click.option(
    "--show",
    type=click.Choice(["change", "weights"]),
    help="The weights minus those of the first frame, or as they are.  [default: change]",
)
@click.option(
    "--scaling",
    type=click.Choice(["root", "symmetric", "rank"]),
    help="How weights become colours.  [default: root]",
)
@click.option(
    "--layer",
    type=int,
    metavar="N",
    help="Which of the trained matrices, seen through those below it.  [default: 0, the first]",
)
@click.option("--matrix", is_flag=True, help="The layer's own matrix in place of tiles.")
@click.option("--frames", type=int, metavar="N", help="So many frames, evenly spread.")
@click.option(
    "--units", type=int, metavar="N", help="Units of each.  [default: as many as have room]"
)
@click.option("--columns", type=int, metavar="N", help="How many stand beside each other.")
@click.option(
    "--limit", type=float, metavar="NUMBER", help="The weight at which the common scale ends."
)
@click.option(
    "--colours", type=click.Choice(["signed", "greys"]), help="The colour map.  [default: signed]"
)
@click.option("--fps", type=float, metavar="NUMBER", help="Frames a second.  [default: 10]")
@text_option(
    "--title",
    "titles",
    multiple=True,
    metavar="TEXT",
    help="What stands above a film; once for each.",
)
@plugin_option
@click.argument("runs", nargs=-1, required=True)
def film(
    runs: tuple[str, ...], outputs: tuple[str, ...], plugins: tuple[str, ...], **options: Any
) -> None:
    """Put the films of networks beside each other, on one axis of steps and one scale.

    Each of RUNS is a logged run (its name, its run id, or 'SWEEP#3'), a sweep, which stands for its
    best trial, a comparison, which stands for its arms (each with the first seed), or the path of a
    page that plays a film (film.html). One alone gives its large film. A trial that has kept no
    such film is trained again, and must come to the same digest.
    """
    from harness.films.film import film

    load_plugins(plugins)
    given = {name: value for name, value in options.items() if is_given(value)}
    for path in film(list(runs), *outputs, **given):
        echo(f"{path}: {path.stat().st_size / 1e6:.2f} MB")
