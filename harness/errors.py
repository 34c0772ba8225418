"""The two ways in which something that is not ours can be wrong: what a user asked for, and what a plugin did."""

import contextlib
import contextvars
import os
import shlex
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_ON_THE_COMMAND_LINE = contextvars.ContextVar("_ON_THE_COMMAND_LINE", default=False)


def printable(text: str) -> str:
    """The text with what no stream can encode written as an escape.

    A file's name or a plugin's message may hold half a character, such as "\\udcff", on which UTF-8 raises.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


class UsageError(ValueError):
    """Bad input. The message is one sentence: what must hold, what came, what to do. The CLI prints it and exits with
    2."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(printable(arg) if isinstance(arg, str) else arg for arg in args))


class Unguarded(UsageError):
    """A script that starts its work anew wherever it is loaded for its plugins; no worker is to blame."""


class LearningWarning(UserWarning):
    """A network has learned little; the message says how little, and what to try."""


class PluginError(RuntimeError):
    """A plugin raised or broke its contract. Its own traceback stays chained; it fails its trial alone."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(printable(arg) if isinstance(arg, str) else arg for arg in args))


def in_words(error: BaseException) -> str:
    """An exception as the last line of its traceback has it, "ValueError: too small", also where its own text fails."""
    notes = len(getattr(error, "__notes__", None) or ())
    lines = traceback.format_exception_only(error)
    return printable(" ".join(lines[max(0, len(lines) - 1 - notes)].split()))


def place_of(error: BaseException) -> str:
    """The innermost file and line of an exception's traceback that is neither ours nor a library's; "" without one."""
    home = str(Path(__file__).parent) + os.sep
    library = sysconfig.get_path("stdlib") + os.sep  # with site-packages
    typed = ("<stdin>", "<ipython-input")  # what else begins so was generated

    def is_theirs(file: str) -> bool:
        return file.startswith(typed) or not file.startswith((home, library, "<"))

    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if is_theirs(frame.filename)]
    return f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else ""


@contextlib.contextmanager
def command_line_options() -> Iterator[None]:
    """Within it, `option` writes options of the command line: what a user typed them as."""
    token = _ON_THE_COMMAND_LINE.set(True)
    try:
        yield
    finally:
        _ON_THE_COMMAND_LINE.reset(token)


def option(name: str, value: Any) -> str:
    """An option as the user would write it: label="income" in Python, --label income on the command line."""
    if not _ON_THE_COMMAND_LINE.get():
        shown = f'"{value}"' if isinstance(value, str) and '"' not in value else repr(value)
        return f"{name}={shown}"
    words = ",".join(value) if isinstance(value, list | tuple) else str(value)
    return f"--{name} {shlex.quote(words)}"


_LOOPS = {  # the engine's loops over layers: what a layer is asked for there, of which local, and what it must return
    "chain.<locals>.bind": ("bind(ctx, I)", "I", "forward and how many features come out"),
    "chain.<locals>.bind.<locals>.run": ("forward(x, train)", "x", "y and backward"),
    "chain.<locals>.bind.<locals>.backward": ("backward(dy)", "dy", "dx, of the shape of x"),
}


def in_layer(error: Exception, layers: list[str]) -> None:
    """Notes on an error in which of these layers it was, and what that was given: it may be the layer before that
    returned something else than it should. Taken from the traceback, so that a step does nothing for it.
    """
    at = error.__traceback__
    while at is not None:
        code, seen = at.tb_frame.f_code, at.tb_frame.f_locals
        if code.co_qualname in _LOOPS and Path(code.co_filename).name == "engine.py" and "k" in seen:
            call, given, must = _LOOPS[code.co_qualname]
            what = seen[given] if given == "I" else getattr(seen[given], "shape", type(seen[given]).__name__)
            error.add_note(f"in {call} of layer {layers[seen['k']]} at {seen['k']}, {given} {what}; must return {must}")
            return
        at = at.tb_next


@contextlib.contextmanager
def plain_end(script: Path | str | None) -> Iterator[None]:
    """Where `script` is the program, bad input, a file that cannot be written and Ctrl-C end it with one sentence."""
    program = getattr(sys.modules.get("__main__"), "__file__", None)
    try:
        yield
    except (UsageError, KeyboardInterrupt) as stop:
        if script is None or program is None or Path(program).resolve() != Path(script).resolve():
            raise
        if isinstance(stop, KeyboardInterrupt):
            print(f"stopped; go on with: {shlex.join(sys.orig_argv)}", file=sys.stderr)
            raise SystemExit(130) from None
        print(f"Error: {stop}", file=sys.stderr)
        raise SystemExit(2) from None
