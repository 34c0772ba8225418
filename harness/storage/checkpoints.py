"""Checkpoints on disk: how trials in training stand, so that a crash costs little.

One file a checkpoint, `<trial>-<epoch>.npz`, which is a bundle (`storage.bundle`). It is written
under another name, synced and renamed, so that it is there whole or not at all; what a disk damages
later no longer has its checksum, and the checkpoint before is used. What the arrays and the JSON
mean is the business of `trials.checkpoints`.
"""

import contextlib
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from harness.storage import bundle, files
from harness.storage.bundle import Bundle
from harness.storage.findings import Finding, check_half_written, removal
from harness.storage.formats import Damaged, OtherVersion

KEPT = 2  # checkpoints of each trial
_NAME = re.compile(r"(?P<trial>\d{6})-(?P<epoch>\d{6})\.npz")
_HALF_WRITTEN = ".new"


class Content(NamedTuple):
    """What a checkpoint holds.

    Attributes
    ----------
    identity : str
        What it is a checkpoint of; another identity must not go on from it.
    about : dict
        JSON.
    arrays : dict of str to array
        Arrays of numbers, by name.
    """

    identity: str
    about: dict[str, Any]
    arrays: dict[str, np.ndarray]


def pack(content: Content) -> bytes:
    """A checkpoint as the bytes of a file; ValueError for arrays that would be pickled."""
    about = {"identity": content.identity, **content.about}
    return bundle.pack("checkpoint", Bundle(about, content.arrays))


def unpack(data: bytes, path: Path) -> Content:
    """What `pack` has made, to the last bit; Damaged or OtherVersion where it is something else."""
    about, arrays = bundle.unpack("checkpoint", data, path)
    return Content(about.pop("identity"), about, arrays)


def trial_of(path: Path) -> int | None:
    """The number of the trial whose checkpoint a file is; None where it is none."""
    parts = _NAME.fullmatch(path.name)
    if parts is None:
        return None
    return int(parts["trial"])


class CheckpointFolder:
    """The checkpoints of a sweep, in a folder that only its driver writes.

    Attributes
    ----------
    folder : Path
        It is made by the first checkpoint.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write_content(self, trial: int, epoch: int, content: Content) -> None:
        """Makes a checkpoint durable, then drops the trial's third last.

        Parameters
        ----------
        trial : int
            The number of the trial.
        epoch : int
            How many epochs it has been trained.
        content : Content
            How it stands.

        Raises
        ------
        DiskError
            If the disk does not take it.
        """
        data = pack(content)
        files.make_folder(self.folder)
        fresh = self.folder / _HALF_WRITTEN
        files.write_durably(fresh, data)
        files.rename(fresh, self.folder / f"{trial:06d}-{epoch:06d}.npz")
        files.sync_folder(self.folder)
        # The oldest may go only now that the new one is durable.
        for path in self._newest_first(trial)[KEPT:]:
            files.remove(path)

    def read_content(self, trial: int, identity: str) -> Content | None:
        """The newest sound checkpoint of a trial with this identity.

        What is passed over on the way is removed, or it would count as one of those that are kept.

        Returns
        -------
        Content or None
            None where the trial has to start again.
        """
        for path in self._newest_first(trial):
            content = _read(path)
            if content is not None and content.identity == identity:
                return content
            with contextlib.suppress(files.DiskError):
                files.remove(path)
        return None

    def identities(self, trial: int) -> set[str]:
        """What the checkpoints of a trial are checkpoints of, without reading their arrays."""
        about = (bundle.read_about("checkpoint", path) for path in self._newest_first(trial))
        return {str(each["identity"]) for each in about if "identity" in each}

    def drop(self, trial: int) -> None:
        """Forgets a trial that has ended."""
        for path in self._newest_first(trial):
            files.remove(path)

    def numbers(self) -> set[int]:
        """The numbers of the trials that have checkpoints."""
        numbers = map(trial_of, self.folder.glob("*.npz"))
        return {number for number in numbers if number is not None}

    def _newest_first(self, trial: int) -> list[Path]:
        paths = [
            path for path in self.folder.glob(f"{trial:06d}-*.npz") if _NAME.fullmatch(path.name)
        ]
        # The names of one trial sort by their epochs.
        return sorted(paths, reverse=True)


def _read(path: Path) -> Content | None:
    """The checkpoint in a file; None where it is damaged, or of another version."""
    # The disk itself can tell that it is damaged.
    try:
        return unpack(path.read_bytes(), path)
    except (OSError, Damaged, OtherVersion):
        return None


def check(folder: Path) -> list[Finding]:
    """Finds damaged and half-written checkpoints, and files that are none."""
    findings = []
    for path in sorted(folder.glob("*.npz")):
        if trial_of(path) is None:
            findings.append(Finding(path, f"{path} is no checkpoint", is_harmless=True))
            continue
        with files.on_disk(path):
            data = path.read_bytes()
        try:
            unpack(data, path)
        except OtherVersion as error:
            findings.append(Finding(path, str(error), is_harmless=True))
        except Damaged:
            rest = f"the damaged checkpoint {path.name}; the one before it is used"
            findings.append(removal(path, rest))
    return findings + check_half_written(folder / _HALF_WRITTEN)
