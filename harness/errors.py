"""The two ways in which something that is not ours can be wrong: what a user asked for, and what a plugin did."""

import contextlib
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path


class UsageError(ValueError):
    """Bad input. The message is one sentence: what must hold, what came, what to do. The CLI prints it and exits with
    2."""


class Unguarded(UsageError):
    """A script that starts its work anew wherever it is loaded for its plugins; no worker is to blame."""


class PluginError(RuntimeError):
    """A plugin raised or broke its contract. Its own traceback stays chained; it fails its trial alone."""


@contextlib.contextmanager
def plain_end(script: Path | str | None) -> Iterator[None]:
    """Where `script` is the program, bad input, a file that cannot be written and Ctrl-C end it with one sentence."""
    program = getattr(sys.modules.get("__main__"), "__file__", None)
    try:
        yield
    except (UsageError, PermissionError, KeyboardInterrupt) as stop:
        if script is None or program is None or Path(program).resolve() != Path(script).resolve():
            raise
        if isinstance(stop, KeyboardInterrupt):
            print(f"stopped; go on with: {shlex.join(sys.orig_argv)}", file=sys.stderr)
            raise SystemExit(130) from None
        if isinstance(stop, PermissionError):
            stop = UsageError(f"{stop.filename} must be writable, but: {stop.strerror}; correct its permissions")
        print(f"Error: {stop}", file=sys.stderr)
        raise SystemExit(2) from None
