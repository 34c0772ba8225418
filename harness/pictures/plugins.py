"""Pictures of what is registered, one function for each kind of plugin that has a picture.

They are an activation's value and slope, the path of an update rule, the curve of a schedule and
the histogram of an initializer. matplotlib takes a second to import and is only imported to draw.
"""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from harness import registry
from harness.boundary import foreign
from harness.errors import UsageError
from harness.expressions import backend
from harness.pictures import style
from harness.pictures.descent import STEPS, bowl, descending, path_of
from harness.registry.known import Spec

VALUE = style.BLUE
SLOPE = style.ORANGE

# The steps of a path that are marked with their number.
_MARKED = (1, 10, 100, 1000)


class Curve(NamedTuple):
    """An activation on a line.

    Attributes
    ----------
    z
        (points,) where it is evaluated.
    value
        (points,) f(z).
    slope
        (points,) f'(z).
    """

    z: np.ndarray
    value: np.ndarray
    slope: np.ndarray


def drawable(kind: str) -> bool:
    """Whether there is a picture of this kind of plugin."""
    return kind in _DRAWINGS


@foreign("a plugin")
def draw(kind: str, spec: Spec, file: str | Path, size: tuple[float, float] | None = None) -> Path:
    """Draws a spec into a file.

    Parameters
    ----------
    kind
        The kind of the plugin, one that is `drawable`.
    spec
        Its spec.
    file
        The file, whose suffix (.png, .svg, .pdf) says in which format.
    size
        Width and height in inches; None for those of the kind.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    UsageError
        For another suffix.
    """
    import matplotlib

    path = Path(file).expanduser()
    suffix = path.suffix.lower()
    figure = style.figure(*(size or _DRAWINGS[kind].size))
    if suffix[1:] not in figure.canvas.get_supported_filetypes():
        raise UsageError(
            f"a picture's name must end with .png, .svg or .pdf, got {str(file)!r}; "
            f"add such an ending"
        )
    _fill(figure, kind, spec)
    # The same bytes each time, and text as text.
    reproducible = {"svg.hashsalt": "harness", "svg.fonttype": "none"}
    metadata = None
    if suffix == ".svg":
        metadata = {"Date": None}
    with style.styled(), matplotlib.rc_context(reproducible):
        figure.savefig(path, dpi=100, metadata=metadata)
    return path


@foreign("a plugin")
def drawn(kind: str, spec: Spec) -> Any:
    """A spec as a matplotlib figure.

    Parameters
    ----------
    kind
        The kind of the plugin, one that is `drawable`.
    spec
        Its spec.
    """
    figure = style.figure(*_DRAWINGS[kind].size)
    _fill(figure, kind, spec)
    return figure


def _fill(figure: Any, kind: str, spec: Spec) -> None:
    with style.styled(), np.errstate(all="ignore"):
        _DRAWINGS[kind].draw(figure, spec)


@foreign("a plugin")
def curve(spec: Spec, reach: float = 4.0, points: int = 321) -> Curve:
    """An activation from -reach to reach.

    Parameters
    ----------
    spec
        Its spec.
    reach
        The largest |z|.
    points
        How many z there are, evenly spread.
    """
    value, pullback = registry.make("activation", spec)
    z = np.linspace(-reach, reach, points)[None]
    a = np.empty_like(z)
    slope = np.ones_like(z)
    # For a few hundred values nobody should wait until a loop is compiled.
    with backend.using("numpy"):
        value(np, z.copy(), a)
        kept = a.copy()
        # The pullback multiplies by the slope, and may use `a` as scratch.
        pullback(np, z.copy(), a, slope)
    return Curve(z[0], kept[0], slope[0])


# One function for each kind -----------------------------------------------------------------------


def _axes(figure: Any, where: Any = 111, title: str = "", **labels: str) -> Any:
    axes = figure.add_subplot(where)
    axes.set(**labels)
    # Some specs are long.
    axes.set_title(title, fontsize=10)
    return axes


def _activation(figure: Any, spec: Spec) -> None:
    shown = curve(spec)
    axes = _axes(figure, title=registry.text(spec), xlabel="z")
    axes.plot(shown.z, shown.slope, color=SLOPE, linestyle="--", label="slope f'(z)")
    axes.plot(shown.z, shown.value, color=VALUE, label="value f(z)")
    axes.legend(fontsize=9)


def _update_rule(figure: Any, spec: Spec) -> None:
    from matplotlib.ticker import FormatStrFormatter

    shown = descending(spec)
    path = path_of(shown)
    left = _axes(figure, 121, registry.text(shown), xlabel="w1", ylabel="w2")
    _draw_path(left, path)
    end = f": {bowl(path[-1]):.2g}"
    if len(path) <= STEPS:
        end = " it has diverged"
    title = f"after {len(path) - 1} steps{end}"
    right = _axes(figure, 122, title, xlabel="step", ylabel="f(w) = (w1² + 10 w2²) / 2")
    right.plot(np.maximum(bowl(path), 1e-12), color=VALUE)
    right.set_xscale("symlog", linthresh=1)
    right.set_yscale("log")
    # Powers that are set in type are mathematics, which texts of this style are not.
    right.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    style.number_between_powers(right.yaxis)


def _draw_path(axes: Any, path: np.ndarray) -> None:
    """A path (steps + 1, 2) over the contours of the bowl."""
    # All of the path is in the picture, but nothing beyond 3: a rule that diverges goes far.
    low = np.minimum(path.min(axis=0), -1.0).clip(-3, 0) - 0.1
    high = np.maximum(path.max(axis=0), 1.0).clip(0, 3) + 0.1
    w1, w2 = np.meshgrid(np.linspace(low[0], high[0], 80), np.linspace(low[1], high[1], 80))
    height = bowl(np.stack([w1, w2], axis=-1))
    axes.contour(w1, w2, height, levels=2.0 ** np.arange(-8, 8), colors="0.8", linewidths=0.7)
    axes.plot(*path.T, color=VALUE, linewidth=1, marker=".", markersize=2.5)
    marked = [0, *(step for step in _MARKED if step < len(path))]
    axes.plot(*path[marked].T, "o", color=SLOPE, markersize=4)
    for step in _apart(marked, path, 0.045 * (high - low)):
        axes.annotate(
            str(step),
            path[step],
            textcoords="offset points",
            xytext=(4, 4),
            fontsize=7,
            color=SLOPE,
        )
    axes.locator_params(axis="x", nbins=6)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))


def _apart(marked: list[int], path: np.ndarray, near: np.ndarray) -> list[int]:
    """The marked steps without those whose number would cover that of the one before."""
    apart = marked[:1]
    for before, step in pairwise(marked):
        if np.any(np.abs(path[step] - path[before]) > near):
            apart.append(step)
    return apart


def _schedule(figure: Any, spec: Spec) -> None:
    scheduled = registry.make("schedule", spec)
    t = np.linspace(0.0, 1.0, 1001)
    axes = _axes(
        figure, title=registry.text(spec), xlabel="t, fraction of the planned steps", ylabel="s(t)"
    )
    axes.plot(t, [scheduled(fraction) for fraction in t.tolist()], color=VALUE)


def _initializer(figure: Any, spec: Spec) -> None:
    w = registry.make("initializer", spec)(np.random.default_rng(0), (784, 100), 784, 100)
    axes = _axes(figure, title=registry.text(spec), xlabel="w (784 x 100)", ylabel="how many")
    counts, _, _ = axes.hist(w.ravel(), bins=100, color=VALUE)
    # The numbers stand above the bars.
    axes.set_ylim(0, 1.35 * counts.max())
    axes.locator_params(axis="x", nbins=5)
    numbers = f"mean {w.mean():.2g}\nstd {w.std():.3g}\nfrom {w.min():.3g}\nto {w.max():.3g}"
    axes.text(0.98, 0.97, numbers, transform=axes.transAxes, ha="right", va="top", fontsize=8)


class _Drawing(NamedTuple):
    """How a kind of plugin is drawn."""

    draw: Callable[[Any, Spec], None]
    size: tuple[float, float] = (4.8, 3.6)  # inches


_DRAWINGS = {
    "activation": _Drawing(_activation),
    "update_rule": _Drawing(_update_rule, size=(9.6, 4.2)),
    "schedule": _Drawing(_schedule),
    "initializer": _Drawing(_initializer),
}
