"""Snapshots of weights -> frames: the weights into each unit are a tile, the tiles are a grid."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from harness import checks
from harness.errors import UsageError
from harness.pictures import colours as maps
from harness.pictures.levels import levels

Rows = Sequence[Sequence[int | None]]  # numbers of units, None for an empty place
Order = str | Rows

DIGITS: Rows = ((0, 1, 2, 3, 4), (5, 6, 7, 8, 9))

MOST_ROWS = 200  # of a matrix; more would have no room on a screen

# With zoom=None a small frame is enlarged until its longer side has at least so many pixels.
LEAST = 200


def frames(
    snapshots: np.ndarray,
    shape: tuple[int, int] | None = None,
    *,
    show: str = "weights",
    scaling: str = "rank",
    limit: float | None = None,
    columns: int | None = None,
    order: Order | None = None,
    units: int = 100,
    gap: int = 0,
    zoom: int | None = None,
    colours: str = "greys",
    matrix: bool = False,
) -> np.ndarray:
    """frames[t] = colour(snapshots[t]) laid out as tiles; large weights are light, or red

    NaN is drawn as 0 and infinities as the largest weights.

    Parameters
    ----------
    snapshots
        (T, I, O) float: the weights of a layer of I inputs and O units, at T steps.
    shape
        (rows, columns) of a tile, rows * columns = I; tile k is snapshots[t, :, k].reshape(shape),
        so images stored row by row stand upright. None: the nearly square ceil(I / c) by
        c = ceil(sqrt(I)), the rest of it black.
    show
        "weights", or "change": the weights minus those of the first snapshot, which is what was
        learned since.
    scaling
        "rank": ranks over the tiles of one frame -> normal quantiles, no flicker. "symmetric": one
        scale for the whole film, zero is in the middle. "root": the same for square roots, so that
        small weights show as well.
    limit
        With scaling "symmetric" or "root" the size of a weight that has the last colour of the
        scale; None: 99.9 % of all |w| lie within, with "root" 99.5 % of those of the last frame.
    columns, order, units, gap
        See `layout`.
    zoom
        Every pixel becomes zoom x zoom; None: the smallest factor that makes the longer side 200
        pixels or more.
    colours
        "greys", or "signed": blue below zero, red above, with white between the tiles.
    matrix
        Draw the matrix of weights itself in place of tiles: a row for each input, of the first 200,
        and a column for each unit.

    Returns
    -------
    numpy.ndarray
        uint8 (T, H, W); (T, H, W, 3) in colours.

    Raises
    ------
    UsageError
        For anything that does not fit.
    """
    snapshots = checked_snapshots(snapshots)
    maps.check(colours)
    _, inputs, outputs = snapshots.shape
    index = index_of(
        inputs,
        outputs,
        shape,
        columns=columns,
        order=order,
        units=units,
        gap=gap,
        matrix=matrix,
    )
    zoom = zoom_of(zoom, index)
    film = levels(snapshots, index, show, scaling, limit)
    if colours != "greys":
        film = maps.paint(film, index < 0, colours)
    if zoom == 1:
        return film
    return film.repeat(zoom, axis=1).repeat(zoom, axis=2)


def enlarge(frames: np.ndarray, high: int, wide: int, onto: np.ndarray) -> None:
    """Writes frames into a part of others, each of their pixels as high x wide.

    Parameters
    ----------
    frames
        (T, H, W, C).
    high, wide
        The height and width of a pixel.
    onto
        (T, high * H, wide * W, C), which may be a part of a larger array.
    """
    count, rows, columns, channels = frames.shape
    # Rows are copied whole, which takes a third of the time of repeating them.
    lines = onto.reshape(count, rows, high, wide * columns, channels)
    lines[...] = frames.repeat(wide, axis=2)[:, :, None]


def index_of(
    inputs: int,
    outputs: int,
    shape: tuple[int, int] | None,
    *,
    matrix: bool,
    units: int = 100,
    **tiles: Any,
) -> np.ndarray:
    """Which weight stands at each pixel of a film of tiles, or of the matrix; see `layout`."""
    if not matrix:
        return layout(inputs, outputs, shape, units=units, **tiles)
    rows, cols = matrix_shape(inputs, outputs, units)
    return np.arange(inputs * outputs).reshape(inputs, outputs)[:rows, :cols]


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
    """Which weight stands at each pixel.

    Parameters
    ----------
    inputs, outputs
        I and O of the matrix of weights.
    shape
        (rows, columns) of a tile; see `frames`.
    columns
        Tiles to a row with order=None, the side of the grid with order="article"; None for a nearly
        square grid.
    order
        None: the first units row by row from the top. "article": column by column from the left,
        each from the bottom up, as the article's plot runs; the grid is a square (the largest that
        the units fill, units beyond it are left out), so ten units stand as 2 5 8 / 1 4 7 / 0 3 6.
        "digits": 0 1 2 3 4 / 5 6 7 8 9. Or the rows themselves: lists of unit numbers, equally
        long, None for an empty place.
    units
        How many units are drawn at most, unless the rows are given.
    gap
        Black pixels between tiles.

    Returns
    -------
    numpy.ndarray
        int (H, W): the place of the weight in the raveled (I, O) matrix; -1 where there is none.

    Raises
    ------
    UsageError
        For a shape that does not hold I weights, a unit that does not exist, or rows of unequal
        length.
    """
    tile = tile_shape(inputs, shape)
    gap = checks.whole("gap", gap, 0, otherwise=" pixels", remedy="0 leaves no gap.")
    grid = units_grid(outputs, columns, order, units)
    return _layout(inputs, outputs, tile, gap, tuple(map(tuple, grid)))


# Many films of a process have the same layout.
@lru_cache(maxsize=4)
def _layout(
    inputs: int,
    outputs: int,
    tile_of: tuple[int, int],
    gap: int,
    grid: tuple[tuple[int | None, ...], ...],
) -> np.ndarray:
    rows, cols = tile_of
    # The weights of unit 0; those of unit k are k further on.
    tile = np.full((rows, cols), -1)
    tile.ravel()[:inputs] = np.arange(inputs) * outputs
    units_at = np.array([[-1 if unit is None else unit for unit in line] for line in grid])
    high = rows + gap
    wide = cols + gap
    tiles = np.full((len(grid), high, len(grid[0]), wide), -1)
    is_drawn = (tile >= 0)[:, None, :] & (units_at >= 0)[:, None, :, None]
    weights = tile[:, None, :] + units_at[:, None, :, None]
    tiles[:, :rows, :, :cols] = np.where(is_drawn, weights, -1)
    index = tiles.reshape(len(grid) * high, len(grid[0]) * wide)
    # No gap follows the last tiles.
    index = index[: len(index) - gap, : index.shape[1] - gap]
    index.flags.writeable = False
    return index


def check_film(film: Any) -> np.ndarray:
    """The film itself: uint8 (T, H, W), or (T, H, W, 3) in colours, and not empty.

    Raises
    ------
    UsageError
        For anything else.
    """
    if not isinstance(film, np.ndarray):
        problem = type(film).__name__
    elif film.dtype != np.uint8 or 0 in film.shape or not _is_film(film.shape):
        problem = f"{film.dtype} {film.shape}"
    else:
        return film
    raise UsageError(
        f"A film must be a uint8 array (frames, height, width), with a last axis of 3 in colours, "
        f"got {problem}; make it with film.frames."
    )


def _is_film(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 or (len(shape) == 4 and shape[3] == 3)


def checked_snapshots(snapshots: Any) -> np.ndarray:
    """The snapshots as an array (T, I, O). Raises UsageError where they are none."""
    snapshots = np.asarray(snapshots)
    is_float = snapshots.dtype in (np.float32, np.float64)
    if snapshots.ndim != 3 or 0 in snapshots.shape or not is_float:
        raise UsageError(
            "Snapshots must be a float32 or float64 array (steps, inputs, units) with nothing "
            "empty, "
            f"got {snapshots.dtype} {snapshots.shape}; stack the weights of the first layer."
        )
    return snapshots


def zoom_of(zoom: int | None, index: np.ndarray) -> int:
    """How many pixels high and wide each of these is drawn; see `frames`."""
    if zoom is None:
        # Rounded up.
        return -(-LEAST // max(index.shape))
    return checks.whole("zoom", zoom, 1, remedy="2 doubles the sides.")


def tile_shape(inputs: int, shape: tuple[int, int] | None) -> tuple[int, int]:
    """The rows and columns of a tile."""
    if shape is None:
        # ceil(sqrt(I)), and I divided by that and rounded up, in whole numbers.
        cols = math.isqrt(inputs - 1) + 1
        return -(-inputs // cols), cols
    sides_fit = len(shape) == 2 and all(checks.is_whole(side) and side >= 1 for side in shape)
    if not sides_fit or math.prod(shape) != inputs:
        raise UsageError(
            f"A tile's (rows, columns) must hold the {inputs} inputs of a unit, got "
            f"{shape}; correct it."
        )
    return shape


def matrix_shape(inputs: int, outputs: int, units: int) -> tuple[int, int]:
    """How many rows and columns of the matrix of weights are drawn."""
    units = checks.whole("units", units, 1, remedy="it limits how many are drawn.")
    return min(inputs, MOST_ROWS), min(outputs, units)


def units_grid(outputs: int, columns: int | None, order: Order | None, units: int) -> Rows:
    """Rows of unit numbers, all equally long; see `layout`."""
    units = checks.whole("units", units, 1, remedy="it limits how many are drawn.")
    if columns is not None:
        columns = checks.whole("columns", columns, 1, remedy="leave it out for a square.")
    shown = min(units, outputs)
    if order is None:
        across = min(columns or math.isqrt(shown - 1) + 1, shown)
        starts = range(0, shown, across)
        return [[_or_none(start + j, shown) for j in range(across)] for start in starts]
    # Only a text is compared with a name: an array of NumPy would compare each of its numbers.
    if isinstance(order, str) and order == "article":
        across = min(columns or math.isqrt(shown), shown)
        down = min(across, -(-shown // across))
        from_bottom = reversed(range(down))
        return [[_or_none(j * down + i, shown) for j in range(across)] for i in from_bottom]
    if columns is not None:
        raise UsageError(
            f"columns goes with order=None or 'article', got {columns} with "
            f"order={order!r}; drop one."
        )
    if isinstance(order, str) and order == "digits":
        order = DIGITS
    return _checked_rows(order, outputs)


def _checked_rows(order: Any, outputs: int) -> Rows:
    is_rows = isinstance(order, Sequence) and not isinstance(order, str)
    if not is_rows or not all(isinstance(row, Sequence) for row in order):
        raise UsageError(
            f"order must be 'article', 'digits' or rows of unit numbers, got {order!r}; choose one."
        )
    lengths = {len(row) for row in order}
    exist = all(_exists(unit, outputs) for row in order for unit in row)
    if len(lengths) != 1 or 0 in lengths or not exist:
        raise UsageError(
            f"order must be equally long rows of units 0..{outputs - 1} or None, got "
            f"{order}; correct it."
        )
    return order


def _exists(unit: Any, outputs: int) -> bool:
    return unit is None or (checks.is_whole(unit) and 0 <= unit < outputs)


def _or_none(unit: int, shown: int) -> int | None:
    return unit if unit < shown else None
