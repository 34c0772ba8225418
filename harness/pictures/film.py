"""Films of weights: snapshots of the weights of a layer -> frames -> GIF, MP4, a page that plays.

    frames = film.frames(snapshots, shape=(28, 28))        # (T, I, O) -> uint8 (T, H, W)
    film.mp4(frames, fps=10), film.gif(frames, fps=10), film.png(frames[-1]),
    film.player(snapshots, film.Story(steps), shape=(28, 28))

Arrays in, bytes out: nothing here knows about training or tracking, and equal snapshots give equal
bytes.
"""

from typing import Any

from harness.errors import UsageError
from harness.pictures.encode import gif, mp4, png
from harness.pictures.grey import rank_grey, rank_grey_exact, symmetric_grey, symmetric_limit
from harness.pictures.player import player
from harness.pictures.story import Curve, Story
from harness.pictures.tiles import frames, layout

__all__ = [
    "SETTINGS",
    "Curve",
    "Story",
    "frames",
    "gif",
    "layout",
    "mp4",
    "player",
    "png",
    "rank_grey",
    "rank_grey_exact",
    "settings",
    "symmetric_grey",
    "symmetric_limit",
]

# The article does not state its frame rate; 25 shows its three epochs (316 frames) in 13 s.
_ARTICLE = {
    **{"every": 4, "fps": 25, "zoom": 2, "show": "weights", "scaling": "rank"},
    **{"colours": "greys", "gap": 0, "caption": False},
}

SETTINGS: dict[str, dict[str, Any]] = {
    "article": {**_ARTICLE, "columns": 10, "order": "article"},
    "square": {**_ARTICLE, "columns": 3, "order": "article"},
    "digits": {**_ARTICLE, "order": "digits"},
}


def settings(name: str) -> dict[str, Any]:
    """The settings of a film by name, a fresh dict.

    `every` belongs to `film_steps`, `fps` to `mp4` and `gif`, `caption` to films of runs, the rest
    to `frames`.

    Parameters
    ----------
    name
        "article": 100 tiles, 10 by 10. "square": the article's 3x3 for a network without hidden
        layers, digit 9 left out. "digits": the same with all ten in two rows.

    Raises
    ------
    UsageError
        For another name.
    """
    if name not in SETTINGS:
        raise UsageError(
            f"Film settings must be one of {', '.join(SETTINGS)}, got {name!r}; choose one of them."
        )
    return dict(SETTINGS[name])
