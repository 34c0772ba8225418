"""The pictures that decided how films look: initialisers in rows, ways to show them in columns."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from harness import Config, frames, mlp, prepare, segment

# What stands above each column, and the settings of `frames` that make it.
WAYS: dict[str, dict[str, Any]] = {
    "weights, rank, greys": {"show": "weights", "scaling": "rank", "colours": "greys"},
    "weights, root": {"show": "weights", "scaling": "root", "colours": "signed"},
    "change, root": {"show": "change", "scaling": "root", "colours": "signed"},
    "change, symmetric": {"show": "change", "scaling": "symmetric", "colours": "signed"},
}
STARTS = ("he", "glorot", "normal(0.01)")
UPDATES = {"": "sgd(0.1)", ", weight decay": "compose(weight_decay(0.003), sgd(0.1))"}

_MARGIN = 12  # pixels around all, and between pictures
_LINE = 22  # pixels in height that a line of text takes
_FONT = 15  # pixels


def decided(path: Path, data: str, sizes: Sequence[int], epochs: int, zoom: int) -> None:
    """Trains a network from each start, with and without weight decay, and draws ten units.

    Parameters
    ----------
    path : Path
        The picture, a PNG.
    data : str
        The digits that the networks learn.
    sizes : sequence of int
        Of the networks.
    epochs : int
        How long they are trained.
    zoom : int
        Every weight becomes zoom x zoom pixels.
    """
    side = round(sizes[0] ** 0.5)
    look = {"columns": 5, "units": 10, "gap": 1, "zoom": zoom}
    rows = {}
    for start in STARTS:
        for words, update in UPDATES.items():
            layers = mlp(sizes, init=start)
            film = "film(frames=30)"
            config = Config(data=data, layers=layers, update=update, epochs=epochs, film=film)
            state, _ = segment(config, prepare(config))
            snapshots = np.stack(state["film/frames"])
            films = [frames(snapshots, (side, side), **look, **way) for way in WAYS.values()]
            rows[start + words] = [film[-1] for film in films]
    sheet(rows).save(path, optimize=True)


def sheet(rows: Mapping[str, Sequence[np.ndarray]]) -> Image.Image:
    """Rows of equally large pictures, (H, W) or (H, W, 3), below the names of the columns."""
    high, wide = next(iter(rows.values()))[0].shape[:2]
    width = _MARGIN + len(WAYS) * (wide + _MARGIN)
    height = _LINE + len(rows) * (_LINE + high + _MARGIN // 2) + _MARGIN
    image = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=_FONT)
    for column, way in enumerate(WAYS):
        pen.text((_MARGIN + column * (wide + _MARGIN), 2), way, fill="#1b1b1b", font=font)
    for row, (name, pictures) in enumerate(rows.items()):
        top = _LINE + row * (_LINE + high + _MARGIN // 2)
        pen.text((_MARGIN, top), name, fill="#555555", font=font)
        for column, picture in enumerate(pictures):
            left = _MARGIN + column * (wide + _MARGIN)
            image.paste(Image.fromarray(picture).convert("RGB"), (left, top + _LINE))
    return image
