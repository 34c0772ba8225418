"""Films that a study keeps in its folder, to put them beside each other at its end.

They are those of the arms of a comparison, and of the best trials of a sweep whose artifacts a
server has. A film is the page that plays it, in a file `<name>-<SHA-256 of its content>.html`, so
that damage to it is noticed; its last frame may lie beside it as such a `.png`.
"""

import contextlib
from collections.abc import Collection, Mapping
from pathlib import Path

from harness.storage import files
from harness.storage.findings import Finding, removal
from harness.storage.formats import is_named_by_content, sha256

PAGE = ".html"
STILL = ".png"


def write(folder: Path, name: str, data: bytes, ending: str = PAGE) -> None:
    """Writes a film durably, and removes the one that was written under that name before.

    Parameters
    ----------
    folder : Path
        The folder of films of a study; it is made where it is missing.
    name : str
        What the film is called there, without the SHA-256.
    data : bytes
        The page that plays it, or its last frame.
    ending : str
        What the name of the file ends in: `PAGE` or `STILL`.
    """
    path = folder / f"{name}-{sha256(data)}{ending}"
    files.write_whole({path: data})
    # The older one may go only now that the new one is durable.
    for older in stored(folder, name, ending):
        if older != path:
            files.remove(older)


def remove(folder: Path, name: str) -> None:
    """Removes the film of a name, and its last frame."""
    for ending in (PAGE, STILL):
        for path in stored(folder, name, ending):
            files.remove(path)


def stored(folder: Path, name: str, ending: str = PAGE) -> list[Path]:
    """The files that hold the film of a name, damaged ones too."""
    return sorted(folder.glob(f"{name}-*{ending}"))


def read(folder: Path, name: str, ending: str = PAGE) -> bytes | None:
    """What `write` has written; None where that is missing or damaged."""
    for path in stored(folder, name, ending):
        data = path.read_bytes()
        if is_named_by_content(path, data):
            return data
    return None


class BestFilms:
    """The films of the best trials of a sweep, in its folder.

    Parameters
    ----------
    folder : Path
        Where they are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers: set[int] | None = None  # of the trials whose films are there

    def take(self, number: int, film: Mapping[str, bytes], best: Collection[int]) -> None:
        """Keeps the film of a trial if it is one of the best; those of all others go.

        A disk that is full keeps none, which changes nothing but what is shown.

        Parameters
        ----------
        number : int
            The trial.
        film : dict of bytes by name
            Its film.html and film.png, as far as it has them.
        best : collection of int
            The trials whose films are kept.
        """
        with contextlib.suppress(files.DiskError):
            numbers = self._known()
            if number in best:
                for ending in (PAGE, STILL):
                    if data := film.get(f"film{ending}"):
                        write(self._folder, f"trial-{number}", data, ending)
                numbers.add(number)
            for other in numbers.difference(best):
                remove(self._folder, f"trial-{other}")
                numbers.discard(other)

    def read(self, number: int) -> dict[str, bytes]:
        """The film.html and film.png of a trial, as far as they are kept."""
        film = {}
        for ending in (PAGE, STILL):
            data = read(self._folder, f"trial-{number}", ending)
            if data is not None:
                film[f"film{ending}"] = data
        return film

    def _known(self) -> set[int]:
        if self._numbers is None:
            names = (path.name.split("-") for path in self._folder.glob("trial-*-*"))
            self._numbers = {int(number) for _, number, *_ in names if number.isdigit()}
        return self._numbers


def check(folder: Path) -> list[Finding]:
    """Finds damaged films in a folder. They can go, since films are made without them too."""
    findings = []
    for path in sorted([*folder.glob(f"*{PAGE}"), *folder.glob(f"*{STILL}")]):
        with files.on_disk(path):
            data = path.read_bytes()
        if not is_named_by_content(path, data):
            findings.append(removal(path, f"the damaged film {path.name} of an arm or trial"))
    return findings
