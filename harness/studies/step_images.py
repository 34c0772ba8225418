"""What the weights of a few trials looked like after each epoch, for one slider of the MLflow UI.

The UI shows images of many runs beside each other where each has files that are named as
`MlflowClient.log_image(key=, step=)` names them. They are made here from the pages of the films,
when a sweep has ended, so that no trial waits for them.
"""

import io
import sys
from collections.abc import Mapping
from hashlib import sha256
from uuid import UUID

import numpy as np

from harness.errors import UsageError
from harness.escapes import printable
from harness.pictures.encode import png
from harness.pictures.reel import Reel, reels_in
from harness.pictures.together import Settings, Together, frames_at
from harness.storage.artifacts import of_trial
from harness.storage.records import TrialRun
from harness.tracking.images import KEY

_EPOCHS = 6  # at most of each trial, since each is two files
_UNITS = 16  # whose tiles are still legible side by side
_SIDE = 230  # pixels, so that three stand beside each other in a window 1500 pixels wide
_QUALITY = 80


def step_images(films: Mapping[int, tuple[TrialRun, bytes]]) -> dict[str, bytes]:
    """The images of the weights of trials.

    Parameters
    ----------
    films : dict of (TrialRun, bytes) by number
        Each trial, with the page that plays its film.

    Returns
    -------
    dict of bytes by name
        Artifacts that belong to the runs of these trials.
    """
    try:
        reels = [_reel(run, page) for run, page in films.values()]
        tiles = Together(reels, Settings(units=_UNITS)).to_tiles() if reels else []
    except UsageError as error:
        print(printable(f"the images of weights are not made: {error}"), file=sys.stderr)
        return {}
    epochs = epochs_shown(max((run.result.epochs for run, _ in films.values()), default=0))
    images: dict[str, bytes] = {}
    for (number, (run, _)), reel, frames in zip(films.items(), reels, tiles, strict=True):
        # A network that has ended stays as it is, so that its place is never empty.
        steps = [round(epoch * reel.story.epoch_steps) for epoch in epochs]
        shown = frames[frames_at(reel.story.steps, steps)]
        for epoch, frame in zip(epochs, shown, strict=True):
            files = _files(frame, epoch, run.end_ms or run.start_ms)
            images |= {of_trial(number, name): data for name, data in files.items()}
    return images


def epochs_shown(longest: int) -> list[int]:
    """The epochs after which there is an image, evenly spread up to the last of the longest."""
    places = np.linspace(1, longest, min(longest, _EPOCHS))
    return [int(epoch) for epoch in np.rint(places)]


def _reel(run: TrialRun, page: bytes) -> Reel:
    (reel,) = reels_in(page, f"the film of {run.name!r}")
    return reel


def _files(frame: np.ndarray, epoch: int, time_ms: int) -> dict[str, bytes]:
    """The two files of an image, under the names by which the UI knows its key and step."""
    zoom = max(2, 2 * round(_SIDE / max(frame.shape[:2]) / 2))
    large = frame.repeat(zoom, axis=0).repeat(zoom, axis=1)
    # Equal images have equal names, so that a sweep that goes on has none of them twice.
    digest = UUID(bytes=sha256(frame.tobytes()).digest()[:16])
    name = f"images/{KEY}+step+{epoch}+timestamp+{time_ms}+{digest}"
    return {f"{name}.png": png(large), f"{name}+compressed.webp": _webp(large)}


def _webp(frame: np.ndarray) -> bytes:
    """What the UI shows until somebody points at the image."""
    from PIL import Image

    file = io.BytesIO()
    # The quickest method; slower ones save a tenth of the bytes.
    Image.fromarray(frame).save(file, "webp", quality=_QUALITY, method=0)
    return file.getvalue()
