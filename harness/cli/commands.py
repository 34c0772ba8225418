"""`harness` with all its commands, in the order in which its help lists them."""

import click

import harness
from harness.cli.group import Group, Lazy
from harness.cli.terminal import WIDTH, echo
from harness.garbage import quick_exit

# The groups are: train and look, plugins, results, maintenance.
COMMANDS = {
    "run": Lazy("harness.cli.run", "run", "Train one network."),
    "sweep": Lazy("harness.cli.sweep", "sweep", "Train many networks: the sweep of a script."),
    "stop": Lazy("harness.cli.stop", "stop", "End a trial that is in training, or stop a sweep."),
    "watch": Lazy("harness.cli.watch", "watch", "Watch the networks of a sweep while they learn."),
    "film": Lazy("harness.cli.film", "film", "Films of networks, side by side."),
    "ui": Lazy("harness.cli.ui", "ui", "Show the runs in a browser."),
    "list": Lazy("harness.cli.plugins", "list_plugins", "List what can be used by name."),
    "show": Lazy("harness.cli.show", "show", "Draw a trained network, or explain one name."),
    "new": Lazy("harness.cli.plugins", "new", "Write a plugin to begin with."),
    "check": Lazy(
        "harness.cli.plugins",
        "check",
        "Check plugins: gradients, dtypes, who writes what, populations, ...",
    ),
    "predict": Lazy("harness.cli.predict", "predict", "Predict with a trained network."),
    "test": Lazy(
        "harness.cli.test_part", "test", "Score the network of a run on the test part, once."
    ),
    "results": Lazy(
        "harness.cli.results", "results", "Show what has been logged, as a table or CSV."
    ),
    "report": Lazy(
        "harness.cli.report",
        "report",
        "Make the report of a sweep or comparison, as one HTML file.",
    ),
    "verify": Lazy("harness.cli.results", "verify", "Train a logged run again and compare."),
    "sync": Lazy("harness.cli.maintenance", "sync", "Send what waits for MLflow, after an outage."),
    "doctor": Lazy(
        "harness.cli.maintenance",
        "doctor",
        "Check and repair mlruns/: store, spools, journals, checkpoints.",
    ),
    "gc": Lazy(
        "harness.cli.maintenance", "gc", "Show what takes space below mlruns/, and free it."
    ),
}


@click.group(
    cls=Group,
    lazy=COMMANDS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDTH},
    epilog="\b\nExample:\n  harness run --data mnist --epochs 1",
)
@click.version_option(harness.__version__, prog_name="harness", message="%(prog)s %(version)s")
@click.pass_context
def main(context: click.Context) -> None:
    """Train multilayer perceptrons, sweep over hundreds of them, and watch them learn in MLflow.

    Every command explains itself: harness COMMAND --help. What is called SPEC there is a name from
    `harness list`, with arguments in parentheses where the defaults will not do: relu, 'sgd(0.5)',
    'mnist14(rows=2000)'.

    The exit code is 0, or 1 if the answer is no (a check failed, a network diverged, something
    still waits, ...), 2 for bad input, 130 after Ctrl-C, 143 after SIGTERM.
    """
    quick_exit()
    if context.invoked_subcommand is None:
        echo(context.get_help())
