"""Ledgers: how far the live points of a trial in training have come into MLflow.

One sealed file a trial, `<number>.sent`, beside its live points. It is written after a call of
MLflow has succeeded. So a crash in between sends some points once more, which MLflow stores once.
"""

import contextlib
import re
from pathlib import Path
from typing import NamedTuple

from harness.storage import files
from harness.storage.findings import Finding, removal
from harness.storage.formats import Damaged, OtherVersion, seal, unseal

_NAME = re.compile(r"(?P<number>\d{6,})\.sent")


class Ledger(NamedTuple):
    """How far the points of a trial have come.

    Attributes
    ----------
    id : str
        The id of the trial's record.
    run_id : str
        The run that was begun for it.
    store : str
        The store that has the run, as `tracking` names it.
    line : str
        The checksum of the last line of live points that was sent; empty before the first.
    is_running : bool
        Whether the run says RUNNING.
    """

    id: str
    run_id: str
    store: str
    line: str
    is_running: bool


class Ledgers:
    """The ledgers of a sweep, in a folder that only its writer writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, number: int) -> Ledger | None:
        """The ledger of a trial; None where there is none that can be read."""
        with contextlib.suppress(FileNotFoundError, Damaged, OtherVersion):
            return _read(self._path(number))
        return None

    def write(self, number: int, ledger: Ledger) -> None:
        """Writes down how far a trial has come; DiskError where the disk does not take it."""
        path = self._path(number)
        fresh = path.with_name(f".{path.name}")
        files.write_durably(fresh, seal("ledger", ledger._asdict()))
        files.rename(fresh, path)

    def drop(self, number: int) -> None:
        """Forgets a trial whose record MLflow has."""
        files.remove(self._path(number))

    def numbers(self) -> list[int]:
        """The numbers of the trials that have a ledger, in order."""
        names = (_NAME.fullmatch(path.name) for path in self.folder.glob("*.sent"))
        return sorted(int(name["number"]) for name in names if name is not None)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.sent"


def _read(path: Path) -> Ledger:
    content = unseal("ledger", path.read_bytes(), path)
    try:
        return Ledger(**content)
    except TypeError as error:
        raise Damaged(str(error)) from error


def check(folder: Path) -> list[Finding]:
    """Finds ledgers that are damaged or half written. Without one its points are sent again."""
    findings = []
    for path in sorted(folder.glob("*.sent")):
        if path.name.startswith("."):
            findings.append(removal(path, f"{path}, half written"))
            continue
        try:
            with files.on_disk(path):
                _read(path)
        except OtherVersion as error:
            findings.append(Finding(path, str(error)))
        except Damaged as error:
            rest = f"the ledger {path.name}, which is damaged ({error}); its points are sent again"
            findings.append(removal(path, rest))
    return findings
