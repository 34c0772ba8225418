"""harness test: a trained network on the test part of its data set, once."""

import click

from harness.cli.arguments import load_plugins
from harness.cli.command import Command, plugin_option
from harness.cli.terminal import echo


@click.command(
    "test",
    cls=Command,
    short_help="Score the network of a run on the test part, once.",
    example="harness test 'first sweep#23'",
)
@plugin_option
@click.argument("run")
def test(run: str, plugins: tuple[str, ...]) -> None:
    """Score the network of a logged run on the test part of its data set.

    RUN is its name, its run id or 'SWEEP#3'; a sweep stands for its best network. The score is
    logged to the run (of the best trial also to its sweep), with a tag that says when somebody has
    looked at it. Who looks again is told so, because a network that is chosen by its test score
    has no test score any more.
    """
    from harness.cli.run_training import scores_on_test_part
    from harness.maintenance.models import load_model
    from harness.tracking.test_part import look

    load_plugins(plugins)
    scores = scores_on_test_part(load_model(run))
    before = look(run, scores)
    for name, value in scores.items():
        echo(f"{name} {value:.4f}")
    if before:
        echo(f"the test part was looked at before, on {before}", err=True)
