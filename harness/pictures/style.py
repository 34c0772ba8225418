"""The one style of all plots: colours, figures, axes, and PNG bytes that are equal each time.

The colours are those of Okabe and Ito (2008), which people with the common kinds of colour
blindness tell apart. matplotlib takes a second to import and is only imported to draw.
"""

import io
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
_DPI = 120

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


def styled() -> Any:
    """A context in which figures are made and drawn in this style."""
    import matplotlib

    return matplotlib.rc_context(_SETTINGS)


def figure(width: float, height: float) -> Any:
    """An empty figure of so many inches, that no window and no global state knows of."""
    from matplotlib.figure import Figure

    return Figure((width, height), layout="constrained")


def png(drawn: Any) -> bytes:
    """A figure as the bytes of a PNG, equal each time it is drawn."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with styled():
        drawn.set_dpi(_DPI)
        # `savefig` would draw all of it twice, the first time to lay it out.
        canvas = FigureCanvasAgg(drawn)
        canvas.draw()
    return _encoded(canvas)


def _encoded(canvas: Any) -> bytes:
    """What has been drawn, as the bytes of a PNG without transparency."""
    from PIL import Image

    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "png", dpi=(_DPI, _DPI))
    return file.getvalue()


def restyled_png(drawn: Any, width: float, height: float) -> bytes:
    """A figure that another library has drawn, in colours of this style, as the bytes of a PNG.

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
            _number_between_powers(axis)
    file = io.BytesIO()
    drawn.savefig(file, format="png", dpi=_DPI, bbox_inches="tight", metadata={"Software": None})
    return file.getvalue()


def _number_between_powers(axis: Any) -> None:
    """Numbers between powers of ten, where fewer than two of these are in sight."""
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

    if axis.get_scale() != "log":
        return
    low, high = sorted(axis.get_view_interval())
    powers = [place for place in axis.get_majorticklocs() if low <= place <= high]
    if len(powers) >= 2:
        # Between them there is no room for more numbers.
        axis.set_minor_formatter(NullFormatter())
        return
    # Powers of ten are written like the numbers between them.
    axis.set_minor_locator(LogLocator(subs=(2, 3, 5)))
    axis.set_minor_formatter(FormatStrFormatter("%g"))
    axis.set_major_formatter(FormatStrFormatter("%g"))


def plain(axes: Any) -> None:
    """Takes ticks, frame and grid away: the axes show a picture."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
