"""What is written only while somebody watches a study: a lease, and pictures of weights.

All of it is in a folder `watch` beside the spool. Nothing there is needed by anybody but the page
that shows it, so nothing is synced, and all of it may be deleted at any time.
"""

import contextlib
import re
import time
from pathlib import Path

from harness.storage import files

LASTS = 5.0  # seconds for which a lease is good after it was renewed
MOST_FRAMES = 240  # pictures that are kept of a trial; then every second one goes

_FRAME = re.compile(r"(?P<number>\d+)-(?P<step>\d+)\.png")
_LEASE = "lease"


class Watch:
    """The folder of what is watched of one study.

    Parameters
    ----------
    folder : Path
        The folder of the study.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "watch"

    # The lease ------------------------------------------------------------------------------------

    def renew(self) -> None:
        """Says that somebody watches from now on for `LASTS` seconds."""
        files.make_folder(self.folder)
        (self.folder / _LEASE).touch()

    def is_on(self) -> bool:
        """Whether somebody watches."""
        with contextlib.suppress(OSError):
            renewed = (self.folder / _LEASE).stat().st_mtime
            # A clock that was set back must not make a lease last for ever.
            return abs(time.time() - renewed) < LASTS
        return False

    def end(self) -> None:
        """Removes everything, the pictures too."""
        with contextlib.suppress(OSError, files.DiskError):
            files.remove_tree(self.folder)

    # Pictures -------------------------------------------------------------------------------------

    def add(self, number: int, step: int, picture: bytes) -> None:
        """Keeps a picture of the weights of a trial; nothing happens where the disk is full.

        Parameters
        ----------
        number : int
            The trial.
        step : int
            After which step the weights were so.
        picture : bytes
            A PNG.
        """
        fresh = self.folder / f".{number}.new"
        with contextlib.suppress(OSError):
            fresh.write_bytes(picture)
            fresh.replace(self.folder / f"{number}-{step}.png")
        steps = self.steps(number)
        if len(steps) > MOST_FRAMES:
            # The last one stays, so that what is seen is how it is now.
            for step in steps[-2::-2]:
                with contextlib.suppress(OSError):
                    (self.folder / f"{number}-{step}.png").unlink()

    def steps(self, number: int) -> list[int]:
        """The steps of a trial that there are pictures of, in order."""
        steps = []
        with contextlib.suppress(OSError):
            for path in self.folder.iterdir():
                name = _FRAME.fullmatch(path.name)
                if name is not None and int(name["number"]) == number:
                    steps.append(int(name["step"]))
        return sorted(steps)

    def picture(self, number: int, step: int) -> bytes | None:
        """A picture of the weights of a trial; None where there is none."""
        with contextlib.suppress(OSError):
            return (self.folder / f"{number}-{step}.png").read_bytes()
        return None
