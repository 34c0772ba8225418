"""Pictures of what is registered: an activation's value and slope, the path of an update rule, the
curve of a schedule, the histogram of an initializer.

matplotlib takes a second to import and is only imported to draw.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harness import registry
from harness.boundary import foreign
from harness.engine.context import Context
from harness.engine.network import build
from harness.errors import UsageError
from harness.ops import cpu
from harness.registry.known import Spec

STEPS = 1000  # of an update rule
START = (-0.9, 0.5)
# Of the bowl that update rules go down: f(w) = (w1^2 + 10 w2^2) / 2
CURVATURE = np.array([1.0, 10.0])
FAR = 1e3  # a path that comes here has diverged
VALUE, SLOPE = "#1f4e9c", "#c8541b"


def drawable(kind: str) -> bool:
    """Whether there is a picture of this kind of plugin."""
    return kind in _DRAWN


@foreign("a plugin")
def draw(kind: str, spec: Spec, file: str | Path, size: tuple[float, float] | None = None) -> Path:
    """Draws a spec into a file, whose suffix (.png, .svg, .pdf) says in which format; size in
    inches.
    """
    import matplotlib
    from matplotlib.figure import Figure

    path, most = Path(file).expanduser(), _DRAWN[kind][1]
    figure = Figure(size or most, layout="constrained")
    formats = figure.canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in formats:
        raise UsageError(
            f"a picture's name must end with .png, .svg or .pdf, got {str(file)!r}; "
            f"add such an ending"
        )
    with np.errstate(all="ignore"):
        _DRAWN[kind][0](figure, spec)
    # The same bytes each time, and text as text
    plain = {"svg.hashsalt": "harness", "svg.fonttype": "none"}
    metadata = {"Date": None} if path.suffix.lower() == ".svg" else None
    with matplotlib.rc_context(plain):
        figure.savefig(path, dpi=100, metadata=metadata)
    return path


@foreign("a plugin")
def curve(
    spec: Spec, reach: float = 4.0, points: int = 321
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """z from -reach to reach, f(z) and f'(z) of an activation, all (points,)."""
    value, pullback = registry.make("activation", spec)
    z = np.linspace(-reach, reach, points)[None]
    a, slope = np.empty_like(z), np.ones_like(z)
    value(np, z.copy(), a)
    kept = a.copy()
    pullback(np, z.copy(), a, slope)  # which may use a as scratch
    return z[0], kept[0], slope[0]


def bowl(w: np.ndarray) -> np.ndarray:
    """f(w) = (w1^2 + 10 w2^2) / 2 for w (..., 2)."""
    return np.sum(CURVATURE * w * w, axis=-1) / 2.0


@foreign("a plugin")
def path_of(rule: Any, steps: int = STEPS, averages: bool = True) -> np.ndarray:
    """Where an update rule goes on the bowl from START: (steps + 1, 2), shorter if it diverges.

    averages: where it evaluates other parameters than it trains (schedule-free, lookahead), these
    instead.
    """
    network: Any = None

    def probe(ctx: Context, features: int) -> Any:
        """A layer of two weights, whose gradient is the bowl's."""
        ctx.param("W", (1, 2), "zeros")
        y = ctx.empty(2)
        y[...] = 0.0

        def backward(dy: np.ndarray) -> np.ndarray:
            network.arena.grad[...] = CURVATURE * network.arena.value
            return dy

        return (lambda x, train: (y, backward)), 2

    said: dict[str, Any] = {
        "loss": "squared_error",
        "rule": rule,
        "seeds": [0],
        "lead": (),
        "dtype": np.float64,
    }
    network = build([probe], 2, **said, batch=1, eval_batch=1, ops=cpu)
    network.initialize()
    network.rekey(1)
    network.arena.value[...] = START
    x, found = np.zeros((1, 2)), [np.array(START)]
    for k in range(steps):
        network.step(x, x, k / steps)
        where = network.theta() if averages and network.theta else network.arena.value
        if not np.all(np.abs(where) < FAR):
            break
        found.append(np.array(where))
    return np.array(found)


def descending(spec: Spec) -> Spec:
    """The spec itself; an ingredient that goes up, such as clip_norm, with scale(-0.1) behind it
    (averages: before).
    """
    moves = np.diff(path_of(spec, 20, averages=False), axis=0)
    first = next((m for m in moves if m.any()), None)
    if first is None or first @ (CURVATURE * START) < 0:
        return spec
    last = registry.make("update_rule", spec).evaluate is not None
    rules = ["scale(-0.1)", spec] if last else [spec, "scale(-0.1)"]
    return registry.canonical("update_rule", {"name": "compose", "rules": rules})


# One function for each kind -----------------------------------------------------------------------


def _axes(figure: Any, where: Any = 111, title: str = "", **labels: str) -> Any:
    axes = figure.add_subplot(where)
    axes.set(title=title, **labels)
    axes.title.set_fontsize(10)
    axes.title.set_parse_math(False)  # a text in a spec may hold dollars
    axes.grid(alpha=0.3, linewidth=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return axes


def _activation(figure: Any, spec: Spec) -> None:
    z, a, slope = curve(spec)
    axes = _axes(figure, title=registry.text(spec), xlabel="z")
    axes.plot(z, slope, color=SLOPE, linestyle="--", label="slope f'(z)")
    axes.plot(z, a, color=VALUE, label="value f(z)")
    axes.legend(frameon=False, fontsize=8)


def _update_rule(figure: Any, spec: Spec) -> None:
    drawn = descending(spec)
    w = path_of(drawn)
    left = _axes(figure, 121, registry.text(drawn), xlabel="w1", ylabel="w2")
    low, high = (
        np.minimum(w.min(axis=0), -1.0).clip(-3, 0) - 0.1,
        np.maximum(w.max(axis=0), 1.0).clip(0, 3) + 0.1,
    )
    a, b = np.meshgrid(np.linspace(low[0], high[0], 80), np.linspace(low[1], high[1], 80))
    levels = 2.0 ** np.arange(-8, 8)
    left.contour(a, b, bowl(np.stack([a, b], axis=-1)), levels=levels, colors="0.8", linewidths=0.7)
    left.plot(*w.T, color=VALUE, linewidth=1, marker=".", markersize=2.5)
    marked = [k for k in (1, 10, 100, 1000) if k < len(w)]
    left.plot(*w[[0, *marked]].T, "o", color=SLOPE, markersize=4)
    near = 0.045 * (high - low)  # numbers that would cover each other are left out
    told = [
        k
        for i, k in enumerate((0, *marked))
        if i == 0 or np.any(np.abs(w[k] - w[(0, *marked)[i - 1]]) > near)
    ]
    for k in told:
        left.annotate(
            str(k), w[k], textcoords="offset points", xytext=(4, 4), fontsize=7, color=SLOPE
        )
    left.locator_params(axis="x", nbins=6)
    left.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    end = f"after {len(w) - 1} steps" + (
        " it has diverged" if len(w) <= STEPS else f": {bowl(w[-1]):.2g}"
    )
    right = _axes(figure, 122, f"f(w) = (w1² + 10 w2²) / 2, {end}", xlabel="step", ylabel="f(w)")
    right.plot(np.maximum(bowl(w), 1e-12), color=VALUE)
    right.set_xscale("symlog", linthresh=1)
    right.set_yscale("log")


def _schedule(figure: Any, spec: Spec) -> None:
    at, t = registry.make("schedule", spec), np.linspace(0.0, 1.0, 1001)
    axes = _axes(
        figure, title=registry.text(spec), xlabel="t, fraction of the planned steps", ylabel="s(t)"
    )
    axes.plot(t, [at(each) for each in t.tolist()], color=VALUE)


def _initializer(figure: Any, spec: Spec) -> None:
    w = registry.make("initializer", spec)(np.random.default_rng(0), (784, 100), 784, 100)
    axes = _axes(figure, title=registry.text(spec), xlabel="w (784 x 100)", ylabel="how many")
    axes.hist(w.ravel(), bins=100, color=VALUE)
    numbers = f"mean {w.mean():.2g}\nstd {w.std():.3g}\nfrom {w.min():.3g}\nto {w.max():.3g}"
    axes.text(0.98, 0.97, numbers, transform=axes.transAxes, ha="right", va="top", fontsize=8)


_DRAWN: dict[str, tuple[Callable[[Any, Spec], None], tuple[float, float]]] = {
    "activation": (_activation, (4.8, 3.6)),
    "update_rule": (_update_rule, (9.6, 4.2)),
    "schedule": (_schedule, (4.8, 3.6)),
    "initializer": (_initializer, (4.8, 3.6)),
}
