"""One film in each of its formats."""

from typing import Any

import numpy as np

from harness.pictures.captioned import captioned, large_zoom
from harness.pictures.encode import gif, mp4, png_of_levels
from harness.pictures.levels import levels, shown
from harness.pictures.player import player
from harness.pictures.story import Story
from harness.pictures.tiles import frames, index_of, zoom_of

# What a film of a run shows unless it is told otherwise: what was learned, in colours.
DEFAULTS: dict[str, Any] = {"show": "change", "scaling": "root", "gap": 1, "colours": "signed"}


def write(
    kind: str,
    snapshots: np.ndarray,
    story: Story,
    shape: tuple[int, int] | None,
    settings: dict[str, Any],
) -> bytes:
    """A film as a file.

    Parameters
    ----------
    kind
        "html" (a page that plays it), "mp4" (enlarged, with its caption and curve), "gif" or "png"
        (the last frame).
    snapshots
        (T, I, O) float: the weights at T steps.
    story
        What is told beside them.
    shape
        (rows, columns) of a picture, or None; then the film is that of the matrix, unless
        matrix=False is among the settings.
    settings
        Those of `frames` and fps, and caption=False for an MP4 as it is. What is missing, or None,
        is as in DEFAULTS.

    Raises
    ------
    UsageError
        For anything that does not fit.
    """
    given = {name: value for name, value in settings.items() if value is not None}
    chosen = {"matrix": shape is None, **DEFAULTS, **given}
    fps = chosen.pop("fps", 10)
    caption = chosen.pop("caption", True)
    if kind == "html":
        # The page decides by itself how large it is.
        chosen.pop("zoom", None)
        return player(snapshots, story, shape, fps=fps, **chosen)
    if kind == "png":
        return last_frame(snapshots, shape, **chosen)
    if kind == "gif":
        return gif(frames(snapshots, shape, **chosen), fps=fps)
    if not caption:
        return mp4(frames(snapshots, shape, **chosen), fps=fps)
    zoom = chosen.pop("zoom", None)
    small = frames(snapshots, shape, zoom=1, **chosen)
    zoom = zoom or large_zoom(*small.shape[1:3])
    features = story.features if chosen["matrix"] else ()
    return mp4(captioned(small, story, zoom, features), fps=fps)


def last_frame(
    snapshots: np.ndarray,
    shape: tuple[int, int] | None,
    *,
    show: str,
    scaling: str,
    colours: str,
    limit: float | None = None,
    zoom: int | None = None,
    matrix: bool = False,
    **layout: Any,
) -> bytes:
    """The last frame of a film, a PNG; see `frames`."""
    _, inputs, outputs = snapshots.shape
    index = index_of(inputs, outputs, shape, matrix=matrix, **layout)
    numbers = shown(snapshots[-1:], show, snapshots[0])
    (last,) = levels(numbers, index, "weights", scaling, limit)
    return png_of_levels(last, index < 0, colours, zoom_of(zoom, index))
