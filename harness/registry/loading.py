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
from harness.errors import UsageError, is_foreign
from harness.registry import known
from harness.registry.decorators import refuse_taken
from harness.registry.known import Entry


def load_plugin(reference: str | os.PathLike[str]) -> None:
    """Loads a plugin. What it registers is known afterwards.

    A file that has not changed since is not loaded a second time.

    Parameters
    ----------
    reference
        The path of a .py file, or the dotted name of a module.

    Raises
    ------
    UsageError
        If there is no such file or module. The plugin's own errors pass with their traceback.
    """
    text = os.fspath(reference)
    if not text.strip(". "):
        raise UsageError(f"a plugin must be a .py file or a module, got {text!r}; check the path")
    if text.endswith(".py") or os.sep in text:
        _load_file(text)
    else:
        _load_module(text)


def unload_plugin(reference: str | os.PathLike[str]) -> None:
    """Forgets what a plugin file has registered.

    A module stays, because Python would not run it a second time.
    """
    path = os.path.realpath(reference)
    _forget(path)
    known.loaded_plugins.pop(path, None)


def plugins() -> dict[str, str]:
    """The plugins that a user has loaded in this process: SHA-256 of the source by reference."""
    return dict(known.loaded_plugins)


def to_be_given() -> list[str]:
    """The options of a command that is to know what this process knows: --plugin and a file each.

    There are none where no file of a user registers anything.
    """
    if not any(is_foreign(entry.origin) for entry in known.registered.values()):
        return []
    here = os.getcwd() + os.sep
    return [word for name in plugins() for word in ("--plugin", name.removeprefix(here))]


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


class _SourceLoader(SourceFileLoader):
    """Always compiles the source.

    Python knows cached bytecode by the size and the second of its source, which is too coarse for
    somebody who edits it.
    """

    def path_stats(self, path: str) -> Any:
        """Says that there is no bytecode."""
        raise OSError


def _load_file(text: str) -> None:
    """Loads a plugin file: all of it is registered, or nothing."""
    path = Path(text).expanduser().resolve()
    if not path.is_file():
        raise UsageError(
            f"a plugin must be a .py file or a module, there is no file {text!r}; check the path"
        )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if known.loaded_plugins.get(str(path)) == digest:
        return
    if str(path.parent) not in sys.path:
        # A plugin may import what lies beside it. Its folder comes last, so that it hides nothing.
        sys.path.append(str(path.parent))
    before = dict(known.registered)
    _forget(str(path))
    name = "harness_plugin_" + hashlib.sha256(str(path).encode()).hexdigest()[:12]
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
        known.registered.update(before)
        raise
    known.loaded_plugins[str(path)] = digest


def _load_module(text: str) -> None:
    """Imports a module for what it registers."""
    if not all(part.isidentifier() for part in text.split(".")):
        raise UsageError(
            f"a plugin must be a .py file or the dotted name of a module, got "
            f"{text!r}; check the path"
        )
    try:
        with _loading(text):
            module = importlib.import_module(text)
    except ModuleNotFoundError as error:
        # Where it is another module that is not there, the plugin has imported that.
        if error.name is None or not (text == error.name or text.startswith(error.name + ".")):
            raise
        raise UsageError(
            f"a plugin must be a .py file or a module, there is no module {text!r}; check the name "
            f"or install it"
        ) from None
    digest = ""
    file = getattr(module, "__file__", None)
    if file:  # a namespace package has none
        digest = hashlib.sha256(Path(file).read_bytes()).hexdigest()
    known.loaded_plugins[text] = digest


def _loading(text: str) -> contextlib.AbstractContextManager[None]:
    """The boundary around a file or a module that is loaded for what it defines."""
    remedy = "put what is to run below if __name__ == '__main__':"
    return foreign(f"what {text} runs when it is loaded", UsageError, remedy)


def _forget(path: str) -> None:
    """Removes what a file has registered."""
    for key, entry in list(known.registered.items()):
        if path in (os.path.realpath(entry.origin), os.path.realpath(entry.registrar)):
            del known.registered[key]
