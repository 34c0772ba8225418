"""A reel: the numbers that a film shows, before they have a scale and colours.

Reels of several networks can be put beside each other, because a scale and an axis of steps that
all share are chosen when all are there. A reel is made of snapshots of weights, or read back from a
page that plays their film.
"""

import base64
import io
import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from harness.errors import UsageError
from harness.pictures.grey import root_grey, scale_limit, scaler, symmetric_grey
from harness.pictures.levels import shown
from harness.pictures.moved import moved
from harness.pictures.story import Curve, Story
from harness.pictures.tiles import checked_snapshots, matrix_shape, tile_shape

UNITS = 100  # at most, unless it is said how many

# A frame of ranks has levels, which stay what they are on a scale that ends at this level.
_MIDDLE = 127.5

_FILM = re.compile(r"^const film = (?P<film>\{.*\});$", re.MULTILINE)
_VIDEO = re.compile(r'atob\("(?P<video>[A-Za-z0-9+/=]*)"\)')


@dataclass(frozen=True, kw_only=True)
class Reel:
    """The numbers that a film shows of one network.

    Attributes
    ----------
    name : str
        What stands above it.
    story : Story
        What is told beside it, with a step for each frame.
    tiles : numpy.ndarray
        float32 (T, U, rows, columns): of each frame the tile of each unit; of a matrix U = 1.
    units : list of int
        The number of the unit of each tile; of a matrix those of its columns.
    is_matrix : bool
        Whether it is a matrix of weights in place of tiles.
    show : str
        "change" or "weights".
    scaling : str
        "root", "symmetric", or "rank", whose numbers are levels already.
    limit : float
        Where its own scale ends.
    moved : dict of int to list of float
        How far each unit has moved at each frame.
    is_relative : bool
        Whether that is a part of the length that it began with.
    """

    name: str
    story: Story
    tiles: np.ndarray
    units: list[int]
    is_matrix: bool
    show: str
    scaling: str
    limit: float
    moved: dict[int, list[float]]
    is_relative: bool

    def levels(self, limit: float, most: int | None = None) -> np.ndarray:
        """The levels of the colours of its tiles, uint8 (T, U, rows, columns).

        Parameters
        ----------
        limit
            Where the scale ends.
        most
            Of how many tiles; None for all.
        """
        grey = root_grey if self.scaling == "root" else symmetric_grey
        return np.stack([grey(frame[:most], limit) for frame in self.tiles])


def reel_of(
    name: str,
    snapshots: np.ndarray,
    story: Story,
    shape: tuple[int, int] | None = None,
    *,
    show: str = "change",
    scaling: str = "root",
    units: int = UNITS,
    matrix: bool | None = None,
) -> Reel:
    """The reel of snapshots.

    Parameters
    ----------
    name
        What stands above it.
    snapshots
        (T, I, O) float: the weights at T steps.
    story
        What is told beside it, with a step for each snapshot.
    shape
        (rows, columns) of a tile; None where the inputs are no picture.
    show, scaling
        See `frames`.
    units
        How many units are drawn at most.
    matrix
        Whether the matrix is drawn in place of tiles; None where the inputs are no picture.

    Raises
    ------
    UsageError
        For anything that does not fit.
    """
    snapshots = checked_snapshots(snapshots)
    numbers = shown(snapshots, show, snapshots[0])
    count, inputs, outputs = numbers.shape
    is_matrix = shape is None if matrix is None else matrix
    rows, columns = matrix_shape(inputs, outputs, units)
    drawn = list(range(columns))
    if is_matrix:
        numbers = numbers[:, :rows, :columns].reshape(count, 1, rows, columns)
    else:
        numbers = numbers[:, :, :columns].transpose(0, 2, 1)
        rows, columns = tile_shape(inputs, shape)
    flat: np.ndarray = np.ascontiguousarray(numbers, np.float32).reshape(count, -1)
    limit = _MIDDLE
    if scaling == "rank":
        grey = scaler(scaling, None)
        flat = np.stack([grey(frame) for frame in flat]).astype(np.float32) - np.float32(_MIDDLE)
    else:
        limit = scale_limit(scaling, flat)
    if not is_matrix:
        # What a rectangle has beyond the inputs stays 0.
        padded: np.ndarray = np.zeros((count, len(drawn), rows * columns), np.float32)
        padded[:, :, :inputs] = flat.reshape(count, len(drawn), inputs)
        flat = padded
    how_far, is_relative = moved(snapshots, drawn)
    return Reel(
        name=name,
        story=story,
        tiles=flat.reshape(count, -1, rows, columns),
        units=drawn,
        is_matrix=is_matrix,
        show=show,
        scaling=scaling,
        limit=limit,
        moved=how_far,
        is_relative=is_relative,
    )


# Reading a page back ------------------------------------------------------------------------------


def reels_in(page: bytes, what: str) -> list[Reel]:
    """The reels of the films that a page plays.

    Parameters
    ----------
    page
        The page, as `player` has made it.
    what
        What the page is called in messages.

    Raises
    ------
    UsageError
        If it is no such page.
    """
    text = page.decode(errors="replace")
    film = _FILM.search(text)
    video = _VIDEO.search(text)
    if film is None or video is None:
        raise _no_page(what)
    try:
        about = json.loads(film["film"])
        levels = levels_of(base64.b64decode(video["video"], validate=True))
        return [_reel(about, panel, levels) for panel in about["panels"]]
    except (ValueError, KeyError, IndexError, TypeError, OSError) as error:
        raise _no_page(what) from error


def _no_page(what: str) -> UsageError:
    return UsageError(
        f"{what} must be a page that plays a film, as harness has written it, but it is another "
        "file, damaged, or of another version; make it anew"
    )


def levels_of(video: bytes) -> np.ndarray:
    """The frames (T, H, W) of a video in greys."""
    import av

    # Reading it with imageio takes two and a half times as long: it converts each frame.
    with av.open(io.BytesIO(video)) as file:
        levels = np.stack([_luma(frame) for frame in file.decode(video=0)])
    return _grey_of_luma().take(levels, mode="clip")


def _luma(frame: Any) -> np.ndarray:
    """The brightness (H, W) of a frame in yuv420p, as the video has it."""
    plane = frame.planes[0]
    # Its lines may be longer than the picture is wide.
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:, : frame.width]


@cache
def _grey_of_luma() -> np.ndarray:
    """The grey of each brightness, (256,): a video has none below 16 or above 235."""
    import av

    frame = av.VideoFrame(256, 2, "yuv420p")
    plane = frame.planes[0]
    lines = np.zeros((2, plane.line_size), np.uint8)
    lines[:, :256] = np.arange(256)
    plane.update(lines.tobytes())
    greys: np.ndarray = frame.to_ndarray(format="gray")[0]
    return greys


def _reel(about: dict[str, Any], panel: dict[str, Any], levels: np.ndarray) -> Reel:
    """One film of a page; the frames that it has repeated for the others are left out."""
    steps = about["steps"]
    kept = [frame for frame, step in enumerate(steps) if step in set(panel["steps"])]
    rows, columns = panel["tile"]
    top, left = panel["at"]
    places = {
        unit: (top + i * rows, left + j * columns)
        for i, line in enumerate(panel["grid"])
        for j, unit in enumerate(line)
        if unit is not None
    }
    tiles = np.stack(
        [levels[kept, y : y + rows, x : x + columns] for _, (y, x) in sorted(places.items())],
        axis=1,
    )
    # Ranks are levels as they are.
    limit = about["limit"] or _MIDDLE
    numbers = numbers_of(tiles, about["scaling"], limit)
    curve = panel["curve"]
    story = Story(
        steps=panel["steps"],
        epoch_steps=panel["epochs"],
        curve=None if curve is None else Curve(**curve),
        title=panel["title"],
        subtitle=panel["subtitle"],
        dead=panel["dead"],
        dead_words=panel["deadWords"],
        features=panel["features"],
        units=panel["units"],
        layer=panel["layer"],
        is_own_matrix=panel["isOwnMatrix"],
    )
    moved_at = {int(unit): [far[k] for k in kept] for unit, far in panel["moved"].items()}
    return Reel(
        name=panel["name"],
        story=story,
        tiles=numbers,
        units=sorted(moved_at),
        is_matrix=panel["matrix"],
        show=about["show"],
        scaling=about["scaling"],
        limit=limit,
        moved=moved_at,
        is_relative=panel["relative"],
    )


def numbers_of(levels: np.ndarray, scaling: str, limit: float) -> np.ndarray:
    """The numbers that have these levels: those in the middle of what has."""
    way = (levels.astype(np.float32) - np.float32(_MIDDLE)) / np.float32(_MIDDLE)
    if scaling == "root":
        way *= np.abs(way)
    return way * np.float32(limit)
