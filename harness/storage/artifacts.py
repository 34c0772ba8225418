"""Artifacts: the files that a run leaves, whose SHA-256 its record keeps."""

import contextlib
from collections.abc import Mapping
from pathlib import Path

from harness.storage.files import on_disk
from harness.storage.findings import Finding
from harness.storage.formats import sha256
from harness.storage.paths import safe_path

# What a study makes for one of its trials waits in this folder among the artifacts of its parent.
OF_TRIALS = "of_trials"

# A film may be deleted to free space, so that one that is missing is no damage.
_FILMS = ("film.", "films.")


def of_trial(number: int, path: str) -> str:
    """The path that an artifact of a parent has which belongs to the run of one of its trials.

    Parameters
    ----------
    number : int
        The number of the trial.
    path : str
        The path that it is to have in the run of the trial.
    """
    return f"{OF_TRIALS}/{number}/{path}"


def changed_files(folder: Path, checksums: Mapping[str, str]) -> list[str]:
    """The files in a folder that are not as they were written.

    Parameters
    ----------
    folder : Path
        The folder of the artifacts.
    checksums : mapping of str to str
        The SHA-256 of each artifact, by its path in the folder.

    Returns
    -------
    list of str
        Their paths as in checksums. Files that are not there do not count.
    """
    changed = []
    for name, checksum in checksums.items():
        with contextlib.suppress(FileNotFoundError):
            if sha256((folder / safe_path(name)).read_bytes()) != checksum:
                changed.append(name)
    return changed


def check(folder: Path, checksums: Mapping[str, str], run: str) -> list[Finding]:
    """Finds the artifacts of a run that are damaged, and those that are missing.

    Parameters
    ----------
    folder : Path
        The folder of its artifacts in the local artifact store.
    checksums : mapping of str to str
        The SHA-256 of each artifact, by its path in the folder.
    run : str
        The name of the run, for the sentence.

    Returns
    -------
    list of Finding
        One that names them all, or none.
    """
    problems = []
    for name, checksum in checksums.items():
        if name.startswith(f"{OF_TRIALS}/"):
            # The run of a trial has it.
            continue
        path = folder / name
        with on_disk(path):
            problem = _problem(path, checksum)
        if problem == "missing" and name.startswith(_FILMS):
            continue
        if problem:
            problems.append(f"{name} is {problem}")
    if not problems:
        return []
    sentence = f"of {run!r}, in {folder}: {', '.join(problems)}; restore that from a copy"
    return [Finding(folder, sentence)]


def _problem(path: Path, checksum: str) -> str:
    if not path.is_file():
        return "missing"
    if sha256(path.read_bytes()) != checksum:
        return "damaged"
    return ""
