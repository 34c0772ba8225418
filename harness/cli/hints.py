"""The commands that messages tell people to type next."""

import os
import shlex
import shutil
import sys
import sysconfig
from pathlib import Path


def ui_hint(name: str, project: str | None = None) -> str:
    """The command that opens the UI from here, on a sweep, a comparison or a run.

    Parameters
    ----------
    name : str
        What it is called.
    project : str or None
        The MLflow experiment; None for that which every command takes.
    """
    if project in (None, "harness"):
        return command_line("ui", name)
    return command_line("ui", name, "--project", project or "")


def mlflow_hint(uri: str) -> str:
    """The plain MLflow command that shows the same runs; "" where a server shows them.

    Parameters
    ----------
    uri : str
        The address of the store. One with credentials is not shown.
    """
    from harness.storage.secrets import mask

    is_server = uri.startswith(("http://", "https://"))
    if is_server or mask(uri) != uri:
        return ""
    folder = f"sqlite:///{Path.cwd()}/"
    if uri.startswith(folder):
        uri = "sqlite:///" + uri.removeprefix(folder)
    return f"{_program('mlflow')} ui --backend-store-uri {shlex.quote(uri)}"


def command_line(*words: str) -> str:
    """What to type in order to start this harness with these words.

    It works in the shell and the folder that this process was started from.
    """
    return f"{_program('harness')} {shlex.join(words)}".strip()


def _program(name: str) -> str:
    """A script of this environment, or `python -m NAME` where it has none."""
    # A script of the same name may belong to another environment, which has other runs.
    folders = _script_folders()
    for folder in folders:
        script = folder / name
        if script.is_file():
            if _on_path(name) in [folder.resolve() for folder in folders]:
                return name
            return _shortest(script)
    python = Path(sys.executable)
    if not _inside_tox() and shutil.which(python.name) == str(python):
        return f"{python.name} -m {name}"
    return f"{_shortest(python)} -m {name}"


def _script_folders() -> list[Path]:
    """Where pip puts scripts: those of this environment and, outside one, those of the user."""
    folders = [Path(sysconfig.get_path("scripts"))]
    if sys.prefix == sys.base_prefix:
        folders.append(Path(sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user"))))
    return folders


def _on_path(program: str) -> Path | None:
    """The folder in which the user's shell finds a program."""
    place = shutil.which(program)
    if place is None or _inside_tox():
        return None
    return Path(place).resolve().parent


def _inside_tox() -> bool:
    """Whether tox has started us, whose PATH is not that of the user's shell."""
    return "TOX_ENV_DIR" in os.environ


def _shortest(path: Path) -> str:
    """A path as one would type it from here."""
    # A path that leads out of the folder and in again is longer than a full one.
    if path.is_relative_to(Path.cwd()):
        return shlex.quote(os.path.relpath(path))
    return shlex.quote(str(path))
