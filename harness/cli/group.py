"""How `harness` ends: which exit code each end has, and what is printed for it.

Bad input is one line on stderr, "Error: ...", and exit code 2. What a plugin raises gives 1 and
keeps its traceback, from where it begins in a file of the user's. An answer that is no gives 1
too, Ctrl-C 130 and SIGTERM 143.
"""

import contextlib
import importlib
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import Any, NamedTuple

import click

from harness.cli.terminal import echo, lasting_output
from harness.errors import UsageError, begin_at_the_user


class Terminated(KeyboardInterrupt):
    """SIGTERM: it stops a command as Ctrl-C does."""


class Lazy(NamedTuple):
    """A command that is imported when it is used, so that the list of all answers at once.

    Attributes
    ----------
    module : str
        The module that defines the command.
    attribute : str
        Its name there.
    short_help : str
        Its line in the list of all commands.
    """

    module: str
    attribute: str
    short_help: str


class Group(click.Group):
    """A group of commands with the exit codes of this module.

    Parameters
    ----------
    lazy : dict of Lazy
        The commands by name, in the order in which the help lists them.
    """

    def __init__(self, *args: Any, lazy: dict[str, Lazy] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = lazy or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands, in the order in which they were given."""
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name, imported now."""
        if cmd_name not in self.lazy:
            return None
        lazy = self.lazy[cmd_name]
        return getattr(importlib.import_module(lazy.module), lazy.attribute)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the list of all commands, without importing one."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.short_help) for name, lazy in self.lazy.items()])

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Runs a command line and exits. The arguments are those of `click.Group.main`."""
        with lasting_output() as streams:
            code = self._exit_code(*args, **kwargs)
            if problem := streams.out.problem:
                echo(f"Error: {problem}", err=True)
                code = 2
        sys.exit(code)

    def _exit_code(self, *args: Any, **kwargs: Any) -> Any:
        """Runs a command line. Bad input and a stop are printed, not raised."""
        kwargs["standalone_mode"] = False  # in which click would print and exit in its own way
        try:
            with _stoppable():
                return super().main(*args, **kwargs)
        except click.Abort as stop:
            # Click makes this of Ctrl-C, and of an EOFError, which may be a plugin's.
            if isinstance(stop.__cause__, EOFError):
                return _failed(stop.__cause__)
            echo("stopped", err=True)
            return stop_code(stop.__cause__)
        except click.ClickException as error:
            return _bad_input(error.format_message())
        except UsageError as error:
            return _bad_input(str(error))
        except Exception as error:
            return _failed(error)


def stop_code(stop: BaseException | None) -> int:
    """The exit code of a command that this exception has stopped: Terminated or Ctrl-C."""
    if isinstance(stop, Terminated):
        return 143
    return 130


def _bad_input(sentence: str) -> int:
    """Prints a sentence on one line; returns the exit code."""
    echo(f"Error: {' '.join(sentence.split())}", err=True)
    return 2


def _failed(error: Exception) -> int:
    """Prints what a user's own code has raised, without our frames before it.

    What is ours is raised again.
    """
    if not begin_at_the_user(error):
        raise error
    echo("".join(traceback.format_exception(error)), err=True, end="")
    return 1


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Lets SIGTERM raise Terminated, and SIGINT raise KeyboardInterrupt.

    A shell that starts a command in the background has it ignore SIGINT, so that Python does not
    install its own handler.
    """
    # Python allows handlers in the main thread only.
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(signum: int, frame: Any) -> None:
        raise Terminated

    terminate_before = signal.signal(signal.SIGTERM, terminate)
    interrupt_before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, terminate_before)
        signal.signal(signal.SIGINT, interrupt_before)
