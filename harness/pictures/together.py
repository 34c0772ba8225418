"""Films of several networks as one: a common axis of steps, a common scale, curves in one plot.

Each frame stands for a step, at which each network shows the last frame that it has recorded until
then. A network that has ended stays as it is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness import checks
from harness.errors import UsageError, argument
from harness.pictures import colours as maps
from harness.pictures.captioned import captioned, large_zoom
from harness.pictures.page import Look, Panel, page
from harness.pictures.reel import Reel
from harness.pictures.sheet import Sheet, Shot

MOST = 40  # films beside each other
MOST_FRAMES = 120  # of a file that is no page; each has a million pixels
_WIDTH = 960  # pixels that all films have beside each other, as in a page of MLflow
_LARGEST = 480  # pixels that one film has
_BETWEEN = 12  # pixels


@dataclass(frozen=True)
class Settings:
    """How films are put together.

    Attributes
    ----------
    units : int or None
        How many units each shows at most; None for as many as have room at twice their size.
    columns : int or None
        Films to a row; None for as many as fit their number.
    limit : float or None
        Where the scale of all ends; None where the largest of their own scales ends.
    colours : str
        "signed" or "greys".
    gap : int
        0 leaves no gap between tiles.
    fps : float
        Frames a second.
    """

    units: int | None = None
    columns: int | None = None
    limit: float | None = None
    colours: str = "signed"
    gap: int = 1
    fps: float = 10


class Together:
    """Films beside each other.

    Parameters
    ----------
    reels : sequence of Reel
        What each shows.
    settings : Settings
        How they are put together.

    Attributes
    ----------
    steps : list of int
        The step of each frame.
    limit : float
        Where the scale of all ends.

    Raises
    ------
    UsageError
        Without reels or with too many, for reels that show different things, and for wrong numbers.
    """

    def __init__(self, reels: Sequence[Reel], settings: Settings | None = None) -> None:
        self._settings = settings = settings or Settings()
        self._reels = list(reels)
        self._check()
        self.steps = common_steps(self._reels)
        self.limit = settings.limit or max(reel.limit for reel in self._reels)
        self.columns = settings.columns or columns_for(len(self._reels))
        room = (_WIDTH - _BETWEEN * (self.columns - 1)) // self.columns
        self._room = min(_LARGEST, room)
        self._grids = [self._grid(reel) for reel in self._reels]

    def _check(self) -> None:
        settings = self._settings
        if not 1 <= len(self._reels) <= MOST:
            raise UsageError(
                f"side by side are 1 to {MOST} films, got {len(self._reels)}; choose some of them"
            )
        shown = {(reel.show, reel.scaling) for reel in self._reels}
        if len(shown) > 1:
            words = ", ".join(f"{show!r} by {scaling!r}" for show, scaling in sorted(shown))
            raise UsageError(
                "films beside each other must show the same on the same kind of scale, got "
                f"{words}; make them with one show and one scaling"
            )
        if settings.limit is not None:
            if self._reels[0].scaling == "rank":
                raise UsageError(
                    f"{argument('limit')} has no meaning on a scale of ranks; leave one of them out"
                )
            checks.real(
                argument("limit"),
                settings.limit,
                _is_positive,
                "must be positive",
                remedy="leave it out",
            )
        for name in ("units", "columns"):
            number = getattr(settings, name)
            if number is not None:
                checks.whole(argument(name), number, 1, remedy="leave it out")
        maps.check(settings.colours)

    def _grid(self, reel: Reel) -> np.ndarray:
        """The places (rows, columns) of the tiles of a reel in its list of them; -1 for none."""
        count = reel.tiles.shape[1]
        if reel.is_matrix:
            return np.zeros((1, 1), int)
        if self._settings.units is not None:
            count = min(count, self._settings.units)
        elif len(self._reels) > 1:
            count = min(count, self._side(reel) ** 2)
        across = math.isqrt(count - 1) + 1
        grid = np.full((-(-count // across), across), -1)
        grid.ravel()[:count] = np.arange(count)
        return grid

    def _side(self, reel: Reel) -> int:
        """How many tiles have room beside each other at twice their size."""
        wide = max(reel.tiles.shape[2:]) + 1
        return max(3, int((self._room / 2 + 1) / wide))

    # As a page ------------------------------------------------------------------------------------

    def to_page(self) -> bytes:
        """One page that plays all of them, with one slider."""
        parts = [
            self._levels(reel, grid) for reel, grid in zip(self._reels, self._grids, strict=True)
        ]
        high = max(part.shape[1] for part in parts)
        wide = max(part.shape[2] for part in parts)
        rows = -(-len(parts) // self.columns)
        video = np.full((len(self.steps), rows * high, self.columns * wide), 128, np.uint8)
        panels = []
        for number, (reel, grid, part) in enumerate(
            zip(self._reels, self._grids, parts, strict=True)
        ):
            top = number // self.columns * high
            left = number % self.columns * wide
            times = frames_at(reel.story.steps, self.steps)
            video[:, top : top + part.shape[1], left : left + part.shape[2]] = part[times]
            panels.append(self._page_panel(reel, grid, (top, left), times))
        title, subtitle = self._heads()
        return page(title, subtitle, panels, video, self.steps, self._look())

    def _heads(self) -> tuple[str, str]:
        """The title of a page, and the line below it: what all have in common."""
        titles = {reel.story.title for reel in self._reels}
        title = "Side by side"
        if len(titles) == 1:
            (title,) = titles
        first, *others = [reel.story.subtitle.split(" · ") for reel in self._reels]
        shared = [part for part in first if all(part in other for other in others)]
        return title, " · ".join(shared)

    def _levels(self, reel: Reel, grid: np.ndarray) -> np.ndarray:
        """The levels (T, H, W) of the tiles that are drawn, without gaps."""
        levels = reel.levels(self.limit, int(grid.max()) + 1)
        count, _, high, wide = levels.shape
        empty = np.full((count, 1, high, wide), 128, np.uint8)
        # The place -1 is the empty tile at the end.
        tiles = np.concatenate([levels, empty], axis=1)[:, grid]
        return tiles.transpose(0, 1, 3, 2, 4).reshape(count, grid.shape[0] * high, -1)

    def _page_panel(
        self, reel: Reel, grid: np.ndarray, at: tuple[int, int], times: np.ndarray
    ) -> Panel:
        numbers = [[None if k < 0 else reel.units[k] for k in row] for row in grid.tolist()]
        drawn = reel.units
        if not reel.is_matrix:
            drawn = [unit for row in numbers for unit in row if unit is not None]
        return Panel(
            name=reel.name,
            story=reel.story,
            at=at,
            grid=[[0]] if reel.is_matrix else numbers,
            tile=(reel.tiles.shape[2], reel.tiles.shape[3]),
            is_matrix=reel.is_matrix,
            moved={unit: [reel.moved[unit][k] for k in times] for unit in drawn},
            is_relative=reel.is_relative,
        )

    def _look(self) -> Look:
        settings = self._settings
        first = self._reels[0]
        return Look(
            show=first.show,
            scaling=first.scaling,
            colours=settings.colours,
            limit=None if first.scaling == "rank" else self.limit,
            gap=settings.gap,
            fps=settings.fps,
        )

    # As frames ------------------------------------------------------------------------------------

    def to_frames(self, last_only: bool = False) -> np.ndarray:
        """The film as frames, uint8 (T, H, W, 3): titles above, captions and curves below.

        Parameters
        ----------
        last_only
            Whether only the last frame is drawn.
        """
        steps = _thinned(self.steps)
        if last_only:
            steps = steps[-1:]
        if len(self._reels) == 1:
            return self._large(steps)
        shots = []
        for reel, grid in zip(self._reels, self._grids, strict=True):
            picture = self._coloured(reel, grid)
            zoom = self.zoom(max(picture.shape[1:3]))
            times = frames_at(reel.story.steps, steps).tolist()
            shots.append(Shot(reel.name, reel.story, picture, zoom, times))
        sheet = Sheet(shots, self.columns, self.steps[-1])
        return sheet.pages(steps)

    def to_tiles(self) -> list[np.ndarray]:
        """Of each film its own frames, uint8 (T, H, W, 3), with nothing around them."""
        return [
            self._coloured(reel, grid) for reel, grid in zip(self._reels, self._grids, strict=True)
        ]

    def _large(self, steps: list[int]) -> np.ndarray:
        """The frames of one film alone at these steps, as large as those of runs."""
        (reel,) = self._reels
        picture = self._coloured(reel, self._grids[0])
        times = frames_at(reel.story.steps, steps)
        story = replace(reel.story, steps=steps)
        features = story.features if reel.is_matrix else ()
        return captioned(picture[times], story, large_zoom(*picture.shape[1:3]), features)

    def _coloured(self, reel: Reel, grid: np.ndarray) -> np.ndarray:
        """The tiles that are drawn in their colours, uint8 (T, H, W, 3), with gaps."""
        levels = self._levels(reel, grid)
        high, wide = reel.tiles.shape[2:]
        gap = 1 if self._settings.gap and not reel.is_matrix else 0
        rows, columns = grid.shape
        index = np.full((rows, high + gap, columns, wide + gap), -1)
        places = np.arange(levels.shape[1] * levels.shape[2]).reshape(rows, high, columns, wide)
        index[:, :high, :, :wide] = np.where((grid >= 0)[:, None, :, None], places, -1)
        index = index.reshape(rows * (high + gap), -1)
        index = index[: index.shape[0] - gap, : index.shape[1] - gap]
        flat = levels.reshape(len(levels), -1)[:, index]
        return maps.paint(flat, index < 0, self._settings.colours)

    def zoom(self, longest: int) -> int:
        """The factor that gives a film the room that it has.

        It is even: H.264 has one value of colour for four pixels, which then belong to one weight.
        """
        return max(2, 2 * round(self._room / longest / 2))


def common_steps(reels: Sequence[Reel]) -> list[int]:
    """The axis of several films: each step at which one of them has a frame."""
    return sorted({int(step) for reel in reels for step in reel.story.steps})


def frames_at(own: Sequence[int], steps: Sequence[int]) -> np.ndarray:
    """The frame that a film with frames at its own steps shows at each of the steps of an axis.

    It is the last one until then; before its first step it is the first one.
    """
    return np.maximum(np.searchsorted(list(own), list(steps), side="right") - 1, 0)


def columns_for(count: int) -> int:
    """How many of so many films stand beside each other: up to four in a row, else up to five."""
    if count <= 4:
        return count
    return min(5, math.ceil(math.sqrt(1.3 * count)))


def _thinned(steps: list[int]) -> list[int]:
    """At most so many steps as a file has frames, evenly spread, the first and the last too."""
    places = np.linspace(0, len(steps) - 1, min(len(steps), MOST_FRAMES))
    return [steps[place] for place in np.unique(np.rint(places).astype(int))]


def _is_positive(number: Any) -> bool:
    return number > 0
