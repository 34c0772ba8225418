"""The command line: a file for each family of commands."""

from harness.cli.group import main

__all__ = ["main"]
