"""Films of weights: snapshots of first-layer weights -> grey frames -> GIF, MP4, a page that plays.

    frames = film.frames(snapshots, shape=(28, 28))        # (T, I, O) -> uint8 (T, H, W)
    film.mp4(frames, fps=10), film.gif(frames, fps=10), film.png(frames[-1]),
    film.player(film.mp4(frames), steps)

Arrays in, bytes out: nothing here knows about training or tracking, and equal snapshots give equal
bytes.
"""

from harness.errors import UsageError
from harness.pictures.encode import gif, mp4, png
from harness.pictures.player import player
from harness.pictures.scaling import rank_grey, rank_grey_exact, symmetric_grey, symmetric_limit
from harness.pictures.tiles import frames, layout, side_by_side

__all__ = [
    "SETTINGS",
    "frames",
    "gif",
    "layout",
    "mp4",
    "player",
    "png",
    "rank_grey",
    "rank_grey_exact",
    "settings",
    "side_by_side",
    "symmetric_grey",
    "symmetric_limit",
]

# The article does not state its frame rate; 25 shows its three epochs (316 frames) in 13 s.
SETTINGS: dict[str, dict] = {
    "article": {
        "every": 4,
        "fps": 25,
        "zoom": 2,
        "scaling": "rank",
        "columns": 10,
        "order": "article",
    },
    "square": {
        "every": 4,
        "fps": 25,
        "zoom": 2,
        "scaling": "rank",
        "columns": 3,
        "order": "article",
    },
    "digits": {"every": 4, "fps": 25, "zoom": 2, "scaling": "rank", "order": "digits"},
}


def settings(name: str) -> dict:
    """The settings of a film by name, a fresh dict: "article" (100 tiles, 10 by 10), "square",
    "digits".

    "square" is the article's 3x3 for a network without hidden layers (digit 9 left out), "digits"
    the same with all ten in two rows. `every` belongs to `film_steps`, `fps` to `mp4` and
    `gif`, the rest to `frames`. Errors: UsageError for an unknown name.
    """
    if name not in SETTINGS:
        raise UsageError(
            f"Film settings must be one of {', '.join(SETTINGS)}, got {name!r}; choose one of them."
        )
    return dict(SETTINGS[name])
