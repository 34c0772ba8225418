"""The one style of all plots: colours, figures, axes, and PNG bytes that are equal each time.

The colours are those of Okabe and Ito (2008), which people with the common kinds of colour
blindness tell apart. matplotlib takes a second to import and is only imported to draw.
"""

import io
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

# In the order in which a plot takes them.
BLUE = "#0072B2"
ORANGE = "#D55E00"
GREEN = "#009E73"
PINK = "#CC79A7"
SKY = "#56B4E9"
AMBER = "#E69F00"
BLACK = "#333333"
CYCLE = (BLUE, ORANGE, GREEN, PINK, SKY, AMBER, BLACK)

GREY = "#8a8a8a"
PALE = "#d9d9d9"

# Text stays readable where a picture is shown at half its size.
_FONT = 11
# Dots per inch.
DPI = 120

# Of zlib; its default takes one and a half times as long and saves 8 % of the bytes.
_LEVEL = 3

_SETTINGS = {
    "font.size": _FONT,
    "axes.titlesize": _FONT + 1,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": BLACK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": PALE,
    "grid.linewidth": 0.7,
    "xtick.color": BLACK,
    "ytick.color": BLACK,
    "text.color": BLACK,
    # Names come from users, and a dollar in one of them is a dollar.
    "text.parse_math": False,
    "legend.frameon": False,
    "lines.linewidth": 2.0,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


def load() -> None:
    """Imports what draws figures, in two thirds of the time that the imports themselves take.

    matplotlib lists the properties of each kind of artist for `help`, which only somebody at a
    prompt reads.
    """
    if "matplotlib.figure" in sys.modules or hasattr(sys, "ps1") or "IPython" in sys.modules:
        return
    from matplotlib import artist as room

    artist: Any = room
    listed = artist.kwdoc
    artist.kwdoc = _nothing
    try:
        import matplotlib.backends.backend_agg
        import matplotlib.figure  # noqa: F401, what is imported stays
    finally:
        artist.kwdoc = listed


def _nothing(kind: Any) -> str:
    return ""


def styled() -> Any:
    """A context in which figures are made and drawn in this style."""
    load()
    import matplotlib

    return matplotlib.rc_context(_SETTINGS)


def figure(width: float, height: float) -> Any:
    """An empty figure of so many inches, that no window and no global state knows of."""
    load()
    from matplotlib.figure import Figure

    return Figure((width, height), layout="constrained")


def png(drawn: Any) -> bytes:
    """A figure as the bytes of a PNG, equal each time it is drawn."""
    return stacked_png([drawn])


def stacked_png(rows: Sequence[Any]) -> bytes:
    """Figures of one width below each other, as the bytes of one PNG."""
    from PIL import Image

    file = io.BytesIO()
    image = Image.fromarray(np.concatenate([_pixels(row) for row in rows]))
    image.save(file, "png", dpi=(DPI, DPI), compress_level=_LEVEL)
    return file.getvalue()


def _pixels(drawn: Any) -> np.ndarray:
    """A figure as colours without transparency, uint8 (H, W, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from harness.pictures.scales import quick_axes

    with styled():
        drawn.set_dpi(DPI)
        # `savefig` would draw all of it twice, the first time to lay it out.
        canvas = FigureCanvasAgg(drawn)
        with quick_axes(drawn):
            canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def restyle(drawn: Any, width: float, height: float) -> None:
    """Gives a figure that another library has drawn the colours of this style.

    Parameters
    ----------
    drawn : matplotlib.figure.Figure
        The figure.
    width, height : float
        Its size in inches.
    """
    drawn.set_size_inches(width, height)
    drawn.set_facecolor("white")
    for axes in drawn.axes:
        # The grid of a white plot was not asked for.
        has_grid = axes.get_facecolor()[:3] != (1.0, 1.0, 1.0) and axes.get_label() != "<colorbar>"
        if has_grid:
            axes.grid(True, color=PALE, linewidth=0.7)
        axes.set_facecolor("white")
        axes.title.set(fontsize=_FONT + 1, fontweight="bold", color=BLACK)
        for axis in (axes.xaxis, axes.yaxis):
            number_between_powers(axis)
    drawn.set_layout_engine("constrained")


def number_between_powers(axis: Any) -> None:
    """Numbers as they are at the ticks of a logarithmic axis, 0.01 and not a power of ten.

    There are some between powers of ten too, where fewer than two of these are in sight.
    """
    from matplotlib.ticker import FormatStrFormatter, NullFormatter

    from harness.pictures.numbers import Numbers

    if axis.get_scale() != "log":
        return
    # To set one power in type takes as long as all else on a plot.
    axis.set_major_formatter(FormatStrFormatter("%g"))
    axis.set_minor_formatter(NullFormatter())
    axis.set_major_locator(Numbers())


def name_ticks(axis: Any, names: Sequence[str], rotation: float = 0) -> None:
    """Writes a name at each of the places 0, 1, 2 ... of an axis.

    It does what `set_ticks` does, which makes five objects for each of them.
    """
    from matplotlib.ticker import FixedFormatter, FixedLocator

    # All of them are in sight, also where nothing is drawn.
    axis.set_view_interval(0, max(0, len(names) - 1))
    axis.set_major_locator(FixedLocator(range(len(names))))
    axis.set_major_formatter(FixedFormatter(names))
    axis.set_tick_params(labelrotation=rotation)


def plain(axes: Any) -> None:
    """Takes ticks, frame and grid away: the axes show a picture."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
