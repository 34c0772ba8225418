"""Snapshots of weights -> one HTML page that plays their film."""

from typing import Any

import numpy as np

from harness.errors import UsageError
from harness.pictures.levels import levels, limit_of
from harness.pictures.moved import moved
from harness.pictures.page import Look, Panel, page
from harness.pictures.story import Story
from harness.pictures.tiles import (
    Order,
    checked_snapshots,
    index_of,
    matrix_shape,
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
    _, inputs, outputs = snapshots.shape
    layout: dict[str, Any] = {"columns": columns, "order": order}
    index = index_of(inputs, outputs, shape, units=units, matrix=matrix, **layout)
    if matrix:
        grid: list[list[int | None]] = [[0]]
        tile = matrix_shape(inputs, outputs, units)
        drawn = list(range(tile[1]))
    else:
        grid = [list(row) for row in units_grid(outputs, columns, order, units)]
        tile = tile_shape(inputs, shape)
        drawn = sorted({unit for row in grid for unit in row if unit is not None})
    if scaling != "rank":
        # The page writes the limit beside its colours, so it is decided here.
        limit = limit or limit_of(snapshots, index, show, scaling)
    video = levels(snapshots, index, show, scaling, limit)
    how_far, is_relative = moved(snapshots, drawn)
    panel = Panel(
        name=story.title,
        story=story,
        at=(0, 0),
        grid=grid,
        tile=tile,
        is_matrix=matrix,
        moved=how_far,
        is_relative=is_relative,
    )
    look = Look(show=show, scaling=scaling, limit=limit, gap=gap, colours=colours, fps=fps)
    return page(story.title, story.subtitle, [panel], video, story.steps, look)
