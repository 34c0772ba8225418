"""The page that plays films: levels of weights, and what is told beside them -> one HTML file.

The page holds the levels as one grey MP4 without gaps, and gives them their colours itself: so each
pixel of a weight stays sharp at any size, and a page of thirty frames of 100 tiles of 28 x 28 has
about 0.2 MB. Films of several networks are panels of one page and parts of one video.
"""

import base64
import html
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from harness.pictures import colours as maps
from harness.pictures.encode import mp4_of_levels
from harness.pictures.story import Story


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One network of a page.

    Attributes
    ----------
    name : str
        What stands above it where there are several.
    story : Story
        What is told beside it, with the steps of its own frames.
    at : tuple of int
        The row and column in the video at which its part begins.
    grid : list of list of int or None
        Rows of the numbers of units; of a matrix [[0]].
    tile : tuple of int
        The rows and columns of a tile.
    is_matrix : bool
        Whether a matrix is shown in place of tiles.
    moved : dict of int to list of float
        How far each unit has moved at each frame of the page.
    is_relative : bool
        Whether that is a part of the length that it began with.
    """

    name: str
    story: Story
    at: tuple[int, int]
    grid: list[list[int | None]]
    tile: tuple[int, int]
    is_matrix: bool
    moved: dict[int, list[float]]
    is_relative: bool


@dataclass(frozen=True, kw_only=True)
class Look:
    """How all panels of a page look.

    Attributes
    ----------
    show, scaling, colours : str
        See `frames`.
    limit : float or None
        Where the scale ends; None with scaling "rank".
    gap : int
        0 leaves no gap between tiles.
    fps : float
        Frames a second.
    """

    show: str
    scaling: str
    colours: str
    limit: float | None
    gap: int
    fps: float


def page(
    title: str,
    subtitle: str,
    panels: Sequence[Panel],
    levels: np.ndarray,
    steps: Sequence[int],
    look: Look,
) -> bytes:
    """The page.

    Parameters
    ----------
    title, subtitle
        The lines at its top.
    panels
        The networks.
    levels
        uint8 (T, H, W): the video, in which each panel has its part.
    steps
        The step of each frame.
    look
        What all panels have in common.
    """
    maps.check(look.colours)
    ends = ["lowest", "highest"]
    if look.limit is not None:
        ends = [f"\N{MINUS SIGN}{look.limit:.2g}", f"+{look.limit:.2g}"]
    film = {
        "steps": [int(step) for step in steps],
        "fps": look.fps,
        "gap": look.gap,
        "show": look.show,
        "scaling": look.scaling,
        "limit": look.limit,
        "ends": ends,
        "colours": _colours(look.colours),
        "panels": [_panel(panel) for panel in panels],
        "hint": "Point at a unit to see it enlarged, and how far it has moved.",
    }
    parts = {
        "title": html.escape(title),
        "subtitle": html.escape(subtitle),
        # No text can end the script.
        "film": json.dumps(
            film, ensure_ascii=False, allow_nan=False, separators=(",", ":")
        ).replace("<", "\\u003c"),
        "video": base64.b64encode(mp4_of_levels(levels, look.fps)).decode(),
    }
    # All is filled in at once, so that a name within what is filled in stays as it is.
    text = re.sub("@(title|subtitle|film|video)@", lambda name: parts[name[1]], _template())
    return text.encode()


def _panel(panel: Panel) -> dict[str, Any]:
    """A panel as the script of the page knows it."""
    story = panel.story
    return {
        "name": panel.name,
        "title": story.title,
        "subtitle": story.subtitle,
        "layer": story.layer,
        "isOwnMatrix": story.is_own_matrix,
        "steps": [int(step) for step in story.steps],
        "epochs": story.epoch_steps,
        "at": panel.at,
        "grid": panel.grid,
        "tile": panel.tile,
        "matrix": panel.is_matrix,
        "moved": panel.moved,
        "relative": panel.is_relative,
        "dead": [int(unit) for unit in story.dead if unit in panel.moved],
        "deadWords": story.dead_words,
        "units": list(story.units),
        "features": list(story.features)[: panel.tile[0]] if panel.is_matrix else [],
        "curve": story.curve and story.curve._asdict(),
    }


@cache
def _template() -> str:
    """The page without a film, with its style and its script within: it needs no other file."""
    page = _source("player.html")
    return page.replace("@style@", _source("player.css")).replace("@script@", _source("player.js"))


def _source(name: str) -> str:
    return files("harness.pictures").joinpath(name).read_text(encoding="utf-8")


def _colours(name: str) -> list[str]:
    """The colour maps of a page as hexadecimal numbers: that of light pages, and of dark ones."""
    names = [name]
    if name == "signed":
        names.append("signed dark")
    return [maps.table(one).tobytes().hex() for one in names]
