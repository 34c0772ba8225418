"""What can be wrong that is not ours: what a user has asked for, and what a plugin has done."""

import contextlib
import contextvars
import os
import shlex
import sys
import sysconfig
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.escapes import printable

# What the user types for an argument, such as label -> --label, where a command of the command line
# runs.
_OPTIONS: contextvars.ContextVar[Mapping[str, str] | None] = contextvars.ContextVar(
    "_OPTIONS", default=None
)

# Code that was typed has a file name in brackets like code that was generated.
_TYPED = ("<stdin>", "<ipython-input")

_HOME = str(Path(__file__).parent) + os.sep
# In a virtual environment packages do not lie within the standard library.
_LIBRARIES = tuple(sysconfig.get_path(name) + os.sep for name in ("stdlib", "purelib", "platlib"))


class UsageError(ValueError):
    """Bad input. The message is one sentence: what must hold, what came, what to do.

    The command line prints it and exits with 2.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*map(_made_printable, args))


class Unguarded(UsageError):
    """A script starts its work anew wherever it is loaded for its plugins; its worker is fine."""


class LearningWarning(UserWarning):
    """A network has learned little; the message says how little, and what to try."""


class PluginError(RuntimeError):
    """A plugin raised or broke its contract; it fails its trial alone.

    Its own traceback stays chained.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*map(_made_printable, args))


def _made_printable(arg: object) -> object:
    # A message may quote a name, or a plugin's words, and ends up on a terminal.
    if isinstance(arg, str):
        return printable(arg)
    return arg


def in_words(error: BaseException) -> str:
    """Return an exception as the last line of its traceback has it, "ValueError: too small".

    It also works where the exception's own text fails. Notes are left out.
    """
    notes = len(getattr(error, "__notes__", None) or ())
    lines = traceback.format_exception_only(error)
    last = max(0, len(lines) - 1 - notes)
    return printable(" ".join(lines[last].split()))


def place_of(error: BaseException) -> str:
    """Return the innermost file and line of a traceback that is neither ours nor a library's.

    Parameters
    ----------
    error
        An exception that was raised.

    Returns
    -------
    str
        Such as "mine.py, line 3"; empty where there is no such line.
    """
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if is_foreign(frame.filename):
            return f"{frame.filename}, line {frame.lineno}"
    return ""


def begin_at_the_user(error: BaseException) -> bool:
    """Let the traceback of an exception begin where code that is not ours is entered.

    Returns
    -------
    bool
        Whether there is such code. If not, the traceback is left as it is.
    """
    frame = error.__traceback__
    is_ours = False
    while frame is not None:
        file = frame.tb_frame.f_code.co_filename
        is_ours = is_ours or file.startswith(_HOME)
        # The command itself, which calls us, is a file in a folder for programs.
        if is_ours and is_foreign(file):
            error.__traceback__ = frame
            return True
        frame = frame.tb_next
    # Python tells of a file that it cannot read in the exception itself.
    if isinstance(error, SyntaxError) and error.filename and is_foreign(error.filename):
        error.__traceback__ = None
        return True
    return False


def is_foreign(file: str) -> bool:
    """Whether a file of code is neither ours nor a library's."""
    # Other names in brackets are those of generated code.
    return file.startswith(_TYPED) or not file.startswith((_HOME, *_LIBRARIES, "<"))


@contextlib.contextmanager
def command_line_options(options: Mapping[str, str]) -> Iterator[None]:
    """Let messages name arguments as options of the command line, since they were given as such.

    Parameters
    ----------
    options
        The option of an argument in Python, such as {"label": "--label"}. Arguments that are not
        among them keep their names.
    """
    token = _OPTIONS.set(options)
    try:
        yield
    finally:
        _OPTIONS.reset(token)


def argument(name: str) -> str:
    """Return an argument as its user knows it: valid in Python, --valid on the command line."""
    return (_OPTIONS.get() or {}).get(name, name)


def option(name: str, value: Any) -> str:
    """Return an argument with a value, as its user would write both.

    Parameters
    ----------
    name
        Of the argument in Python.
    value
        True for an option that has no value.

    Returns
    -------
    str
        Such as label="income", or --label income on the command line.
    """
    known = _OPTIONS.get() or {}
    if name not in known:
        if isinstance(value, str) and '"' not in value:
            return f'{name}="{value}"'
        return f"{name}={value!r}"
    if value is True:
        return known[name]
    values = value if isinstance(value, list | tuple) else [value]
    return f"{known[name]} {shlex.quote(','.join(map(str, values)))}"


@contextlib.contextmanager
def plain_end(script: Path | str | None) -> Iterator[None]:
    """End a program with one sentence at bad input and Ctrl-C, where `script` is the program.

    Parameters
    ----------
    script
        The file whose code runs in the block; None where nobody knows it.

    Raises
    ------
    SystemExit
        With 2 for bad input, and 130 for Ctrl-C.
    """
    program = getattr(sys.modules.get("__main__"), "__file__", None)
    try:
        yield
    except (UsageError, KeyboardInterrupt) as stop:
        # A script that was imported leaves the exception to whoever has imported it.
        if script is None or program is None or Path(program).resolve() != Path(script).resolve():
            raise
        if isinstance(stop, KeyboardInterrupt):
            print(f"stopped; go on with: {shlex.join(sys.orig_argv)}", file=sys.stderr)
            raise SystemExit(130) from None
        print(printable(f"Error: {stop}"), file=sys.stderr)
        raise SystemExit(2) from None
