"""Snapshots of weights -> one HTML page that plays their film.

The page holds the levels of the weights as a grey MP4 without gaps, and gives them their colours
itself: so each pixel of a weight stays sharp at any size, and a page of thirty frames of 100 tiles
of 28 x 28 has about 0.2 MB.
"""

import base64
import html
import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from harness.errors import UsageError
from harness.pictures import colours as maps
from harness.pictures.encode import mp4
from harness.pictures.grey import scale_limit
from harness.pictures.story import Story
from harness.pictures.tiles import (
    Order,
    checked_snapshots,
    frames,
    matrix_shape,
    shown,
    tile_shape,
    units_grid,
)


def player(
    snapshots: np.ndarray,
    story: Story,
    shape: tuple[int, int] | None = None,
    *,
    show: str = "change",
    scaling: str = "root",
    limit: float | None = None,
    columns: int | None = None,
    order: Order | None = None,
    units: int = 100,
    gap: int = 1,
    colours: str = "signed",
    matrix: bool = False,
    fps: float = 10,
) -> bytes:
    """A self-contained HTML page that plays a film.

    It begins with the last frame. It has a slider over the steps with the curve above it, and under
    the pointer a unit enlarged, with how far it has moved. It asks no network and keeps nothing, so
    it works from disk and in a sandboxed frame that allows scripts.

    Parameters
    ----------
    snapshots
        (T, I, O) float: the weights at T steps.
    story
        What is told beside them, with one step for each snapshot.
    shape
        (rows, columns) of a tile.
    show, scaling, limit, columns, order, units, colours, matrix
        See `frames`.
    gap
        0 leaves no gap between tiles; any other number leaves one, as wide as a weight.
    fps
        Frames a second.

    Returns
    -------
    bytes
        The page.

    Raises
    ------
    UsageError
        For anything that does not fit.
    """
    snapshots = checked_snapshots(snapshots)
    if len(story.steps) != len(snapshots):
        raise UsageError(
            f"A player takes one step per frame, got {len(story.steps)} for {len(snapshots)} "
            f"frames; pass the steps."
        )
    maps.check(colours)
    _, inputs, outputs = snapshots.shape
    layout: dict[str, Any] = {"columns": columns, "order": order, "units": units, "matrix": matrix}
    grid: list[list[int | None]] = [[0]]
    tile = matrix_shape(inputs, outputs, units)
    if not matrix:
        grid = [list(row) for row in units_grid(outputs, columns, order, units)]
        tile = tile_shape(inputs, shape)
    numbers = shown(snapshots, show)
    drawn = sorted({unit for row in grid for unit in row if unit is not None})
    if matrix:
        drawn = list(range(tile[1]))
    ends = ["lowest", "highest"]
    if scaling != "rank":
        # The page writes the limit beside its colours, so it is decided here.
        limit = limit or _limit(scaling, numbers, drawn)
        ends = [f"\N{MINUS SIGN}{limit:.2g}", f"+{limit:.2g}"]
    levels = frames(numbers, shape, scaling=scaling, limit=limit, zoom=1, **layout)
    moved, relative = _moved(snapshots, drawn)
    film = {
        "steps": [int(step) for step in story.steps],
        "epochs": story.epoch_steps,
        "fps": fps,
        "grid": grid,
        "tile": tile,
        "gap": gap,
        "matrix": matrix,
        "moved": moved,
        "relative": relative,
        "dead": [int(unit) for unit in story.dead if unit in moved],
        "deadWords": story.dead_words,
        "units": list(story.units),
        "features": list(story.features)[: tile[0]] if matrix else [],
        "curve": story.curve and story.curve._asdict(),
        "colours": _colours(colours),
        "ends": ends,
        "hint": "Point at a unit to see it enlarged, and how far it has moved.",
    }
    parts = {
        "title": html.escape(story.title),
        "subtitle": html.escape(story.subtitle),
        # No text can end the script.
        "film": json.dumps(
            film, ensure_ascii=False, allow_nan=False, separators=(",", ":")
        ).replace("<", "\\u003c"),
        "video": base64.b64encode(mp4(levels, fps=fps, crf=_CRF)).decode(),
    }
    # All is filled in at once, so that a name within what is filled in stays as it is.
    page = re.sub("@(title|subtitle|film|video)@", lambda name: parts[name[1]], _template())
    return page.encode()


# A page of 784 x 100 weights that move at random (weight decay does that) still has 0.23 MB.
_CRF = 28


@cache
def _template() -> str:
    return files("harness.pictures").joinpath("player.html").read_text(encoding="utf-8")


def _colours(name: str) -> list[str]:
    """The colour maps of a page as hexadecimal numbers: that of light pages, and of dark ones."""
    names = [name]
    if name == "signed":
        names.append("signed dark")
    return [maps.table(one).tobytes().hex() for one in names]


def _limit(scaling: str, numbers: np.ndarray, drawn: list[int]) -> float:
    """The limit of a scale for what is drawn of numbers (T, I, O)."""
    if scaling == "root":
        numbers = numbers[-1:]
    return scale_limit(scaling, numbers[:, :, drawn].reshape(len(numbers), -1))


def _moved(snapshots: np.ndarray, drawn: list[int]) -> tuple[dict[int, list[float]], bool]:
    """How far each unit has moved from its first weights at each frame.

    Returns
    -------
    dict of int to list of float
        Of each drawn unit |w_t - w_0|, divided by |w_0| where no w_0 is 0.
    bool
        Whether it was divided.
    """
    with np.errstate(all="ignore"):
        length = np.stack([np.linalg.norm(one - snapshots[0], axis=0) for one in snapshots])
        first = np.linalg.norm(snapshots[0], axis=0)
        relative = bool(np.all(first[drawn] > 0))
        if relative:
            length = length / first
    length = np.nan_to_num(length, nan=0.0, posinf=1e30)
    return {
        unit: [float(f"{value:.3g}") for value in length[:, unit].tolist()] for unit in drawn
    }, relative
