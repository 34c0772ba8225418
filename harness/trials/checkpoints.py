"""Checkpoints: how a trial in training stands, as the arrays and the JSON that storage keeps."""

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np

from harness.storage.checkpoints import CheckpointFolder, Content
from harness.training.state import Record, State
from harness.version import version

_FRAMES = "film/frames"  # in a state a list of arrays of one shape, in a checkpoint one array


class Checkpoint(NamedTuple):
    """How a trial stood.

    Attributes
    ----------
    state : dict
        What `segment` goes on from.
    records : list of Record
        Those of the epochs so far.
    start_ms : int
        When its first segment started, in ms since 1970.
    """

    state: State
    records: list[Record]
    start_ms: int


def to_content(identity: str, checkpoint: Checkpoint) -> Content:
    """A checkpoint as arrays and JSON.

    Parameters
    ----------
    identity : str
        That of the trial. This version of the harness belongs to it, since another one may name the
        parts of a state otherwise.
    checkpoint : Checkpoint
        How the trial stands.
    """
    state = dict(checkpoint.state)
    frames = state.pop(_FRAMES)
    arrays = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
    plain = {name: value for name, value in state.items() if name not in arrays}
    if frames:
        arrays[_FRAMES] = np.stack(frames)
    for k, record in enumerate(checkpoint.records):
        arrays[_losses_of(k)] = record.losses
    records = [_record_as_json(record) for record in checkpoint.records]
    about = {"state": plain, "records": records, "start_ms": checkpoint.start_ms}
    return Content(_with_version(identity), about, arrays)


def from_content(content: Content) -> Checkpoint:
    """What `to_content` was given, to the last bit."""
    arrays = dict(content.arrays)
    records = [
        _record_from_json(entry, arrays.pop(_losses_of(k)))
        for k, entry in enumerate(content.about["records"])
    ]
    frames = list(arrays.pop(_FRAMES, ()))
    state = {**content.about["state"], **arrays, _FRAMES: frames}
    return Checkpoint(state, records, content.about["start_ms"])


def _with_version(identity: str) -> str:
    return f"{identity} {version()}"


def _losses_of(k: int) -> str:
    """The name of the array with the losses of record k."""
    return f"losses/{k}"


def _record_as_json(record: Record) -> dict[str, Any]:
    return {
        "epoch": record.epoch,
        "step": record.step,
        "metrics": record.metrics,
        "seconds": record.seconds,
        "bad": record.bad_step,
        "optim": record.optim,
        "ended_ms": record.ended_ms,
    }


def _record_from_json(entry: dict[str, Any], losses: np.ndarray) -> Record:
    return Record(
        epoch=entry["epoch"],
        step=entry["step"],
        metrics=entry["metrics"],
        losses=losses,
        seconds=entry["seconds"],
        bad_step=entry["bad"],
        optim=entry.get("optim", {}),  # one written earlier has none
        ended_ms=entry.get("ended_ms", 0),
    )


class Checkpoints(CheckpointFolder):
    """The checkpoints of a sweep, in a folder that only its driver writes."""

    def write(self, number: int, identity: str, checkpoint: Checkpoint) -> None:
        """Makes a checkpoint of a trial durable; DiskError where the disk does not take it."""
        epoch = checkpoint.state["epoch"]
        self.write_content(number, epoch, to_content(identity, checkpoint))

    def read(self, number: int, identity: str) -> Checkpoint | None:
        """The newest sound checkpoint of a trial; None where it has to start again."""
        content = self.read_content(number, _with_version(identity))
        if content is None:
            return None
        return from_content(content)

    def numbers_by_identity(self, ended: Collection[int | None]) -> dict[str, int]:
        """For each identity that has a checkpoint, the number of its trial.

        Parameters
        ----------
        ended : collection of int or None
            The numbers of trials that have ended, of which a crash may have left a checkpoint.
        """
        suffix = _with_version("")
        numbers = {}
        for number in self.numbers().difference(ended):
            for name in self.identities(number):
                numbers[name.removesuffix(suffix)] = number
        return numbers
