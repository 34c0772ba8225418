"""Where a study comes from: its script, and its commit, for which the program git is asked."""

import os
import re
import subprocess
import sys
import urllib.parse
from pathlib import Path

from harness.storage.secrets import mask

_SECONDS = 2.0  # that an answer may take; a study does not wait for a slow disk
# A hook of git sets these, and then git would answer for another repository.
_OF_HOOKS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
_LIKE_SCP = re.compile(r"[\w.-]+@[\w.-]+:.+")  # git@host:path


COMMIT = "mlflow.source.git.commit"
DIRTY = "harness.git.dirty"


def origin_tags(script: Path | None) -> dict[str, str]:
    """The tags that say what was started: the script, and commit and state of its repository.

    Of the repository nothing is said where there is none, no git, or no answer within seconds.

    Parameters
    ----------
    script
        The script; None for what was typed, whose repository is that of the current folder.
    """
    program = script or Path(sys.argv[0])
    name = {"mlflow.source.name": program.name or "python"}
    folder = script.parent if script else Path.cwd()
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    if not commit:
        return name
    tags = {
        **name,
        COMMIT: commit,
        "mlflow.source.git.branch": _git(folder, "symbolic-ref", "--short", "--quiet", "HEAD"),
        "mlflow.source.git.repoURL": _address(folder),
        DIRTY: _dirty(folder, script),
    }
    return {key: mask(value) for key, value in tags.items() if value}


def code_tags(tags: dict[str, str]) -> dict[str, str]:
    """Those of the tags of a study that say of which code it is; its trials have them too."""
    return {key: tags[key] for key in ("mlflow.source.name", COMMIT, DIRTY) if key in tags}


def without_origin(tags: dict[str, str]) -> dict[str, str]:
    """Those of the tags of a study that do not say where it comes from."""
    return {k: v for k, v in tags.items() if k != DIRTY and not k.startswith("mlflow.source.")}


def _dirty(folder: Path, script: Path | None) -> str | None:
    """Whether the files differ from the commit: "true" or "false", None where git does not say."""
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    if changed is None:
        return None
    # A script that was never added is in no commit either.
    is_new = script is not None and not _git(folder, "ls-files", "--", str(script))
    return str(bool(changed) or is_new).lower()


def _address(folder: Path) -> str | None:
    """The address of the repository without user and password; None where it is on this machine."""
    remotes = _git(folder, "remote")
    if not remotes:
        return None
    name = "origin" if "origin" in remotes.split() else remotes.split()[0]
    address = _git(folder, "remote", "get-url", name) or ""
    if _LIKE_SCP.fullmatch(address):
        return address
    try:
        parts = urllib.parse.urlsplit(address)
    except ValueError:
        return None
    if not parts.hostname:
        return None
    host = parts.netloc.rpartition("@")[2]
    return urllib.parse.urlunsplit(parts._replace(netloc=host))


def _git(folder: Path, *arguments: str) -> str | None:
    """What git answers; None where it fails."""
    environment = {name: value for name, value in os.environ.items() if name not in _OF_HOOKS}
    # Without optional locks `status` writes nothing into the repository.
    environment["GIT_OPTIONAL_LOCKS"] = "0"
    command = ["git", "-C", str(folder), "-c", "core.fsmonitor=false", *arguments]
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return None
    return done.stdout.decode(errors="replace").strip()
