"""What a command does for others: runs that a dead driver has left RUNNING are ended."""

from harness.cli.terminal import echo


def end_orphans() -> None:
    """Ends in MLflow what no driver here drives any more, and says so on stderr."""
    from harness.maintenance.orphans import close_orphans

    close_orphans(say=_say)


def _say(line: str) -> None:
    echo(line, err=True)
