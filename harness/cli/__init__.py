"""The command line: `main`, and a file for each family of its commands."""

from harness.cli.commands import main

__all__ = ["main"]
