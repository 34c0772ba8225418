"""The trained networks of a study: those that it keeps, and those that MLflow is to get.

Both are files of the format "network", below the folder of a study. What is kept lies in
`networks/<digest of the result>.npz`. What waits for MLflow lies in `pending/<key>.npz`, and
`pending/<key>.done` says that it was there once, so that it is not sent again.
"""

from collections.abc import Iterable
from pathlib import Path

from harness.storage import files
from harness.storage.bundle import unpack
from harness.storage.findings import Finding, removal
from harness.storage.formats import Damaged, OtherVersion, sha256

FORMAT = "network"


class NetworkFolder:
    """The networks of one study, in a folder that only its driver writes.

    Parameters
    ----------
    study : Path
        The folder of the study; the folders below it are made when they are needed.
    """

    def __init__(self, study: Path) -> None:
        self._kept = study / "networks"
        self._pending = study / "pending"

    # Kept -----------------------------------------------------------------------------------------

    def keep(self, digest: str, data: bytes) -> None:
        """Makes the network of a result durable; DiskError where the disk does not take it."""
        files.write_whole({self._path_of(digest): data})

    def read(self, digest: str) -> bytes | None:
        """The network of a result; None where it is missing or damaged."""
        path = self._path_of(digest)
        if not path.is_file():
            return None
        with files.on_disk(path):
            data = path.read_bytes()
        try:
            unpack(FORMAT, data, path)
        except (Damaged, OtherVersion):
            return None
        return data

    def keep_only(self, digests: Iterable[str]) -> None:
        """Removes the networks of all other results."""
        for path in self.others(digests):
            files.remove(path)

    def others(self, digests: Iterable[str]) -> list[Path]:
        """The files of the networks of all other results."""
        wanted = {self._path_of(digest) for digest in digests}
        return sorted(set(self._kept.glob("*.npz")) - wanted)

    def _path_of(self, digest: str) -> Path:
        return self._kept / f"{digest}.npz"

    # Waiting for MLflow ---------------------------------------------------------------------------

    def is_given(self, record: str, digest: str) -> bool:
        """Whether the network of a result was handed over for the run of a record before."""
        return self._done(record, digest).exists()

    def is_sent(self, record: str, digest: str) -> bool:
        """Whether it was handed over, and waits no more."""
        done = self._done(record, digest)
        return done.exists() and not done.with_suffix(".npz").exists()

    def give(self, record: str, digest: str, data: bytes) -> None:
        """Hands a network over, durably, to be sent to the run of a record."""
        done = self._done(record, digest)
        # The mark comes last: without it the network is handed over once more.
        files.write_whole({done.with_suffix(".npz"): data, done: b""})

    @property
    def has_given(self) -> bool:
        """Whether anything was handed over for MLflow before."""
        return next(self._pending.glob("*.done"), None) is not None

    def waiting(self) -> list[Path]:
        """The files of the networks that wait for MLflow."""
        return sorted(self._pending.glob("*.npz"))

    def _done(self, record: str, digest: str) -> Path:
        return self._pending / f"{sha256(f'{record} {digest}'.encode())[:32]}.done"


def check(study: Path) -> list[Finding]:
    """Finds damaged networks below the folder of a study. The next start trains them again."""
    findings = []
    for path in sorted([*study.glob("networks/*.npz"), *study.glob("pending/*.npz")]):
        with files.on_disk(path):
            data = path.read_bytes()
        try:
            unpack(FORMAT, data, path)
        except OtherVersion as error:
            findings.append(Finding(path, str(error), is_harmless=True))
        except Damaged:
            rest = f"the damaged network {path.name}; starting the same study again trains it again"
            found = removal(path, rest)
            findings.append(found)
    return findings
