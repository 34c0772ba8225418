"""What several commands do with their arguments: load plugins, check names, read numbers."""

import os
import sys
from collections.abc import Callable
from typing import TypeVar

from harness import checks, registry
from harness.errors import UsageError

Number = TypeVar("Number", int, float)


def load_plugins(references: tuple[str, ...]) -> None:
    """Loads plugin files and modules. Modules are also looked for in the current folder."""
    # A file is given by its path, so it needs no folder to be looked for in.
    if any(not reference.endswith(".py") for reference in references):
        look_here()
    for reference in references:
        registry.load_plugin(reference)


def look_here() -> None:
    """Lets Python find modules in the current folder, as `python -m` does."""
    # The script `harness` has its own folder on the path in place of the current one.
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.append(folder)


def check_names(name: str | None, project: str | None) -> None:
    """Raises UsageError for a --name or a --project that no table could show."""
    if name is not None:
        checks.line("--name", name)
    if project is not None:
        checks.line("--project", project)


def parse_number(
    option: str, kind: Callable[[str], Number], text: str, must: str, whole: str | None = None
) -> Number:
    """The number that is written in an option.

    Parameters
    ----------
    option
        The option's name, for the message.
    kind
        int or float.
    text
        What is written.
    must
        What the option must be, in words.
    whole
        The whole value of the option, where `text` is a part of it.

    Raises
    ------
    UsageError
        If it is no such number.
    """
    try:
        return kind(text)
    except ValueError:
        raise UsageError(f"{option} must be {must}, got {whole or text!r}") from None
