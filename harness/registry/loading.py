"""Loading plugins from files and modules."""

import contextlib
import hashlib
import importlib
import importlib.util
import os
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

from harness.boundary import foreign
from harness.errors import UsageError
from harness.registry import known
from harness.registry.decorators import refuse_taken
from harness.registry.known import Entry


# Plugins
# --------------------------------------------------------------------------------------------------
class _SourceLoader(SourceFileLoader):
    """Always compiles the source: cached bytecode is told from it by size and second only, too
    coarse for an editor.
    """

    def path_stats(self, path: str) -> Any:
        raise OSError


def load_plugin(reference: str | os.PathLike[str]) -> None:
    """Loads a plugin: a path to a .py file or a dotted module name. What it registers is there
    afterwards.

    The plugin's own errors pass through with their traceback; a file or module that does not exist
    is a UsageError.
    """
    text = os.fspath(reference)
    if not text.strip(". "):
        raise UsageError(f"a plugin must be a .py file or a module, got {text!r}; check the path")
    if text.endswith(".py") or os.sep in text:
        path = Path(text).expanduser().resolve()
        if not path.is_file():
            raise UsageError(
                f"a plugin must be a .py file or a module, there is no file {text!r}; "
                f"check the path"
            )
        source = path.read_bytes()
        name = "harness_plugin_" + hashlib.sha256(str(path).encode()).hexdigest()[:12]
        digest = hashlib.sha256(source).hexdigest()
        if known.loaded_plugins.get(str(path)) == digest:
            return
        if str(path.parent) not in sys.path:
            # Last, so that it hides nothing: a plugin may import what lies beside it
            sys.path.append(str(path.parent))
        before = dict(known.registered)
        _forget(str(path))
        loader = _SourceLoader(name, str(path))
        spec = importlib.util.spec_from_file_location(name, path, loader=loader)
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            with _loading(text):
                loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            known.registered.clear()
            known.registered.update(before)  # all of a file, or nothing
            raise
        known.loaded_plugins[str(path)] = digest
        return
    if not all(part.isidentifier() for part in text.split(".")):
        raise UsageError(
            f"a plugin must be a .py file or the dotted name of a module, got "
            f"{text!r}; check the path"
        )
    try:
        with _loading(text):
            module = importlib.import_module(text)
    except ModuleNotFoundError as error:
        if error.name is None or not (text == error.name or text.startswith(error.name + ".")):
            raise
        raise UsageError(
            f"a plugin must be a .py file or a module, there is no module {text!r}; check the name "
            f"or install it"
        ) from None
    file = getattr(module, "__file__", None)
    known.loaded_plugins[text] = hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""


def _loading(text: str) -> contextlib.AbstractContextManager[None]:
    """The boundary around a file or a module that is loaded for what it defines."""
    remedy = "put what is to run below if __name__ == '__main__':"
    return foreign(f"what {text} runs when it is loaded", UsageError, remedy)


def unload_plugin(reference: str | os.PathLike[str]) -> None:
    """Forgets what a plugin file has registered. A module stays: Python would not run it a second
    time.
    """
    _forget(os.path.realpath(reference))
    known.loaded_plugins.pop(os.path.realpath(reference), None)


def adopt(entries: list[Entry]) -> None:
    """Registers entries of another process."""
    for entry in entries:
        refuse_taken(entry)
        known.registered[entry.kind, entry.name] = entry


def withdraw(entries: list[Entry]) -> None:
    """Takes back what `adopt` has registered."""
    for entry in entries:
        if known.registered.get((entry.kind, entry.name)) is entry:
            del known.registered[entry.kind, entry.name]


def _forget(path: str) -> None:
    for key in [
        k
        for k, e in known.registered.items()
        if path in (os.path.realpath(e.origin), os.path.realpath(e.registrar))
    ]:
        del known.registered[key]


def plugins() -> dict[str, str]:
    """References of the plugins loaded in this process by a user, with the SHA-256 of their
    source.
    """
    return dict(known.loaded_plugins)
