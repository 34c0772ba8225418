"""`harness` with all its commands, in the order in which its help lists them."""

import click

import harness
from harness.cli.group import Group
from harness.cli.maintenance import doctor, gc, sync
from harness.cli.plugins import check, list_plugins, new, show
from harness.cli.predict import predict
from harness.cli.results import results, verify
from harness.cli.run import run
from harness.cli.sweep import sweep
from harness.cli.terminal import WIDTH, echo
from harness.cli.ui import ui


@click.group(
    cls=Group,
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
    if context.invoked_subcommand is None:
        echo(context.get_help())


# The groups are: train and look, plugins, results, maintenance.
for _command in (
    *(run, sweep, ui),
    *(list_plugins, show, new, check),
    *(predict, results, verify),
    *(sync, doctor, gc),
):
    main.add_command(_command)
