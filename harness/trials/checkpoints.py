"""Checkpoints: how trials that are in training stand, on disk, so that a crash costs at most the
segment since then.

One file a checkpoint, `<trial>-<epoch>-<SHA-256 of its content>.npz`, nothing pickled. It is
written under another name, synced and renamed, so that it is there whole or not at all; what a disk
damages later no longer has the SHA-256 of its name, and the checkpoint before is used. The last two
of a trial are kept.
"""

import contextlib
import io
import json
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from harness.storage import files as disk
from harness.storage.formats import FORMATS, sha256
from harness.training.state import Record, State
from harness.version import version

KEPT = 2
_FILE = re.compile(r"(\d{6})-(\d{6})-([0-9a-f]{64})\.npz")
_FRAMES = "film/frames"  # a list of arrays of one shape: one array in the file


class Checkpoint(NamedTuple):
    """How a trial stood: what `segment` goes on from, the records so far, and when its first
    segment started.
    """

    state: State
    records: list[Record]
    start_ms: int


def pack(identity: str, checkpoint: Checkpoint) -> bytes:
    """A checkpoint as the bytes of an .npz: arrays by name, and all else as JSON."""
    arrays = {k: v for k, v in checkpoint.state.items() if isinstance(v, np.ndarray)}
    plain = {k: v for k, v in checkpoint.state.items() if k not in arrays and k != _FRAMES}
    if checkpoint.state[_FRAMES]:
        arrays[_FRAMES] = np.stack(checkpoint.state[_FRAMES])
    records = []
    for k, r in enumerate(checkpoint.records):
        arrays[f"losses/{k}"] = r.losses
        records.append(
            {
                "epoch": r.epoch,
                "step": r.step,
                "metrics": r.metrics,
                "seconds": r.seconds,
                "bad": r.bad_step,
            }
        )
    about = {
        "version": FORMATS["checkpoint"].version,
        "identity": identity,
        "state": plain,
        "records": records,
        "start_ms": checkpoint.start_ms,
    }
    file = io.BytesIO()
    np.savez(
        file,
        allow_pickle=False,
        about=np.frombuffer(json.dumps(about).encode(), np.uint8),
        **arrays,
    )
    return file.getvalue()


def unpack(content: bytes) -> tuple[str, Checkpoint]:
    """(identity, checkpoint) of what `pack` has made, to the last bit."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    about = json.loads(arrays.pop("about").tobytes())
    records = [
        Record(
            r["epoch"], r["step"], r["metrics"], arrays.pop(f"losses/{k}"), r["seconds"], r["bad"]
        )
        for k, r in enumerate(about["records"])
    ]
    frames = list(arrays.pop(_FRAMES, ()))
    return about["identity"], Checkpoint(
        {**about["state"], **arrays, _FRAMES: frames}, records, about["start_ms"]
    )


class Checkpoints:
    """The checkpoints of a sweep, in a folder that only its driver writes."""

    def __init__(self, folder: Path):
        self.folder = folder

    def _of(self, number: int) -> list[Path]:
        """A trial's files, the newest first."""
        found = [
            path for path in self.folder.glob(f"{number:06d}-*.npz") if trial_of(path) is not None
        ]
        return sorted(found, key=lambda path: path.name[:13], reverse=True)

    def write(self, number: int, identity: str, checkpoint: Checkpoint) -> None:
        """Makes a checkpoint durable, then drops the trial's third last. DiskError where the disk
        does not take it.
        """
        content = pack(_key(identity), checkpoint)
        disk.make_folder(self.folder)
        fresh = self.folder / ".new"
        disk.write_durably(fresh, content)
        epoch = checkpoint.state["epoch"]
        disk.rename(fresh, self.folder / f"{number:06d}-{epoch:06d}-{sha256(content)}.npz")
        disk.sync_folder(self.folder)
        for path in self._of(number)[KEPT:]:
            disk.remove(path)

    def read(self, number: int, identity: str) -> Checkpoint | None:
        """The newest sound checkpoint of a trial with this identity; None where it has to start
        again.

        What is passed over on the way is removed.
        """
        for path in self._of(number):
            with contextlib.suppress(OSError):  # damaged where the disk itself can tell
                content = path.read_bytes()
                if sound(path, content) and current(content):
                    known, checkpoint = unpack(content)
                    if known == _key(identity):
                        return checkpoint
            with contextlib.suppress(disk.DiskError):
                disk.remove(path)  # or it would count as one of those that are kept
        return None

    def numbers_by_identity(self) -> dict[str, int]:
        """For each identity that has a sound checkpoint, the number of its trial."""
        found = {}
        for number in self.numbers():
            for path in self._of(number):
                with contextlib.suppress(OSError):
                    content = path.read_bytes()
                    if sound(path, content) and current(content):
                        known, _ = unpack(content)
                        found[known.removesuffix(f" {version()}")] = number
        return found

    def drop(self, number: int) -> None:
        """Forgets a trial that has ended."""
        for path in self._of(number):
            disk.remove(path)

    def numbers(self) -> set[int]:
        """The trials that have checkpoints."""
        return {
            number for path in self.folder.glob("*.npz") if (number := trial_of(path)) is not None
        }


def _key(identity: str) -> str:
    """What a checkpoint is of: a trial as this version trains it, since another may name its state
    otherwise.
    """
    return f"{identity} {version()}"


def current(content: bytes) -> bool:
    """Whether a checkpoint is of the version that is written now: one of another is passed over, as
    if it were not.
    """
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        about = json.loads(file["about"].tobytes()) if "about" in file.files else {}
    return about.get("version") == FORMATS["checkpoint"].version


def trial_of(path: Path) -> int | None:
    """The number of the trial whose checkpoint a file is; None where it is none."""
    found = _FILE.fullmatch(path.name)
    return int(found[1]) if found else None


def sound(path: Path, content: bytes | None = None) -> bool:
    """Whether a checkpoint has the SHA-256 that its name says."""
    digest = sha256(path.read_bytes() if content is None else content)
    return path.name.endswith(f"-{digest}.npz")
