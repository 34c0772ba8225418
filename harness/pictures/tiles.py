"""Snapshots of weights -> frames: each unit's incoming weights as a picture, the pictures as tiles
of a grid.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness import checks
from harness.errors import UsageError
from harness.pictures.scaling import scaler

Order = str | Sequence[Sequence[int | None]]
DIGITS = ((0, 1, 2, 3, 4), (5, 6, 7, 8, 9))
# Pixels: with zoom=None a small frame is enlarged until its longer side has at least these
LEAST = 200


def frames(
    snapshots: np.ndarray,
    shape: tuple[int, int] | None = None,
    *,
    scaling: str = "rank",
    limit: float | None = None,
    columns: int | None = None,
    order: Order | None = None,
    units: int = 100,
    gap: int = 0,
    zoom: int | None = None,
) -> np.ndarray:
    """frames[t] = grey(snapshots[t]) laid out as tiles: (T, I, O) float -> uint8 (T, H, W); large
    is light.

    shape    (rows, cols) of a tile, rows * cols = I; tile k is snapshots[t, :, k].reshape(shape), so images stored row
             by row stand upright. None: the nearly square ceil(I / c) by c = ceil(sqrt(I)), the
             rest of it black.
    scaling  "rank": ranks over the tiles of one frame -> normal quantiles, no flicker; "symmetric": one scale for the
             whole film, zero is mid grey, white and black are +-limit (default: 99.9 % of all |w|
             lie within).
    columns, order, units, gap   see `layout`.
    zoom     every pixel becomes zoom x zoom; None: the smallest factor that makes the longer side
    200 pixels or more. NaN is drawn as 0 and infinities as the largest weights. Errors: UsageError
    for anything that does not fit.
    """
    snapshots = np.asarray(snapshots)
    if (
        snapshots.ndim != 3
        or 0 in snapshots.shape
        or snapshots.dtype not in (np.float32, np.float64)
    ):
        raise UsageError(
            "Snapshots must be a float32 or float64 array (steps, inputs, units) with nothing "
            "empty, "
            f"got {snapshots.dtype} {snapshots.shape}; stack the weights of the first layer."
        )
    count, inputs, outputs = snapshots.shape
    index = layout(inputs, outputs, shape, columns=columns, order=order, units=units, gap=gap)
    shown = np.flatnonzero(index >= 0)
    wanted = index.ravel()[shown]
    flat = snapshots.reshape(count, -1)
    grey = scaler(scaling, limit, flat if scaling == "rank" else flat[:, wanted])
    if zoom is not None:
        zoom = checks.whole("zoom", zoom, 1, remedy="2 doubles the sides.")
    film = np.zeros((count, index.size), np.uint8)
    for row, weights in zip(film, flat, strict=True):
        row[shown] = grey(weights[wanted])
    film = film.reshape(count, *index.shape)
    zoom = -(-LEAST // max(index.shape)) if zoom is None else zoom
    return film if zoom == 1 else film.repeat(zoom, axis=1).repeat(zoom, axis=2)


def layout(
    inputs: int,
    outputs: int,
    shape: tuple[int, int] | None = None,
    *,
    columns: int | None = None,
    order: Order | None = None,
    units: int = 100,
    gap: int = 0,
) -> np.ndarray:
    """index (H, W): which weight of a raveled (I, O) matrix stands at each pixel, -1 where there is
    none.

    order    None: the first `units` units row by row from the top, `columns` to a row (default: nearly square).
             "article": column by column from the left, each from the bottom up, as the article's
             plot runs; the grid is a square of side `columns` (default: the largest that the units
             fill, units beyond it are left out), so ten units stand as 2 5 8 / 1 4 7 / 0 3 6.
             "digits": 0 1 2 3 4 / 5 6 7 8 9. Or the rows themselves: lists of unit numbers, equally
             long, None for an empty place.
    gap      black pixels between tiles. Errors: UsageError for a shape that does not hold I
    weights, a unit that does not exist, or rows of unequal length.
    """
    if shape is None:
        cols = math.isqrt(inputs - 1) + 1  # ceil(sqrt(I)) in whole numbers
        rows = -(-inputs // cols)
    elif (
        len(shape) == 2 and all(is_whole(side, 1) for side in shape) and math.prod(shape) == inputs
    ):
        rows, cols = shape
    else:
        raise UsageError(
            f"A tile's (rows, columns) must hold the {inputs} inputs of a unit, got "
            f"{shape}; correct it."
        )
    gap = checks.whole("gap", gap, 0, otherwise=" pixels", remedy="0 leaves no gap.")
    grid = _grid(outputs, columns, order, units)
    tile = np.full((rows, cols), -1)
    tile.ravel()[:inputs] = np.arange(inputs) * outputs
    high, wide = rows + gap, cols + gap
    index = np.full((len(grid) * high - gap, len(grid[0]) * wide - gap), -1)
    for i, row in enumerate(grid):
        for j, unit in enumerate(row):
            if unit is not None:
                index[i * high : i * high + rows, j * wide : j * wide + cols] = np.where(
                    tile < 0, -1, tile + unit
                )
    return index


def side_by_side(films: Mapping[str, np.ndarray], *, columns: int = 5, gap: int = 12) -> np.ndarray:
    """One film of several: {name: uint8 (T, H, W)} -> uint8 (T', H', W'), each with its name above,
    on white.

    `columns` films to a row. Films of different length are aligned by relative time: all begin and
    end together, the longest sets T'. Names too wide for their film are cut. Errors: UsageError
    without films or with wrong arrays.
    """
    from PIL import Image, ImageDraw, ImageFont  # here, so that importing the package stays quick

    if not films or not is_whole(columns, 1) or not is_whole(gap, 0):
        raise UsageError(
            f"Side by side takes at least one film, columns >= 1 and gap >= 0, got "
            f"{columns} and {gap}."
        )
    shapes = [check(film).shape for film in films.values()]
    count, high, wide = (max(sizes) for sizes in zip(*shapes, strict=True))
    columns = min(columns, len(films))
    title = 22
    font = ImageFont.load_default(size=14)
    page = Image.new(
        "L",
        (gap + columns * (wide + gap), gap + -(-len(films) // columns) * (title + high + gap)),
        255,
    )
    corners = [
        (gap + i // columns * (title + high + gap) + title, gap + i % columns * (wide + gap))
        for i in range(len(films))
    ]
    draw = ImageDraw.Draw(page)
    for name, (top, left) in zip(films, corners, strict=True):
        text = name
        while len(text) > 1 and draw.textlength(text, font=font) > wide:
            text = text.removesuffix("...")[:-1] + "..." if len(text) > 4 else text[:-1]
        draw.text((left, top - title + 2), text, fill=0, font=font)
    result = np.repeat(np.asarray(page)[None], count, axis=0)
    for film, (top, left) in zip(films.values(), corners, strict=True):
        length, rows, cols = film.shape
        # frame t of `count` shows frame round(t * (length - 1) / (count - 1)); one frame alone is
        # shown throughout
        times = (2 * np.arange(count) * (length - 1) + count - 1) // (2 * max(count - 1, 1))
        result[:, top : top + rows, left : left + cols] = film[times]
    return result


def check(film: np.ndarray) -> np.ndarray:
    """`film` itself if it is a film: uint8 (T, H, W), nothing empty. Errors: UsageError."""
    if (
        not isinstance(film, np.ndarray)
        or film.dtype != np.uint8
        or film.ndim != 3
        or 0 in film.shape
    ):
        came = f"{film.dtype} {film.shape}" if isinstance(film, np.ndarray) else type(film).__name__
        raise UsageError(
            f"A film must be a uint8 array (frames, height, width), got {came}; make "
            f"it with film.frames."
        )
    return film


def _grid(
    outputs: int, columns: int | None, order: Order | None, units: int
) -> Sequence[Sequence[int | None]]:
    """Rows of unit numbers, None for an empty place, all rows equally long; see `layout`."""
    units = checks.whole("units", units, 1, remedy="it limits how many are drawn.")
    if columns is not None:
        columns = checks.whole("columns", columns, 1, remedy="leave it out for a square.")
    shown = min(units, outputs)
    if order == "article":
        across = min(columns or math.isqrt(shown), shown)
        down = min(across, -(-shown // across))
        return [
            [_or_none(j * down + i, shown) for j in range(across)] for i in reversed(range(down))
        ]
    if order is None:
        across = min(columns or math.isqrt(shown - 1) + 1, shown)
        return [[_or_none(i + j, shown) for j in range(across)] for i in range(0, shown, across)]
    if columns is not None:
        raise UsageError(
            f"columns goes with order=None or 'article', got {columns} with "
            f"order={order!r}; drop one."
        )
    rows: Any = DIGITS if order == "digits" else order
    if (
        isinstance(rows, str)
        or not isinstance(rows, Sequence)
        or not all(isinstance(row, Sequence) for row in rows)
    ):
        raise UsageError(
            f"order must be 'article', 'digits' or rows of unit numbers, got {order!r}; choose one."
        )
    known = all(
        unit is None or (is_whole(unit, 0) and unit < outputs) for row in rows for unit in row
    )
    if not rows or not rows[0] or len({len(row) for row in rows}) > 1 or not known:
        raise UsageError(
            f"order must be equally long rows of units 0..{outputs - 1} or None, got "
            f"{rows}; correct it."
        )
    return rows


def _or_none(unit: int, shown: int) -> int | None:
    return unit if unit < shown else None


def is_whole(value: Any, least: int) -> bool:
    """Whether `value` is an integer (not a truth value) and at least `least`."""
    return checks.is_whole(value) and value >= least
