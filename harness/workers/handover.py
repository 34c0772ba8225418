"""Data sets on their way to local workers, which need not load again what the driver has loaded.

The driver writes a data set once into a file without a name, and each worker maps that file into
its memory. So a data set that takes long to read is read once for all processes, and its rows are
in the memory of the machine once. Nothing is left behind, since such a file ends with its driver.
"""

import contextlib
import mmap
import os
import tempfile
from typing import Any, BinaryIO

from harness.data import Dataset
from harness.data.loading import load_for, take
from harness.errors import UsageError
from harness.trials.job import Job

KEPT = 8  # data sets, as many as a process keeps that has loaded them itself
_ALIGNED = 64  # bytes, at a multiple of which each array begins


class Handover:
    """The data sets that a driver hands to its local workers, by their digests."""

    def __init__(self) -> None:
        self._files: dict[str, BinaryIO] = {}

    def path_for(self, job: Job) -> str:
        """The path under which the data set of a job can be read while this process lives.

        It is empty where there is none: the worker loads the data set by itself then, and says
        what is wrong with it.
        """
        if not job.digest or not os.path.isdir("/proc/self/fd"):
            return ""
        if job.digest not in self._files:
            with contextlib.suppress(UsageError, OSError):
                self._write(job)
        file = self._files.get(job.digest)
        return f"/proc/{os.getpid()}/fd/{file.fileno()}" if file else ""

    def _write(self, job: Job) -> None:
        data = load_for(job.config.data, job.config.missing)
        if data.digest != job.digest:
            return  # It has changed since the study began, which the worker will say.
        while len(self._files) >= KEPT:
            self._files.pop(next(iter(self._files))).close()
        file = tempfile.TemporaryFile()  # noqa: SIM115  it stays open as long as this object
        try:
            _dump(data, file)
        except BaseException:
            file.close()
            raise
        self._files[job.digest] = file

    def close(self) -> None:
        """Lets go of all files; workers keep what they have mapped."""
        for file in self._files.values():
            file.close()
        self._files.clear()


def receive(job: Job, path: str) -> None:
    """Takes the data set of a job, in a worker, from where its driver has written it.

    Nothing happens where that cannot be read, or is another one.
    """
    with contextlib.suppress(OSError):
        take(job.config.data, job.config.missing, lambda: read(path, job.digest))


def read(path: str, digest: str) -> Dataset | None:
    """The data set in a file; None where it has another digest."""
    from distributed.protocol.pickle import loads

    with open(path, "rb") as file:
        content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    end = int.from_bytes(content[-8:], "little")
    written, places, pickled = loads(content[end:-8])
    if written != digest:
        return None
    data: Dataset = loads(pickled, buffers=[content[a:b] for a, b in places])
    return data


def _dump(data: Dataset, file: BinaryIO) -> None:
    """Writes the arrays of a data set, then what puts it together, then where that begins."""
    from distributed.protocol.pickle import dumps

    buffers: list[Any] = []
    pickled = dumps(data, buffer_callback=buffers.append)
    places = []
    for buffer in buffers:
        file.write(bytes(-file.tell() % _ALIGNED))
        begin = file.tell()
        file.write(buffer.raw())
        places.append((begin, file.tell()))
    end = file.tell()
    file.write(dumps((data.digest, places, pickled)))
    file.write(end.to_bytes(8, "little"))
    file.flush()
