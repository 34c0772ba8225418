"""harness sweep: the sweep that a script defines."""

import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.common import check_names, command_line, load_plugins, parse_number, ui_hint
from harness.cli.group import PLUGIN, PROJECT, declare, stop_code
from harness.cli.terminal import echo
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.studies.sweep import Sweep


# harness sweep ------------------------------------------------------------------------------------
@declare(
    ("--trials", int, "How many networks to train in all.  [default: 20]"),
    (
        "--workers",
        int,
        "How many to train at the same time, each in a process of its own.  [default: 1]",
    ),
    (
        "--sampler",
        "SPEC",
        "How Optuna chooses: RandomSampler, QMCSampler, ...  [default: TPESampler]",
    ),
    (
        "--pruner",
        "SPEC|none",
        "When Optuna gives a network up: MedianPruner, HyperbandPruner, ...  [default: none]",
    ),
    (
        "--seed",
        int,
        "Decides what is tried, and the networks where the script sets no seed.  [default: 0]",
    ),
    (
        "--name",
        "TEXT",
        "Which sweep, if the script defines several; else another name for the one it defines.",
    ),
    (
        "--film",
        click.Choice(["all", "best", "none"]),
        "Whose film of the weights to keep.  [default: all]",
    ),
    (
        "--population",
        "N|auto",
        "How many networks of one shape to train as one batched computation.  [default: 1]",
    ),
    (
        "--objective objectives",
        "NAME",
        "The metric, loss or train_s; repeated for several.  [default: the metric]",
    ),
    (
        "--checkpoint",
        float,
        "Seconds of training after which a network's state is written down.  [default: 30]",
    ),
    (
        "--trial-timeout",
        float,
        "Seconds of training after which a network has failed.  [default: none]",
    ),
    (
        "--timeout",
        float,
        "Seconds after which the sweep stops and can be gone on with.  [default: none]",
    ),
    (
        "--enqueue",
        "FILE",
        "Points to try first: CSV with a column for each parameter, or JSON, a list of objects.",
    ),
    (
        "--seeds",
        int,
        "Networks of each trial, whose value is the mean over their seeds.  [default: 1]",
    ),
    (
        "--synchronous",
        True,
        "Ask, prune and tell in rounds of 8, so that nothing of it depends on --workers.",
    ),
    (
        "--scheduler",
        "ADDRESS",
        "A Dask cluster, as tcp://127.0.0.1:8786 or its scheduler file: no local workers.",
    ),
    *PROJECT,
    *PLUGIN,
    short="Train many networks: the sweep of a script.",
    script=True,
    example="harness sweep experiments/first_sweep.py --trials 40",
)
@click.argument("script")
def sweep(script: str, name: str | None, plugins: tuple[str, ...], **options: Any) -> None:
    """Start the sweep that SCRIPT defines, or go on where it stopped.

    SCRIPT is a Python file with a search space under @harness.sweep(...), or a module.
    Options given here override those of the script, and these the defaults. Ctrl-C stops it; the
    same command goes on with it.
    """
    check_names(name, options["project"])
    load_plugins(plugins)
    chosen, names = _find_sweep(script, name)
    if name and not names:
        options["name"] = name
    given = {
        key: value
        for key, value in options.items()
        if value is not None and value is not False and value != ()
    }
    if given.get("population") not in (None, "auto"):
        given["population"] = parse_number(
            "--population", int, given["population"], "a whole number or auto"
        )
    if options["pruner"] == "none":
        given["pruner"] = None
    if "enqueue" in given:
        from harness.studies.enqueue import read_points

        given["enqueue"] = read_points(given["enqueue"])
    try:
        result = chosen.run(**given)
    except KeyboardInterrupt as stop:
        again = command_line(*sys.argv[1:])
        echo(
            f"stopped after {_ended(given.get('name', chosen.name))} trials; go on with: {again}",
            err=True,
        )
        raise click.exceptions.Exit(stop_code(stop)) from None
    states = Counter(trial.result.state.lower() for trial in result.trials)
    count = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    echo(
        f"{result.name}: {len(result.trials)} trials ({count})"
        + (result.note and f"; {result.note}")
    )
    echo(result.table(10) if result.ranked else "none of them has a result")
    echo(f"to see them: {ui_hint()}")


def _find_sweep(script: str, name: str | None) -> "tuple[Sweep, list[str]]":
    """The sweep that a script defines, and the names to choose from if there are several."""
    from harness.studies.sweep import defined

    before = len(defined)
    path = Path(script).expanduser().resolve()
    if path.is_dir() or (not path.is_file() and (script.endswith(".py") or os.sep in script)):
        raise UsageError(
            f"there is no file {script!r}; give the path of a Python script that defines a sweep"
        )
    if path.is_file() and path.suffix != ".py":
        raise UsageError(
            f"a script must be a Python file whose name ends in .py, got {script!r}; check the path"
        )
    if script.endswith(".py") and path.is_file() and str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # as `python SCRIPT` does, for its neighbours
    load_plugins((script,))
    found = [each for each in defined if each.script == path] or defined[before:]
    names = [each.name for each in found]
    if not found:
        raise UsageError(
            f"{script} must define a sweep, but it has none; put @harness.sweep(...) over "
            f"its search space"
        )
    if len(found) == 1:
        return found[0], []
    if name not in names:
        which = f"--name {name!r} is none of them" if name else "say which with --name"
        raise UsageError(f"{script} defines the sweeps {', '.join(map(repr, names))}; {which}")
    return found[names.index(name)], names


def _ended(name: str) -> int:
    """How many trials of a sweep have ended."""
    from harness.storage.spool import Spool
    from harness.studies.books import folder_of

    folder = folder_of("sweep", name) / "spool"
    if not folder.is_dir():
        return 0
    spool = Spool(folder)
    return len(spool) - (spool.parent() is not None)
