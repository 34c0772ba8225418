"""harness show: a trained network in pictures, or what a name stands for."""

import re
from pathlib import Path

import click

from harness.cli.arguments import load_plugins
from harness.cli.command import Command, plugin_option, text_option
from harness.cli.terminal import echo
from harness.errors import UsageError
from harness.storage.files import make_folder, write_whole


@click.command(
    cls=Command,
    short_help="Draw a trained network, or explain one name.",
    example="harness show 'first sweep#23' --out first_sweep_23",
)
@text_option(
    "--out",
    metavar="PLACE",
    help="Of a network the folder for its pictures, of a name the file: .png, .svg, .pdf.  "
    "[default: both are called after NAME, in this folder]",
)
@text_option(
    "--kind",
    metavar="KIND",
    help="Which one, if there are several of that name: initializer, schedule, ..., or run.",
)
@click.option(
    "--over-time/--no-over-time",
    default=None,
    help="Train the network again to draw how its weights and activations spread.  [default: where "
    "that took less than 10 s]",
)
@click.option("--log", is_flag=True, help="Log the pictures to the run in MLflow too.")
@click.option("--open", "open_it", is_flag=True, help="Open what was drawn.")
@plugin_option
@click.argument("name")
def show(
    name: str,
    out: str | None,
    kind: str | None,
    over_time: bool | None,
    log: bool,
    open_it: bool,
    plugins: tuple[str, ...],
) -> None:
    """Draw the network of a run, or explain what a registered name stands for, and draw that.

    NAME is a run: its name, its run id, 'SWEEP#3', or a sweep, which stands for its best network;
    or the path of a saved network. Drawn are learning curves, the confusion matrix, the surest
    mistakes, the network taken apart, dead units and whatever else fits; the files are listed. A
    network that was not kept is trained again.

    NAME is also what `harness list` has, which goes first (--kind run is for a run that is called
    like it): of an activation value and slope are drawn; of an update rule its path down a bowl, w1
    flat and w2 ten times as steep, for 1000 steps; of a schedule its curve; of an initializer its
    histogram. It may have arguments.
    """
    from harness.cli.plugins import explain, is_registered

    load_plugins(plugins)
    is_name = kind is not None or is_registered(name)
    place: Path | None
    if kind == "run" or not is_name:
        place = Path(out or folder_for(name)).expanduser()
        _draw_run(name, place, over_time, log)
    else:
        _refuse_options_of_runs(name, over_time, log)
        place = explain(name, out, kind)
    if open_it and place is not None:
        click.launch(str(place))


def _draw_run(name: str, folder: Path, over_time: bool | None, log: bool) -> None:
    """Draws the pictures of a run into a folder, and lists them."""
    from harness.cli.plugins import unknown_name
    from harness.maintenance.models import UnknownRun
    from harness.maintenance.run_pictures import pictures_of_run
    from harness.model.pictures import caption_of

    try:
        pictures = pictures_of_run(name, over_time, _say_aside)
    except UnknownRun as error:
        # It may be a name of a plugin that is misspelled.
        if not name.partition("(")[0].isidentifier():
            raise
        raise UsageError(f"{unknown_name(name, None)}; and there is no such run") from error
    make_folder(folder)
    write_whole({folder / file: picture for file, picture in pictures.items()})
    width = max(len(str(folder / file)) for file in pictures)
    for file in pictures:
        echo(f"{folder / file!s:<{width}}  {caption_of(file)}".rstrip())
    if log:
        from harness.tracking.pictures import log_pictures

        echo(f"logged to the run {log_pictures(name, pictures)}")


def folder_for(name: str) -> str:
    """A folder's name for a run: first-sweep-23 for "first sweep#23", digits for models/digits."""
    last = Path(name).name.removesuffix(".npz")
    return re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip("-.") or "pictures"


def _refuse_options_of_runs(name: str, over_time: bool | None, log: bool) -> None:
    """UsageError for options that only a network has."""
    options = {"--over-time": over_time is not None, "--log": log}
    for option, is_given in options.items():
        if is_given:
            raise UsageError(
                f"{option} is for a run, but {name!r} is a registered name; leave it out, or add "
                "--kind run where a run is called like it"
            )


def _say_aside(sentence: str) -> None:
    """Prints what is no part of the answer."""
    echo(sentence, err=True)
