"""The group of commands: how options are declared, and which exit code an end has.

Bad input is one line on stderr, "Error: ...", and exit code 2. What a plugin raises keeps its
traceback and gives 1, as does an answer that is no; Ctrl-C gives 130 and SIGTERM 143. Heavy rooms
are imported by the command that needs them: --help answers at once.
"""

import contextlib
import functools
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

import harness
from harness.cli.terminal import echo, lasting_output
from harness.errors import UsageError, command_line_options

if TYPE_CHECKING:
    pass


WIDTH = 100  # columns of help texts and tables


class Terminated(KeyboardInterrupt):
    """SIGTERM: it stops a command as Ctrl-C does."""


class Main(click.Group):
    """The group of commands, with the exit codes of this module."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of this file."""
        return list(self.commands)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Runs a command line and exits."""
        with lasting_output() as streams:
            code = self._code(*args, **kwargs)
            if problem := streams[0].problem:
                echo(f"Error: {problem}", err=True)
                code = 2
        sys.exit(code)

    def _code(self, *args: Any, **kwargs: Any) -> Any:
        """The exit code of a command line; bad input and a stop have been said."""
        try:
            with _stoppable():
                return super().main(*args, **{**kwargs, "standalone_mode": False})
        except click.Abort as stop:
            # Click's word for Ctrl-C, and for an EOFError, which may be a plugin's
            if isinstance(stop.__cause__, EOFError):
                raise stop.__cause__ from None
            echo("stopped", err=True)
            return stop_code(stop.__cause__)
        except (click.ClickException, UsageError) as error:
            text = error.format_message() if isinstance(error, click.ClickException) else str(error)
            echo(f"Error: {' '.join(text.split())}", err=True)
            return 2


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM raises Terminated, and Ctrl-C also works where a shell has started us in the
    background.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: Any) -> None:
        raise Terminated

    handlers: dict[int, Any] = {signal.SIGTERM: stop, signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stop_code(stop: Any) -> int:
    return 143 if isinstance(stop, Terminated) else 130


Options = tuple[tuple[str, Any, str], ...]  # names, a metavar or a type or True for a flag, help


PLUGIN: Options = (
    (
        "--plugin plugins",
        "REF",
        "Your own activations.py, or a package.module, with plugins; may be repeated.",
    ),
)


PROJECT: Options = (("--project", "NAME", "The MLflow experiment to log to.  [default: harness]"),)


def _options(
    *options: tuple[str, Any, str],
    repeated: tuple[str, ...] = ("plugins", "layers", "dropped", "objectives"),
) -> Callable[[Any], Any]:
    """click.option for each; those not given are None, or () if they may be repeated."""

    def decorate(command: Any) -> Any:
        for names, kind, text in reversed(options):
            flags = names.split()
            how: dict[str, Any] = (
                {"is_flag": True}
                if kind is True
                else {"metavar": kind}
                if isinstance(kind, str)
                else {"type": kind}
            )
            if isinstance(kind, str):
                how["callback"] = _not_empty
            command = click.option(*flags, multiple=flags[-1] in repeated, help=text, **how)(
                command
            )
        return command

    return decorate


def _not_empty(context: click.Context, option: click.Parameter, value: Any) -> Any:
    """Refuses an empty text: a script's variable that is not set must not pass for a default."""
    for each in value if isinstance(value, tuple) else (value,):
        if each == "":
            raise UsageError(
                f"{option.opts[0]} must not be empty, got {each!r}; write something, "
                f"or leave it out"
            )
    return value


def declare(
    *options: tuple[str, Any, str],
    name: str | None = None,
    short: str,
    example: str,
    script: bool = False,
) -> Callable[[Any], Any]:
    """A command of `main` with its options, its line in the list of commands, and its example.

    script: a Python script says what its options do not; only what was given here is called an
    option in messages.
    """

    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def call(*args: Any, **given: Any) -> Any:
            with command_line_options(_spellings(options, given if script else None)):
                return function(*args, **given)

        epilog = f"\b\nExample:\n  {example}"
        return main.command(name, short_help=short, epilog=epilog)(_options(*options)(call))

    return decorate


def _spellings(options: Options, given: dict[str, Any] | None) -> dict[str, str]:
    """What arguments of Python are called here: {"trial_timeout": "--trial-timeout", "drop":
    "--drop", ...}.

    given: only of options that were given, by their parameters; None for all.
    """
    spelled: dict[str, str] = {}
    for names, _, _ in options:
        flag, *other = names.split()
        own = flag.removeprefix("--").replace("-", "_")
        parameter = other[-1] if other else own
        value = None if given is None else given.get(parameter)
        if given is None or (value is not None and value is not False and value != ()):
            spelled |= {own: flag, parameter: flag}
    return spelled


@click.group(
    cls=Main,
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
