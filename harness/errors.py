"""The two ways in which something that is not ours can be wrong: what a user asked for, and what a
plugin did.
"""

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
# runs
_OPTIONS: contextvars.ContextVar[Mapping[str, str] | None] = contextvars.ContextVar(
    "_OPTIONS", default=None
)


class UsageError(ValueError):
    """Bad input. The message is one sentence: what must hold, what came, what to do. The CLI prints
    it and exits with 2.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*(printable(arg) if isinstance(arg, str) else arg for arg in args))


class Unguarded(UsageError):
    """A script that starts its work anew wherever it is loaded for its plugins; no worker is to
    blame.
    """


class LearningWarning(UserWarning):
    """A network has learned little; the message says how little, and what to try."""


class PluginError(RuntimeError):
    """A plugin raised or broke its contract. Its own traceback stays chained; it fails its trial
    alone.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*(printable(arg) if isinstance(arg, str) else arg for arg in args))


def in_words(error: BaseException) -> str:
    """An exception as the last line of its traceback has it, "ValueError: too small", also where
    its own text fails.
    """
    notes = len(getattr(error, "__notes__", None) or ())
    lines = traceback.format_exception_only(error)
    return printable(" ".join(lines[max(0, len(lines) - 1 - notes)].split()))


def place_of(error: BaseException) -> str:
    """The innermost file and line of an exception's traceback that is neither ours nor a library's;
    "" without one.
    """
    home = str(Path(__file__).parent) + os.sep
    library = sysconfig.get_path("stdlib") + os.sep  # with site-packages
    typed = ("<stdin>", "<ipython-input")  # what else begins so was generated

    def is_theirs(file: str) -> bool:
        return file.startswith(typed) or not file.startswith((home, library, "<"))

    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if is_theirs(frame.filename)
    ]
    return f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else ""


@contextlib.contextmanager
def command_line_options(options: Mapping[str, str]) -> Iterator[None]:
    """Within it messages name these arguments as options of the command line, since that is how
    they were given.

    Parameters
    ----------
    options
        The name of an argument in Python, and the option: {"label": "--label"}. All others keep
        their names.
    """
    token = _OPTIONS.set(options)
    try:
        yield
    finally:
        _OPTIONS.reset(token)


def argument(name: str) -> str:
    """An argument as the user knows it, for a message: valid in Python, --valid on the command
    line.
    """
    return (_OPTIONS.get() or {}).get(name, name)


def option(name: str, value: Any) -> str:
    """An argument and its value as the user would write them: label="income", or --label income."""
    known = _OPTIONS.get() or {}
    if name not in known:
        shown = f'"{value}"' if isinstance(value, str) and '"' not in value else repr(value)
        return f"{name}={shown}"
    if value is True:  # an option without a value
        return known[name]
    words = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return f"{known[name]} {shlex.quote(words)}"


# The engine's loops over layers: what a layer is asked for there, of which local, and what it must
# return
_LOOPS = {
    "chain.<locals>.bind": ("bind(ctx, I)", "I", "forward and how many features come out"),
    "chain.<locals>.bind.<locals>.run": ("forward(x, train)", "x", "y and backward"),
    "chain.<locals>.bind.<locals>.backward": ("backward(dy)", "dy", "dx, of the shape of x"),
}


def in_layer(error: Exception, layers: list[str]) -> None:
    """Notes on an error in which of these layers it was, and what that was given: it may be the
    layer before that returned something else than it should. Taken from the traceback, so that a
    step does nothing for it.
    """
    at = error.__traceback__
    while at is not None:
        code, seen = at.tb_frame.f_code, at.tb_frame.f_locals
        if (
            code.co_qualname in _LOOPS
            and Path(code.co_filename).name == "engine.py"
            and "k" in seen
        ):
            call, given, must = _LOOPS[code.co_qualname]
            what = (
                seen[given]
                if given == "I"
                else getattr(seen[given], "shape", type(seen[given]).__name__)
            )
            error.add_note(
                f"in {call} of layer {layers[seen['k']]} at {seen['k']}, {given} "
                f"{what}; must return {must}"
            )
            return
        at = at.tb_next


@contextlib.contextmanager
def plain_end(script: Path | str | None) -> Iterator[None]:
    """Where `script` is the program, bad input, a file that cannot be written and Ctrl-C end it
    with one sentence.
    """
    program = getattr(sys.modules.get("__main__"), "__file__", None)
    try:
        yield
    except (UsageError, KeyboardInterrupt) as stop:
        if script is None or program is None or Path(program).resolve() != Path(script).resolve():
            raise
        if isinstance(stop, KeyboardInterrupt):
            print(f"stopped; go on with: {shlex.join(sys.orig_argv)}", file=sys.stderr)
            raise SystemExit(130) from None
        print(printable(f"Error: {stop}"), file=sys.stderr)
        raise SystemExit(2) from None
