"""A contact sheet: the last frames of several films beside each other, each with its caption."""

import io
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from harness.pictures.style import figure, plain, styled

_COLUMNS = 4
_LETTERS = 36  # of a line of a caption, above a picture of three inches


class Print(NamedTuple):
    """One picture of the sheet.

    Attributes
    ----------
    caption : str
        What stands above it; each of its lines becomes two at most.
    picture : bytes
        A PNG.
    """

    caption: str
    picture: bytes


def contact_sheet(prints: Sequence[Print], title: str) -> Any:
    """Draws pictures beside each other.

    Parameters
    ----------
    prints : sequence of Print
        The pictures in their order.
    title : str
        What stands above all.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from PIL import Image

    columns = min(_COLUMNS, max(1, len(prints)))
    rows = max(1, -(-len(prints) // columns))
    with styled():
        drawn = figure(3.0 * columns, 0.6 + 3.4 * rows)
        drawn.suptitle(title, fontsize=12, fontweight="bold", x=0.01, ha="left")
        for place, one in enumerate(prints):
            axes = drawn.add_subplot(rows, columns, place + 1)
            picture = np.asarray(Image.open(io.BytesIO(one.picture)).convert("RGB"))
            axes.imshow(picture, interpolation="nearest")
            plain(axes)
            axes.set_title(_broken(one.caption), fontsize=9, fontweight="normal", loc="center")
    return drawn


def _broken(caption: str) -> str:
    lines = []
    for line in caption.splitlines():
        lines += textwrap.wrap(line, _LETTERS, max_lines=2, placeholder="…")
    return "\n".join(lines)
