"""What every command has: an example, options that must not be empty, and messages that name them.

A command is declared with click's own decorators:

    @click.command(cls=Command, short_help="...", example="harness ui --port 5001")
    @click.option("--port", type=int, help="...")
    @text_option("--name", metavar="TEXT", help="...")

Rooms that are slow to import are imported within the functions of the commands that need them, so
that --help answers at once.
"""

import functools
from typing import Any

import click

from harness.errors import UsageError, command_line_options


class Command(click.Command):
    """A command with an example below its help, whose messages name arguments as options.

    Parameters
    ----------
    example
        A command line that can be typed as it stands.
    only_given
        Whether messages name only those options so that were given here. That is right where a
        script gives the other arguments.
    *args, **kwargs
        Those of `click.Command`.
    """

    def __init__(self, *args: Any, example: str, only_given: bool = False, **kwargs: Any) -> None:
        kwargs["epilog"] = f"\b\nExample:\n  {example}"  # \b keeps click from joining the lines
        super().__init__(*args, **kwargs)
        self._only_given = only_given

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command. Within it, messages name trial_timeout as --trial-timeout."""
        with command_line_options(self._spellings(ctx.params)):
            return super().invoke(ctx)

    def _spellings(self, values: dict[str, Any]) -> dict[str, str]:
        """The options by the names of their arguments in Python: {"drop": "--drop", ...}."""
        spellings: dict[str, str] = {}
        for option in self.params:
            if not isinstance(option, click.Option) or option.name is None:
                continue
            if self._only_given and not is_given(values.get(option.name)):
                continue
            flag = option.opts[0]
            # Both names are known: --drop is called `drop` in Python, but `dropped` in its command.
            spellings[flag.removeprefix("--").replace("-", "_")] = flag
            spellings[option.name] = flag
        return spellings


def is_given(value: Any) -> bool:
    """Whether an option was given: a number, a text, a flag, or at least one of several values."""
    return value is not None and value is not False and value != ()


class Text(click.ParamType):  # type: ignore[type-arg]  # it is generic in new versions
    """The text of an option. It is not empty, because a script's variable may not be set."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Returns the text, or raises UsageError where it is empty."""
        if value == "" and param is not None:
            raise UsageError(
                f"{param.opts[0]} must not be empty, got {value!r}; write something, or leave it "
                f"out"
            )
        return value


# `click.option` for an option that takes such a text
text_option = functools.partial(click.option, type=Text())

plugin_option = text_option(
    "--plugin",
    "plugins",
    multiple=True,
    metavar="REF",
    help="Your own activations.py, or a package.module, with plugins; may be repeated.",
)

tag_option = text_option(
    "--tag",
    "tags",
    multiple=True,
    metavar="KEY=VALUE",
    help="A tag of your own for the run in MLflow; may be repeated.",
)

note_option = text_option(
    "--note", metavar="TEXT", help="What the run is for: Markdown that begins its description."
)

project_option = text_option(
    "--project", metavar="NAME", help="The MLflow experiment to log to.  [default: harness]"
)
