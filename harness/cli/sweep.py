"""harness sweep: the sweep that a script defines."""

import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from harness import registry
from harness.cli.arguments import check_names, load_plugins, parse_number
from harness.cli.command import (
    Command,
    is_given,
    note_option,
    plugin_option,
    project_option,
    tag_option,
    text_option,
)
from harness.cli.group import stop_code
from harness.cli.hints import command_line, mlflow_hint, ui_hint
from harness.cli.orphans import end_orphans
from harness.cli.terminal import echo
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.studies.result import Result
    from harness.studies.sweep import Sweep

SHOWN = 10  # trials in the table at the end


@click.command(
    cls=Command,
    only_given=True,
    short_help="Train many networks: the sweep of a script.",
    example="harness sweep experiments/first_sweep.py --trials 40",
)
@click.option("--trials", type=int, help="How many networks to train in all.  [default: 20]")
@click.option(
    "--workers",
    type=int,
    help="How many to train at the same time, each in a process of its own.  [default: 1]",
)
@text_option(
    "--sampler",
    metavar="SPEC",
    help="How Optuna chooses: RandomSampler, QMCSampler, ...  [default: TPESampler]",
)
@text_option(
    "--pruner",
    metavar="SPEC|none",
    help="When Optuna gives a network up: MedianPruner, HyperbandPruner, ...  [default: none]",
)
@click.option(
    "--seed",
    type=int,
    help="Decides what is tried, and the networks where the script sets no seed.  [default: 0]",
)
@text_option(
    "--name",
    metavar="TEXT",
    help="Which sweep, if the script defines several; else another name for the one it defines.",
)
@click.option(
    "--film",
    type=click.Choice(["all", "best", "none"]),
    help="Whose film of the weights to keep.  [default: all]",
)
@click.option(
    "--models",
    type=click.Choice(["best", "all", "none"]),
    help="Whose network to keep, as a model in MLflow.  [default: best]",
)
@text_option(
    "--register",
    metavar="NAME",
    help="Register the best network in MLflow under this name, with the alias best.",
)
@text_option(
    "--population",
    metavar="N|auto",
    help="How many networks of one shape to train as one batched computation.  [default: auto]",
)
@text_option(
    "--objective",
    "objectives",
    multiple=True,
    metavar="NAME",
    help="The metric, loss or train_s; repeated for several.  [default: the metric]",
)
@click.option(
    "--checkpoint",
    type=float,
    help="Seconds of training after which a network's state is written down.  [default: 30]",
)
@click.option(
    "--trial-timeout",
    type=float,
    help="Seconds of training after which a network has failed.  [default: none]",
)
@click.option(
    "--timeout",
    type=float,
    help="Seconds after which the sweep stops and can be gone on with.  [default: none]",
)
@text_option(
    "--enqueue",
    metavar="FILE",
    help="Points to try first: CSV with a column for each parameter, or JSON, a list of objects.",
)
@click.option(
    "--seeds",
    type=int,
    help="Networks of each trial, whose value is the mean over their seeds.  [default: 1]",
)
@click.option(
    "--synchronous",
    is_flag=True,
    help="Ask, prune and tell in rounds of 8, so that nothing of it depends on --workers.",
)
@text_option(
    "--scheduler",
    metavar="ADDRESS",
    help="A Dask cluster, as tcp://127.0.0.1:8786 or its scheduler file: no local workers.",
)
@click.option(
    "--inputs",
    type=click.Choice(["all", "best", "none"]),
    help="Which trials have their data among the inputs of their run.  [default: best]",
)
@tag_option
@note_option
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Write each event as a line of JSON to stdout, and all else to stderr.",
)
@project_option
@plugin_option
@click.argument("script")
def sweep(
    script: str, name: str | None, plugins: tuple[str, ...], as_json: bool, **options: Any
) -> None:
    """Start the sweep that SCRIPT defines, or go on where it stopped.

    SCRIPT is a Python file with a search space under @harness.sweep(...), or a module.
    Options given here override those of the script, and these the defaults. Ctrl-C stops it; the
    same command goes on with it.
    """
    check_names(name, options["project"])
    from harness.studies.events import events_on_stdout

    # Whatever the script prints while it is loaded is no event.
    with events_on_stdout(wanted=as_json):
        load_plugins(plugins)
        _run(script, name, options)


def _run(script: str, name: str | None, options: dict[str, Any]) -> None:
    """Runs the sweep of a script."""
    from harness.tracking.connect import store_uri

    choice = _find_sweep(script, name)
    overrides = _overrides(options)
    if name and choice.is_only:
        overrides["name"] = name
    try:
        result = choice.sweep.run(**overrides)
    except KeyboardInterrupt as stop:
        ended = _ended(overrides.get("name", choice.sweep.name))
        again = command_line(*sys.argv[1:])
        echo(f"stopped after {ended} trials; go on with: {again}", err=True)
        raise click.exceptions.Exit(stop_code(stop)) from None
    _show(result)
    if result.ranked and overrides.get("models", choice.sweep.models) != "none":
        words = [result.name, "DATA", *registry.to_be_given()]
        echo(f"the best network predicts: {command_line('predict', *words)}")
    echo(f"to see them: {ui_hint(result.name, overrides.get('project', choice.sweep.project))}")
    if plain := mlflow_hint(store_uri()):
        echo(f"         or: {plain}")
    end_orphans()


def _overrides(options: dict[str, Any]) -> dict[str, Any]:
    """What was given on the command line, as arguments of `Sweep.run`."""
    given = {key: value for key, value in options.items() if is_given(value)}
    if given.get("population", "auto") != "auto":
        must = "a whole number or auto"
        given["population"] = parse_number("--population", int, given["population"], must)
    if given.get("pruner") == "none":
        given["pruner"] = None
    if "tags" in given:
        from harness.studies.labels import read_tags

        given["tags"] = read_tags(given["tags"])
    if "enqueue" in given:
        from harness.studies.enqueue import read_points

        given["enqueue"] = read_points(given["enqueue"])
    return given


def _show(result: "Result") -> None:
    """Prints how the trials of a sweep ended, and the best of them."""
    states = Counter(trial.result.state.lower() for trial in result.trials)
    count = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    line = f"{result.name}: {len(result.trials)} trials ({count})"
    if result.note:
        line += f"; {result.note}"
    echo(line)
    if result.ranked:
        echo(result.table(SHOWN))
    else:
        echo("none of them has a result")


class _Choice(NamedTuple):
    """A sweep of a script."""

    sweep: "Sweep"
    is_only: bool  # whether the script defines no other, so that --name did not choose it


def _find_sweep(script: str, name: str | None) -> _Choice:
    """The sweep of this name that a script defines, or the only one that it defines."""
    from harness.studies.writing import warm_up

    path = _script(script)
    # MLflow takes longest to import, so that comes first of all, in another process.
    warm_up()
    from harness.studies.sweep import defined

    before = len(defined)
    load_plugins((script,))
    # A script that was loaded before defines nothing anew.
    sweeps = [sweep for sweep in defined if sweep.script == path] or defined[before:]
    if not sweeps:
        raise UsageError(
            f"{script} must define a sweep, but it has none; put @harness.sweep(...) over "
            f"its search space"
        )
    if len(sweeps) == 1:
        return _Choice(sweeps[0], is_only=True)
    for sweep in sweeps:
        if sweep.name == name:
            return _Choice(sweep, is_only=False)
    which = "say which with --name"
    if name:
        which = f"--name {name!r} is none of them"
    names = ", ".join(repr(sweep.name) for sweep in sweeps)
    raise UsageError(f"{script} defines the sweeps {names}; {which}")


def _script(script: str) -> Path:
    """The path of a script, which may also be a module. Its neighbours can be imported then."""
    path = Path(script).expanduser().resolve()
    looks_like_file = script.endswith(".py") or os.sep in script
    if path.is_dir() or (not path.is_file() and looks_like_file):
        raise UsageError(
            f"there is no file {script!r}; give the path of a Python script that defines a sweep"
        )
    if path.is_file() and path.suffix != ".py":
        raise UsageError(
            f"a script must be a Python file whose name ends in .py, got {script!r}; check the path"
        )
    folder = str(path.parent)
    if script.endswith(".py") and folder not in sys.path:
        sys.path.append(folder)  # as `python SCRIPT` does
    return path


def _ended(name: str) -> int:
    """The number of trials of a sweep that have ended."""
    from harness.storage.spool import Spool
    from harness.studies.books import folder_of

    folder = folder_of("sweep", name) / "spool"
    if not folder.is_dir():
        return 0
    spool = Spool(folder)
    # The record of the sweep itself lies among those of its trials.
    return len(spool) - (spool.parent() is not None)
