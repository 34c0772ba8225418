"""Requests to stop a study, or one of its trials, from another process.

A request is a file in the folder `stops` of the study: `trial-000007` for one trial, `all` for the
study. Any process may write one; the driver of the study looks for them between segments and
removes what it has carried out. A request for a trial outlives the driver, so that a trial that was
to be stopped is stopped when the study goes on.
"""

import contextlib
import re
from pathlib import Path
from typing import NamedTuple

from harness.storage import files
from harness.storage.findings import Finding, removal
from harness.storage.formats import Damaged, OtherVersion, seal, unseal

_ALL = "all"
_TRIAL = re.compile(r"trial-(\d{6,})")


class Stop(NamedTuple):
    """A request to stop.

    Attributes
    ----------
    number : int or None
        The trial; None for the whole study.
    by : str
        Who asks for it, as in "ada on tower".
    """

    number: int | None
    by: str


class Stops:
    """The requests to stop one study.

    Parameters
    ----------
    folder : Path
        The folder of the requests, which is made by the first one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def request(self, stop: Stop) -> None:
        """Makes a request durable; DiskError where the disk does not take it."""
        content = {"number": stop.number, "by": stop.by}
        files.write_whole({self._path(stop.number): seal("stop", content)})

    def requests(self) -> dict[int | None, Stop]:
        """All requests by the trial, or None for the whole study; damaged ones are passed over."""
        found: dict[int | None, Stop] = {}
        # Most studies never get one, so that this is one question to the system.
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for path in self.folder.iterdir():
                with contextlib.suppress(Damaged, OtherVersion):
                    if _is_request(path):
                        stop = _read(path)
                        found[stop.number] = stop
        return found

    def drop(self, number: int | None) -> None:
        """Removes a request that has been carried out, or that nobody needs any more."""
        files.remove(self._path(number))

    def _path(self, number: int | None) -> Path:
        if number is None:
            return self.folder / _ALL
        return self.folder / f"trial-{number:06d}"


def _is_request(path: Path) -> bool:
    return path.name == _ALL or _TRIAL.fullmatch(path.name) is not None


def _read(path: Path) -> Stop:
    """The request in a file.

    Raises
    ------
    Damaged
        It cannot be read, or is not as it was written.
    OtherVersion
        It is of a version that is not read here.
    """
    try:
        content = unseal("stop", path.read_bytes(), path)
        return Stop(content["number"], content["by"])
    except (OSError, KeyError, TypeError) as error:
        raise Damaged(str(error)) from error


def check(folder: Path) -> list[Finding]:
    """Finds files that are damaged, half written or no requests. No result hangs on any of them.

    Parameters
    ----------
    folder : Path
        The folder of the requests, which may be missing.
    """
    findings = []
    for path in sorted(folder.glob("*")):
        if not _is_request(path):
            findings.append(removal(path, f"{path}, which is no request to stop"))
            continue
        try:
            _read(path)
        except Damaged:
            findings.append(removal(path, f"the damaged request to stop {path}; ask once more"))
        except OtherVersion as error:
            findings.append(Finding(path, str(error)))
    return findings
