"""Films of the arms of a comparison, kept until those of all arms are put together.

A film is the page that plays it, in a file `<name>-<SHA-256 of its content>.html`, so that damage
to it is noticed.
"""

from pathlib import Path

from harness.storage import files
from harness.storage.findings import Finding, removal
from harness.storage.formats import is_named_by_content, sha256


def write(folder: Path, name: str, data: bytes) -> None:
    """Writes a film durably, and removes the one that was written under that name before.

    Parameters
    ----------
    folder : Path
        The folder of films of a comparison; it is made where it is missing.
    name : str
        What the film is called there, without the SHA-256.
    data : bytes
        The page that plays it.
    """
    path = folder / f"{name}-{sha256(data)}.html"
    files.write_whole({path: data})
    # The older one may go only now that the new one is durable.
    for older in stored(folder, name):
        if older != path:
            files.remove(older)


def stored(folder: Path, name: str) -> list[Path]:
    """The files that hold the film of a name, damaged ones too."""
    return sorted(folder.glob(f"{name}-*.html"))


def read(folder: Path, name: str) -> bytes | None:
    """What `write` has written; None where that is missing or damaged."""
    for path in stored(folder, name):
        data = path.read_bytes()
        if is_named_by_content(path, data):
            return data
    return None


def check(folder: Path) -> list[Finding]:
    """Finds damaged films in a folder. They can go, since films are made without them too."""
    findings = []
    for path in sorted(folder.glob("*.html")):
        with files.on_disk(path):
            data = path.read_bytes()
        if not is_named_by_content(path, data):
            findings.append(removal(path, f"the damaged film {path.name} of an arm"))
    return findings
